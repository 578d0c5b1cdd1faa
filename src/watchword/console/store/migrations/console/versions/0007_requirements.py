"""Which requirements the host of an Enforcer does not meet."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from watchword.console.store.columns import Document, UtcTime

revision = "console_0007"
down_revision = "console_0006"


def upgrade() -> None:
    """No Enforcer has said anything about its host yet."""
    with op.batch_alter_table("enforcers") as batch:
        batch.add_column(sa.Column("requirement_status", sa.String(), nullable=False, server_default=""))
        batch.add_column(sa.Column("requirements", Document, nullable=False, server_default="[]"))
        batch.add_column(sa.Column("requirements_time", UtcTime(), nullable=True))
    with op.batch_alter_table("enforcers") as batch:
        text = sa.String()
        batch.alter_column("requirement_status", existing_type=text, existing_nullable=False, server_default=None)
        batch.alter_column("requirements", existing_type=Document, existing_nullable=False, server_default=None)
        batch.create_index(op.f("ix_enforcers_requirement_status"), ["requirement_status"], unique=False)
