"""Whether a resource means something: checks beyond the types and limits of its single fields.

Those are declared with the fields and held against values by :mod:`watchword.model.limits`.
Raises :class:`watchword.model.problems.Invalid`, whose path is the field as the API names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from watchword.model import expressions, networks, ports, profiles, statements
from watchword.model.declarations import wire_name
from watchword.model.problems import Invalid
from watchword.model.resources import (
    EnforcerProfile,
    EnforcerProfileMappingPolicy,
    ExternalNetwork,
    Intent,
    NamespaceMappingPolicy,
    NetworkRule,
    NetworkRuleSetPolicy,
    PolicyTest,
)

#: Lists longer than this are a mistake or an attack.
LIST_LIMIT = 10_000


def check_text(value: Any, path: str = "") -> None:
    """No text anywhere in a decoded body has NUL, and no list is absurdly long."""
    if isinstance(value, str):
        if "\0" in value:
            raise Invalid(path or "body", "has a NUL character", "leave it out")
    elif isinstance(value, list):
        if len(value) > LIST_LIMIT:
            raise Invalid(path or "body", f"has {len(value)} elements", f"stay within {LIST_LIMIT}")
        for index, item in enumerate(value):
            check_text(item, f"{path}[{index}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            check_text(key, path)
            check_text(item, f"{path}.{key}" if path else str(key))


def canonical(resource: Any) -> Any:
    """``resource`` with entries and networks in the one form that each has. Raises :class:`Invalid`."""
    match resource:
        case ExternalNetwork():
            return msgspec.structs.replace(resource, entries=networks.canonical(resource.entries))
        case EnforcerProfile():
            written = {
                name: networks.canonical(getattr(resource, name), wire_name(name)) for name in profiles.NETWORK_FIELDS
            }
            return msgspec.structs.replace(resource, **written)
    return resource


def check(resource: Any, allowed_prefixes: Sequence[str] = ()) -> None:
    """Check one resource whose single fields are as declared; ``allowed_prefixes`` hold in its namespace."""
    match resource:
        case ExternalNetwork():
            networks.parse(resource.entries)
        case NetworkRuleSetPolicy():
            _check_ruleset(resource, allowed_prefixes)
        case NamespaceMappingPolicy():
            expressions.parse(resource.subject, "subject")
            _check_mapped_namespace(resource)
        case EnforcerProfileMappingPolicy():
            expressions.parse(resource.subject, "subject")
            expressions.parse(resource.object, "object")
        case EnforcerProfile():
            profiles.check(resource)
        case Intent():
            statements.check_intent(resource, allowed_prefixes)
        case PolicyTest():
            statements.check_policy_test(resource)


def _check_mapped_namespace(mapping: NamespaceMappingPolicy) -> None:
    above = mapping.namespace.rstrip("/") + "/"
    if not mapping.mapped_namespace.startswith(above) or mapping.mapped_namespace == above:
        raise Invalid(
            "mappedNamespace",
            f"{mapping.mapped_namespace!r} is not below {mapping.namespace}, where this policy is",
            f"name a namespace below it, such as {above}prod; units only move down, so that none moves in a circle",
        )


def _check_ruleset(ruleset: NetworkRuleSetPolicy, allowed: Sequence[str]) -> None:
    _check_expression(ruleset.subject, "subject", allowed)
    for field, rules in (("incomingRules", ruleset.incoming_rules), ("outgoingRules", ruleset.outgoing_rules)):
        seen: dict[object, int] = {}
        for index, rule in enumerate(rules):
            path = f"{field}[{index}]"
            _check_expression(rule.object, f"{path}.object", allowed)
            ports.parse(rule.protocol_ports, f"{path}.protocolPorts")
            earlier = seen.setdefault(_meaning(rule), index)
            if earlier != index:
                raise Invalid(path, f"says the same as {field}[{earlier}]", "leave one of them out")


def _meaning(rule: NetworkRule) -> object:
    """What makes two rules of one direction the same."""
    return (
        rule.action,
        rule.observation_enabled,
        expressions.normalised(expressions.parse(rule.object)),
        frozenset(ports.parse(rule.protocol_ports)),
    )


def _check_expression(value: Sequence[Sequence[str]], path: str, allowed: Sequence[str]) -> None:
    expressions.restrict(expressions.parse(value, path), allowed, path)
