"""What becomes of connections older than an Enforcer, in its profile."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "console_0004"
down_revision = "console_0003"


def upgrade() -> None:
    """Profiles made before keep such connections, as they did."""
    with op.batch_alter_table("enforcerprofiles") as batch:
        batch.add_column(sa.Column("existing_connections", sa.String(), nullable=False, server_default="Keep"))
    with op.batch_alter_table("enforcerprofiles") as batch:
        batch.alter_column(
            "existing_connections", existing_type=sa.String(), existing_nullable=False, server_default=None
        )
