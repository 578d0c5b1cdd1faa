"""``watchword capture``: a unit's packets in a file, each with what was decided about it and why."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from watchword.cli.failure import ExitCode, Failure
from watchword.cli.options import EnforcerSettings, Json

if TYPE_CHECKING:
    from watchword.enforcer.datapath.base import CapturedPacket
    from watchword.enforcer.datapath.ebpf.witness import Witness
    from watchword.enforcer.directory import Directory
    from watchword.enforcer.narration import Narrator
    from watchword.enforcer.pcapng import PcapngWriter
    from watchword.enforcer.settings import Settings

_SIZE_LIMIT = 1 << 30  # bytes of a file
_POLL = 100  # milliseconds
_PATIENCE = 1.0  # seconds that packets wait for the names of a new revision


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("capture")(capture)


def capture(
    unit: Annotated[str, typer.Argument(metavar="UNIT", help="A unit of this host, by name or ID.")],
    write: Annotated[
        str,
        typer.Option("--write", "-w", metavar="FILE", help="Where to: a new file (mode 0600), or - for a pipe."),
    ],
    peer: Annotated[
        str,
        typer.Option(
            "--peer", metavar="NAME|CIDR", help="Only with this unit, address or network.", show_default=False
        ),
    ] = "",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Only with this port at either end.", show_default=False)
    ] = 0,
    count: Annotated[int, typer.Option("--count", min=1, help="End after so many packets.")] = 10_000,
    duration: Annotated[float, typer.Option("--seconds", min=0.1, help="End after so many seconds.")] = 60.0,
    snap: Annotated[
        int, typer.Option("--snap", min=0, max=16384, help="Bytes of each packet; 0 for all, 16384 at most.")
    ] = 256,
    rate: Annotated[int, typer.Option("--rate", min=1, max=1_000_000, help="Packets in a second.")] = 5000,
    settings: EnforcerSettings = "",
    json: Json = False,
) -> None:
    """Write a unit's packets, both ways, to a pcapng file: refused ones too. For root, on the host itself.

    Each packet has a comment: verdict, reason, both identities, deciding rule and revision. While this runs the
    datapath's programs are replaced by the same ones with a witness; no verdict changes. What was more than --rate
    or than there was room for is counted exactly. A connect() that is refused at once sends no packet.
    """
    from watchword.cli import output
    from watchword.cli.enforcer_settings import located
    from watchword.enforcer import directory
    from watchword.enforcer.datapath.base import DatapathError
    from watchword.enforcer.errors import EnforcerError

    known = located(settings)
    try:
        names = directory.stored(known)
        session = _Session(names, _wanted(names, unit, peer), count, duration, snap)
        with opened(write) as file:
            session.run(known, file, port, rate)
    except (EnforcerError, DatapathError) as error:
        raise Failure(str(error)) from None
    told = session.summary()
    if json and write != "-":
        output.json_document(told)
    else:
        output.note(
            f"{told['packets']} packets, {told['refused']} of them refused; missed: {told['missed_rate']} beyond "
            f"--rate, {told['missed_room']} for want of room{'; ' + session.ended if session.ended else ''}"
        )


@dataclass(frozen=True)
class _Wanted:
    """Whose packets: one unit's, with peers by badge or by address."""

    unit: int
    peers: frozenset[int] = frozenset()
    remote: str = ""


def _wanted(names: Directory, unit: str, peer: str) -> _Wanted:
    from watchword.cli.netstat import chosen

    badge = chosen(names, unit)[0]
    if not peer:
        return _Wanted(badge)
    with contextlib.suppress(ValueError):
        return _Wanted(badge, remote=str(ipaddress.ip_network(peer, strict=False)))
    peers = frozenset(names.badges(peer))
    if not peers:
        remedy = "name a unit that this host's policy knows, or write an address or CIDR"
        raise Failure(f"--peer: no unit {peer!r} is known here", remedy, ExitCode.NOT_FOUND)
    return _Wanted(badge, peers)


@contextlib.contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """A new file that nobody else can read; ``-`` is standard output. Raises :class:`Failure`."""
    if path == "-":
        if sys.stdout.isatty():
            raise Failure("packets do not belong on a terminal", "name a file, or pipe this elsewhere", ExitCode.USAGE)
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileExistsError:
        raise Failure(f"{path} is there already", "choose another name", ExitCode.USAGE) from None
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}", "choose another place", ExitCode.USAGE) from None
    begun = False
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            begun = file.tell() > 0
    finally:
        if not begun:
            os.unlink(path)


@dataclass
class _Session:
    """One capture."""

    names: Directory
    wanted: _Wanted
    count: int
    seconds: float
    snap: int
    packets: int = 0
    refused: int = 0
    missed: tuple[int, int] = (0, 0)
    ended: str = ""  # why, if not as was asked
    stopped: bool = False
    _arrived: list[CapturedPacket] = field(default_factory=list)

    def run(self, settings: Settings, file: BinaryIO, port: int, rate: int) -> None:
        from watchword.enforcer import run
        from watchword.enforcer.datapath.base import CaptureFilter
        from watchword.enforcer.datapath.ebpf.witness import Witness
        from watchword.enforcer.narration import Narrator
        from watchword.enforcer.pcapng import PcapngWriter

        wanted = CaptureFilter(self.wanted.unit, self.wanted.remote, port, self.snap, rate)
        with run.capturing(settings) as lease, self._until_told():
            run.look(settings)  # from now on every connection that lives has its record
            witness = Witness(Path(settings.pin_dir), wanted, self._arrived.append)
            try:
                writer = PcapngWriter(file, "watchword capture", self.snap)
                self._watch(settings, witness, lease, Narrator(self.names), writer)
                self.missed = witness.missed()
                writer.statistics(sum(self.missed), time.time())
            finally:
                witness.close()

    @contextlib.contextmanager
    def _until_told(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM end the capture orderly."""

        def stop(*_: object) -> None:
            self.stopped = True

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _watch(
        self, settings: Settings, witness: Witness, lease: socket.socket, narrator: Narrator, writer: PcapngWriter
    ) -> None:
        end = time.monotonic() + self.seconds
        looked = 0.0
        while not self.stopped and time.monotonic() < end:
            if select.select([lease], [], [], 0)[0]:
                self.ended = "the agent has ended or started anew, and so has the capture"
                break
            if time.monotonic() - looked > 1:  # devices come, and are attached to
                witness.begin()
                looked = time.monotonic()
            witness.poll(_POLL)
            self._write(settings, narrator, writer)
        self.stopped = True
        witness.end()
        witness.poll(0)  # what came in the last moment
        self._write(settings, narrator, writer)

    def _informed(self, settings: Settings) -> bool:
        """Whether the revision on disk is that of the packets; it comes there a moment after it is in force."""
        from watchword.enforcer import directory

        newest = max((packet.revision for packet in self._arrived), default=0)
        if newest > self.names.revision:
            found = directory.document(settings)
            if found.revision != self.names.revision:
                self.names.learn(found)
        late = bool(self._arrived) and time.time() - self._arrived[0].time > _PATIENCE
        return newest <= self.names.revision or late or self.stopped

    def _write(self, settings: Settings, narrator: Narrator, writer: PcapngWriter) -> None:
        if not self._informed(settings):
            return
        arrived = sorted(self._arrived, key=lambda packet: packet.time)
        self._arrived.clear()
        for packet in arrived:
            peer = narrator.peer(packet)
            if self.wanted.peers and peer.badge not in self.wanted.peers:
                continue
            if self.packets >= self.count or writer.size > _SIZE_LIMIT:
                self.stopped = True
                return
            comment = narrator.comment(packet, peer)
            writer.packet(_device(packet.device), packet.time, packet.direction, packet.content, packet.length, comment)
            self.packets += 1
            self.refused += packet.action == "Reject"
        self.stopped = self.stopped or self.packets >= self.count

    def summary(self) -> dict[str, object]:
        """What came of it."""
        rate, room = self.missed
        return {
            "packets": self.packets,
            "refused": self.refused,
            "missed_rate": rate,
            "missed_room": room,
            "ended": self.ended,
        }


def _device(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:  # of another network namespace
        return f"device {index}"
