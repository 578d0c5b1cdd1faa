"""DNS look-up reports."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from watchword.console.store.columns import Document, UtcTime

revision = "flows_0003"
down_revision = "flows_0002"

_INDEXED = (
    "action",
    "create_time",
    "last_seen",
    "namespace",
    "processing_unit_id",
    "processing_unit_name",
    "resolved_name",
    "timestamp",
)


def upgrade() -> None:
    """Nobody has reported any before."""
    op.create_table(
        "dnslookupreports",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("create_time", UtcTime(), nullable=True),
        sa.Column("timestamp", UtcTime(), nullable=True),
        sa.Column("enforcer_id", sa.String(), nullable=False),
        sa.Column("enforcer_name", sa.String(), nullable=False),
        sa.Column("processing_unit_id", sa.String(), nullable=False),
        sa.Column("processing_unit_name", sa.String(), nullable=False),
        sa.Column("processing_unit_tags", Document, nullable=False),
        sa.Column("resolved_name", sa.String(), nullable=False),
        sa.Column("record_type", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("resolver", sa.String(), nullable=False),
        sa.Column("address_count", sa.BigInteger(), nullable=False),
        sa.Column("resolved_ips", Document, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("first_seen", UtcTime(), nullable=True),
        sa.Column("last_seen", UtcTime(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dnslookupreports")),
    )
    for name in _INDEXED:
        op.create_index(op.f(f"ix_dnslookupreports_{name}"), "dnslookupreports", [name], unique=False)
    op.create_table(
        "lookup_sequences",
        sa.Column("enforcer_id", sa.String(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("enforcer_id", name=op.f("pk_lookup_sequences")),
    )
