"""What revisions changed; intents, policy tests and drafts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from watchword.console.store.columns import Document, UtcTime

revision = "console_0002"
down_revision = "console_0001"

_NEW_IN_REVISIONS = ("message", "policy_digest", "workload_digest", "previous")


def upgrade() -> None:
    """Add the tables; revisions made before say nothing in their new columns."""
    op.create_table(
        "drafts",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("create_time", UtcTime(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("update_time", UtcTime(), nullable=True),
        sa.Column("annotations", Document, nullable=False),
        sa.Column("protected", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("base_revision", sa.BigInteger(), nullable=False),
        sa.Column("published_revision", sa.BigInteger(), nullable=False),
        sa.Column("changes", Document, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drafts")),
        sa.UniqueConstraint("namespace", "name", name=op.f("uq_drafts_namespace_name")),
    )
    op.create_index(op.f("ix_drafts_create_time"), "drafts", ["create_time"], unique=False)
    op.create_index(op.f("ix_drafts_name"), "drafts", ["name"], unique=False)
    op.create_table(
        "intents",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("create_time", UtcTime(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("update_time", UtcTime(), nullable=True),
        sa.Column("annotations", Document, nullable=False),
        sa.Column("protected", sa.Boolean(), nullable=False),
        sa.Column("source", Document, nullable=False),
        sa.Column("destination", Document, nullable=False),
        sa.Column("protocol_ports", Document, nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("propagate", sa.Boolean(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("logs_disabled", sa.Boolean(), nullable=False),
        sa.Column("observation_enabled", sa.Boolean(), nullable=False),
        sa.Column("associated_tags", Document, nullable=False),
        sa.Column("metadata", Document, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intents")),
        sa.UniqueConstraint("namespace", "name", name=op.f("uq_intents_namespace_name")),
    )
    op.create_index(op.f("ix_intents_create_time"), "intents", ["create_time"], unique=False)
    op.create_index(op.f("ix_intents_name"), "intents", ["name"], unique=False)
    op.create_table(
        "policytests",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("create_time", UtcTime(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("update_time", UtcTime(), nullable=True),
        sa.Column("annotations", Document, nullable=False),
        sa.Column("protected", sa.Boolean(), nullable=False),
        sa.Column("assertions", Document, nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("status_revision", sa.BigInteger(), nullable=False),
        sa.Column("status_time", UtcTime(), nullable=True),
        sa.Column("results", Document, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policytests")),
        sa.UniqueConstraint("namespace", "name", name=op.f("uq_policytests_namespace_name")),
    )
    op.create_index(op.f("ix_policytests_create_time"), "policytests", ["create_time"], unique=False)
    op.create_index(op.f("ix_policytests_name"), "policytests", ["name"], unique=False)
    op.create_index(op.f("ix_policytests_status"), "policytests", ["status"], unique=False)
    op.create_table(
        "revisionchanges",
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("workload", sa.Boolean(), nullable=False),
        sa.Column("operation", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("object_id", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("before", Document, nullable=True),
        sa.Column("after", Document, nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("revision", "position", name=op.f("pk_revisionchanges")),
    )
    op.create_index("ix_revisionchanges_object_id", "revisionchanges", ["object_id", "revision"], unique=False)
    op.create_index("ix_revisionchanges_workload", "revisionchanges", ["workload", "revision"], unique=False)
    for name in _NEW_IN_REVISIONS:
        op.add_column("revisions", sa.Column(name, sa.String(), nullable=False, server_default=""))
    with op.batch_alter_table("revisions") as revisions:
        for name in _NEW_IN_REVISIONS:
            revisions.alter_column(name, server_default=None)
    # What revisions before this one changed is not known: no older state can be restored.
    op.execute(
        "INSERT INTO counters (name, value) "
        "SELECT floor.name, counters.value FROM counters "
        "JOIN (SELECT 'policy_history' AS name UNION ALL SELECT 'workload_history') AS floor ON 1 = 1 "
        "WHERE counters.name = 'revision'"
    )
