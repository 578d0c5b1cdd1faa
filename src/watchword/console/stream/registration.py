"""From what an Enforcer says is running on its host to processing units.

1. A unit is known by its Enforcer and the Enforcer's name for it: registered again, it keeps its ID,
   badge and tags, also after a restart and after it was gone for a while.
2. Tags that people changed stay changed. Of a new registration only the difference to the one before
   is carried over, so that an untag does not come undone when an agent restarts.
3. An Enforcer can place units in its own namespace and below it, and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from watchword.console.changes import Change
from watchword.console.consequences import Surroundings
from watchword.console.identifiers import Identifiers
from watchword.console.lifecycle import UNIT
from watchword.console.problems import Problem
from watchword.console.spaces import Space
from watchword.console.store import records
from watchword.console.store.records import Record
from watchword.console.store.schema import TABLES
from watchword.model import tags
from watchword.model.problems import Invalid
from watchword.model.resources import Enforcer, NetworkService, ProcessingUnit
from watchword.policy.namespaces import reaches
from watchword.wire.messages import UnitRegistration

#: Units of one Enforcer, those that are gone but remembered included.
UNIT_LIMIT = 10_000
TAG_LIMIT = 256
NAME_LIMIT = 256
IMAGE_LIMIT = 16
SERVICE_LIMIT = 64

_PORTS = re.compile(r"[0-9]{1,5}(?::[0-9]{1,5})?")


@dataclass
class Registered:
    """What became of a registration."""

    units: dict[str, str] = field(default_factory=dict)  # native ID to unit ID
    refused: dict[str, str] = field(default_factory=dict)


class _Refused(Exception):  # noqa: N818 - never leaves this module
    """A unit cannot be registered; the text says why."""


async def register(
    change: Change,
    identifiers: Identifiers,
    enforcer: Enforcer,
    registrations: Iterable[UnitRegistration],
    *,
    complete: bool,
) -> Registered:
    """Create or update the units an Enforcer has; with ``complete`` retire all others."""
    work = _Work(change, identifiers, enforcer, await _known(change, enforcer.id))
    result = Registered()
    for registration in registrations:
        try:
            result.units[registration.native_id] = await work.register(registration)
        except (_Refused, Invalid) as error:
            result.refused[registration.native_id[:NAME_LIMIT]] = str(error)
    if complete:
        gone = [native_id for native_id in work.known if native_id not in result.units]
        await work.retire(native_id for native_id in gone if native_id not in result.refused)
    return result


async def retire(change: Change, enforcer: Enforcer, native_ids: Iterable[str]) -> None:
    """Take units out of policy that no longer exist. They are remembered for a while."""
    known = await _known(change, enforcer.id)
    await _retire(change, known, native_ids)


async def _known(change: Change, enforcer_id: str) -> dict[str, Record]:
    table = TABLES["processingunit"]
    found = await records.find(change.connection, UNIT, table.c.enforcer_id == enforcer_id)
    return {record.resource.native_context_id: record for record in found}


async def _retire(change: Change, known: dict[str, Record], native_ids: Iterable[str]) -> None:
    for native_id in native_ids:
        record = known.get(native_id)
        if record is not None and record.resource.operational_status == "Running":
            ended = msgspec.structs.replace(
                record.resource, operational_status="Terminated", enforcement_status="Inactive"
            )
            known[native_id] = await change.update(record, ended, retired_time=change.now)


class _Work:
    def __init__(self, change: Change, identifiers: Identifiers, enforcer: Enforcer, known: dict[str, Record]) -> None:
        self._change = change
        self._identifiers = identifiers
        self._enforcer = enforcer
        self.known = known
        self._surroundings = Surroundings(change)

    async def retire(self, native_ids: Iterable[str]) -> None:
        await _retire(self._change, self.known, native_ids)

    async def register(self, registration: UnitRegistration) -> str:
        _check(registration)
        where = await self._space(registration.namespace or self._enforcer.namespace)
        before = self.known.get(registration.native_id)
        if before is None:
            record = await self._create(registration, where)
        else:
            record = await self._update(before, registration, where)
        self.known[registration.native_id] = record
        return record.id

    async def _space(self, path: str) -> Space:
        if not reaches(self._enforcer.namespace, True, path):
            raise _Refused(f"namespace {path} is not at or below the Enforcer's own, {self._enforcer.namespace}")
        try:
            return await self._surroundings.space(path)
        except Problem as problem:
            raise _Refused(problem.detail) from None

    async def _create(self, registration: UnitRegistration, where: Space) -> Record:
        if len(self.known) >= UNIT_LIMIT:
            raise _Refused(f"the Enforcer has {UNIT_LIMIT} units already")
        unit = ProcessingUnit(
            id=self._identifiers.new(),
            registered_namespace=where.path,
            associated_tags=list(dict.fromkeys(registration.tags)),
            enforcer_id=self._enforcer.id,
            enforcer_name=self._enforcer.name,
            native_context_id=registration.native_id,
            badge=await self._free_badge(),
            **_described(registration),
        )
        unit = await self._surroundings.placed(unit)
        private = {"registered_tags": sorted(set(registration.tags)), "retired_time": None}
        return await self._change.create(Record(UNIT, unit, private))

    async def _update(self, before: Record, registration: UnitRegistration, where: Space) -> Record:
        now, earlier = set(registration.tags), set(before.private["registered_tags"])
        kept = [tag for tag in before.resource.associated_tags if tag not in earlier - now]
        added = [tag for tag in dict.fromkeys(registration.tags) if tag not in earlier and tag not in kept]
        unit = msgspec.structs.replace(
            before.resource,
            registered_namespace=where.path,
            associated_tags=kept + added,
            operational_status="Running",
            **_described(registration),
        )
        unit = await self._surroundings.placed(unit)
        if unit == before.resource and now == earlier:
            return before
        return await self._change.update(before, unit, registered_tags=sorted(now), retired_time=None)

    async def _free_badge(self) -> int:
        """A badge that no unit has, remembered ones included."""
        while True:
            badge = self._identifiers.badge()
            if not await records.find(self._change.connection, UNIT, TABLES["processingunit"].c.badge == badge):
                return badge


def _described(registration: UnitRegistration) -> dict[str, Any]:
    return {
        "name": registration.name,
        "type": registration.type,
        "metadata": sorted(set(registration.metadata)),
        "images": list(dict.fromkeys(registration.images)),
        "network_services": [
            NetworkService(protocol=service.protocol, ports=list(service.ports)) for service in registration.services
        ],
    }


def _check(registration: UnitRegistration) -> None:
    """Raise unless the Enforcer may say this. Tags of its own making must be users' or ``@``, never ``$``."""
    for field_, text in (("native_id", registration.native_id), ("name", registration.name)):
        if not text or len(text) > NAME_LIMIT or "\0" in text:
            raise _Refused(f"{field_} is empty, longer than {NAME_LIMIT} characters or has a NUL")
    if len(registration.tags) + len(registration.metadata) > TAG_LIMIT:
        raise _Refused(f"it has more than {TAG_LIMIT} tags")
    _check_said(registration)
    for index, tag in enumerate(registration.tags):
        tags.check_user(tag, f"tags[{index}]")
    for index, tag in enumerate(registration.metadata):
        tags.check_metadata(tag, f"metadata[{index}]")
        if tag.startswith(("@org:", "@auth:")):
            raise _Refused(f"metadata[{index}]: {tag!r} is not an Enforcer's to set")


def _check_said(registration: UnitRegistration) -> None:
    """Images become tags, so they have to be able to; services are only shown."""
    if len(registration.images) > IMAGE_LIMIT or len(registration.services) > SERVICE_LIMIT:
        raise _Refused(f"it has more than {IMAGE_LIMIT} images or {SERVICE_LIMIT} services")
    for index, image in enumerate(registration.images):
        tags.check(f"$image={image}", f"images[{index}]")
    for index, service in enumerate(registration.services):
        listed = len(service.ports) <= SERVICE_LIMIT and all(_PORTS.fullmatch(port) for port in service.ports)
        if not 0 <= service.protocol <= 255 or not listed:
            raise _Refused(f"services[{index}] is no protocol number with ports such as 80 or 8000:8010")
