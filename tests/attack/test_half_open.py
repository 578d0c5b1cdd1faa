"""A handshake in somebody else's name holds the two ends no longer than their owner lets it; nobody else ends one."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator

import pytest

from testbed.packets import Segment, mss
from tests.attack.ground import announces
from tests.datapath.ground import Connection, Ground, grounds, until

_sources = itertools.count(23000)
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("halfopen") as made:
        made.allow()
        yield made


def forged(ground: Ground, version: int, port: int) -> Segment:
    """A SYN that looks like the client's, with the badge that everybody on the path has seen."""
    source = next(_sources)
    ends = ground.client.host.address(version), ground.server.host.address(version)
    return Segment(*ends, source, port, "S", seq=source << 8, options=[mss(), announces(port)])


def begun(ground: Ground, syn: Segment) -> None:
    """The server has answered it."""
    with ground.server.host.capture(f"src port {syn.dport}") as answers:
        ground.link.inject(ground.server.host, syn)
        answers.wait(lambda segment: segment.has("SA"))


@pytest.mark.parametrize("version", [4, 6])
def test_who_never_asked_says_so_and_may_ask_from_there_at_once(ground: Ground, version: int) -> None:
    """The client's kernel resets what it knows nothing of. Else the request would stand for a minute."""
    with ground.listen() as listener:
        listener.settimeout(5)
        port = listener.getsockname()[1]
        syn = forged(ground, version, port)
        begun(ground, syn)
        until(lambda: ground.half_open() == 0, timeout=5)
        here, there = (side.host.address(version) for side in ground.sides)
        near = ground.client.app.make(
            _FAMILY[version], socket.SOCK_STREAM, bind=(here, syn.sport), connect=(there, port)
        )
        far, _ = listener.accept()
        with Connection(near, far) as made:
            made.exchange()


@pytest.mark.parametrize("version", [4, 6])
def test_nobody_who_has_not_seen_the_syn_ends_a_handshake(ground: Ground, version: int) -> None:
    """The kernel would believe any number in its window; here only the very next one counts. None opens anything."""
    ground.client.host.mute_resets()
    with ground.listen() as listener:
        listener.settimeout(0.3)
        syn = forged(ground, version, listener.getsockname()[1])
        begun(ground, syn)
        assert ground.half_open() == 1
        before = ground.server.counters()["dropped-stray"]
        reset = syn.with_(flags="R", seq=syn.seq + 1, options=[])
        blind = [reset.with_(seq=syn.seq + 1 + off, flags=f) for off in (-1, 1, 2, 1000, 60000) for f in ("R", "RA")]
        blind += [reset.with_(sport=syn.sport + 1), reset.with_(payload=b"x")]
        ground.link.inject(ground.server.host, *blind)
        until(lambda: ground.server.counters()["dropped-stray"] == before + len(blind))
        assert ground.half_open() == 1
        ground.link.inject(ground.server.host, reset)
        until(lambda: ground.half_open() == 0, timeout=5)
        with pytest.raises(TimeoutError):
            listener.accept()
