"""The first schema of the flows database."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from watchword.console.store.columns import Document, UtcTime

revision = "flows_0001"
down_revision = None


def upgrade() -> None:
    """Create all tables."""
    op.create_table(
        "flowreports",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("create_time", UtcTime(), nullable=True),
        sa.Column("timestamp", UtcTime(), nullable=True),
        sa.Column("reported_by", sa.String(), nullable=False),
        sa.Column("enforcer_id", sa.String(), nullable=False),
        sa.Column("enforcer_name", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("source_type", sa.String(), nullable=False),
        sa.Column("source_id", sa.String(), nullable=False),
        sa.Column("source_name", sa.String(), nullable=False),
        sa.Column("source_namespace", sa.String(), nullable=False),
        sa.Column("source_tags", Document, nullable=False),
        sa.Column("source_ip", sa.String(), nullable=False),
        sa.Column("destination_type", sa.String(), nullable=False),
        sa.Column("destination_id", sa.String(), nullable=False),
        sa.Column("destination_name", sa.String(), nullable=False),
        sa.Column("destination_namespace", sa.String(), nullable=False),
        sa.Column("destination_tags", Document, nullable=False),
        sa.Column("destination_ip", sa.String(), nullable=False),
        sa.Column("protocol", sa.BigInteger(), nullable=False),
        sa.Column("destination_port", sa.BigInteger(), nullable=False),
        sa.Column("policy_id", sa.String(), nullable=False),
        sa.Column("policy_name", sa.String(), nullable=False),
        sa.Column("policy_namespace", sa.String(), nullable=False),
        sa.Column("rule_name", sa.String(), nullable=False),
        sa.Column("rule_key", sa.String(), nullable=False),
        sa.Column("observed", sa.Boolean(), nullable=False),
        sa.Column("observed_action", sa.String(), nullable=False),
        sa.Column("observed_policy_id", sa.String(), nullable=False),
        sa.Column("observed_rule_name", sa.String(), nullable=False),
        sa.Column("proved", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("packets_in", sa.BigInteger(), nullable=False),
        sa.Column("packets_out", sa.BigInteger(), nullable=False),
        sa.Column("bytes_in", sa.BigInteger(), nullable=False),
        sa.Column("bytes_out", sa.BigInteger(), nullable=False),
        sa.Column("latency_us", sa.BigInteger(), nullable=False),
        sa.Column("first_seen", UtcTime(), nullable=True),
        sa.Column("last_seen", UtcTime(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flowreports")),
    )
    op.create_index(op.f("ix_flowreports_action"), "flowreports", ["action"], unique=False)
    op.create_index(op.f("ix_flowreports_create_time"), "flowreports", ["create_time"], unique=False)
    op.create_index(op.f("ix_flowreports_destination_id"), "flowreports", ["destination_id"], unique=False)
    op.create_index(op.f("ix_flowreports_destination_name"), "flowreports", ["destination_name"], unique=False)
    op.create_index(op.f("ix_flowreports_destination_port"), "flowreports", ["destination_port"], unique=False)
    op.create_index(op.f("ix_flowreports_last_seen"), "flowreports", ["last_seen"], unique=False)
    op.create_index(op.f("ix_flowreports_namespace"), "flowreports", ["namespace"], unique=False)
    op.create_index(op.f("ix_flowreports_source_id"), "flowreports", ["source_id"], unique=False)
    op.create_index(op.f("ix_flowreports_source_name"), "flowreports", ["source_name"], unique=False)
    op.create_index(op.f("ix_flowreports_timestamp"), "flowreports", ["timestamp"], unique=False)
    op.create_table(
        "sequences",
        sa.Column("enforcer_id", sa.String(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("enforcer_id", name=op.f("pk_sequences")),
    )
