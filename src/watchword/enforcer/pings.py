"""Pings, as far as this host has a part in them: calls of its own units, and what it knows of calls from elsewhere.

Both are asked for by the Console, which has asked who may; the first also by root of this host. Nothing here decides
anything: what is told is read from the kernel, and the rule that let an unfinished handshake in from the tables that
the kernel was filled with.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import itertools
import logging
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Literal

from watchword.enforcer.attempt import ECHO, Attempted, Call, attempt
from watchword.enforcer.control import PingFrom
from watchword.enforcer.datapath.base import DatapathError, FlowSample
from watchword.enforcer.datapath.ebpf.handshakes import Handshake, Handshakes, give_up
from watchword.enforcer.enforcement import Enforced, Enforcement
from watchword.enforcer.errors import EnforcerError, UnitError
from watchword.enforcer.hostaddresses import host_addresses
from watchword.enforcer.settings import Settings
from watchword.enforcer.units import HOST, Units
from watchword.policy.lookup import lookup
from watchword.wire import messages
from watchword.wire.messages import ToConsole
from watchword.wire.pings import PingEnd, PingOutcome

_log = logging.getLogger(__name__)

#: Pings of this host at one time; a call more is not tried.
LIMIT = 8
#: Seconds that a complete attempt stands for the other end to be asked.
_HOLD = 5.0
_TCP, _UDP = 6, 17

Asking = messages.Ping | messages.PingOver | messages.PingSought


class Pings:
    """Those under way. Belongs to the agent's event loop."""

    def __init__(
        self, settings: Settings, units: Units, enforcement: Enforcement, submit: Callable[[ToConsole], bool]
    ) -> None:
        self._pins = Path(settings.pin_dir)
        self._units = units
        self._enforcement = enforcement
        self._submit = submit
        self._standing: dict[int, asyncio.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._told: tuple[str, ...] | None = None
        self._numbers = itertools.count(-1, -1)  # of pings without a Console, whose numbers are positive

    def receive(self, message: Asking) -> None:
        """The Console wants something; the answer is sent when it is known."""
        match message:
            case messages.Ping():
                self._begin(self._ping(message))
            case messages.PingOver(number=number):
                if number in self._standing:
                    self._standing[number].set()
            case messages.PingSought():
                self._begin(self._seek(message))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End all attempts."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def tell_addresses(self) -> None:
        """Say at the beginning of a session where this host is."""
        self._told = host_addresses()
        self._submit(messages.HostAddresses(self._told))

    def look_at_addresses(self) -> None:
        """Say so again if it has changed."""
        if self._told is not None and self._told != host_addresses():
            self.tell_addresses()

    # --- calls of this host's units ---------------------------------------------------------------

    async def _ping(self, asked: messages.Ping) -> None:
        if len(self._standing) >= LIMIT or asked.number in self._standing:
            self._submit(messages.PingHeard(asked.number, failure=f"{LIMIT} pings are under way on this host already"))
            return
        over = self._standing[asked.number] = asyncio.Event()
        try:
            if not is_address(asked.address):
                raise UnitError("the Console named no IP address")
            call = self.call(asked)
            async with attempt(call, self._pins) as made:
                self._submit(messages.PingHeard(asked.number, self.outcome(made, asked)))
                if not asked.quiet:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(over.wait(), _HOLD)
        except (EnforcerError, DatapathError, OSError) as error:
            _log.warning("a ping of unit %s to %s port %d: %s", asked.unit, asked.address, asked.port, error)
            self._submit(messages.PingHeard(asked.number, failure=str(error)[:500]))
        finally:
            del self._standing[asked.number]

    async def nearby(self, asked: PingFrom) -> dict[str, Any]:
        """The same for root of this host: the near end alone, as JSON has it. Raises :class:`UnitError`."""
        if not (0.1 <= asked.patience <= 10 and 0 <= asked.port < 65536 and is_address(asked.address)):
            raise UnitError("a ping needs an IP address, a port, and 0.1 to 10 seconds of patience")
        if len(self._standing) >= LIMIT:
            raise UnitError(f"{LIMIT} pings are under way on this host already")
        number = next(self._numbers)
        self._standing[number] = asyncio.Event()
        try:
            call = self.call(asked)
            async with attempt(call, self._pins) as made:
                told = self.outcome(made, asked)
        finally:
            del self._standing[number]
        return _facts(told)

    def call(self, asked: messages.Ping | PingFrom) -> Call:
        """How the unit that is asked for would call. Raises :class:`UnitError`."""
        if asked.protocol not in (*ECHO, _TCP, _UDP):
            raise UnitError(f"protocol {asked.protocol} cannot be pinged; TCP, UDP, ICMP and ICMPv6 can")
        local = self._enforced().tables.units.get(asked.unit)
        placed = self._units.get(local.native_id) if local else None
        if local is None or placed is None:
            raise UnitError("this host has no such unit, or it is not enforced yet")
        return Call(
            cgroup=str(placed.cgroup),
            badge=local.badge,
            address=asked.address,
            port=asked.port,
            patience=asked.patience,
            quiet=asked.quiet,
            protocol=asked.protocol,
            inside=local.native_id != HOST,
        )

    def _enforced(self) -> Enforced:
        actual = self._enforcement.actual
        if actual is None:
            raise UnitError("nothing is enforced on this host: there is no revision in force yet")
        return actual

    def outcome(self, made: Attempted, asked: messages.Ping | PingFrom) -> PingOutcome:
        """What came of an attempt, as it is told."""
        near = None
        if made.handshake is not None:
            near = self._end(made.handshake, asked.unit)
        elif made.decided is not None:
            near = _end_of(made.decided, asked.unit, made.local, made.local_port)
        return PingOutcome(
            made.stage, made.wire, near, made.local, made.local_port, made.nonce, asked.quiet, asked.protocol
        )

    # --- calls from elsewhere ---------------------------------------------------------------------

    async def _seek(self, asked: messages.PingSought) -> None:
        try:
            sighted = await asyncio.to_thread(self._sighted, asked)
        except (EnforcerError, DatapathError) as error:
            _log.warning("a handshake that the Console asks about: %s", error)
            sighted = messages.PingSighted(asked.number)
        self._submit(sighted)

    def _sighted(self, asked: messages.PingSought) -> messages.PingSighted:
        with Handshakes(self._pins) as records:
            found, how = _handshake(records, asked) if asked.protocol == _TCP else (None, "ends")
            decided = None if found else _decided(records, asked)
        if found is not None:
            end = self._end(found, self._unit(found.unit_badge))
            if asked.quiet and give_up(found):
                _log.debug("a ping's handshake from %s has been given up", found.remote)
            return messages.PingSighted(asked.number, how, end)
        if decided is not None:
            end = _end_of(decided, self._unit(decided.unit_badge), "", 0)
            return messages.PingSighted(asked.number, "refusal" if decided.action == "Reject" else "ends", end)
        return messages.PingSighted(asked.number)

    def _unit(self, badge: int) -> str:
        units = self._enforced().tables.units
        return next((unit for unit, local in units.items() if local.badge == badge), "")

    def _end(self, found: Handshake, unit: str) -> PingEnd:
        """One end's account; of a handshake that is not over, by which rule its SYN was let in."""
        enforced = self._enforced()
        rule = found.rule
        if not found.open and unit:
            peer: int | str = found.peer_badge or found.remote
            rule = lookup(enforced.tables, unit, peer, "in", _TCP, found.local_port).rule
        allowed = found.allowed or not found.open
        return PingEnd(
            unit=unit,
            stage=("admitted" if found.open else "announced") if allowed else "refused",
            action="Allow" if allowed else "Reject",
            reason=found.reason,
            rule=rule,
            peer_badge=found.peer_badge,
            proved=bool(found.peer_badge) and found.open,
            local=found.local,
            local_port=found.local_port,
            remote=found.remote,
            remote_port=found.remote_port,
            revision=enforced.document.revision,
        )


def is_address(text: str) -> bool:
    """Whether this is an IP address and nothing else."""
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def _facts(told: PingOutcome) -> dict[str, Any]:
    """An outcome for somebody on this host, all fields of it."""
    wire, near = told.wire, told.near
    return {
        "outcome": told.stage,
        "near": {name: getattr(near, name) for name in near.__struct_fields__} if near else None,
        "path": {
            "identityLeft": wire.announced,
            "identityArrived": None,
            "answer": wire.answer,
            "answerIdentified": wire.identified if wire.answer == "syn-ack" else None,
            "sent": wire.sent,
            "rttUs": wire.rtt_us,
            "ttl": wire.ttl,
            "mss": wire.mss,
            "mtu": wire.mtu,
        },
    }


def _handshake(records: Handshakes, asked: messages.PingSought) -> tuple[Handshake | None, Literal["nonce", "ends"]]:
    found = records.announced(asked.nonce) if asked.nonce else None
    if found is not None:
        return found, "nonce"
    return records.without_identity(asked.address, asked.source_port), "ends"


def _decided(records: Handshakes, asked: messages.PingSought) -> FlowSample | None:
    """The latest refusal of such a caller at this port: by the identity it announced, or by its address.

    Of other protocols than TCP the latest packet that was let in, too.
    """
    since = time.time() - asked.age
    for found in records.refusals(since) if asked.protocol == _TCP else records.decided(since):
        if (found.direction, found.protocol, found.port) != ("incoming", asked.protocol, asked.port):
            continue
        if found.reason != "stray" and (
            found.peer_badge == asked.badge if found.peer_badge else found.peer_address == asked.address
        ):
            return found
    return None


def _end_of(found: FlowSample, unit: str, local: str, port: int) -> PingEnd:
    return PingEnd(
        unit=unit,
        stage="refused" if found.action == "Reject" else "admitted",
        action=found.action,
        reason=found.reason,
        rule=found.rule,
        peer_badge=found.peer_badge,
        proved=found.proved,
        local=local,
        local_port=port,
        remote=found.peer_address,
        revision=found.revision,
    )
