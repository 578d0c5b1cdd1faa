"""A middlebox takes the identity option away, damages it or moves it: never a silent step down.

Where only identities are let in nothing is let in, and a record says why. Where an address is let in as well,
what arrives without identity is that address and is recorded so, and what began with an identity does not end
without one.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable, Iterator

import pytest

from testbed import Middlebox, Option, Segment, Testbed
from testbed.middlebox import Meddling, renumbered
from testbed.packets import encode_options, mss
from tests.datapath.ground import CLIENT, SERVER, Ground, says, until
from tests.datapath.workload import finish, read
from watchword.identity.transcript import OPTION_KIND

VERSIONS = pytest.mark.parametrize("version", [4, 6])
#: The three segments of a handshake by their flags.
STEPS = ("S", "SA", "A")
NETWORK = 99


class Crossing(Ground):
    """Client and server with a middlebox between them."""

    def __init__(self, bed: Testbed) -> None:
        self.box: Middlebox = bed.middlebox("m")
        super().__init__(bed, self.box)

    def allow_addresses(self, *sides: str) -> None:
        """These sides may meet everybody by address, beside each other by identity."""
        self.allow()
        for name in sides:
            side, peer = (self.client, SERVER) if name == "client" else (self.server, CLIENT)
            everybody = {"0.0.0.0/0": NETWORK, "::/0": NETWORK}
            verdicts = [says(side.badge, who, way) for who in (peer, NETWORK) for way in ("in", "out")]
            side.apply(*verdicts, prefixes=everybody)


@pytest.fixture(scope="module")
def ground() -> Iterator[Crossing]:
    with Testbed("strip") as bed:
        made = Crossing(bed)
        yield made
        made.close()
    assert bed.leftovers() == []


@pytest.fixture(autouse=True)
def allowed(ground: Crossing) -> None:
    ground.allow()


@pytest.fixture
def listener(ground: Crossing) -> Iterator[socket.socket]:
    with ground.listen() as listening:
        listening.settimeout(0.1)
        yield listening


def identity_at(raw: bytes) -> int:
    """Where the identity option begins in a segment's options; it is the last one."""
    length = next((n for n in (20, 28) if raw[-n:][:2] == bytes([OPTION_KIND, n])), 0)
    assert length, raw.hex()
    return len(raw) - length


Change = Callable[[bytes, bytes], bytes]


def changed(change: Change, *steps: str) -> Meddling:
    """Apply a change to (other options, identity option) of the segments of these steps."""

    def meddle(segment: Segment) -> list[Segment]:
        raw = segment.raw_options or b""
        if segment.flags.replace("P", "") not in steps or segment.option(OPTION_KIND) is None:
            return [segment]
        at = identity_at(raw)
        options = change(raw[:at], raw[at:])
        assert len(options) <= 40
        assert len(options) % 4 == 0
        return [segment.with_(raw_options=options)]

    return meddle


def refused(listener: socket.socket) -> None:
    with pytest.raises(TimeoutError):
        listener.accept()


def reasons(ground: Crossing, port: int) -> dict[str, set[tuple[str, int]]]:
    """Why each side has refused on this port, and whom."""
    sides = {"client": ground.client, "server": ground.server}
    return {
        name: {(f.reason, f.peer_badge) for f in side.flows(port) if f.action == "Reject"}
        for name, side in sides.items()
    }


def attempt(ground: Crossing, listener: socket.socket, version: int, meddling: Meddling, who: str, why: str) -> str:
    """What the client's application sees of a connection that this side refuses for this reason.

    A client that refuses by policy says so at once; everybody else waits for nothing, and so do we.
    """
    port = listener.getsockname()[1]
    patience = 10.0 if (who, why) == ("client", "policy") else 0.1
    with ground.box.meddling(meddling), ground.client.app.begin(ground.server.host.address(version), port) as near:
        until(lambda: why in {reason for reason, _ in reasons(ground, port)[who]})
        try:
            finish(near, patience)
            near.sendall(b"evil")
            told = "data" if near.recv(1) else "end"
        except OSError as error:
            told = type(error).__name__
        refused(listener)
    return told


#: Who refuses a connection when this step loses its option, why, and whom.
REFUSERS = {"S": ("server", "policy", 0), "SA": ("client", "policy", 0), "A": ("server", "proof-missing", CLIENT)}
COMBINATIONS = [steps for size in (1, 2, 3) for steps in itertools.combinations(STEPS, size)]


@VERSIONS
@pytest.mark.parametrize("how", ["padded over", "cut out"])
@pytest.mark.parametrize("steps", COMBINATIONS, ids="+".join)
def test_a_stripped_option_lets_nobody_in(
    ground: Crossing, listener: socket.socket, version: int, how: str, steps: tuple[str, ...]
) -> None:
    """Whichever of the three are stripped: the first that is decides who refuses, and the record says why."""
    port = listener.getsockname()[1]
    change: Change = (lambda other, own: other + b"\1" * len(own)) if how == "padded over" else lambda other, _: other
    who, why, badge = next(REFUSERS[step] for step in STEPS if step in steps)
    told = attempt(ground, listener, version, changed(change, *steps), who, why)
    assert told == ("ConnectionAbortedError" if who == "client" else "TimeoutError")
    assert reasons(ground, port)[who] == {(why, badge)}


@VERSIONS
@pytest.mark.parametrize("steps", [("SA",), ("A",), ("SA", "A")], ids="+".join)
def test_what_began_with_an_identity_is_not_let_in_by_its_address(
    ground: Crossing, listener: socket.socket, version: int, steps: tuple[str, ...]
) -> None:
    """Both ends would take each other's address; the server has promised one identity an answer, and waits for it."""
    ground.allow_addresses("client", "server")
    port = listener.getsockname()[1]
    stripping = changed(lambda other, _: other, *steps)
    assert attempt(ground, listener, version, stripping, "server", "proof-missing") == "TimeoutError"
    assert reasons(ground, port)["server"] == {("proof-missing", CLIENT)}


@VERSIONS
def test_where_addresses_are_let_in_it_is_an_address_and_recorded_so(
    ground: Crossing, listener: socket.socket, version: int
) -> None:
    ground.allow_addresses("client", "server")
    port = listener.getsockname()[1]
    with (
        ground.box.meddling(changed(lambda other, _: other, "S")),
        ground.connect(listener, version) as connection,
    ):
        connection.exchange()
        for side, peer in ((ground.client, ground.server), (ground.server, ground.client)):
            flow = side.flow(port)
            assert (flow.proved, flow.peer_badge, flow.peer_address) == (False, 0, peer.host.address(version))


@VERSIONS
def test_a_client_that_wants_an_identity_takes_no_address_for_it(
    ground: Crossing, listener: socket.socket, version: int
) -> None:
    """The server would let the address in. The client is not content with a server that proves nothing."""
    ground.allow_addresses("server")
    port = listener.getsockname()[1]
    told = attempt(ground, listener, version, changed(lambda other, _: other, "S"), "client", "policy")
    assert told == "ConnectionAbortedError"
    assert reasons(ground, port)["client"] == {("policy", 0)}


def test_a_router_that_strips_the_option_by_netfilter() -> None:
    """The same by what real middleboxes run: TCPOPTSTRIP on the way, both IP versions."""
    with Testbed("optstrip") as bed:
        router = bed.router("r")
        ground = Ground(bed, router)
        router.strip_options([OPTION_KIND])
        with ground.listen() as listening:
            for version in (4, 6):
                with pytest.raises(TimeoutError):
                    ground.client.app.connect(
                        ground.server.host.address(version), listening.getsockname()[1], timeout=1
                    )
            listening.settimeout(0.3)
            refused(listening)
            rejected = ground.server.flows(listening.getsockname()[1])
            assert {(f.action, f.reason, f.peer_badge) for f in rejected} == {("Reject", "policy", 0)}
        ground.close()
    assert bed.leftovers() == []


def flipped(at: int) -> Change:
    """One bit of the option, at this byte of it."""
    return lambda other, own: other + own[:at] + bytes([own[at] ^ 1]) + own[at + 1 :]


#: Every byte behind the experiment's number that is read, and what the receiver says of it, by step.
DAMAGED = [
    *(("S", at, "server", "badge-unknown") for at in (4, 7)),
    ("S", 8, "server", "key-missing"),
    ("S", 9, "server", "policy"),  # another version is no identity
    *(("S", at, "client", "proof-wrong") for at in (10, 11, 12, 19)),
    *(("SA", at, "client", "badge-unknown") for at in (4, 7)),
    *(("SA", at, "client", "proof-wrong") for at in (8, 12, 14, 19)),
    ("SA", 13, "client", "key-missing"),  # holds the lowest bit of the server's epoch
    *(("A", at, "server", "badge-unknown") for at in (4, 7)),
    *(("A", at, "server", "proof-wrong") for at in (8, 9, 10, 11, 12, 19, 20, 27)),
]


@VERSIONS
@pytest.mark.parametrize(("step", "at", "who", "why"), DAMAGED)
def test_a_damaged_option_is_refused_for_what_it_is(
    ground: Crossing, listener: socket.socket, version: int, step: str, at: int, who: str, why: str
) -> None:
    assert attempt(ground, listener, version, changed(flipped(at), step), who, why) == "TimeoutError"


#: Ways to carry the very same bytes elsewhere than at the end. Other options give way where there is no room.
MISPLACED: dict[str, Change] = {
    "first": lambda other, own: (own + other)[:40],
    "padding behind": lambda _, own: own + b"\1" * 4,
    "end of list behind": lambda _, own: own + b"\0" * 4,
    "another option behind": lambda _, own: own + Option(254, b"ab").encode(),
    "cut short": lambda other, own: other + own[:1] + bytes([len(own) - 4]) + own[2:-4],
}


@VERSIONS
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("how", MISPLACED)
def test_an_option_elsewhere_is_none(
    ground: Crossing, listener: socket.socket, version: int, step: str, how: str
) -> None:
    who, why, _ = REFUSERS[step]
    attempt(ground, listener, version, changed(MISPLACED[how], step), who, why)


@VERSIONS
def test_an_option_longer_than_its_header_is_nothing_to_the_kernel_itself(
    ground: Crossing, listener: socket.socket, version: int
) -> None:
    """Linux drops such an ACK before any program sees it; the data behind it has no proof."""
    port = listener.getsockname()[1]
    with ground.box.meddling(changed(lambda other, own: other + own[:-4], "A")):
        near = ground.client.app.connect(ground.server.host.address(version), port)
        near.sendall(b"evil")
        until(lambda: ("proof-missing", CLIENT) in reasons(ground, port)["server"])
        refused(listener)
        near.close()


@VERSIONS
@pytest.mark.parametrize("step", ["S", "SA"])
def test_a_doubled_option_is_the_last_one(ground: Crossing, listener: socket.socket, version: int, step: str) -> None:
    """The same twice is the same; a damaged one before the good one does not count, a damaged one behind it does."""
    damaged = flipped(7)
    for change, comes_about in (
        ((lambda _, own: own + own), True),
        ((lambda _, own: damaged(b"", own) + own), True),
        ((lambda _, own: own + damaged(b"", own)), False),
    ):
        meddling = changed(change, step)
        if comes_about:
            with ground.box.meddling(meddling), ground.connect(listener, version) as connection:
                connection.exchange()
        else:
            attempt(ground, listener, version, meddling, "server" if step == "S" else "client", "badge-unknown")


@VERSIONS
def test_doubled_and_reordered_segments_do_no_harm(ground: Crossing, listener: socket.socket, version: int) -> None:
    """Every segment of the handshake twice, and late copies of it behind the first data."""
    kept: list[Segment] = []

    def meddle(segment: Segment) -> list[Segment]:
        if segment.option(OPTION_KIND) is not None:
            kept.append(segment)
            return [segment, segment]
        return [segment, *kept] if segment.payload else [segment]

    port = listener.getsockname()[1]
    listener.settimeout(10)  # what comes through may take its time; only what must not come is waited for briefly
    with ground.box.meddling(meddle), ground.connect(listener, version) as connection:
        connection.exchange()
        connection.exchange(b"again")
        for side in ground.sides:
            assert (side.flow(port).proved, side.flow(port).connections) == (True, 1)
        listener.settimeout(0.1)
        refused(listener)


@VERSIONS
@pytest.mark.parametrize(("to_server", "to_client"), [(1, 1), (1 << 31, 12345), (0xFFFFFFF0, 1 << 30)])
def test_other_sequence_numbers_do_not_matter(
    ground: Crossing, listener: socket.socket, version: int, to_server: int, to_client: int
) -> None:
    """A firewall that randomises them: no proof is about them, and each end compares its own only."""
    meddling = renumbered(ground.client.host.address(version), to_server, to_client)
    with ground.box.meddling(meddling), ground.connect(listener, version) as connection:
        connection.exchange()
        port = listener.getsockname()[1]
        assert ground.client.flow(port).proved
        assert ground.server.flow(port).proved
        ground.server.apply()
        assert set(connection.ended().values()) <= {"ConnectionResetError", "ConnectionAbortedError"}


def other_options(segment: Segment, options: list[Option]) -> list[Segment]:
    """A SYN or SYN-ACK with these options in place of its own, but for the identity."""
    raw = segment.raw_options or b""
    kept = raw[identity_at(raw) :] if segment.option(OPTION_KIND) is not None else b""
    return [segment.with_(raw_options=encode_options(options) + kept)]


HARMLESS: dict[str, Meddling] = {
    "smaller MSS": lambda s: other_options(s, [mss(536)]) if "S" in s.flags else [s],
    "no options": lambda s: other_options(s, []) if "S" in s.flags else [s],
    "MSS moved behind padding": lambda s: other_options(s, [Option(1)] * 4 + [mss()]) if "S" in s.flags else [s],
    "ECN bits": lambda s: [s.with_(flags=s.flags.replace("E", "").replace("C", ""))],
    "TTL": lambda s: [s.with_(ttl=3)],
    "window": lambda s: [s.with_(window=s.window // 2)],
}


@VERSIONS
@pytest.mark.parametrize("what", HARMLESS)
def test_what_middleboxes_commonly_change_does_not_matter(
    ground: Crossing, listener: socket.socket, version: int, what: str
) -> None:
    port = listener.getsockname()[1]
    with ground.box.meddling(HARMLESS[what]), ground.connect(listener, version) as connection:
        connection.exchange()
        assert ground.client.flow(port).proved
        assert ground.server.flow(port).proved


@VERSIONS
def test_the_way_back_to_honesty(ground: Crossing, listener: socket.socket, version: int) -> None:
    """A connection that waits because its SYN or ACK was stripped comes about once the path is honest again."""
    stripping = changed(lambda other, _: other, "A")
    with ground.box.meddling(stripping):
        near = ground.client.app.connect(ground.server.host.address(version), listener.getsockname()[1])
        near.sendall(b"early")
        until(lambda: ("proof-missing", CLIENT) in reasons(ground, listener.getsockname()[1])["server"])
        refused(listener)
    listener.settimeout(20)
    with near, ground.box.meddling():
        far, _ = listener.accept()
        with far:
            far.settimeout(10)
            assert read(far, 5) == b"early"
