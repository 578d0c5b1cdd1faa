"""Transcripts of sessions: frames in, commands out, no socket anywhere."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
import pytest

from tests.unit.enforcer.signing_side import CONSOLE, ENFORCER, SigningSide, document
from watchword.enforcer.session import (
    Adopt,
    BadgeAbsent,
    Command,
    Disconnect,
    Established,
    Evict,
    Facts,
    Refused,
    ReportsStored,
    Send,
    Session,
    Settled,
    State,
    UnitsAnswered,
)
from watchword.enforcer.store import SignedDocument
from watchword.identity.keys import SigningKey
from watchword.identity.signatures import verify_hello
from watchword.wire import messages
from watchword.wire.messages import encode
from watchword.wire.policy import PeerEntry, PolicyDelta, PolicyDocument, difference, digest

NONCE = bytes(range(32))
KEY = SigningKey.generate(secrets.token_bytes)
SIDE = SigningSide()
FACTS = Facts(ENFORCER, CONSOLE, SIDE.key.public, KEY, "1.0", "6.1", "ebpf", ())


def challenge(console: str = CONSOLE, protocol: int = messages.PROTOCOL_VERSION, nonce: bytes = NONCE) -> bytes:
    return encode(messages.Challenge(protocol, console, nonce))


WELCOME = messages.Welcome(ENFORCER, "/", report_interval=2.0)


def sent(commands: list[Command]) -> list[Any]:
    return [messages.decode_to_console(command.frame) for command in commands if isinstance(command, Send)]


def others(commands: list[Command]) -> list[Command]:
    return [command for command in commands if not isinstance(command, Send)]


def established(held: PolicyDocument | None = None) -> Session:
    session = Session(FACTS, held)
    session.receive(challenge())
    assert session.receive(encode(WELCOME)) == [Established(WELCOME)]
    return session


def snapshot(signed: SignedDocument) -> bytes:
    return encode(messages.Snapshot(signed.document, signed.signature))


def delta(old: PolicyDocument, new: PolicyDocument, signer: SigningSide = SIDE) -> bytes:
    return encode(messages.Delta(difference(old, new), signer.sign(new).signature))


# --- greeting ------------------------------------------------------------------------------------


def test_hello_proves_the_key_over_this_console_and_nonce() -> None:
    (hello,) = sent(Session(FACTS, None).receive(challenge()))
    verify_hello(KEY.public, CONSOLE, NONCE, hello.signature)
    assert (hello.enforcer, hello.revision, hello.digest, hello.datapath) == (ENFORCER, 0, b"", "ebpf")


def test_hello_says_what_is_held() -> None:
    held = document(5)
    (hello,) = sent(Session(FACTS, held).receive(challenge()))
    assert (hello.revision, hello.digest) == (5, digest(held))


def test_nothing_is_signed_for_another_console() -> None:
    """A Console that relays our answer to another one gets nothing that is worth relaying."""
    session = Session(FACTS, None)
    commands = session.receive(challenge(console="console-2"))
    assert sent(commands) == []
    assert isinstance(commands[0], Disconnect)
    assert session.state is State.CLOSED
    assert session.receive(challenge()) == []


@pytest.mark.parametrize("nonce", [b"", bytes(31), bytes(33)])
def test_nothing_is_signed_over_a_nonce_of_another_length(nonce: bytes) -> None:
    commands = Session(FACTS, None).receive(challenge(nonce=nonce))
    assert isinstance(commands[0], Disconnect)
    assert sent(commands) == []


def test_another_protocol_version_ends_the_session() -> None:
    (command,) = Session(FACTS, None).receive(challenge(protocol=messages.PROTOCOL_VERSION + 1))
    assert isinstance(command, Disconnect)
    assert f"protocol {messages.PROTOCOL_VERSION + 1}" in command.reason


@pytest.mark.parametrize("frame", [encode(WELCOME), snapshot(SIDE.sign(document(1)))], ids=["welcome", "snapshot"])
def test_no_policy_and_no_welcome_before_the_challenge(frame: bytes) -> None:
    (command,) = Session(FACTS, None).receive(frame)
    assert isinstance(command, Disconnect)


def test_no_policy_before_the_welcome() -> None:
    session = Session(FACTS, None)
    session.receive(challenge())
    (command,) = session.receive(snapshot(SIDE.sign(document(1))))
    assert isinstance(command, Disconnect)


def test_a_second_challenge_is_not_answered() -> None:
    """Otherwise whoever holds the session could have anything signed."""
    for session in (Session(FACTS, None), established()):
        if session.state is State.OPENED:
            session.receive(challenge())
        commands = session.receive(challenge(nonce=bytes(32)))
        assert sent(commands) == []
        assert isinstance(commands[0], Disconnect)


def test_a_welcome_for_another_enforcer_ends_the_session() -> None:
    session = Session(FACTS, None)
    session.receive(challenge())
    (command,) = session.receive(encode(messages.Welcome("enforcer-2", "/")))
    assert isinstance(command, Disconnect)


def test_a_welcome_during_a_session_changes_its_settings() -> None:
    session = established()
    changed = messages.Welcome(ENFORCER, "/", report_interval=30.0)
    assert session.receive(encode(changed)) == [Settled(changed)]
    assert session.state is State.ESTABLISHED
    (command,) = session.receive(encode(messages.Welcome("enforcer-2", "/")))
    assert isinstance(command, Disconnect)


def test_nothing_is_sent_before_the_welcome() -> None:
    session = Session(FACTS, None)
    session.receive(challenge())
    assert session.submit(messages.BadgeQuery(1)) == []
    session.receive(encode(WELCOME))
    assert sent(session.submit(messages.BadgeQuery(1))) == [messages.BadgeQuery(1)]


# --- policy --------------------------------------------------------------------------------------


def test_a_signed_snapshot_is_adopted() -> None:
    signed = SIDE.sign(document(1))
    assert established().receive(snapshot(signed)) == [Adopt(signed)]


def test_deltas_build_on_each_other() -> None:
    first, second, third = document(1), document(2, action="Reject"), document(3, tags=("app=db", "tier=data"))
    session = established()
    session.receive(snapshot(SIDE.sign(first)))
    assert session.receive(delta(first, second)) == [Adopt(SIDE.sign(second))]
    assert session.receive(delta(second, third)) == [Adopt(SIDE.sign(third))]


def test_an_empty_delta_is_a_revision() -> None:
    held, same = document(5), document(6)
    assert established(held).receive(delta(held, same)) == [Adopt(SIDE.sign(same))]


def refusal(commands: list[Command]) -> tuple[messages.RevisionRefused, Refused]:
    (told,), (known,) = sent(commands), others(commands)
    assert isinstance(told, messages.RevisionRefused)
    assert isinstance(known, Refused)
    assert told.revision == known.revision
    return told, known


def still_at(session: Session, held: PolicyDocument) -> None:
    """The session goes on, from the document it had."""
    follower = msgspec.structs.replace(held, revision=held.revision + 100)
    assert session.receive(delta(held, follower)) == [Adopt(SIDE.sign(follower))]


def test_a_forged_snapshot_is_refused_and_the_old_document_stays() -> None:
    held = document(5)
    session = established(held)
    told, _ = refusal(session.receive(snapshot(SigningSide().sign(document(6)))))
    assert (told.revision, "does not match" in told.reason) == (6, True)
    still_at(session, held)


def test_a_forged_delta_is_refused_and_the_old_document_stays() -> None:
    held = document(5)
    session = established(held)
    refusal(session.receive(delta(held, document(6, action="Reject"), signer=SigningSide())))
    still_at(session, held)


def test_a_delta_whose_result_is_not_what_was_signed_is_refused() -> None:
    """The signature is over the result: leaving one removal out of a delta changes it."""
    held = document(5)
    new = msgspec.structs.replace(held, revision=6, peers={})
    honest = difference(held, new)
    assert "peers" in honest.removed
    doctored = msgspec.structs.replace(honest, removed={})
    session = established(held)
    refusal(session.receive(encode(messages.Delta(doctored, SIDE.sign(new).signature))))
    still_at(session, held)


def test_a_policy_for_another_enforcer_is_refused() -> None:
    told, _ = refusal(established().receive(snapshot(SIDE.sign(document(6), enforcer="enforcer-2"))))
    assert told.revision == 6


def test_an_older_revision_rightly_signed_is_refused() -> None:
    held = document(5)
    session = established(held)
    told, _ = refusal(session.receive(snapshot(SIDE.sign(document(4, action="Reject")))))
    assert "older than 5" in told.reason
    still_at(session, held)


def test_the_same_number_with_another_content_is_refused() -> None:
    held = document(5)
    told, _ = refusal(established(held).receive(snapshot(SIDE.sign(document(5, action="Reject")))))
    assert "differs" in told.reason


def test_the_same_revision_again_is_fine() -> None:
    held = document(5)
    assert established(held).receive(snapshot(SIDE.sign(document(5)))) == [Adopt(SIDE.sign(held))]


def test_a_badge_that_was_asked_for_comes_with_the_same_revision() -> None:
    """It changes no verdict; anything else under a number that is known is refused."""
    held = document(5)
    met = PeerEntry("unit-x", "x", "/", "enforcer-2", ())
    more = msgspec.structs.replace(held, peers={**held.peers, 303: met}, asked=(303,))
    session = established(held)
    assert session.receive(snapshot(SIDE.sign(more))) == [Adopt(SIDE.sign(more))]
    assert session.receive(snapshot(SIDE.sign(held))) == [Adopt(SIDE.sign(held))]
    for bad in (
        msgspec.structs.replace(more, peers={**more.peers, 303: PeerEntry("unit-x", "x", "/", "enforcer-2", ("s1",))}),
        msgspec.structs.replace(more, peers={303: met}),
        msgspec.structs.replace(more, everybody=True),
        msgspec.structs.replace(more, rules={}),
    ):
        told, _ = refusal(established(held).receive(snapshot(SIDE.sign(bad))))
        assert "differs" in told.reason


def altered(frame: bytes, change: Any) -> bytes:
    content = msgspec.msgpack.decode(frame)
    change(content)
    return msgspec.msgpack.encode(content)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(draft=True),
        lambda m: m["document"].update(drafts={}),
        lambda m: m["document"]["units"]["unit-db"].update(shadow=[]),
        lambda m: m["document"]["rules"]["r1/in/0"].update(action="AllowAll"),
        lambda m: m["document"]["units"]["unit-db"].update(badge="many"),
        lambda m: m["document"].update(units=None),
    ],
)
def test_a_policy_that_is_not_wholly_understood_is_refused_whole(change: Any) -> None:
    held = document(5)
    session = established(held)
    told, _ = refusal(session.receive(altered(snapshot(SIDE.sign(document(6))), change)))
    assert (told.revision, "not understood" in told.reason) == (6, True)
    still_at(session, held)


def test_a_delta_with_an_unknown_table_is_refused() -> None:
    held = document(5)
    frame = encode(messages.Delta(PolicyDelta(5, 6, removed={"drafts": ("x",)}), SIDE.sign(document(6)).signature))
    session = established(held)
    told, _ = refusal(session.receive(frame))
    assert "unknown tables" in told.reason
    still_at(session, held)


@pytest.mark.parametrize("base", [4, 6])
def test_a_gap_is_closed_by_connecting_again(base: int) -> None:
    (command,) = established(document(5)).receive(delta(document(base), document(9)))
    assert isinstance(command, Disconnect)
    assert f"from revision {base}" in command.reason


def test_a_delta_without_anything_held_is_a_gap() -> None:
    (command,) = established().receive(delta(document(1), document(2)))
    assert isinstance(command, Disconnect)


def test_after_a_retreat_deltas_are_relative_to_the_document_in_force() -> None:
    old, unusable, next_one = document(5), document(6, action="Reject"), document(7)
    session = established(old)
    assert session.receive(delta(old, unusable)) == [Adopt(SIDE.sign(unusable))]
    session.retreat(old)
    (command,) = session.receive(delta(unusable, next_one))
    assert isinstance(command, Disconnect)


# --- everything else -----------------------------------------------------------------------------


def test_answers_become_commands() -> None:
    session = established()
    assert session.receive(encode(messages.UnitsAccepted({"host": "u1"}, {"x": "why"}))) == [
        UnitsAnswered({"host": "u1"}, {"x": "why"})
    ]
    assert session.receive(encode(messages.ReportsAccepted(9))) == [ReportsStored(9)]
    assert session.receive(encode(messages.BadgeUnknown(3))) == [BadgeAbsent(3)]


@pytest.mark.parametrize("greeted", [True, False])
def test_eviction_ends_everything(greeted: bool) -> None:
    session = established() if greeted else Session(FACTS, None)
    if not greeted:
        session.receive(challenge())
    assert session.receive(encode(messages.Evicted("deleted"))) == [Evict("deleted")]
    assert session.receive(encode(messages.BadgeUnknown(3))) == []
    assert session.submit(messages.BadgeQuery(1)) == []


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",
        b"\x80",
        secrets.token_bytes(100),
        msgspec.msgpack.encode({"kind": "upgrade-yourself", "url": "https://elsewhere"}),
        msgspec.msgpack.encode([1, 2, 3]),
        b"\x91" * 100_000,
        encode(messages.BadgeQuery(1)),
    ],
)
def test_what_is_no_message_ends_the_session_and_nothing_else(frame: bytes) -> None:
    (command,) = established(document(5)).receive(frame)
    assert isinstance(command, Disconnect)


def test_any_damaged_frame_is_survived() -> None:
    """One frame must not end the agent: cut and flip a valid one everywhere."""
    whole = snapshot(SIDE.sign(document(6)))
    for position in range(len(whole)):
        flipped = whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :]
        for frame in (whole[:position], flipped):
            for command in established(document(5)).receive(frame):
                assert isinstance(command, (Refused, Disconnect, Send)), frame
