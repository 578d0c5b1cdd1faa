"""What it means to create, change and delete each kind of resource, whoever asks for it.

REST and imports both come through here, inside a :class:`watchword.console.changes.Change`; whether
the caller may is decided before.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import msgspec

from watchword.console import consequences, tree
from watchword.console.changes import Change
from watchword.console.consequences import ENFORCER as ENFORCER
from watchword.console.consequences import UNIT as UNIT
from watchword.console.consequences import Surroundings
from watchword.console.identifiers import Identifiers
from watchword.console.problems import Problem, invalid
from watchword.console.spaces import Space, space
from watchword.console.store import records
from watchword.console.store.records import Record
from watchword.console.store.schema import TABLES, evicted_keys
from watchword.identity.keys import Random
from watchword.identity.tokens import Credential, InstallToken, hashed, new_secret
from watchword.model import validation
from watchword.model.problems import Invalid
from watchword.model.registry import Kind
from watchword.model.resources import AppCredential, Namespace, NamespaceMappingPolicy, Token
from watchword.policy.namespaces import ROOT

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass
class Mint:
    """What new identifiers, secrets and tokens are made of."""

    identifiers: Identifiers
    random: Random
    ca_sha256: str
    url: str = ""  # known once the Console listens


@dataclass(frozen=True, slots=True)
class Created:
    """A new resource; ``shown`` has its secret, if it has one, and is never stored."""

    record: Record
    shown: Any


async def create(change: Change, mint: Mint, kind: Kind, where: Space, given: Any) -> Created:
    """Create ``given`` in namespace ``where``. Raises :class:`Problem`."""
    resource = msgspec.structs.replace(given, id=mint.identifiers.new(), namespace=where.path)
    if isinstance(resource, Namespace):
        resource, where = await tree.placed(change.connection, resource, where)
    await _check(change, resource, where, None)
    await _name_is_free(change, kind, resource)
    resource = await consequences.settled(Surroundings(change), kind, resource)
    private: dict[str, Any] = {}
    shown: dict[str, str] = {}
    if isinstance(resource, Token):
        secret = new_secret(mint.random)
        expires = change.now + datetime.timedelta(seconds=_seconds(resource.validity))
        resource = msgspec.structs.replace(resource, expiration_time=expires)
        token = InstallToken(url=mint.url, ca_sha256=mint.ca_sha256, id=resource.id, secret=secret)
        private, shown = {"secret_hash": hashed(secret)}, {"token": token.encode()}
    elif isinstance(resource, AppCredential):
        credential = Credential(id=resource.id, secret=new_secret(mint.random))
        private, shown = {"secret_hash": hashed(credential.secret)}, {"credential": credential.encode()}
    record = await change.create(Record(kind, resource, private))
    await consequences.follow(change, None, record.resource)
    return Created(record, msgspec.structs.replace(record.resource, **shown))


async def update(change: Change, before: Record, resource: Any) -> Record:
    """Store ``resource`` in place of ``before``. Raises :class:`Problem`."""
    if before.resource.locks and before.resource.protected and resource.protected:
        raise Problem("protected", f"{before.resource.name} is protected; set protected to false first, or with it")
    where = await space(change.connection, resource.namespace or ROOT)
    await _check(change, resource, where, before.resource)
    if resource.name != before.resource.name:
        await _name_is_free(change, before.kind, resource)
    after = await change.update(before, await consequences.settled(Surroundings(change), before.kind, resource))
    await consequences.follow(change, before.resource, after.resource)
    return after


async def restored(change: Change, kind: Kind, resource: Any, before: Any) -> Any:
    """``resource``, which is not in the store just now, as it may stand here (again). Raises :class:`Problem`.

    ``before`` is what was there of it, if anything was.
    """
    where = await space(change.connection, resource.namespace or ROOT)
    await _check(change, resource, where, before)
    await _name_is_free(change, kind, resource)
    return await consequences.settled(Surroundings(change), kind, resource)


async def delete(change: Change, record: Record) -> None:
    """Delete a resource. Raises :class:`Problem` when it is protected or still needed."""
    if record.resource.protected:
        raise Problem("protected", f"{record.resource.name} is protected; set protected to false first")
    match record.kind.singular:
        case "namespace":
            await tree.check_deletion(change.connection, record.resource)
        case "processingunit":
            if record.resource.operational_status == "Running":
                raise Problem(
                    "conflict",
                    f"{record.resource.name} is running; stop the workload, or delete its Enforcer to evict the host",
                )
        case "enforcer":
            await evict(change, record)
            return
    await change.delete(record)
    await consequences.follow(change, record.resource, None)


async def evict(change: Change, enforcer: Record) -> None:
    """Delete an Enforcer and its units, and refuse its key for ever."""
    await change.connection.execute(
        evicted_keys.insert().values(
            public_key=enforcer.private["public_key"], enforcer_id=enforcer.id, time=change.now
        )
    )
    await forget_enforcer(change, enforcer)


async def forget_enforcer(change: Change, enforcer: Record) -> None:
    """Delete an Enforcer and its units."""
    for unit in await records.find(change.connection, UNIT, TABLES["processingunit"].c.enforcer_id == enforcer.id):
        await change.delete(unit)
    await change.delete(enforcer)


async def _check(change: Change, resource: Any, where: Space, before: Any) -> None:
    try:
        validation.check(resource, where.tag_prefixes())
    except Invalid as error:
        raise invalid(error) from None
    match resource:
        case Namespace():
            await tree.check(change.connection, resource, before)
        case NamespaceMappingPolicy():
            await _target_exists(change, resource)


async def _target_exists(change: Change, policy: NamespaceMappingPolicy) -> None:
    try:
        await space(change.connection, policy.mapped_namespace)
    except Problem:
        problem = f"there is no namespace {policy.mapped_namespace!r}"
        raise invalid(Invalid("mappedNamespace", problem, "create it first")) from None


def _seconds(duration: str) -> int:
    return int(duration[:-1]) * _UNITS[duration[-1]]


async def _name_is_free(change: Change, kind: Kind, resource: Any) -> None:
    table = TABLES[kind.singular]
    where = [table.c.name == resource.name]
    if kind.singular != "namespace":  # their names are whole paths
        where.append(table.c.namespace == resource.namespace)
    taken = await records.find(change.connection, kind, *where)
    if taken:
        raise Problem(
            "conflict",
            f"name: {kind.singular} {resource.name!r} exists already (ID {taken[0].id}); "
            "change that one, or choose another name",
        )
