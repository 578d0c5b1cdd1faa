"""Whether a resource means something: checks beyond the types of its single fields.

Raises :class:`watchword.model.problems.Invalid`, whose path is the field as the API names it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from watchword.model import expressions, ports, prefixes, tags
from watchword.model.problems import Invalid
from watchword.model.resources import (
    ExternalNetwork,
    Namespace,
    NetworkRule,
    NetworkRuleSetPolicy,
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


def check(resource: Any, allowed_prefixes: Sequence[str] = ()) -> None:
    """Check one resource; ``allowed_prefixes`` are the tag prefixes in force in its namespace."""
    if any(unicodedata.category(character) == "Cc" for character in resource.name):
        raise Invalid("name", "has control characters", "leave them out")
    if resource.name != resource.name.strip():
        raise Invalid("name", "begins or ends with a space", "leave it out")
    if hasattr(resource, "associated_tags"):
        _check_user_tags(resource.associated_tags)
    match resource:
        case Namespace():
            _check_namespace(resource)
        case ExternalNetwork():
            _check_network(resource)
        case NetworkRuleSetPolicy():
            _check_ruleset(resource, allowed_prefixes)


def _check_user_tags(given: Sequence[str]) -> None:
    for index, tag in enumerate(given):
        tags.check_user(tag, f"associatedTags[{index}]")
    _no_repetition(given, "associatedTags")


def _no_repetition(given: Iterable[str], path: str) -> None:
    seen: set[str] = set()
    for index, item in enumerate(given):
        if item in seen:
            raise Invalid(f"{path}[{index}]", f"{item!r} is there twice", "leave one of them out")
        seen.add(item)


def _check_namespace(namespace: Namespace) -> None:
    for index, tag in enumerate(namespace.organizational_metadata):
        path = f"organizationalMetadata[{index}]"
        tags.check_metadata(tag, path)
        if not tag.startswith("@org:"):
            raise Invalid(path, f"{tag!r} does not begin with @org:", "write @org:key=value")
    for index, prefix in enumerate(namespace.tag_prefixes):
        if not prefix or " " in prefix.partition("=")[0]:
            raise Invalid(f"tagPrefixes[{index}]", f"{prefix!r} begins no tag", "write app= or @org:")


def _check_network(network: ExternalNetwork) -> None:
    prefixes.parse(network.entries)
    _no_repetition(network.entries, "entries")
    if not network.associated_tags:
        raise Invalid(
            "associatedTags",
            "is empty: rulesets could name this network only by generated tags",
            f"add a tag such as externalnetwork:name={network.name}",
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
