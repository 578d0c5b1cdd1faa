"""Everything the API knows about each kind of resource that is not a field of it.

The Console, the CLI and the documentation look kinds up here and derive the rest; none of them names
a resource in code of its own unless that resource really behaves differently.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import msgspec

from watchword.model import resources
from watchword.model.declarations import Resource

Verb = Literal["list", "get", "create", "update", "delete"]

_ALL: tuple[Verb, ...] = ("list", "get", "create", "update", "delete")


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a resource, as the API sees it."""

    attribute: str
    name: str  # on the wire
    type: msgspec.inspect.Type  # without its limits
    declared: msgspec.inspect.Type  # as it was written, for :mod:`watchword.model.limits`
    required: bool
    description: str
    read_only: bool
    reported: bool
    creation_only: bool
    secret: bool
    indexed: bool
    no_effect: str  # why a value of it does nothing yet; empty for fields in effect


@dataclass(frozen=True)
class Kind:
    """One kind of resource: its names, where it lives, what may be done with it."""

    type: type[Resource]
    singular: str
    plural: str
    alias: str
    category: str
    verbs: tuple[Verb, ...] = _ALL
    propagates: bool = False
    shapes_policy: bool = False  # a change to it makes a revision
    unique: tuple[tuple[str, ...], ...] = (("namespace", "name"),)  # attributes that no two of a kind share

    @cached_property
    def fields(self) -> Mapping[str, Field]:
        """All fields by wire name, in the order of declaration."""
        return {field.name: field for field in map(_field, _struct_fields(self.type))}

    @property
    def description(self) -> str:
        """First paragraph of the declaration's docstring."""
        return (self.type.__doc__ or "").strip()


def _struct_fields(struct: type[Resource]) -> tuple[msgspec.inspect.Field, ...]:
    info = msgspec.inspect.type_info(struct)
    assert isinstance(info, msgspec.inspect.StructType)  # noqa: S101 - a declaration is a struct
    return info.fields


def _field(field: msgspec.inspect.Field) -> Field:
    inner, traits = field.type, {}
    if isinstance(inner, msgspec.inspect.Metadata):
        traits = inner.extra_json_schema or {}
        inner = inner.type
    return Field(
        attribute=field.name,
        name=field.encode_name,
        type=inner,
        declared=field.type,
        required=field.required,
        description=traits.get("description", ""),
        read_only=traits.get("readOnly", False),
        reported=traits.get("x-reported", False),
        creation_only=traits.get("x-creation-only", False),
        secret=traits.get("x-secret", False),
        indexed=traits.get("x-indexed", False),
        no_effect=traits.get("x-no-effect", ""),
    )


KINDS: tuple[Kind, ...] = (
    Kind(resources.Namespace, "namespace", "namespaces", "ns", "tenancy", shapes_policy=True, unique=(("name",),)),
    Kind(
        resources.ProcessingUnit,
        "processingunit",
        "processingunits",
        "pu",
        "workloads",
        verbs=("list", "get", "update", "delete"),
        shapes_policy=True,
        unique=(("enforcer_id", "native_context_id"), ("badge",)),
    ),
    Kind(
        resources.Enforcer,
        "enforcer",
        "enforcers",
        "enf",
        "workloads",
        verbs=("list", "get", "update", "delete"),
        shapes_policy=True,
    ),
    Kind(
        resources.ExternalNetwork,
        "externalnetwork",
        "externalnetworks",
        "extnet",
        "policy",
        propagates=True,
        shapes_policy=True,
    ),
    Kind(
        resources.NetworkRuleSetPolicy,
        "networkrulesetpolicy",
        "networkrulesetpolicies",
        "netruleset",
        "policy",
        propagates=True,
        shapes_policy=True,
    ),
    Kind(
        resources.NamespaceMappingPolicy,
        "namespacemappingpolicy",
        "namespacemappingpolicies",
        "nsmap",
        "policy",
    ),
    Kind(
        resources.EnforcerProfile,
        "enforcerprofile",
        "enforcerprofiles",
        "profile",
        "workloads",
        propagates=True,
    ),
    Kind(
        resources.EnforcerProfileMappingPolicy,
        "enforcerprofilemappingpolicy",
        "enforcerprofilemappingpolicies",
        "profilemap",
        "workloads",
        propagates=True,
    ),
    Kind(resources.Intent, "intent", "intents", "int", "policy", propagates=True, shapes_policy=True),
    Kind(resources.PolicyTest, "policytest", "policytests", "ptest", "policy"),
    Kind(
        resources.Draft,
        "draft",
        "drafts",
        "drf",
        "policy",
    ),
    Kind(resources.FlowReport, "flowreport", "flowreports", "flow", "telemetry", verbs=("list",), unique=()),
    Kind(
        resources.DNSLookupReport,
        "dnslookupreport",
        "dnslookupreports",
        "lookup",
        "telemetry",
        verbs=("list",),
        unique=(),
    ),
    Kind(resources.Revision, "revision", "revisions", "rev", "policy", verbs=("list", "get"), unique=(("number",),)),
    Kind(resources.Token, "token", "tokens", "tok", "access", verbs=("list", "get", "create", "delete")),
    Kind(resources.AppCredential, "appcredential", "appcredentials", "appcred", "access"),
    Kind(resources.Activity, "activity", "activities", "act", "telemetry", verbs=("list", "get"), unique=()),
)

_BY_NAME = {name: kind for kind in KINDS for name in (kind.singular, kind.plural, kind.alias)}


def kind(name: str) -> Kind:
    """The kind called ``name``: singular, plural or alias. Raises :class:`KeyError` naming all kinds."""
    try:
        return _BY_NAME[name.lower()]
    except KeyError:
        known = ", ".join(each.singular for each in KINDS)
        raise KeyError(f"no resource is called {name!r}; there are: {known}") from None
