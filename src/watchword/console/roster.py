"""The policy world in memory, following the store change by change.

:func:`entry` is the one place that says what of a record a verdict depends on. A part of the world
that did not change stays the same object, which is what makes rendering cheap.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from watchword.console.store.records import Record
from watchword.model import expressions, ports
from watchword.model.registry import Kind
from watchword.model.resources import NetworkRule
from watchword.policy.world import Namespace, Network, Rule, Ruleset, Unit, World
from watchword.wire.policy import DatapathKey, EnforcerEntry

Entry = Namespace | Unit | Network | Ruleset | EnforcerEntry

#: How many units that are gone can still be named, for flows reported after their end.
DEPARTED_LIMIT = 10_000

_decode_keys = msgspec.msgpack.Decoder(tuple[DatapathKey, ...]).decode
encode_keys = msgspec.msgpack.Encoder().encode

#: Part of the world in which entries of each kind are.
_PARTS = {
    "namespace": "namespaces",
    "processingunit": "units",
    "externalnetwork": "networks",
    "networkrulesetpolicy": "rulesets",
    "enforcer": "enforcers",
}


def datapath_keys(record: Record) -> tuple[DatapathKey, ...]:
    """The datapath keys stored with an Enforcer."""
    return _decode_keys(record.private["datapath_keys"])


def entry(record: Record | None) -> Entry | None:
    """What policy needs of a record; ``None`` for what has no part in policy (or no longer)."""
    if record is None:
        return None
    resource = record.resource
    match record.kind.singular:
        case "namespace":
            return Namespace(
                path=resource.name,
                default_incoming=resource.default_pu_incoming_traffic_action,
                default_outgoing=resource.default_pu_outgoing_traffic_action,
            )
        case "processingunit":
            return _unit(resource) if resource.operational_status == "Running" else None
        case "externalnetwork":
            return Network(
                id=resource.id,
                name=resource.name,
                namespace=resource.namespace,
                propagate=resource.propagate,
                entries=tuple(resource.entries),
                tags=frozenset(resource.normalized_tags),
                identity_required=resource.identity_required,
            )
        case "networkrulesetpolicy":
            return _ruleset(resource)
        case "enforcer":
            certificate = x509.load_pem_x509_certificate(resource.certificate.encode())
            return EnforcerEntry(certificate=certificate.public_bytes(Encoding.DER), keys=datapath_keys(record))
    return None


def _unit(resource: Any) -> Unit:
    return Unit(
        id=resource.id,
        native_id=resource.native_context_id,
        name=resource.name,
        namespace=resource.namespace,
        enforcer=resource.enforcer_id,
        badge=resource.badge,
        tags=frozenset(resource.normalized_tags),
    )


def _ruleset(resource: Any) -> Ruleset:
    return Ruleset(
        id=resource.id,
        name=resource.name,
        namespace=resource.namespace,
        subject=expressions.parse(resource.subject),
        incoming=tuple(map(_rule, resource.incoming_rules)),
        outgoing=tuple(map(_rule, resource.outgoing_rules)),
        propagate=resource.propagate,
        fallback=resource.fallback,
        disabled=resource.disabled,
    )


def _rule(rule: NetworkRule) -> Rule:
    return Rule(
        name=rule.name,
        action=rule.action,
        object=expressions.parse(rule.object),
        ports=ports.parse(rule.protocol_ports),
        observed=rule.observation_enabled,
        log=not rule.logs_disabled,
    )


def _key(kind: Kind, record: Record) -> str:
    return str(record.resource.name) if kind.singular == "namespace" else record.id


class Roster:
    """The newest world, and names of things that have just left it."""

    def __init__(self) -> None:
        self.world = World(revision=0, namespaces={}, units={}, networks={}, rulesets={}, enforcers={})
        self._badges: dict[int, str] = {}
        self._departed: OrderedDict[str, Unit] = OrderedDict()

    def load(self, revision: int, records: Iterable[Record]) -> None:
        """Start from everything that is stored."""
        self.follow(revision, [(None, record) for record in records])

    def follow(self, revision: int, changes: Iterable[tuple[Record | None, Record | None]]) -> None:
        """Take over committed changes, each as the record before and after it."""
        parts: dict[str, dict[str, Any]] = {}
        for before, after in changes:
            record = after or before
            if record is None or record.kind.singular not in _PARTS:
                continue
            name = _PARTS[record.kind.singular]
            part = parts.setdefault(name, dict(getattr(self.world, name)))
            new = entry(after)
            old = part.pop(_key(record.kind, record), None) if new is None else None
            if new is not None:
                part[_key(record.kind, record)] = new
            self._note_unit(old, new)
        unchanged = {name: getattr(self.world, name) for name in _PARTS.values() if name not in parts}
        self.world = World(revision=revision, **parts, **unchanged)

    def _note_unit(self, old: Entry | None, new: Entry | None) -> None:
        if isinstance(new, Unit):
            self._badges[new.badge] = new.id
            self._departed.pop(new.id, None)
        elif isinstance(old, Unit):
            self._badges.pop(old.badge, None)
            self._departed[old.id] = old
            while len(self._departed) > DEPARTED_LIMIT:
                self._departed.popitem(last=False)

    def unit(self, identifier: str) -> Unit | None:
        """A unit that exists, or that did until lately."""
        return self.world.units.get(identifier) or self._departed.get(identifier)

    def unit_by_badge(self, badge: int) -> Unit | None:
        """The unit that a badge names."""
        identifier = self._badges.get(badge)
        return self.world.units.get(identifier) if identifier else None

    def units_of(self, enforcer: str) -> Mapping[str, Unit]:
        """Units of one Enforcer by their native ID."""
        return {unit.native_id: unit for unit in self.world.units.values() if unit.enforcer == enforcer}
