"""What follows from a change for the resource itself and for others: tags, places, profiles, warnings.

1. :func:`settled` fills in what the Console derives: normalized tags, where mapping policies put a unit,
   which profile an Enforcer has, what of a resource does nothing.
2. :func:`follow` brings everything else up to date that depends on what has changed, in the same
   transaction: nobody ever sees a unit with the tags of yesterday's namespace.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, and_, or_

from watchword.console.changes import Change
from watchword.console.spaces import Space, space
from watchword.console.store import records
from watchword.console.store.columns import ListHas
from watchword.console.store.schema import TABLES
from watchword.model import networks, registry, tagging, tenancy
from watchword.model.declarations import Tagged
from watchword.model.expressions import clause, parse
from watchword.model.registry import Kind
from watchword.model.resources import (
    Enforcer,
    EnforcerProfile,
    EnforcerProfileMappingPolicy,
    ExternalNetwork,
    Namespace,
    NamespaceMappingPolicy,
    ProcessingUnit,
)
from watchword.policy import placement
from watchword.policy.namespaces import upwards

UNIT = registry.kind("processingunit")
ENFORCER = registry.kind("enforcer")
MAPPING = registry.kind("namespacemappingpolicy")
PROFILE = registry.kind("enforcerprofile")
PROFILE_MAPPING = registry.kind("enforcerprofilemappingpolicy")

#: Kinds whose normalized tags depend on the namespaces above them.
TAGGED = tuple(kind for kind in registry.KINDS if issubclass(kind.type, Tagged))


class Surroundings:
    """What decides about places and profiles, read once for one change."""

    def __init__(self, change: Change) -> None:
        self._change = change
        self._spaces: dict[str, Space] = {}
        self._mappings: dict[str, list[NamespaceMappingPolicy]] = {}
        self._profiles: tuple[list[EnforcerProfileMappingPolicy], list[EnforcerProfile]] | None = None

    async def space(self, path: str) -> Space:
        """The namespace ``path``. Raises :class:`Problem`."""
        if path not in self._spaces:
            self._spaces[path] = await space(self._change.connection, path)
        return self._spaces[path]

    async def tagged(self, kind: Kind, resource: Any) -> Any:
        """``resource`` with its normalized tags, where it is."""
        if not isinstance(resource, Tagged):
            return resource
        where = await self.space(resource.namespace)
        return tagging.normalised(kind, resource, where.organisation(), self._change.controller)

    async def placed(self, unit: ProcessingUnit) -> ProcessingUnit:
        """``unit`` where the mapping policies put it, with the tags it has there."""
        path, by = unit.registered_namespace, list[str]()
        while True:
            here = await self.tagged(UNIT, msgspec.structs.replace(unit, namespace=path, mapped_by=by))
            policy = placement.mapping(await self._mappings_in(path), frozenset(here.normalized_tags))
            if policy is None:
                placed: ProcessingUnit = here
                return placed
            path, by = policy.mapped_namespace, [*by, policy.id]

    async def _mappings_in(self, path: str) -> list[NamespaceMappingPolicy]:
        if path not in self._mappings:
            table = TABLES[MAPPING.singular]
            found = await records.find(self._change.connection, MAPPING, table.c.namespace == path)
            self._mappings[path] = [record.resource for record in found]
        return self._mappings[path]

    async def equipped(self, enforcer: Enforcer) -> Enforcer:
        """``enforcer`` with its tags and the profile that these give it."""
        enforcer = await self.tagged(ENFORCER, enforcer)
        if self._profiles is None:
            connection = self._change.connection
            self._profiles = (
                [record.resource for record in await records.everything(connection, PROFILE_MAPPING)],
                [record.resource for record in await records.everything(connection, PROFILE)],
            )
        assigned = placement.assignment(frozenset(enforcer.normalized_tags), enforcer.namespace, *self._profiles)
        return msgspec.structs.replace(
            enforcer,
            profile_id=assigned.profile.id if assigned.profile else "",
            profile_name=assigned.profile.name if assigned.profile else "",
            other_profiles=list(assigned.others),
        )


async def settled(surroundings: Surroundings, kind: Kind, resource: Any) -> Any:
    """``resource`` with all that the Console derives for it."""
    match resource:
        case ProcessingUnit():
            return await surroundings.placed(resource)
        case Enforcer():
            return await surroundings.equipped(resource)
        case ExternalNetwork():
            resource = msgspec.structs.replace(resource, warnings=networks.warnings(resource.entries))
        case EnforcerProfile():
            resource = msgspec.structs.replace(resource, warnings=_without_effect(kind, resource))
    return await surroundings.tagged(kind, resource)


def _without_effect(kind: Kind, resource: Any) -> list[str]:
    """Fields that were set and do nothing yet."""
    defaults = {field.name: field.default for field in msgspec.structs.fields(kind.type)}
    factories = {field.name: field.default_factory for field in msgspec.structs.fields(kind.type)}
    found = []
    for field in kind.fields.values():
        if field.no_effect:
            default = defaults[field.attribute]
            default = factories[field.attribute]() if default is msgspec.NODEFAULT else default
            if getattr(resource, field.attribute) != default:
                found.append(f"{field.name} has no effect yet: {field.no_effect}")
    return found


async def follow(change: Change, before: Any, after: Any) -> None:
    """Bring up to date what depends on a resource that was ``before`` and is ``after`` (None: not there)."""
    match after if after is not None else before:
        case Namespace() as namespace:
            if before is not None and after is not None and tenancy.given(before) != tenancy.given(after):
                await refresh(change, namespace.name)
        case NamespaceMappingPolicy():
            await _place_again(change, before, after)
        case EnforcerProfile() | EnforcerProfileMappingPolicy() as policy:
            await _again(change, ENFORCER, _below(ENFORCER, policy.namespace))


async def refresh(change: Change, path: str) -> None:
    """Derive everything anew that is in or below ``path``."""
    for kind in (*(kind for kind in TAGGED if kind is not ENFORCER), ENFORCER):  # profiles before Enforcers
        await _again(change, kind, _below(kind, path))


def _below(kind: Kind, path: str) -> ColumnElement[bool]:
    return records.in_namespace(TABLES[kind.singular], path, recursive=True)


async def _again(change: Change, kind: Kind, *where: ColumnElement[bool]) -> None:
    surroundings = Surroundings(change)
    for record in await records.find(change.connection, kind, *where):
        fresh = await settled(surroundings, kind, record.resource)
        if fresh != record.resource:
            await change.update(record, fresh)


async def _place_again(
    change: Change, before: NamespaceMappingPolicy | None, after: NamespaceMappingPolicy | None
) -> None:
    """Place those units anew that the policy has moved, or may move now.

    Units come by the policy's namespace if they were registered in it or above it, and have not been moved
    elsewhere on the way: then they are in it or below it.
    """
    table = TABLES[UNIT.singular]
    concerned: list[ColumnElement[bool]] = []
    for policy in (before, after):
        if policy is not None:
            concerned += [ListHas(table.c.mapped_by, policy.id), _may_match(policy)]
    policy = after or before
    assert policy is not None  # noqa: S101 - one of them is there
    coming_by = table.c.registered_namespace.in_(list(upwards(policy.namespace)))
    await _again(change, UNIT, _below(UNIT, policy.namespace), coming_by, or_(*concerned))


def _may_match(policy: NamespaceMappingPolicy) -> ColumnElement[bool]:
    """Units that the subject may match; more than those, never fewer.

    Only whole tags that do not depend on the namespace can be asked of the store: a unit's stored tags are
    those of where it is, and not of where the policy would meet it.
    """
    table = TABLES[UNIT.singular]
    alternatives = []
    for alternative in parse(policy.subject):
        clauses = [clause(text) for text in alternative]
        whole = [each.text for each in clauses if not each.prefix and not each.negated]
        fixed = [text for text in whole if not text.startswith(("$namespace=", "@org:"))]
        alternatives.append(and_(table.c.id.is_not(None), *(ListHas(table.c.normalized_tags, text) for text in fixed)))
    return or_(*alternatives)
