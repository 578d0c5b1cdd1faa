"""TCP Fast Open hands out connections before their handshake is over: nobody may prove himself that way."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from testbed.packets import Option, Segment
from tests.attack.ground import Battlefield, announces, battlefields
from tests.datapath.ground import setting

FAST_OPEN, EXPERIMENT = 34, 254
MAGIC = bytes.fromhex("f989")


@pytest.fixture(scope="module")
def field() -> Iterator[Battlefield]:
    with battlefields("early") as made:
        made.server.host.sysctl("net.ipv4.tcp_fastopen", 3)
        yield made


@pytest.fixture
def listener(field: Battlefield) -> Iterator[socket.socket]:
    with field.listen(options=[(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)]) as listening:
        listening.settimeout(0.5)
        yield listening


def cookie_of(field: Battlefield, listener: socket.socket) -> bytes:
    """A valid cookie for the attacker's address, got from a listener that talks to anybody."""
    with field.server.host.socket(socket.AF_INET, socket.SOCK_STREAM) as open_to_all:
        open_to_all.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
        open_to_all.bind(("0.0.0.0", field.port()))
        open_to_all.listen()
        port = open_to_all.getsockname()[1]
        with field.server.host.capture(f"src port {port}") as answers:
            field.send(field.syn(port, Option(FAST_OPEN)))
            cookie = answers.wait(lambda s: s.has("SA")).option(FAST_OPEN)
    assert cookie
    return cookie


@pytest.mark.parametrize("kind", [FAST_OPEN, EXPERIMENT])
@pytest.mark.parametrize("payload", [b"", b"evil"])
def test_a_cookie_and_a_badge_open_nothing(
    field: Battlefield, listener: socket.socket, kind: int, payload: bytes
) -> None:
    """The attacker has a valid cookie for its address and knows a badge that policy lets in, but no key."""
    port = listener.getsockname()[1]
    cookie = cookie_of(field, listener)
    before = field.server.counters()["dropped-syn-payload"]
    fast_open = [Option(1), Option(1), Option(kind, cookie)] if kind == FAST_OPEN else [Option(kind, MAGIC + cookie)]
    syn = field.syn(port, *fast_open, announces(port), payload=payload)
    with field.server.host.capture(f"src port {port}") as answers:
        field.send(syn)
        field.send(Segment(syn.source, syn.destination, syn.sport, port, "PA", syn.seq + 1, 1, payload=b"evil"))
        with pytest.raises(TimeoutError):
            listener.accept()
    assert answers.segments() == []
    assert field.server.counters()["dropped-syn-payload"] == before + 1


def test_a_listener_that_asks_for_no_cookie_opens_nothing_either(field: Battlefield, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    with setting("net.ipv4.tcp_fastopen", 0x603, field.server.host):
        field.send(field.syn(port, announces(port), payload=b"evil"))
        field.send(field.syn(port, Option(FAST_OPEN), Option(1), Option(1), announces(port)))
        with pytest.raises(TimeoutError):
            listener.accept()
