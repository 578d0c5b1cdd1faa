"""Paths on which something takes the identity option away: suspected from flows, tried by a ping, shown while it lasts.

1. A *suspicion* costs no packet: an Enforcer reports a peer without identity at an address where another Enforcer is.
   That alone shows nothing - whatever runs there in a network namespace of its own has no identity either.
2. So it is tried by a quiet ping, by a unit that policy lets call there; where there is none, nothing that should
   work is broken. One address is tried once in ten minutes at the most, one suspicion at a time.
3. What a ping finds, whoever asked for it, is remembered for its caller's Enforcer and the address, and forgotten
   when both ends prove themselves there again. It is shown, and never changes what is decided about anybody.
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import structlog
from sqlalchemy.exc import SQLAlchemyError

from watchword.console.changes import ACTIVITY
from watchword.console.identifiers import Identifiers
from watchword.console.logs import plain
from watchword.console.pingreports import STRIPPED, findings
from watchword.console.pings import PingFailed, Pings, Sighting
from watchword.console.presence import Presence
from watchword.console.publisher import Publisher
from watchword.console.store import records
from watchword.console.store.database import Database
from watchword.console.store.records import Record
from watchword.model.resources import Activity
from watchword.policy.decide import decide_flow
from watchword.policy.world import Unit, World
from watchword.wire.messages import FlowRecord
from watchword.wire.pings import PingOutcome

log = structlog.get_logger(__name__)

#: Seconds between two tries of the same address, and between any two.
AGAIN, PAUSE = 600.0, 2.0
#: Addresses remembered as stripped, as tried, and as waiting to be tried; units looked at for one that may call.
_KNOWN, _TRIED, _WAITING, _CALLERS = 10_000, 10_000, 100, 16
_PATIENCE = 3.0


@dataclass(frozen=True, slots=True)
class Stripped:
    """A path on which an identity was lost: from this unit's Enforcer to this address."""

    enforcer: str
    address: str
    port: int  # that was tried last
    unit: str
    codes: tuple[str, ...]
    since: datetime.datetime
    checked: datetime.datetime


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Somebody without identity at an address where an Enforcer is; ``unit`` is the reporter's."""

    unit: str
    outgoing: bool
    address: str
    port: int


class Paths:
    """What is known of paths. Belongs to the event loop; lost with the Console, and found again."""

    def __init__(
        self,
        pings: Pings,
        publisher: Publisher,
        presence: Presence,
        database: Database,
        identifiers: Identifiers,
        clock: Callable[[], datetime.datetime],
    ) -> None:
        self._pings, self._publisher, self._presence = pings, publisher, presence
        self._database, self._identifiers, self._clock = database, identifiers, clock
        self._stripped: OrderedDict[tuple[str, str], Stripped] = OrderedDict()
        self._problems: dict[str, list[str]] = {}  # what Enforcers say is wrong
        self._tried: OrderedDict[tuple[str, str, str], float] = OrderedDict()
        self._waiting: OrderedDict[tuple[str, str, str], Suspicion] = OrderedDict()
        self._work: asyncio.Task[None] | None = None

    def known(self) -> list[Stripped]:
        """All paths on which identities are lost, the oldest first."""
        return sorted(self._stripped.values(), key=lambda each: (each.since, each.enforcer, each.address))

    def told(self, enforcer: str, problems: Sequence[str]) -> None:
        """What an Enforcer says is wrong; shown together with what is wrong on its paths."""
        self._problems[enforcer] = list(problems)
        self._show(enforcer)

    def _show(self, enforcer: str) -> None:
        own = [_words(each) for each in self._stripped.values() if each.enforcer == enforcer]
        self._presence.note(enforcer, problems=[*self._problems.get(enforcer, []), *own])

    # --- suspicions -------------------------------------------------------------------------------

    def suspect(self, enforcer: str, reported: Iterable[FlowRecord]) -> None:
        """Look at what an Enforcer reports for peers that should have had an identity."""
        for record in reported:
            if record.protocol != 6 or record.peer_badge or record.reason != "policy":
                continue
            if not self._pings.at(record.peer_address) - {enforcer}:
                continue
            key = enforcer, record.direction, record.peer_address
            now = asyncio.get_running_loop().time()
            if now - self._tried.get(key, -AGAIN) < AGAIN or len(self._waiting) >= _WAITING:
                continue
            outgoing = record.direction == "outgoing"
            self._waiting.setdefault(key, Suspicion(record.unit, outgoing, record.peer_address, record.port))
        if self._waiting and self._work is None:
            self._work = asyncio.create_task(self._try_all())

    async def _try_all(self) -> None:
        try:
            while self._waiting:
                key, suspicion = self._waiting.popitem(last=False)
                self._tried[key] = asyncio.get_running_loop().time()
                while len(self._tried) > _TRIED:
                    self._tried.popitem(last=False)
                await self._try(suspicion)
                await asyncio.sleep(PAUSE)
        except SQLAlchemyError as error:  # what was suspected is suspected again by the next report
            log.error("paths are not tried", exception=plain(error))
        finally:
            self._work = None

    async def _try(self, suspicion: Suspicion) -> None:
        world = self._publisher.roster.world
        unit, address = world.units.get(suspicion.unit), suspicion.address
        if unit is not None and not suspicion.outgoing:
            callee, address = unit, _nearest(self._pings.addresses(unit.enforcer), suspicion.address)
            callers = self._callers(suspicion.address, callee.enforcer)
            unit = await asyncio.to_thread(_caller, world, callers, callee, suspicion.port)
        if unit is None or not address:
            return
        if not self._pings.speaks(unit.enforcer) or self._pings.retry_after(unit.enforcer):
            return
        try:
            outcome, sighting = await self._pings.ping(unit, 6, address, suspicion.port, _PATIENCE, quiet=True)
        except PingFailed as error:
            log.info("a path could not be tried", unit=unit.id, address=address, reason=str(error))
            return
        await self.learn(unit, address, suspicion.port, outcome, sighting)

    def _callers(self, address: str, callee: str) -> list[Unit]:
        """Units of Enforcers at an address, but not of the one that is called."""
        index = self._publisher.engine.units
        others = sorted(self._pings.at(address) - {callee})
        return [unit for each in others for unit in islice(index.things(index.enforcer(each)), _CALLERS)]

    # --- what pings have found --------------------------------------------------------------------

    async def learn(self, unit: Unit, address: str, port: int, outcome: PingOutcome, sighting: Sighting) -> None:
        """Remember what a ping has found of the path, or that it is whole."""
        if outcome.protocol != 6:
            return
        codes = [each.code for each in findings(outcome, sighting)]
        lost = tuple(code for code in codes if code in STRIPPED)
        key, now = (unit.enforcer, address), self._clock()
        before = self._stripped.get(key)
        if lost:
            since = before.since if before else now
            self._stripped[key] = Stripped(unit.enforcer, address, port, unit.id, lost, since, now)
            while len(self._stripped) > _KNOWN:
                self._stripped.popitem(last=False)
        elif "proved" in codes and before is not None:
            del self._stripped[key]
        else:
            return
        if before is None or before.codes != lost:
            await self._write_down(unit, address, self._stripped.get(key))
        self._show(unit.enforcer)

    async def _write_down(self, unit: Unit, address: str, found: Stripped | None) -> None:
        message = _words(found) if found else f"identities pass again on the path to {address}"
        log.warning("path", enforcer=unit.enforcer, address=address, message=message)
        activity = Activity(
            id=self._identifiers.new(),
            namespace=unit.namespace,
            create_time=self._clock(),
            operation="path",
            target_identity="enforcer",
            target_id=unit.enforcer,
            target_name=address,
            author="console",
            message=message,
        )
        async with self._database.writing() as connection:
            await records.add(connection, Record(ACTIVITY, activity))

    async def close(self) -> None:
        """Try nothing more."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)


def _caller(world: World, callers: Iterable[Unit], callee: Unit, port: int) -> Unit | None:
    """The first that both ends' policy lets call; None where nothing that should work can be broken."""
    allowed = (each for each in callers if decide_flow(world, each, callee, 6, port).action == "Allow")
    return next(allowed, None)


def _words(path: Stripped) -> str:
    where = {"stripped-syn": "the SYN", "stripped-answer": "the answer", "stripped-ack": "the ACK"}
    parts = " and ".join(where[code] for code in path.codes)
    since = path.since.strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"something on the path to {path.address} strips the identity option from {parts}, since {since}"


def _nearest(addresses: Iterable[str], to: str) -> str:
    """The address of the same version that shares most leading bits; "" where there is none."""
    wanted = ipaddress.ip_address(to)
    same = [each for each in map(ipaddress.ip_address, addresses) if each.version == wanted.version]
    return str(min(same, key=lambda each: (int(each) ^ int(wanted)).bit_length(), default=""))
