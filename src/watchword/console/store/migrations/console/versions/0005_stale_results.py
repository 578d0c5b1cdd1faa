"""Why the last result of a policy test may not hold any more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "console_0005"
down_revision = "console_0004"


def upgrade() -> None:
    """Results kept so far hold: each was found anew when the Console started."""
    with op.batch_alter_table("policytests") as batch:
        batch.add_column(sa.Column("stale", sa.String(), nullable=False, server_default=""))
    with op.batch_alter_table("policytests") as batch:
        batch.alter_column("stale", existing_type=sa.String(), existing_nullable=False, server_default=None)
        batch.create_index(op.f("ix_policytests_stale"), ["stale"], unique=False)
