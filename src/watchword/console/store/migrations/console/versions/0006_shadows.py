"""Which drafts are shadowed, and how often their changes have changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "console_0006"
down_revision = "console_0005"


def upgrade() -> None:
    """No draft made before is shadowed; what they hold is their first edition."""
    with op.batch_alter_table("drafts") as batch:
        batch.add_column(sa.Column("edition", sa.BigInteger(), nullable=False, server_default="1"))
        batch.add_column(sa.Column("shadowed", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("drafts") as batch:
        batch.alter_column("edition", existing_type=sa.BigInteger(), existing_nullable=False, server_default=None)
        batch.alter_column("shadowed", existing_type=sa.Boolean(), existing_nullable=False, server_default=None)
        batch.create_index(op.f("ix_drafts_shadowed"), ["shadowed"], unique=False)
