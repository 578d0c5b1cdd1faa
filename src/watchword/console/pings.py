"""Pings: which Enforcer is to call, which one may know of the call, and what both have said.

1. The near end's Enforcer calls and says what came of it; the attempt stands until the other end has been asked.
2. Whom to ask: the Enforcer of the unit that has proved itself; else those that say they are at the address.
   What none of them knows (the address may be translated on the way) is looked for in the flow reports that come in,
   but for an RST where an Enforcer at that very address knows of no refusal: there nothing listens.
3. A handshake is recognised by the nonce of its SYN. An Enforcer's word counts for its own units alone.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from watchword.console.roster import Roster
from watchword.console.stream.hub import Hub
from watchword.policy.world import Unit
from watchword.wire import messages
from watchword.wire.messages import FlowRecord, PingHeard, PingSighted
from watchword.wire.pings import PingEnd, PingOutcome

#: Pings of one Enforcer's units at once, and in a second in the long run.
BURST, PER_SECOND = 10.0, 1.0
#: Enforcers that are asked about one ping, and addresses that are remembered of one Enforcer.
_ASKED, _ADDRESSES = 8, 256
_ADDRESS_SIZE = 64  # characters of one
#: Seconds: for the near end's answer beyond its patience, for the far end's, for a flow report to come in.
_SLACK, _SOUGHT, _REPORTED = 5.0, 2.0, 2.5

#: What an echo request is judged as, by protocol: type and code (type << 8 | code).
ECHO = {1: 8 << 8, 58: 128 << 8}

How = Literal["nonce", "ends", "refusal", "report", "nothing"]
_RANK: dict[str, int] = {"nonce": 0, "ends": 1, "refusal": 2}


class PingFailed(Exception):  # noqa: N818 - it is an outcome
    """The near end could not try, or did not answer; the text says why."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What the far end knows, whose word it is, and how the handshake was found there."""

    enforcer: str = ""
    how: How = "nothing"
    end: PingEnd | None = None
    asked: tuple[str, ...] = ()  # Enforcers that have answered


@dataclass
class _Open:
    """One ping under way."""

    unit: Unit
    protocol: int
    port: int
    began: float
    heard: asyncio.Future[PingHeard]
    sought: dict[str, asyncio.Future[PingSighted]] = field(default_factory=dict)
    reported: asyncio.Future[tuple[str, FlowRecord]] | None = None
    local: str = ""


class Pings:
    """All pings under way. Belongs to the event loop."""

    def __init__(self, hub: Hub, roster: Roster, clock: Callable[[], float] = time.monotonic) -> None:
        self._hub = hub
        self._roster = roster
        self._clock = clock
        self._addresses: dict[str, frozenset[str]] = {}  # of Enforcers that understand pings
        self._homes: dict[str, frozenset[str]] = {}  # Enforcers that say they are at an address
        self._open: dict[int, _Open] = {}
        self._left: dict[str, tuple[float, float]] = {}  # Enforcer: pings it may still make, and when that was

    def speaks(self, enforcer: str) -> bool:
        """Whether an Enforcer is connected and understands pings."""
        return enforcer in self._addresses

    def retry_after(self, enforcer: str) -> float:
        """Count one ping; seconds to wait if it is one too many."""
        left, then = self._left.get(enforcer, (BURST, 0.0))
        now = self._clock()
        left = min(BURST, left + (now - then) * PER_SECOND)
        wait = 0.0 if left >= 1 else (1 - left) / PER_SECOND
        self._left[enforcer] = (left if wait else left - 1, now)
        return wait

    # --- what Enforcers say -----------------------------------------------------------------------

    def take(self, enforcer: str, message: messages.HostAddresses | PingHeard | PingSighted) -> None:
        """A message of an Enforcer. What nobody has asked it is nobody's business."""
        if isinstance(message, messages.HostAddresses):
            self._settle(enforcer, frozenset(each[:_ADDRESS_SIZE] for each in message.addresses[:_ADDRESSES]))
            return
        known = self._open.get(message.number)
        if known is None:
            return
        if isinstance(message, PingHeard):
            if known.unit.enforcer == enforcer and not known.heard.done():
                known.heard.set_result(message)
        elif enforcer in known.sought and not known.sought[enforcer].done():
            known.sought[enforcer].set_result(message)

    def _settle(self, enforcer: str, addresses: frozenset[str]) -> None:
        before, self._addresses[enforcer] = self._addresses.get(enforcer, frozenset()), addresses
        for address in before - addresses:
            self._homes[address] -= {enforcer}
            if not self._homes[address]:
                del self._homes[address]
        for address in addresses - before:
            self._homes[address] = self._homes.get(address, frozenset()) | {enforcer}

    def at(self, address: str) -> frozenset[str]:
        """The connected Enforcers that say they are at an address."""
        return self._homes.get(address, frozenset())

    def addresses(self, enforcer: str) -> frozenset[str]:
        """Where an Enforcer says it is."""
        return self._addresses.get(enforcer, frozenset())

    def left(self, enforcer: str) -> None:
        """An Enforcer's session has ended."""
        if enforcer in self._addresses:
            self._settle(enforcer, frozenset())
            del self._addresses[enforcer]
        for known in self._open.values():
            if known.unit.enforcer == enforcer and not known.heard.done():
                known.heard.set_exception(PingFailed("the session of its Enforcer ended meanwhile"))
            if enforcer in known.sought and not known.sought[enforcer].done():
                known.sought[enforcer].set_result(PingSighted(0))

    def reported(self, enforcer: str, records: Iterable[FlowRecord]) -> None:
        """Flow records have come in; those that may be of a ping that nobody has sighted count."""
        waiting = [known for known in self._open.values() if known.reported and not known.reported.done()]
        if waiting:
            for record in records:
                for known in waiting:
                    if known.reported and not known.reported.done() and _concerns(record, known):
                        known.reported.set_result((enforcer, record))

    # --- asking -----------------------------------------------------------------------------------

    async def ping(
        self, unit: Unit, protocol: int, address: str, port: int, patience: float, *, quiet: bool
    ) -> tuple[PingOutcome, Sighting]:
        """Let ``unit`` call, and ask the other end. Raises :class:`PingFailed`."""
        number = secrets.randbits(62)
        loop = asyncio.get_running_loop()
        known = self._open[number] = _Open(
            unit, protocol, ECHO.get(protocol, port), self._clock(), loop.create_future()
        )
        known.reported = loop.create_future()
        try:
            order = messages.Ping(number, unit.id, protocol, address, port, patience, quiet)
            if not self._hub.tell(unit.enforcer, order):
                raise PingFailed("its Enforcer is not connected")
            outcome = await self._heard(known, patience)
            known.local = outcome.local
            sighting = await self._sought(number, known, outcome, address)
            if sighting.end is None and outcome.wire.sent and not (sighting.asked and outcome.stage == "reset"):
                sighting = await self._in_reports(known, sighting)
            return outcome, sighting
        finally:
            del self._open[number]
            known.reported.cancel()
            self._hub.tell(unit.enforcer, messages.PingOver(number))

    async def _heard(self, known: _Open, patience: float) -> PingOutcome:
        try:
            message = await asyncio.wait_for(known.heard, patience + _SLACK)
        except TimeoutError:
            raise PingFailed("its Enforcer did not answer in time") from None
        if message.outcome is None:
            raise PingFailed(message.failure[:500] or "its Enforcer does not say why")
        return message.outcome

    def _candidates(self, outcome: PingOutcome, address: str) -> list[str]:
        """Enforcers that may know of the call, those first that most likely do."""
        proved = self._roster.unit_by_badge(outcome.near.peer_badge) if outcome.near else None
        if proved is not None:
            return [proved.enforcer] if self.speaks(proved.enforcer) else []
        return sorted(self.at(address))[:_ASKED]

    async def _sought(self, number: int, known: _Open, outcome: PingOutcome, address: str) -> Sighting:
        candidates = self._candidates(outcome, address)
        if not candidates or not outcome.wire.sent:
            return Sighting()
        question = messages.PingSought(
            number,
            protocol=known.protocol,
            nonce=outcome.nonce,
            badge=known.unit.badge,
            address=outcome.local,
            source_port=outcome.local_port,
            port=known.port,
            age=self._clock() - known.began + 1,
            quiet=outcome.quiet,
        )
        for enforcer in candidates:
            known.sought[enforcer] = asyncio.get_running_loop().create_future()
            self._hub.tell(enforcer, question)
        await asyncio.wait(known.sought.values(), timeout=_SOUGHT)
        answers = [(one, answer.result()) for one, answer in known.sought.items() if answer.done()]
        answered = tuple(one for one, _ in answers)
        found = [
            Sighting(one, answer.how, answer.end, answered)
            for one, answer in answers
            if answer.end is not None and self._own(one, answer.end.unit)
        ]
        return min(found, key=lambda each: _RANK[each.how], default=Sighting(asked=answered))

    def _own(self, enforcer: str, unit: str) -> bool:
        known = self._roster.unit(unit)
        return known is not None and known.enforcer == enforcer

    async def _in_reports(self, known: _Open, sighting: Sighting) -> Sighting:
        """The far end as a flow report has it: of an Enforcer that nobody knew to be there."""
        assert known.reported is not None  # noqa: S101 - made with the ping
        try:
            enforcer, record = await asyncio.wait_for(known.reported, _REPORTED)
        except TimeoutError:
            return sighting
        if not self._own(enforcer, record.unit):
            return sighting
        end = PingEnd(
            unit=record.unit,
            stage="admitted" if record.action == "Allow" else "refused",
            action=record.action,
            reason=record.reason,
            rule=record.rule,
            peer_badge=record.peer_badge,
            proved=record.proved,
            remote=record.peer_address,
            revision=record.revision,
        )
        return Sighting(enforcer, "report", end, sighting.asked)


def _concerns(record: FlowRecord, known: _Open) -> bool:
    """Whether a report is of a call from that unit, or from its address, to that port since the ping began."""
    asked = "incoming", known.protocol, known.port
    if (record.direction, record.protocol, record.port) != asked or record.reason == "stray":
        return False
    if record.peer_badge:
        return record.peer_badge == known.unit.badge
    return bool(known.local) and record.peer_address == known.local
