"""What shadowed drafts would decide about flows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from watchword.console.store.columns import Document

revision = "flows_0002"
down_revision = "flows_0001"

_COLUMNS = ("draft_verdicts", "judged_by", "changed_by")


def upgrade() -> None:
    """No draft judged what was reported before."""
    with op.batch_alter_table("flowreports") as batch:
        for name in _COLUMNS:
            batch.add_column(sa.Column(name, Document, nullable=False, server_default="[]"))
    with op.batch_alter_table("flowreports") as batch:
        for name in _COLUMNS:
            batch.alter_column(name, existing_type=Document, existing_nullable=False, server_default=None)
