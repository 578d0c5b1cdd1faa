"""The first schema of the console database."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from watchword.console.store.columns import Document, UtcTime

revision = "console_0001"
down_revision = None


def upgrade() -> None:
    """Create all tables."""
    op.create_table(
        "activities",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("create_time", UtcTime(), nullable=True),
        sa.Column("operation", sa.String(), nullable=False),
        sa.Column("target_identity", sa.String(), nullable=False),
        sa.Column("target_id", sa.String(), nullable=False),
        sa.Column("target_name", sa.String(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("diff", Document, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_activities")),
    )
    op.create_index(op.f("ix_activities_author"), "activities", ["author"], unique=False)
    op.create_index(op.f("ix_activities_create_time"), "activities", ["create_time"], unique=False)
    op.create_index(op.f("ix_activities_namespace"), "activities", ["namespace"], unique=False)
    op.create_index(op.f("ix_activities_operation"), "activities", ["operation"], unique=False)
    op.create_index(op.f("ix_activities_target_id"), "activities", ["target_id"], unique=False)
    op.create_index(op.f("ix_activities_target_identity"), "activities", ["target_identity"], unique=False)
    op.create_table(
        "answers",
        sa.Column("credential_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("request_hash", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=False),
        sa.Column("headers", Document, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("time", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("credential_id", "key", name=op.f("pk_answers")),
    )
    op.create_index(op.f("ix_answers_time"), "answers", ["time"], unique=False)
    op.create_table(
        "appcredentials",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("create_time", UtcTime(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("update_time", UtcTime(), nullable=True),
        sa.Column("annotations", Document, nullable=False),
        sa.Column("protected", sa.Boolean(), nullable=False),
        sa.Column("roles", Document, nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_appcredentials")),
        sa.UniqueConstraint("namespace", "name", name=op.f("uq_appcredentials_namespace_name")),
    )
    op.create_index(op.f("ix_appcredentials_create_time"), "appcredentials", ["create_time"], unique=False)
    op.create_index(op.f("ix_appcredentials_name"), "appcredentials", ["name"], unique=False)
    op.create_table(
        "counters",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
    )
    op.create_table(
        "enforcers",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("create_time", UtcTime(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("update_time", UtcTime(), nullable=True),
        sa.Column("annotations", Document, nullable=False),
        sa.Column("protected", sa.Boolean(), nullable=False),
        sa.Column("associated_tags", Document, nullable=False),
        sa.Column("normalized_tags", Document, nullable=False),
        sa.Column("fqdn", sa.String(), nullable=False),
        sa.Column("machine_id", sa.String(), nullable=False),
        sa.Column("operational_status", sa.String(), nullable=False),
        sa.Column("unreachable", sa.Boolean(), nullable=False),
        sa.Column("last_sync_time", UtcTime(), nullable=True),
        sa.Column("current_version", sa.String(), nullable=False),
        sa.Column("kernel", sa.String(), nullable=False),
        sa.Column("datapath", sa.String(), nullable=False),
        sa.Column("key_epoch", sa.BigInteger(), nullable=False),
        sa.Column("enforced_revision", sa.BigInteger(), nullable=False),
        sa.Column("refused_revision", sa.BigInteger(), nullable=False),
        sa.Column("refused_reason", sa.String(), nullable=False),
        sa.Column("lost_reports", sa.BigInteger(), nullable=False),
        sa.Column("problems", Document, nullable=False),
        sa.Column("rss_bytes", sa.BigInteger(), nullable=False),
        sa.Column("counters", Document, nullable=False),
        sa.Column("certificate", sa.String(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("datapath_keys", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_enforcers")),
        sa.UniqueConstraint("namespace", "name", name=op.f("uq_enforcers_namespace_name")),
        sa.UniqueConstraint("public_key", name=op.f("uq_enforcers_public_key")),
    )
    op.create_index(op.f("ix_enforcers_create_time"), "enforcers", ["create_time"], unique=False)
    op.create_index(op.f("ix_enforcers_name"), "enforcers", ["name"], unique=False)
    op.create_index(op.f("ix_enforcers_operational_status"), "enforcers", ["operational_status"], unique=False)
    op.create_table(
        "enrolments",
        sa.Column("token_id", sa.String(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("enforcer_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("token_id", "public_key", name=op.f("pk_enrolments")),
    )
    op.create_table(
        "evicted_keys",
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("enforcer_id", sa.String(), nullable=False),
        sa.Column("time", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("public_key", name=op.f("pk_evicted_keys")),
    )
    op.create_index(op.f("ix_evicted_keys_enforcer_id"), "evicted_keys", ["enforcer_id"], unique=False)
    op.create_table(
        "externalnetworks",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("create_time", UtcTime(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("update_time", UtcTime(), nullable=True),
        sa.Column("annotations", Document, nullable=False),
        sa.Column("protected", sa.Boolean(), nullable=False),
        sa.Column("associated_tags", Document, nullable=False),
        sa.Column("normalized_tags", Document, nullable=False),
        sa.Column("entries", Document, nullable=False),
        sa.Column("propagate", sa.Boolean(), nullable=False),
        sa.Column("identity_required", sa.Boolean(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_externalnetworks")),
        sa.UniqueConstraint("namespace", "name", name=op.f("uq_externalnetworks_namespace_name")),
    )
    op.create_index(op.f("ix_externalnetworks_create_time"), "externalnetworks", ["create_time"], unique=False)
    op.create_index(op.f("ix_externalnetworks_name"), "externalnetworks", ["name"], unique=False)
    op.create_table(
        "namespaces",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("create_time", UtcTime(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("update_time", UtcTime(), nullable=True),
        sa.Column("annotations", Document, nullable=False),
        sa.Column("protected", sa.Boolean(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("default_pu_incoming_traffic_action", sa.String(), nullable=False),
        sa.Column("default_pu_outgoing_traffic_action", sa.String(), nullable=False),
        sa.Column("tag_prefixes", Document, nullable=False),
        sa.Column("organizational_metadata", Document, nullable=False),
        sa.Column("offline_max_age", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_namespaces")),
        sa.UniqueConstraint("name", name=op.f("uq_namespaces_name")),
    )
    op.create_index(op.f("ix_namespaces_create_time"), "namespaces", ["create_time"], unique=False)
    op.create_index(op.f("ix_namespaces_namespace"), "namespaces", ["namespace"], unique=False)
    op.create_table(
        "networkrulesetpolicies",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("create_time", UtcTime(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("update_time", UtcTime(), nullable=True),
        sa.Column("annotations", Document, nullable=False),
        sa.Column("protected", sa.Boolean(), nullable=False),
        sa.Column("subject", Document, nullable=False),
        sa.Column("incoming_rules", Document, nullable=False),
        sa.Column("outgoing_rules", Document, nullable=False),
        sa.Column("propagate", sa.Boolean(), nullable=False),
        sa.Column("fallback", sa.Boolean(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("associated_tags", Document, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_networkrulesetpolicies")),
        sa.UniqueConstraint("namespace", "name", name=op.f("uq_networkrulesetpolicies_namespace_name")),
    )
    op.create_index(
        op.f("ix_networkrulesetpolicies_create_time"), "networkrulesetpolicies", ["create_time"], unique=False
    )
    op.create_index(op.f("ix_networkrulesetpolicies_name"), "networkrulesetpolicies", ["name"], unique=False)
    op.create_table(
        "processingunits",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("create_time", UtcTime(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("update_time", UtcTime(), nullable=True),
        sa.Column("annotations", Document, nullable=False),
        sa.Column("protected", sa.Boolean(), nullable=False),
        sa.Column("associated_tags", Document, nullable=False),
        sa.Column("normalized_tags", Document, nullable=False),
        sa.Column("metadata", Document, nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("enforcer_id", sa.String(), nullable=False),
        sa.Column("enforcer_name", sa.String(), nullable=False),
        sa.Column("native_context_id", sa.String(), nullable=False),
        sa.Column("operational_status", sa.String(), nullable=False),
        sa.Column("enforcement_status", sa.String(), nullable=False),
        sa.Column("identity", sa.String(), nullable=False),
        sa.Column("badge", sa.BigInteger(), nullable=False),
        sa.Column("registered_tags", Document, nullable=False),
        sa.Column("retired_time", UtcTime(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_processingunits")),
        sa.UniqueConstraint("badge", name=op.f("uq_processingunits_badge")),
        sa.UniqueConstraint(
            "enforcer_id", "native_context_id", name=op.f("uq_processingunits_enforcer_id_native_context_id")
        ),
    )
    op.create_index(op.f("ix_processingunits_create_time"), "processingunits", ["create_time"], unique=False)
    op.create_index(op.f("ix_processingunits_name"), "processingunits", ["name"], unique=False)
    op.create_index(op.f("ix_processingunits_namespace"), "processingunits", ["namespace"], unique=False)
    op.create_index(
        op.f("ix_processingunits_native_context_id"), "processingunits", ["native_context_id"], unique=False
    )
    op.create_index(
        op.f("ix_processingunits_operational_status"), "processingunits", ["operational_status"], unique=False
    )
    op.create_table(
        "revisions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("create_time", UtcTime(), nullable=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("changes", Document, nullable=False),
        sa.Column("signature", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_revisions")),
        sa.UniqueConstraint("number", name=op.f("uq_revisions_number")),
    )
    op.create_index(op.f("ix_revisions_create_time"), "revisions", ["create_time"], unique=False)
    op.create_index(op.f("ix_revisions_namespace"), "revisions", ["namespace"], unique=False)
    op.create_table(
        "tokens",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("create_time", UtcTime(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("update_time", UtcTime(), nullable=True),
        sa.Column("annotations", Document, nullable=False),
        sa.Column("protected", sa.Boolean(), nullable=False),
        sa.Column("uses", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.Column("validity", sa.String(), nullable=False),
        sa.Column("expiration_time", UtcTime(), nullable=True),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("namespace", "name", name=op.f("uq_tokens_namespace_name")),
    )
    op.create_index(op.f("ix_tokens_create_time"), "tokens", ["create_time"], unique=False)
    op.create_index(op.f("ix_tokens_name"), "tokens", ["name"], unique=False)
