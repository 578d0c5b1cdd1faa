"""Mapping policies and enforcer profiles; where units were registered; metadata, warnings, versions."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from watchword.console.store.columns import Document, UtcTime

revision = "console_0003"
down_revision = "console_0002"

#: Columns that existing rows get, with what they get.
_ADDED: dict[str, tuple[tuple[str, Any, str], ...]] = {
    "namespaces": (("default_enforcer_version", sa.String(), ""),),
    "processingunits": (
        ("images", Document, "[]"),
        ("network_services", Document, "[]"),
        ("registered_namespace", sa.String(), ""),
        ("mapped_by", Document, "[]"),
    ),
    "enforcers": (
        ("profile_id", sa.String(), ""),
        ("profile_name", sa.String(), ""),
        ("other_profiles", Document, "[]"),
    ),
    "externalnetworks": (("metadata", Document, "[]"), ("warnings", Document, "[]")),
    "networkrulesetpolicies": (("metadata", Document, "[]"),),
}


def upgrade() -> None:
    """Add the columns, then the tables."""
    for table, columns in _ADDED.items():
        with op.batch_alter_table(table) as batch:
            for name, kind, value in columns:
                batch.add_column(sa.Column(name, kind, nullable=False, server_default=value))
        if table == "processingunits":
            op.execute("UPDATE processingunits SET registered_namespace = namespace")
        with op.batch_alter_table(table) as batch:
            for name, kind, _ in columns:
                batch.alter_column(name, existing_type=kind, existing_nullable=False, server_default=None)
    op.create_index(
        op.f("ix_processingunits_registered_namespace"), "processingunits", ["registered_namespace"], unique=False
    )
    op.create_index(op.f("ix_enforcers_profile_id"), "enforcers", ["profile_id"], unique=False)
    _policy_table(
        "namespacemappingpolicies",
        sa.Column("subject", Document, nullable=False),
        sa.Column("mapped_namespace", sa.String(), nullable=False),
    )
    op.create_index(
        op.f("ix_namespacemappingpolicies_mapped_namespace"),
        "namespacemappingpolicies",
        ["mapped_namespace"],
        unique=False,
    )
    _policy_table(
        "enforcerprofilemappingpolicies",
        sa.Column("subject", Document, nullable=False),
        sa.Column("object", Document, nullable=False),
        sa.Column("propagate", sa.Boolean(), nullable=False),
        sa.Column("fallback", sa.Boolean(), nullable=False),
    )
    _named_table(
        "enforcerprofiles",
        sa.Column("associated_tags", Document, nullable=False),
        sa.Column("normalized_tags", Document, nullable=False),
        sa.Column("metadata", Document, nullable=False),
        sa.Column("propagate", sa.Boolean(), nullable=False),
        sa.Column("flow_report_interval", sa.BigInteger(), nullable=False),
        sa.Column("key_lifetime", sa.BigInteger(), nullable=False),
        sa.Column("target_networks", Document, nullable=False),
        sa.Column("target_udp_networks", Document, nullable=False),
        sa.Column("excluded_networks", Document, nullable=False),
        sa.Column("excluded_interfaces", Document, nullable=False),
        sa.Column("identity_required_networks", Document, nullable=False),
        sa.Column("ignore_expression", Document, nullable=False),
        sa.Column("trusted_cas", Document, nullable=False),
        sa.Column("syslog_enabled", sa.Boolean(), nullable=False),
        sa.Column("syslog_endpoint", sa.String(), nullable=False),
        sa.Column("syslog_facility", sa.BigInteger(), nullable=False),
        sa.Column("syslog_format", sa.String(), nullable=False),
        sa.Column("syslog_endpoint_tls_server_ca", sa.String(), nullable=False),
        sa.Column("warnings", Document, nullable=False),
    )


def _policy_table(name: str, *columns: sa.Column[Any]) -> None:
    own: tuple[sa.Column[Any], ...] = (
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("associated_tags", Document, nullable=False),
        sa.Column("metadata", Document, nullable=False),
    )
    _named_table(name, *own, *columns)


def _named_table(name: str, *columns: sa.Column[Any]) -> None:
    op.create_table(
        name,
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("namespace", sa.String(), nullable=False),
        sa.Column("create_time", UtcTime(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("update_time", UtcTime(), nullable=True),
        sa.Column("annotations", Document, nullable=False),
        sa.Column("protected", sa.Boolean(), nullable=False),
        *columns,
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f(f"pk_{name}")),
        sa.UniqueConstraint("namespace", "name", name=op.f(f"uq_{name}_namespace_name")),
    )
    op.create_index(op.f(f"ix_{name}_create_time"), name, ["create_time"], unique=False)
    op.create_index(op.f(f"ix_{name}_name"), name, ["name"], unique=False)
