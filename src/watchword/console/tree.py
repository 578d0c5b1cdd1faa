"""Changes of the namespace tree: where a namespace may be made, what it may become, when it may go.

Nothing that stands is made wrong by a change above it: a change that would do that is refused, with the
list of what is in its way.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.console.problems import Problem, invalid
from watchword.console.spaces import NAMESPACE, Space, contents, parent_of, space
from watchword.console.store import records
from watchword.console.store.schema import TABLES
from watchword.model import registry, tenancy, validation
from watchword.model.problems import Invalid
from watchword.model.resources import Namespace
from watchword.model.resources.namespaces import PATH_LIMIT
from watchword.policy.namespaces import ROOT, upwards

#: Kinds whose tags have to keep within the prefixes of their namespace.
PREFIXED = tuple(kind for kind in registry.KINDS if kind.singular in ("networkrulesetpolicy", "intent"))
MAPPING = registry.kind("namespacemappingpolicy")

#: At most this many things in the way are listed.
LISTED = 20


async def placed(connection: AsyncConnection, namespace: Namespace, where: Space) -> tuple[Namespace, Space]:
    """A new namespace with its whole path, and the namespace it is created in. Raises :class:`Problem`."""
    path = namespace.name
    if not path.startswith("/"):
        path = f"{where.path.rstrip('/')}/{path}"
    if path == ROOT or path.endswith("/"):
        raise invalid(Invalid("name", f"{namespace.name!r} is no new namespace", "write a name such as prod"))
    if len(path) > PATH_LIMIT:
        raise invalid(Invalid("name", f"makes a path of {len(path)} characters", f"stay within {PATH_LIMIT}"))
    if not path.startswith(where.path.rstrip("/") + "/"):
        raise invalid(Invalid("name", f"{path!r} is not below {where.path!r}", "send another X-Namespace"))
    parent = await space(connection, parent_of(path))
    return msgspec.structs.replace(namespace, name=path, namespace=parent.path), parent


async def check(connection: AsyncConnection, namespace: Namespace, before: Namespace | None) -> None:
    """Raise :class:`Problem` unless ``namespace`` may be as it is, with all that is below it."""
    above = (await space(connection, namespace.namespace)).chain if namespace.name != ROOT else ()
    try:
        tenancy.check(namespace, above)
    except Invalid as error:
        raise invalid(error) from None
    if before is None:
        return
    if set(namespace.organizational_metadata) != set(before.organizational_metadata):
        await _check_below(connection, namespace, above)
    if set(namespace.tag_prefixes) != set(before.tag_prefixes):
        await _check_rulesets(connection, namespace, above)


async def _below(connection: AsyncConnection, path: str) -> dict[str, Namespace]:
    found = await records.find(connection, NAMESPACE, records.in_namespace(TABLES["namespace"], path, recursive=True))
    return {record.resource.name: record.resource for record in found if record.resource.name != path}


async def _check_below(connection: AsyncConnection, changed: Namespace, above: Iterable[Namespace]) -> None:
    """No namespace below may give a key again that ``changed`` gives now."""
    by_path = {each.name: each for each in above} | await _below(connection, changed.name)
    by_path[changed.name] = changed
    wrong = []
    for path in sorted(by_path):
        chain = [by_path[each] for each in upwards(path) if each != path]
        if changed not in chain:
            continue
        try:
            tenancy.check(by_path[path], chain)
        except Invalid as error:
            wrong.append(Invalid("organizationalMetadata", f"{path} stands in the way: {error.message}", error.remedy))
    if wrong:
        raise invalid(*wrong[:LISTED])


async def _check_rulesets(connection: AsyncConnection, changed: Namespace, above: Iterable[Namespace]) -> None:
    """Every ruleset (and intent) in and below ``changed`` has to keep within the prefixes that are to be in force."""
    by_path = {each.name: each for each in above} | await _below(connection, changed.name)
    by_path[changed.name] = changed
    wrong: list[Invalid] = []
    for kind in PREFIXED:
        scope = records.in_namespace(TABLES[kind.singular], changed.name, recursive=True)
        for record in await records.find(connection, kind, scope):
            chain = tuple(by_path[each] for each in upwards(record.resource.namespace) if each in by_path)
            try:
                validation.check(record.resource, Space(chain).tag_prefixes())
            except Invalid as error:
                who = f"{kind.singular} {record.resource.namespace} {record.resource.name} ({record.id})"
                problem = f"{who} would fall outside: {error.path}: {error.message}"
                wrong.append(Invalid("tagPrefixes", problem, "add a prefix for it, or change that one first"))
    if wrong:
        raise invalid(*wrong[:LISTED])


async def check_deletion(connection: AsyncConnection, namespace: Namespace) -> None:
    """Raise :class:`Problem` unless nothing is in ``namespace`` and no unit may be mapped to it."""
    if namespace.name == ROOT:
        raise Problem("conflict", "the root namespace cannot be deleted")
    held = await contents(connection, namespace.name)
    if held:
        listed = ", ".join(f"{count} {plural}" for plural, count in sorted(held.items()))
        raise Problem("conflict", f"{namespace.name} still holds {listed}; delete them first")
    table = TABLES[MAPPING.singular]
    mapped = await records.find(connection, MAPPING, table.c.mapped_namespace == namespace.name)
    if mapped:
        listed = ", ".join(f"{each.resource.namespace} {each.resource.name} ({each.id})" for each in mapped[:LISTED])
        raise Problem(
            "conflict",
            f"{namespace.name} is where {len(mapped)} mapping policies move units: {listed}; delete them first",
        )
