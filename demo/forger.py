"""The intruder's workshop: handshakes recorded on the wire, replayed, and forged packet by packet.

Everything here is done with real packets, by somebody who can read and write the wire. Whether it
worked is read from the wire too (did the application answer?) and from PostgreSQL's own log.
"""

from __future__ import annotations

import itertools
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from demo.cast import PORTS, WORKLOADS
from demo.puppet import Attempt
from demo.stage import Stage
from testbed import Capture, Match, Option, Segment
from testbed.packets import mss

#: The TCP option in which Watchword's identities travel.
OPTION = 253

_PATIENCE = 1.0
#: Ports that no kernel gives to a connection of its own, so that captures can tell ours apart.
_ports = itertools.count(20001)

_PARAMETERS = b"user\0postgres\0database\0postgres\0\0"
STARTUP = struct.pack("!II", 8 + len(_PARAMETERS), 3 << 16) + _PARAMETERS


@dataclass(frozen=True)
class Handshake:
    """A handshake of the job with the database, as it was on the wire, and the first data after it."""

    syn: Segment
    synack: Segment
    ack: Segment
    data: Segment


@dataclass(frozen=True)
class Outcome:
    """What an attempt came to. ``entered``: the application answered."""

    port: int
    answered: bool
    entered: bool

    @property
    def words(self) -> str:
        """In words."""
        if self.entered:
            return "the application answered"
        return "a SYN-ACK, then silence" if self.answered else "no answer to the SYN"


Send = Callable[[Sequence[Segment]], object]


def record(stage: Stage) -> Handshake:
    """Listen on the router while the job opens a database connection over IPv4."""
    batch, database = stage.address("job"), stage.address("postgres")
    with stage.router.capture(f"tcp port 5432 and host {batch}") as tape:
        answer = stage.puppets["job"].sql(database, "select 1", timeout=5)
        if not answer:
            raise RuntimeError(f"the job cannot reach the database: {answer.why}")
        tape.wait(lambda segment: segment.has("F") and segment.source == batch)
    sent = [segment for segment in tape.segments() if segment.source == batch]
    syn = next(segment for segment in sent if segment.flags == "S")
    sent = [segment for segment in sent if segment.sport == syn.sport]
    packets = (
        syn,
        next(s for s in tape.segments() if s.flags == "SA" and s.dport == syn.sport),
        next(segment for segment in sent if segment.flags == "A" and segment.option(OPTION)),
        next(segment for segment in sent if segment.payload),
    )
    # Checksums are finished by the network card, which comes after the tape: with_() computes them.
    return Handshake(*(segment.with_() for segment in packets))


def hand_made_startup(stage: Stage) -> Outcome:
    """A PostgreSQL session begun by hand from the host outside: shows that the tools of this module work."""
    return _by_hand(stage, stage.address("postgres"), PORTS["postgres"], STARTUP)


def hand_made_page(stage: Stage) -> Outcome:
    """A page of nginx fetched by hand from the host outside, which the rules allow."""
    return _by_hand(stage, stage.address("nginx"), PORTS["nginx"], b"GET / HTTP/1.0\r\n\r\n")


def _by_hand(stage: Stage, address: str, port: int, request: bytes) -> Outcome:
    with _outside(stage) as (own_port, tap, send):
        syn = Segment(stage.address("outside"), address, own_port, port, "S", seq=1000, options=[mss()])
        return _converse(tap, send, syn, lambda synack: _finish(syn, synack, [], request))


# -- replays


def replay_verbatim(stage: Stage, recorded: Handshake) -> Outcome:
    """Put the recorded packets on the database's wire again, exactly as they were."""
    database = stage.hosts["db"]
    port = recorded.syn.sport
    with database.capture(f"tcp port {port} and port 5432") as tap:
        send = _onto_the_wire_of(stage)
        return _converse(tap, send, recorded.syn, lambda _: (recorded.ack, recorded.data))


def replay_fitted(stage: Stage, recorded: Handshake) -> Outcome:
    """Replay with everything that TCP itself checks made right; only the old proof is left of the old.

    The router keeps the answers from the real owner of the address, so that nobody interferes.
    """
    port = recorded.syn.sport
    batch = stage.hosts["batch"]
    drop = batch.links[0].drop(Match("SA", sport=5432, dport=port), toward=batch, count=None)
    try:
        with stage.hosts["db"].capture(f"tcp port {port} and port 5432") as tap:
            return _converse(
                tap,
                _onto_the_wire_of(stage),
                recorded.syn,
                lambda synack: (_fitted(recorded.ack, synack), _fitted(recorded.data, synack)),
            )
    finally:
        drop.end()


def replay_answer(stage: Stage, recorded: Handshake) -> Attempt:
    """Answer the job's next SYN with the recorded SYN-ACK, as a false database; the real one hears nothing."""
    batch, database = stage.hosts["batch"], stage.hosts["db"]
    drop = database.links[0].drop(Match("S", dport=5432, source=stage.address("job")), toward=database, count=None)

    def answer(tap: Capture) -> None:
        syn = tap.wait(lambda segment: segment.flags == "S", timeout=5)
        false = recorded.synack.with_(dport=syn.sport, ack=syn.seq + 1, raw_options=_echoing(recorded.synack, syn))
        batch.links[0].inject(batch, false)

    try:
        with batch.capture(f"tcp dst port 5432 and src host {stage.address('job')}") as tap:
            impostor = threading.Thread(target=answer, args=(tap,))
            impostor.start()
            attempt = stage.puppets["job"].connect(stage.address("postgres"), 5432, timeout=2)
            impostor.join()
            return attempt
    finally:
        drop.end()


# -- forgeries


def forge_from_outside(stage: Stage, recorded: Handshake, proof: bytes) -> Outcome:
    """From a host without an Enforcer: the job's badge on a new handshake, with a made-up proof."""
    with _outside(stage) as (port, tap, send):
        syn = _badged(stage.address("outside"), port, recorded)
        option = Option(OPTION, _with_proof(recorded, proof))
        return _converse(tap, send, syn, lambda synack: _finish(syn, synack, [option], STARTUP))


def forge_from_inside(stage: Stage, recorded: Handshake) -> Outcome:
    """From inside the compromised workload, by raw sockets: the job's badge and the job's old proof."""
    host, port = stage.hosts["intruder"], next(_ports)
    host.mute_resets(port)

    def send(packets: Sequence[Segment]) -> None:
        host.send_raw(*packets, cgroup=WORKLOADS["wiki"].cgroup)

    with host.capture(f"tcp port {port}") as tap:
        syn = _badged(stage.address("wiki"), port, recorded)
        option = Option(OPTION, recorded.ack.option(OPTION) or b"")
        return _converse(tap, send, syn, lambda synack: _finish(syn, synack, [option], STARTUP))


def _badged(source: str, port: int, recorded: Handshake) -> Segment:
    option = Option(OPTION, recorded.syn.option(OPTION) or b"")
    return Segment(source, recorded.syn.destination, port, 5432, "S", seq=1000, options=[mss(), option])


def _with_proof(recorded: Handshake, proof: bytes) -> bytes:
    """The option of the recorded ACK with another proof: its last eight bytes."""
    return (recorded.ack.option(OPTION) or b"")[:-8] + proof


# -- the wire


def _converse(tap: Capture, send: Send, syn: Segment, then: Callable[[Segment], Sequence[Segment]]) -> Outcome:
    """Send a SYN; when it is answered, go on; tell whether the application then said anything."""

    def from_server(segment: Segment) -> bool:
        return segment.sport == syn.dport and segment.dport == syn.sport

    send([syn])
    try:
        synack = tap.wait(lambda s: from_server(s) and s.flags == "SA", timeout=_PATIENCE)
    except TimeoutError:
        return Outcome(syn.sport, answered=False, entered=False)
    send(then(synack))
    try:
        tap.wait(lambda s: from_server(s) and bool(s.payload), timeout=_PATIENCE)
    except TimeoutError:
        return Outcome(syn.sport, answered=True, entered=False)
    return Outcome(syn.sport, answered=True, entered=True)


def _finish(syn: Segment, synack: Segment, options: list[Option], request: bytes) -> tuple[Segment, Segment]:
    """The handshake's last packet and the first data."""
    ack = syn.with_(flags="A", seq=syn.seq + 1, ack=synack.seq + 1, options=options)
    return ack, ack.with_(flags="PA", payload=request, options=[])


@contextmanager
def _outside(stage: Stage) -> Iterator[tuple[int, Capture, Send]]:
    """A port of the host outside that its kernel leaves to us, ears and a mouth."""
    host, port = stage.hosts["outside"], next(_ports)
    host.mute_resets(port)
    with host.capture(f"tcp port {port}") as tap:
        yield port, tap, lambda packets: host.links[0].inject(stage.router, *packets)


def _onto_the_wire_of(stage: Stage) -> Send:
    database = stage.hosts["db"]
    return lambda packets: database.links[0].inject(database, *packets)


def _fitted(segment: Segment, synack: Segment) -> Segment:
    return segment.with_(ack=synack.seq + 1, raw_options=_echoing(segment, synack))


def _echoing(segment: Segment, heard: Segment) -> bytes:
    """The options of ``segment`` with a timestamp that echoes the one of ``heard``."""
    raw, stamp = segment.raw_options or b"", heard.option(8)
    at = raw.find(b"\x08\x0a")
    return raw if at < 0 or not stamp else raw[: at + 6] + stamp[:4] + raw[at + 10 :]
