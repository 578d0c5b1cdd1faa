"""One connection attempt of a unit, made for a ping and judged like any other; what the near end knows of it.

The attempt is made by a process of its own (:mod:`watchword.enforcer.caller`) in the unit's cgroup and in the network
namespace of the unit's processes, so the kernel stamps and judges it as the unit's own. A complete one stands until its
``async with`` is over, for somebody to ask the other end meanwhile, and is ended by RST. A quiet one is over as soon as
its outcome is known, and nothing more leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from watchword.enforcer import caller
from watchword.enforcer.datapath.base import FlowSample
from watchword.enforcer.datapath.ebpf.handshakes import Handshake, Handshakes
from watchword.enforcer.errors import UnitError
from watchword.identity.transcript import SynAckOption, SynOption
from watchword.wire.pings import PingWire, Stage

_SYN, _RST, _ACK = 0x02, 0x04, 0x10
#: Seconds between looks at the kernel's record once an answer has come, and how long there may be none.
_LOOK, _SETTLING = 0.005, 0.1
_FAREWELL = 2.0  # seconds for the process to end
_LEAF = "watchword-ping"  # below a cgroup that may have no processes of its own


@dataclass(frozen=True, slots=True)
class Call:
    """Who calls whom: a unit's cgroup and badge, an address and a port. ``patience`` is in seconds."""

    cgroup: str
    badge: int
    address: str
    port: int
    patience: float = 3.0
    quiet: bool = True
    protocol: int = socket.IPPROTO_TCP
    inside: bool = True  # in the network namespace of the unit's first process; of the host's unit that is anybody's


@dataclass(frozen=True, slots=True)
class Attempted:
    """What came of it, at the near end."""

    stage: Stage
    wire: PingWire
    handshake: Handshake | None  # the kernel's record; None where there was no answer to judge
    decided: FlowSample | None  # what the near end has refused; of other protocols than TCP also what it has allowed
    nonce: int
    local: str
    local_port: int


@dataclass
class _Story:
    """What the process has told so far."""

    begun: dict[str, Any] = field(default_factory=dict)
    seen: list[dict[str, Any]] = field(default_factory=list)
    opened: int | None = None  # round trip in microseconds
    ended: int = 0  # errno
    failed: str = ""
    over: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow(self, lines: asyncio.StreamReader) -> None:
        """Take in what the process says until it ends."""
        async for line in lines:
            ((kind, what),) = json.loads(line).items()
            if kind == "seen":
                self.seen.append(what)
            else:
                setattr(self, kind, what["rtt"] if kind == "opened" else what)
            self.news.set()
        self.over = True
        self.news.set()

    @property
    def sent(self) -> list[dict[str, Any]]:
        """The SYNs that left, by the device that saw the first."""
        found = [each for each in self.seen if each["out"] and each["flags"] & (_SYN | _ACK) == _SYN]
        return [each for each in found if each["device"] == found[0]["device"]]

    @property
    def answers(self) -> list[dict[str, Any]]:
        """What has come in answer to them."""
        numbers = {(each["sequence"] + 1) & 0xFFFFFFFF for each in self.sent}
        return [
            each
            for each in self.seen
            if not each["out"] and each["flags"] & (_SYN | _RST) and each["acknowledged"] in numbers
        ]


@contextlib.asynccontextmanager
async def attempt(call: Call, pin_dir: Path) -> AsyncIterator[Attempted]:
    """Call, and wait for an outcome as long as patience lasts. Raises :class:`UnitError` if it cannot be tried."""
    with contextlib.ExitStack() as kept:
        records = kept.enter_context(Handshakes(pin_dir))
        cgroup = kept.enter_context(_leaf(Path(call.cgroup)))
        namespace = kept.enter_context(_namespace(Path(call.cgroup)) if call.inside else contextlib.nullcontext(-1))
        began = time.time()
        process = await _started(call, cgroup, namespace)
        story = _Story()
        following = asyncio.create_task(story.follow(_stream(process)))
        try:
            handshake = await _outcome(call, story, records)
            told = await _told(call, story, records, handshake, began)
            if (
                call.quiet
            ):  # before anybody gives the request up at the other end, where another SYN would make a new one
                await _end(process, following)
            yield told
        finally:
            await _end(process, following)


async def _started(call: Call, cgroup: Path, namespace: int) -> asyncio.subprocess.Process:
    arguments = [str(cgroup), str(namespace), str(call.protocol), call.address, str(call.port)]
    arguments.append("quiet" if call.quiet else "complete")
    try:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", caller.__file__, *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=[namespace] if namespace >= 0 else [],
            env={},
        )
    except OSError as error:
        raise UnitError(f"the process of a ping cannot be started: {error.strerror}") from None


def _stream(process: asyncio.subprocess.Process) -> asyncio.StreamReader:
    assert process.stdout is not None  # noqa: S101 - it was asked for
    return process.stdout


async def _end(process: asyncio.subprocess.Process, following: asyncio.Task[None]) -> None:
    assert process.stdin is not None  # noqa: S101 - it was asked for
    if following.done():
        return
    process.stdin.close()
    try:
        async with asyncio.timeout(_FAREWELL):
            await process.wait()
    except TimeoutError:  # its cgroup is frozen, or has no share of the processor
        process.kill()
        await process.wait()
    await following


async def _outcome(call: Call, story: _Story, records: Handshakes) -> Handshake | None:
    """Wait for something final; the record of a handshake that is open."""
    deadline = time.monotonic() + call.patience
    answers, settled = 0, 0.0
    datagram = call.protocol != socket.IPPROTO_TCP
    while not (story.ended or story.failed or story.over or (datagram and story.opened is not None)):
        found = None if datagram else _record(call, story, records)
        if found is not None and found.open and (call.quiet or story.opened is not None):
            return found
        now = time.monotonic()
        if now >= deadline:
            break
        if len(story.answers) > answers:
            answers, settled = len(story.answers), now + _SETTLING
        story.news.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(story.news.wait(), _LOOK if now < settled else deadline - now)
    if story.failed:
        raise UnitError(f"the unit's call could not be made: {story.failed}")
    if not story.begun:
        raise UnitError("the process of a ping ended before it had called; does the unit's cgroup still exist?")
    return None


def _record(call: Call, story: _Story, records: Handshakes) -> Handshake | None:
    if not story.begun or not (story.answers or story.opened is not None):
        return None
    return records.of_socket(story.begun["cookie"], story.begun["port"], call.port)


async def _told(call: Call, story: _Story, records: Handshakes, handshake: Handshake | None, began: float) -> Attempted:
    decided = None if handshake else await asyncio.to_thread(_decided, call, records, began)
    tcp = call.protocol == socket.IPPROTO_TCP
    return Attempted(
        stage=_stage(story, handshake, decided),
        wire=_wire(story) if tcp else _wire_of_datagram(story, decided),
        handshake=handshake,
        decided=decided,
        nonce=next((nonce for each in story.sent if (nonce := _nonce(each))), 0),
        local=story.begun["local"],
        local_port=story.begun["port"],
    )


#: What an echo request is judged as: type and code.
ECHO = {socket.IPPROTO_ICMP: 8 << 8, socket.IPPROTO_ICMPV6: 128 << 8}


def _decided(call: Call, records: Handshakes, began: float) -> FlowSample | None:
    """What the near end has decided of this: the unit's, outgoing, to this port; of TCP only what it has refused."""
    asked = (call.badge, "outgoing", call.protocol, ECHO.get(call.protocol, call.port))
    found = records.refusals(began) if call.protocol == socket.IPPROTO_TCP else records.decided(began)
    for each in found:
        same = (each.unit_badge, each.direction, each.protocol, each.port) == asked
        if same and each.peer_address in ("", call.address):
            return each
    return None


def _stage(story: _Story, handshake: Handshake | None, decided: FlowSample | None) -> Stage:
    if handshake is not None:
        return "opened"
    refused = decided is not None and decided.action == "Reject"
    if story.ended in (errno.EPERM, errno.ECONNABORTED) or refused:
        return "refused"
    if story.ended == errno.ECONNREFUSED:
        return "reset"
    if story.ended:
        return "unreachable"
    return "opened" if story.opened is not None else "silent"


def _wire_of_datagram(story: _Story, decided: FlowSample | None) -> PingWire:
    return PingWire(
        sent=0 if decided is not None and decided.action == "Reject" else 1,
        answer="" if story.opened is None else "reply",
        rtt_us=story.opened or 0,
        mtu=story.begun["mtu"],
        error=errno.errorcode.get(story.ended, str(story.ended)) if story.ended else "",
    )


def _wire(story: _Story) -> PingWire:
    sent, answers = story.sent, story.answers
    answer = next((each for each in answers if each["flags"] & _SYN), answers[0] if answers else None)
    shared: dict[str, Any] = {
        "sent": len(sent),
        "announced": any(_nonce(each) for each in sent),
        "mtu": story.begun["mtu"],
        "error": errno.errorcode.get(story.ended, str(story.ended)) if story.ended else "",
    }
    if answer is None:
        return PingWire(rtt_us=story.opened or 0, **shared)
    before = max((each["time"] for each in sent if each["time"] <= answer["time"]), default=0)
    return PingWire(
        answer="syn-ack" if answer["flags"] & _SYN else "rst",
        identified=_identified(answer),
        rtt_us=max(1, (answer["time"] - before) // 1000) if before else 0,
        mss=answer["mss"],
        ttl=answer["ttl"],
        **shared,
    )


def _nonce(seen: dict[str, Any]) -> int:
    try:
        return SynOption.parse(bytes.fromhex(seen["identity"])).nonce
    except ValueError:
        return 0


def _identified(answer: dict[str, Any]) -> bool:
    try:
        return bool(SynAckOption.parse(bytes.fromhex(answer["identity"])).badge)
    except ValueError:
        return False


# --- where a unit is ----------------------------------------------------------------------------------


@contextlib.contextmanager
def _leaf(cgroup: Path) -> Iterator[Path]:
    """Where a process may go: the unit's cgroup itself, or one below it where the kernel forbids that.

    A cgroup that hands controllers down has no processes of its own (cgroup-v2.rst, "No Internal Process Constraint").
    """
    try:
        inner = (cgroup / "cgroup.subtree_control").read_text().split() and (cgroup / "cgroup.type").exists()
    except OSError as error:
        raise UnitError(f"the unit's cgroup {cgroup} cannot be used: {error.strerror}") from None
    if not inner:
        yield cgroup
        return
    leaf = cgroup / f"{_LEAF}-{os.getpid()}-{time.monotonic_ns()}"
    leaf.mkdir()
    try:
        yield leaf
    finally:
        with contextlib.suppress(OSError):  # a process that does not end keeps it; the kernel lets it go then
            leaf.rmdir()


@contextlib.contextmanager
def _namespace(cgroup: Path) -> Iterator[int]:
    """The network namespace of the unit's first process, as a descriptor; -1 for our own, or where nothing runs."""
    own = os.stat("/proc/self/ns/net").st_ino
    for directory, _, _ in os.walk(cgroup):
        for process in (Path(directory) / "cgroup.procs").read_text().split():
            try:
                found = os.open(f"/proc/{process}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue  # it has ended
            try:
                yield -1 if os.fstat(found).st_ino == own else found
            finally:
                os.close(found)
            return
    yield -1
