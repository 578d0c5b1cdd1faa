"""What it means to create, change and delete each kind of resource, whoever asks for it.

REST and imports both come through here, inside a :class:`watchword.console.changes.Change`; whether
the caller may is decided before.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import msgspec

from watchword.console.changes import Change
from watchword.console.identifiers import Identifiers
from watchword.console.problems import Problem, invalid
from watchword.console.spaces import Space, contents, parent_of, space
from watchword.console.store import records
from watchword.console.store.records import Record
from watchword.console.store.schema import TABLES, evicted_keys
from watchword.identity.keys import Random
from watchword.identity.tokens import Credential, InstallToken, hashed, new_secret
from watchword.model import registry, tagging, validation
from watchword.model.problems import Invalid
from watchword.model.registry import Kind
from watchword.model.resources import AppCredential, Namespace, Token
from watchword.policy.namespaces import ROOT

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

UNIT = registry.kind("processingunit")
ENFORCER = registry.kind("enforcer")

#: Kinds whose normalized tags depend on the namespaces above them.
_TAGGED = tuple(registry.kind(name) for name in ("processingunit", "enforcer", "externalnetwork"))


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
        resource, where = await _placed(change, resource, where)
    _checked(resource, where)
    await _name_is_free(change, kind, resource)
    resource = tagging.normalised(kind, resource, where.organisation())
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
    return Created(record, msgspec.structs.replace(record.resource, **shown))


async def update(change: Change, before: Record, resource: Any) -> Record:
    """Store ``resource`` in place of ``before``. Raises :class:`Problem`."""
    where = await space(change.connection, resource.namespace or ROOT)
    _checked(resource, where)
    if resource.name != before.resource.name:
        await _name_is_free(change, before.kind, resource)
    after = await change.update(before, tagging.normalised(before.kind, resource, where.organisation()))
    if isinstance(resource, Namespace) and resource.organizational_metadata != before.resource.organizational_metadata:
        await _tag_again(change, resource.name)
    return after


async def delete(change: Change, record: Record) -> None:
    """Delete a resource. Raises :class:`Problem` when it is protected or still needed."""
    if record.resource.protected:
        raise Problem("protected", f"{record.resource.name} is protected; set protected to false first")
    match record.kind.singular:
        case "namespace":
            await _is_empty(change, record.resource)
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


def _checked(resource: Any, where: Space) -> None:
    try:
        validation.check(resource, where.tag_prefixes())
    except Invalid as error:
        raise invalid(error) from None


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


async def _placed(change: Change, namespace: Namespace, where: Space) -> tuple[Namespace, Space]:
    """A new namespace with its whole path, and the namespace it is created in."""
    path = namespace.name
    if not path.startswith("/"):
        path = f"{where.path.rstrip('/')}/{path}"
    if path == ROOT or path.endswith("/"):
        raise invalid(Invalid("name", f"{namespace.name!r} is no new namespace", "write a name such as prod"))
    if not path.startswith(where.path.rstrip("/") + "/"):
        raise invalid(Invalid("name", f"{path!r} is not below {where.path!r}", "send another X-Namespace"))
    parent = await space(change.connection, parent_of(path))
    return msgspec.structs.replace(namespace, name=path, namespace=parent.path), parent


async def _is_empty(change: Change, namespace: Namespace) -> None:
    if namespace.name == ROOT:
        raise Problem("conflict", "the root namespace cannot be deleted")
    held = await contents(change.connection, namespace.name)
    if held:
        listed = ", ".join(f"{count} {plural}" for plural, count in sorted(held.items()))
        raise Problem("conflict", f"{namespace.name} still holds {listed}; delete them first")


async def _tag_again(change: Change, path: str) -> None:
    """Bring the tags of everything in and below ``path`` up to date with its namespaces."""
    for kind in _TAGGED:
        below = records.in_namespace(TABLES[kind.singular], path, recursive=True)
        for record in await records.find(change.connection, kind, below):
            where = await space(change.connection, record.resource.namespace)
            fresh = tagging.normalised(kind, record.resource, where.organisation())
            if fresh != record.resource:
                await change.update(record, fresh)
