"""Pretending to be somebody: wrong proofs, other people's badges, forged answers, replays."""

from __future__ import annotations

import random
import secrets
import socket
import time
from collections.abc import Iterator

import pytest

from testbed import Match
from testbed.packets import Option, Segment
from tests.attack.ground import Battlefield, announces, battlefields
from tests.datapath.ground import CLIENT, KEY, SERVER, until
from watchword.identity.transcript import OPTION_KIND, AckOption, SynAckOption, SynOption, transcript_of

NONCE = 0x0123456789ABCDEF


@pytest.fixture(scope="module")
def field() -> Iterator[Battlefield]:
    with battlefields("forge") as made:
        yield made


@pytest.fixture
def listener(field: Battlefield) -> Iterator[socket.socket]:
    with field.listen() as listening:
        listening.settimeout(0.5)
        yield listening


def refused(listener: socket.socket) -> None:
    with pytest.raises(TimeoutError):
        listener.accept()


def answered(field: Battlefield, syn: Segment) -> Segment:
    """The server's SYN-ACK to a SYN of the attacker's."""
    with field.server.host.capture(f"src port {syn.dport}") as answers:
        field.send(syn)
        return answers.wait(lambda s: s.has("SA") and s.dport == syn.sport)


def option_of(segment: Segment) -> bytes:
    found = segment.option(OPTION_KIND)
    assert found is not None
    return found


def proof_for(answer: Segment, port: int, key: bytes, **wrong: int) -> Option:
    """What the client's ACK would carry if it had this key."""
    parsed = SynAckOption.parse(option_of(answer))
    transcript = transcript_of(SynOption(CLIENT, 1, port, NONCE), parsed)
    fields = {
        "badge": CLIENT,
        "epoch": 1,
        "server_epoch": parsed.nonce & 1,
        "dialled": port,
        "nonce": NONCE,
        "proof": transcript.ack_proof(key),
    }
    return Option(OPTION_KIND, AckOption(**{**fields, **wrong}).data())


def finishing(answer: Segment, *options: Option, payload: bytes = b"", flags: str = "A") -> Segment:
    return answer.reply(flags, seq=answer.ack, ack=answer.seq + 1, options=list(options), payload=payload)


def test_the_reference_would_get_in(field: Battlefield, listener: socket.socket) -> None:
    """With the right key the hand-made handshake works: so it is the proof that stops the others here."""
    port = listener.getsockname()[1]
    answer = answered(field, field.syn(port, announces(port, nonce=NONCE)))
    parsed = SynAckOption.parse(option_of(answer))
    transcript = transcript_of(SynOption(CLIENT, 1, port, NONCE), parsed)
    assert (parsed.badge, parsed.proof) == (SERVER, transcript.synack_proof(KEY))
    field.send(finishing(answer, proof_for(answer, port, KEY)), finishing(answer, payload=b"data", flags="PA"))
    far, _ = listener.accept()
    far.settimeout(5)
    assert far.recv(10) == b"data"
    far.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"proof": 0},
        {"proof": (1 << 64) - 1},
        {"badge": SERVER},
        {"badge": 0xDEAD0001},
        {"badge": 0},
        {"epoch": 2},
        {"server_epoch": 0},
        {"dialled": 1},
        {"nonce": NONCE ^ 1},
    ],
    ids=str,
)
def test_any_wrong_field_of_the_ack_is_fatal(
    field: Battlefield, listener: socket.socket, wrong: dict[str, int]
) -> None:
    port = listener.getsockname()[1]
    answer = answered(field, field.syn(port, announces(port, nonce=NONCE)))
    field.send(finishing(answer, proof_for(answer, port, KEY, **wrong)), finishing(answer, payload=b"evil", flags="PA"))
    refused(listener)


def test_without_the_key_no_guess_gets_in(field: Battlefield, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    answer = answered(field, field.syn(port, announces(port, nonce=NONCE)))
    guesses = [proof_for(answer, port, secrets.token_bytes(16)) for _ in range(50)]
    guesses += [Option(OPTION_KIND, random.randbytes(26)) for _ in range(50)]
    field.send(*(finishing(answer, guess) for guess in guesses), finishing(answer, payload=b"evil", flags="PA"))
    refused(listener)


@pytest.mark.parametrize("with_payload", [False, True])
def test_an_announcement_without_proof_gets_nothing(
    field: Battlefield, listener: socket.socket, with_payload: bool
) -> None:
    port = listener.getsockname()[1]
    answer = answered(field, field.syn(port, announces(port)))
    field.send(*(finishing(answer, payload=b"evil" if with_payload else b"", flags="PA") for _ in range(5)))
    refused(listener)


def test_the_servers_own_proof_does_not_serve_as_the_clients(field: Battlefield, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    answer = answered(field, field.syn(port, announces(port, nonce=NONCE)))
    proof = SynAckOption.parse(option_of(answer)).proof
    field.send(finishing(answer, proof_for(answer, port, KEY, proof=proof)))
    refused(listener)


@pytest.mark.parametrize("badge", [SERVER, 0xDEAD0001, 0, 0xFFFFFFFF])
def test_a_badge_of_another_host_or_of_nobody(field: Battlefield, listener: socket.socket, badge: int) -> None:
    """The key is chosen by the badge: with the key of one Enforcer nobody speaks for a unit of another."""
    port = listener.getsockname()[1]
    syn = field.syn(port, announces(port, badge, nonce=NONCE))
    with field.server.host.capture(f"src port {port}") as answers:
        field.send(syn)
        time.sleep(0.2)
    for answer in answers.segments():
        field.send(finishing(answer, proof_for(answer, port, KEY, badge=badge)))
    refused(listener)


def test_without_an_option_an_address_is_not_enough(field: Battlefield, listener: socket.socket) -> None:
    """Not even the client's own address."""
    port = listener.getsockname()[1]
    with field.server.host.capture(f"src port {port}") as answers:
        field.send(field.syn(port), field.syn(port, source=field.client.host.ipv4))
        refused(listener)
    assert answers.segments() == []


def test_replays_open_nothing(field: Battlefield, listener: socket.socket) -> None:
    """Everything the client sent in a handshake that worked, again: at once, later, from the same port or others."""
    port = listener.getsockname()[1]
    with field.server.host.capture(f"dst port {port}") as taken, field.connect(listener) as connection:
        connection.exchange()
        taken.wait(lambda s: s.payload == b"question")
    sent = taken.segments()
    for moved in (0, 1, 1000):
        field.send(*(segment.with_(sport=segment.sport + moved, raw_options=segment.raw_options) for segment in sent))
    time.sleep(0.3)
    field.send(*(segment.with_(raw_options=segment.raw_options) for segment in sent if not segment.has("S")))
    refused(listener)


@pytest.mark.parametrize("whose", ["attacker", "client"])
def test_a_session_cannot_be_fixed_beforehand(field: Battlefield, listener: socket.socket, whose: str) -> None:
    """The client's own announcement, nonce and all, answered anew: the proof it once gave is of its own handshake only.

    Sent from the attacker's address, and from the client's own; with the new server's numbers filled in.
    """
    port = listener.getsockname()[1]
    with field.server.host.capture(f"dst port {port}") as taken, field.connect(listener) as connection:
        connection.exchange()
        taken.wait(lambda s: s.payload == b"question")
    called = next(s for s in taken.segments() if s.flags == "S")
    proved = next(s for s in taken.segments() if s.flags == "A" and s.option(OPTION_KIND))
    source = field.attacker.ipv4 if whose == "attacker" else field.client.host.ipv4
    syn = called.with_(source=source, sport=called.sport ^ 1, raw_options=called.raw_options)
    with field.server.host.capture(f"src port {port}") as answers:
        field.send(syn)
        answer = answers.wait(lambda s: s.has("SA") and s.dport == syn.sport)
    for flags in ("A", "PA"):
        again = proved.with_(source=source, sport=syn.sport, flags=flags, seq=answer.ack, ack=answer.seq + 1)
        field.send(again.with_(raw_options=proved.raw_options, payload=b"evil" * ("P" in flags)))
    refused(listener)


def test_a_replayed_ack_proves_nothing_for_the_next_handshake(field: Battlefield, listener: socket.socket) -> None:
    """Handshake 1 worked and is over; its ACK is replayed into handshake 2 of the same two ends."""
    port = listener.getsockname()[1]
    syn = field.syn(port, announces(port, nonce=NONCE))
    first = answered(field, syn)
    ack = finishing(first, proof_for(first, port, KEY))
    field.send(ack)
    far, _ = listener.accept()
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    far.close()
    with field.server.host.capture(f"src port {port}") as answers:
        field.send(syn.with_(seq=syn.seq + 5))
        second = answers.wait(lambda s: s.has("SA"))
        for seq in (ack.seq, second.ack):
            field.send(ack.with_(seq=seq, raw_options=ack.raw_options))
        answers.wait(lambda s: s.has("SA"), count=2, timeout=10)
        field.send(finishing(second), finishing(second, payload=b"evil", flags="PA"))
        refused(listener)


@pytest.mark.parametrize("what", ["no option", "wrong proof", "wrong nonce", "other badge", "replayed", "blind"])
def test_a_forged_syn_ack_does_not_decide_a_connection(field: Battlefield, what: str) -> None:
    """The real server's answer comes second, and still wins; nobody but it is ever connected to."""
    with field.listen() as listener:
        port = listener.getsockname()[1]
        with field.client.host.capture(f"src port {port}") as earlier, field.connect(listener) as first:
            first.exchange()
        old = next(s for s in earlier.segments() if s.has("SA"))
        loss = field.link.drop(Match("S", dport=port), toward=field.server.host)
        with field.client.host.capture(f"dst port {port}") as taken:
            near = field.client.app.begin(field.server.host.ipv4, port)
            syn = taken.wait(lambda s: s.flags == "S")
        forged = syn.reply("SA", seq=77, ack=syn.seq + 1)
        good = SynAckOption.parse(option_of(old))
        data = {
            "wrong proof": SynAckOption(SERVER, good.nonce, 1).data(),
            "wrong nonce": SynAckOption(SERVER, good.nonce ^ 2, good.proof).data(),
            "other badge": SynAckOption(0xDEAD0001, good.nonce, good.proof).data(),
            "replayed": option_of(old),
            "blind": option_of(old),
        }
        if what in data:
            forged = forged.with_(options=[Option(OPTION_KIND, data[what])])
        if what == "blind":
            forged = forged.with_(ack=syn.seq + 1000, options=forged.options)
        if what == "no option":
            forged = forged.with_(ack=syn.seq + 2)
        field.send_to_client(forged, forged)
        near.settimeout(10)
        listener.settimeout(10)
        far, _ = listener.accept()
        near.sendall(b"hello")
        far.settimeout(10)
        assert far.recv(10) == b"hello"
        assert loss.dropped() == 1
        loss.end()
        near.close()
        far.close()


def test_a_server_that_never_proves_itself_is_given_up(field: Battlefield) -> None:
    """On the path, answering every SYN with a wrong proof: the application hears of it, and sends nothing."""
    with field.listen() as listener:
        port = listener.getsockname()[1]
        loss = field.link.drop(Match("S", dport=port), toward=field.server.host, count=None)
        with field.client.host.capture(f"dst port {port}") as taken:
            near = field.client.app.begin(field.server.host.ipv4, port)
            syn = taken.wait(lambda s: s.flags == "S")
            answer = syn.reply(
                "SA", seq=77, ack=syn.seq + 1, options=[Option(OPTION_KIND, SynAckOption(SERVER, 1, 1).data())]
            )
            field.send_to_client(*[answer] * 8)
            until(lambda: near.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0)
        assert {s.flags for s in taken.segments()} == {"S"}
        loss.end()
        near.close()
