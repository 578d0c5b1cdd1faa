"""Attacks on datagrams by identity: forged, replayed and damaged trailers, and bounces used for something else."""

from __future__ import annotations

import random
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from testbed.datagrams import Datagram, Recording
from testbed.injection import onto_wire
from tests.attack.ground import Battlefield, battlefields
from tests.datapath.ground import CLIENT, KEY, SERVER, setting, until
from tests.datapath.udp import VERSIONS, bound, exchange, nothing, tells, trailer_of
from watchword.identity.trailer import Message, Trailer

NONCE = 0x0123456789ABCDEF


@pytest.fixture(scope="module")
def field() -> Iterator[Battlefield]:
    with battlefields("udpforge") as made:
        yield made


@pytest.fixture
def far(field: Battlefield) -> Iterator[socket.socket]:
    with bound(field.server, 4, field.port()) as made:
        yield made


def port_of(far: socket.socket) -> int:
    port: int = far.getsockname()[1]
    return port


def forged(field: Battlefield, port: int, trailer: Trailer, payload: bytes = b"evil", sport: int = 4000) -> Datagram:
    made = Datagram(field.attacker.ipv4, field.server.host.ipv4, sport, port, payload)
    return made.with_(surplus=trailer.surplus(made.length))


def hello(port: int, **more: object) -> Trailer:
    return replace(Trailer(Message.HELLO, CLIENT, port, NONCE, ticket=7), **more)  # type: ignore[arg-type]


def bounced(field: Battlefield, call: Datagram) -> Trailer:
    """What the server answers to a call of the attacker's."""
    with Recording(field.server.host, call.dport) as wire:
        field.send(call.packet())
        found = trailer_of(wire.wait(tells(Message.BOUNCE)))
    assert found is not None
    return found


def challenge(answer: Trailer, key: bytes = KEY, wrong: Mapping[str, object] | None = None) -> Trailer:
    made = replace(answer, message=Message.CHALLENGE, badge=CLIENT, ticket=0, bodyless=False, proof=0)
    return replace(made.proved(key, CLIENT, SERVER), **(wrong or {}))  # type: ignore[arg-type]


def refused(field: Battlefield, far: socket.socket, *datagrams: Datagram) -> None:
    field.send(*(each.packet() for each in datagrams))
    nothing(far)


def test_the_reference_would_get_in(field: Battlefield, far: socket.socket) -> None:
    """With the right key the hand-made exchange works: so it is the proof that stops the others here."""
    port = port_of(far)
    answer = bounced(field, forged(field, port, hello(port)))
    assert (answer.badge, answer.nonce, answer.ticket) == (SERVER, NONCE, 7)
    assert answer.proof == answer.expected_proof(KEY, CLIENT, SERVER)
    field.send(forged(field, port, challenge(answer), b"good").packet())
    assert far.recv(100) == b"good"


@pytest.mark.parametrize(
    "wrong",
    [
        {"proof": 0},
        {"badge": SERVER},
        {"badge": 0xDEAD0001},
        {"badge": 0},
        {"epoch": 2},
        {"server_epoch": 0},
        {"dialled": 1},
        {"nonce": NONCE ^ 1},
        {"server_nonce": 1},
        {"message": Message.SESSION},
        {"version": 2},
    ],
    ids=str,
)
def test_any_wrong_field_is_fatal(field: Battlefield, far: socket.socket, wrong: dict[str, object]) -> None:
    port = port_of(far)
    answer = bounced(field, forged(field, port, hello(port)))
    refused(field, far, forged(field, port, challenge(answer, wrong=wrong)))


def test_without_the_key_no_guess_gets_in(field: Battlefield, far: socket.socket) -> None:
    port = port_of(far)
    answer = bounced(field, forged(field, port, hello(port)))
    guesses = [challenge(answer, random.randbytes(16)) for _ in range(50)]
    guesses += [replace(each, message=Message.SESSION) for each in guesses]
    refused(field, far, *(forged(field, port, each) for each in guesses))


def test_a_bounce_is_good_for_its_own_address_and_port_only(field: Battlefield, far: socket.socket) -> None:
    """A proof that is right in all, from somewhere else: the nonce was made for another end."""
    port = port_of(far)
    answer = bounced(field, forged(field, port, hello(port)))
    good = challenge(answer)
    elsewhere = forged(field, port, good, sport=4001)
    refused(field, far, elsewhere, elsewhere.with_(source="10.77.9.9", sport=4000))


def test_a_bounce_is_good_for_nine_seconds(field: Battlefield, far: socket.socket) -> None:
    port = port_of(far)
    answer = bounced(field, forged(field, port, hello(port)))
    time.sleep(9)
    refused(field, far, forged(field, port, challenge(answer)))


def test_replays_open_nothing(field: Battlefield, far: socket.socket) -> None:
    """All that the client sent, on first contact and under a session, once more from everywhere else."""
    port, to = port_of(far), field.server.host.ipv4
    with Recording(field.server.host, port) as wire:
        for _ in range(3):
            with bound(field.client, 4) as near:
                exchange(near, far, (to, port))
        sent = wire.datagrams(lambda d: d.dport == port)
    before = field.server.flow(port).connections
    assert before == 3
    for moved in (1, 1000):
        field.send(*(replace(each, sport=each.sport + moved, udp_checksum=None).packet() for each in sent))
        field.send(*(replace(each, source=field.attacker.ipv4, udp_checksum=None).packet() for each in sent))
    nothing(far)
    assert field.server.flow(port).connections == before


def test_a_replay_from_the_same_end_is_part_of_the_same_flow(field: Battlefield, far: socket.socket) -> None:
    """As any datagram that is injected there; it opens none, and proves nothing when the flow is forgotten."""
    port, to = port_of(far), field.server.host.ipv4
    with bound(field.client, 4) as near:
        exchange(near, far, (to, port))
    with Recording(field.server.host, port) as wire, bound(field.client, 4) as near:
        exchange(near, far, (to, port))
        session = wire.wait(tells(Message.SESSION)).with_()
    field.send(session.packet())
    assert far.recv(100) == b"question"
    key = address(session.destination) + address(session.source) + struct.pack("!HHI", port, session.sport, 17 << 24)
    forget(field, key)
    field.send(session.packet())
    nothing(far)


def address(text: str) -> bytes:
    return bytes(10) + b"\xff\xff" + socket.inet_aton(text)


def forget(field: Battlefield, key: bytes) -> None:
    """Take one flow out of the server's table."""
    path = str(field.server.pinned() / "udp_flows")
    words = [f"0x{byte:02x}" for byte in key]
    field.server.host.run(["bpftool", "map", "delete", "pinned", path, "key", *words])


def test_a_bounce_returns_less_than_came_and_to_known_callers_only(field: Battlefield, far: socket.socket) -> None:
    """The factor is at most one, for calls with and without payload; no trailer, no known badge: no answer at all."""
    port = port_of(far)
    calls = [forged(field, port, hello(port, nonce=n), bytes(size)) for n, size in enumerate((0, 1, 100, 1000), 1)]
    with Recording(field.server.host, port) as wire:
        for number, call in enumerate(calls, 1):
            field.send(call.packet())
            answer = wire.wait(tells(Message.BOUNCE), count=number)
            assert len(answer.packet()) <= len(call.packet())
        silent = [
            forged(field, port, hello(port, badge=0xDEAD0001)),
            Datagram(field.attacker.ipv4, field.server.host.ipv4, 4000, port, b"nothing"),
            forged(field, field.port(), hello(port)),
        ]
        field.send(*(each.packet() for each in silent))
        time.sleep(0.3)
        assert len(wire.datagrams(tells(Message.BOUNCE))) == len(calls)


def test_bounces_to_one_source_are_limited(field: Battlefield, far: socket.socket) -> None:
    """A flood in the victim's name: 2,048 bounces a second at most, the rest is counted."""
    port = port_of(far)
    calls = [forged(field, port, hello(port, nonce=number)).packet() for number in range(1, 8001)]
    before = field.server.counters()
    onto_wire(field.link.other(field.server.host), calls, field.link.end(field.server.host).mac())
    until(lambda: total(field, before) >= 8000)
    after = field.server.counters()
    assert after["bounce-limited"] > before["bounce-limited"]
    time.sleep(2.2)
    with bound(field.client, 4) as near:
        exchange(near, far, (field.server.host.ipv4, port))


def total(field: Battlefield, before: dict[str, int]) -> int:
    now = field.server.counters()
    return sum(now[name] - before[name] for name in ("bounced", "bounce-limited"))


@pytest.mark.parametrize(
    "what", ["wrong proof", "no ticket", "other ticket", "other nonce", "other badge", "own badge"]
)
def test_a_forged_bounce_moves_nothing(field: Battlefield, what: str) -> None:
    """Nobody answers the client but the attacker, who cannot make it send its data."""
    port, to = field.port(), field.server.host.ipv4
    with Recording(field.client.host, port) as wire, bound(field.client, 4) as near:
        near.sendto(b"secret", (to, port))
        call = wire.wait(tells(Message.HELLO))
        found = trailer_of(call)
        assert found is not None
        assert call.payload == b""
        right = replace(found, message=Message.BOUNCE, badge=SERVER, server_epoch=1, server_nonce=99)
        made = {
            "wrong proof": replace(right, proof=1),
            "no ticket": replace(right, ticket=0).proved(KEY, CLIENT, SERVER),
            "other ticket": replace(right, ticket=found.ticket + 1).proved(KEY, CLIENT, SERVER),
            "other nonce": replace(right, nonce=found.nonce ^ 1).proved(KEY, CLIENT, SERVER),
            "other badge": replace(right, badge=0xDEAD0001).proved(KEY, CLIENT, 0xDEAD0001),
            "own badge": replace(right, badge=CLIENT).proved(KEY, CLIENT, CLIENT),
        }[what]
        back = Datagram(to, call.source, port, call.sport)
        field.send_to_client(back.with_(surplus=made.surplus(8)).packet())
        time.sleep(0.3)
        assert wire.datagrams(lambda d: d.payload == b"secret" or tells(Message.CHALLENGE)(d)) == []


def test_a_bounce_is_answered_once(field: Battlefield, far: socket.socket) -> None:
    port, to = port_of(far), field.server.host.ipv4
    with Recording(field.client.host, port) as wire, bound(field.client, 4) as near:
        near.sendto(b"once", (to, port))
        assert far.recv(100) == b"once"
        bounce = wire.wait(tells(Message.BOUNCE)).with_()
        field.send_to_client(*[bounce.packet()] * 10)
        nothing(far)
        assert len(wire.datagrams(lambda d: d.payload == b"once")) == 1


@pytest.mark.parametrize("what", ["plain", "wrong proof", "replayed"])
def test_nobody_answers_in_the_servers_place(field: Battlefield, far: socket.socket, what: str) -> None:
    """Until the server has proved itself on this flow nothing is taken from its address."""
    port, to = port_of(far), field.server.host.ipv4
    with Recording(field.client.host, port) as wire:
        with bound(field.client, 4) as near:
            exchange(near, far, (to, port))
        old = trailer_of(wire.wait(tells(Message.ANSWER)))
        assert old is not None
        with bound(field.client, 4) as near:
            near.sendto(b"question", (to, port))
            data, back = far.recvfrom(100)
            assert data == b"question"
            evil = Datagram(to, back[0], port, back[1], b"evil")
            call = trailer_of(wire.wait(tells(Message.SESSION)))
            assert call is not None
            surplus = {
                "plain": b"",
                "wrong proof": replace(old, nonce=call.nonce, proof=1).surplus(evil.length),
                "replayed": old.surplus(evil.length),
            }[what]
            field.send_to_client(evil.with_(surplus=surplus).packet())
            nothing(near)
            far.sendto(b"answer", back)
            assert near.recv(100) == b"answer"


def test_damaged_trailers_are_no_trailers(field: Battlefield, far: socket.socket) -> None:
    """Cut short, with something behind, with a wrong checksum, doubled: no identity, so the address is judged."""
    port = port_of(far)
    good = challenge(bounced(field, forged(field, port, hello(port))))
    base = Datagram(field.attacker.ipv4, field.server.host.ipv4, 4000, port, b"evil")
    whole = good.surplus(base.length)
    damaged = [whole[:cut] for cut in range(0, 44, 5)] + [whole + b"\0", whole + whole, b"\0" + whole]
    damaged += [bytes([whole[0] ^ 1]) + whole[1:], whole[:-1] + bytes([whole[-1] ^ 1]), whole[:2] + b"\x7e" + whole[3:]]
    refused(field, far, *(base.with_(surplus=each) for each in damaged))
    too_long = base.with_(udp_length=200)
    refused(field, far, too_long, base.with_(udp_length=3))
    field.send(base.with_(surplus=whole).packet())
    assert far.recv(100) == b"evil"


def test_noise_gets_nowhere(field: Battlefield, far: socket.socket) -> None:
    """Seeded: every field of a good trailer, at random, with right and wrong checksums."""
    port, chance = port_of(far), random.Random(4)
    good = challenge(bounced(field, forged(field, port, hello(port))))
    packets = []
    for _ in range(3000):
        base = Datagram(
            field.attacker.ipv4, field.server.host.ipv4, 5000 + chance.randrange(9), port, b"e" * chance.randrange(9)
        )
        raw = bytearray(good.surplus(base.length))
        for _ in range(chance.randrange(1, 4)):
            raw[chance.randrange(len(raw))] = chance.randrange(256)
        packets.append(base.with_(surplus=bytes(raw)).packet())
    field.send(*packets)
    nothing(far)


@VERSIONS
def test_a_unit_that_writes_trailers_itself_gains_nothing(field: Battlefield, version: int) -> None:
    """By raw socket, with everything right but the key: its own kernel makes no proof for it, and stamps none."""
    port = field.port()
    with bound(field.server, version, port) as far:
        source, to = field.client.host.address(version), field.server.host.address(version)
        made = Datagram(source, to, 4321, port, b"evil")
        claims = [hello(port), replace(hello(port), message=Message.SESSION), replace(hello(port), badge=SERVER)]
        field.client.host.send_raw(*(made.with_(surplus=each.surplus(made.length)).packet() for each in claims))
        taken = []
        far.settimeout(0.5)
        try:
            while True:
                taken.append(far.recvfrom(100))
        except TimeoutError:
            pass
        assert {flow.peer_badge for flow in field.server.flows(port) if flow.action == "Allow"} <= {CLIENT}
        assert all(data == b"evil" for data, _ in taken)


def test_full_tables_let_nobody_in(field: Battlefield, far: socket.socket) -> None:
    """Calls in thousands of names and ports leave no trace: a bounce keeps nothing."""
    port = port_of(far)
    path = str(field.server.pinned() / "udp_flows")
    with setting("net.ipv4.conf.all.rp_filter", 0, field.server.host):
        before = entries(field, path)
        field.send(*(forged(field, port, hello(port), sport=1024 + n).packet() for n in range(5000)))
        nothing(far)
        assert entries(field, path) == before


def entries(field: Battlefield, path: str) -> int:
    return field.server.host.run(["bpftool", "map", "dump", "pinned", path]).stdout.count("key")
