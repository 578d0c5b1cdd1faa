"""What a capture says of a packet: nobody is called proved who has not proved it."""

from __future__ import annotations

import socket
import struct
from typing import Any, Literal

import pytest

from watchword.enforcer.datapath.base import CapturedPacket
from watchword.enforcer.directory import Directory
from watchword.enforcer.narration import Narrator, Peer, addresses, parsed
from watchword.wire.policy import NetworkEntry, PeerEntry, PolicyDocument, RuleEntry, UnitEntry

WEB, DB = 0x10, 0x20
LOCAL, REMOTE = ("10.0.0.1", 5432), ("10.0.0.2", 40000)

DIRECTORY = Directory(
    PolicyDocument(
        revision=7,
        units={"u1": UnitEntry("run/db", DB, "db", "/shop", (), ("r/in/0",), (), "Reject", "Reject")},
        rules={"r/in/0": RuleEntry("r", "shop", "/shop", "sql", "Allow", "s", ())},
        selectors={"s": (("app=web",),)},
        peers={WEB: PeerEntry("u2", "web", "/shop", "e2", ("s",))},
        networks={"n": NetworkEntry("office", "/", ("10.0.0.0/24",), ("s",))},
    )
)


def identity(badge: int, length: int) -> bytes:
    return b"\x01\x01" + struct.pack("!BBHI", 253, length, 0x5757, badge) + bytes(length - 8) + b"\x01\x01"


def segment(
    source: tuple[str, int], destination: tuple[str, int], flags: int, options: bytes = b"", version: int = 4
) -> bytes:
    header = (20 + len(options)) // 4 << 4
    tcp = struct.pack("!HHIIBBHHH", source[1], destination[1], 1, 2, header, flags, 0, 0, 0) + options
    if version == 6:
        ends = socket.inet_pton(socket.AF_INET6, source[0]) + socket.inet_pton(socket.AF_INET6, destination[0])
        return struct.pack("!IHBB", 6 << 28, len(tcp), 6, 64) + ends + tcp
    ends = socket.inet_aton(source[0]) + socket.inet_aton(destination[0])
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + ends + tcp


def packet(content: bytes, direction: Literal["incoming", "outgoing"] = "incoming", **more: Any) -> CapturedPacket:
    facts: dict[str, Any] = {
        "time": 0.0, "action": "Allow", "reason": "policy", "unit_badge": DB, "peer_badge": 0, "recorded": False,
        "existing": False, "rule": "", "decided": False, "revision": 7, "device": 1, "length": len(content),
    }  # fmt: skip
    return CapturedPacket(direction=direction, content=content, **{**facts, **more})


SYN = segment(REMOTE, LOCAL, 0x02, identity(WEB, 20))
SYNACK = segment(LOCAL, REMOTE, 0x12, identity(DB, 20))
ACK = segment(REMOTE, LOCAL, 0x10, identity(WEB, 28))
DATA = segment(REMOTE, LOCAL, 0x18)


def test_a_server_sees_who_announces_and_then_proves() -> None:
    narrator = Narrator(DIRECTORY)
    assert narrator.peer(packet(SYN)) == Peer(WEB, "announced")
    assert narrator.peer(packet(SYNACK, "outgoing")) == Peer(WEB, "announced")
    assert narrator.peer(packet(ACK)) == Peer(WEB, "proved")
    assert narrator.peer(packet(DATA)) == Peer(WEB, "proved")
    assert narrator.peer(packet(segment(LOCAL, REMOTE, 0x18), "outgoing")) == Peer(WEB, "proved")


def test_a_client_knows_its_server_by_the_answer() -> None:
    narrator = Narrator(DIRECTORY)
    assert narrator.peer(packet(segment(LOCAL, REMOTE, 0x02, identity(DB, 20)), "outgoing")) == Peer(0, "by address")
    assert narrator.peer(packet(segment(REMOTE, LOCAL, 0x12, identity(WEB, 20)))) == Peer(WEB, "proved")
    assert narrator.peer(packet(segment(LOCAL, REMOTE, 0x10), "outgoing")) == Peer(WEB, "proved")
    # the next connection of these ends begins with nothing
    assert narrator.peer(packet(segment(LOCAL, REMOTE, 0x02, identity(DB, 20)), "outgoing")) == Peer(0, "by address")
    assert narrator.peer(packet(DATA)) == Peer(0, "by address")


@pytest.mark.parametrize("reason", ["proof-wrong", "badge-unknown"])
def test_what_is_refused_proves_nothing(reason: str) -> None:
    narrator = Narrator(DIRECTORY)
    refused = packet(ACK, action="Reject", reason=reason)
    assert narrator.peer(refused) == Peer(WEB, "announced")
    assert narrator.peer(packet(DATA)) == Peer(0, "by address")
    comment = narrator.comment(refused, Peer(WEB, "announced"))
    assert comment == f"Reject ({reason}); unit db (/shop); peer web (/shop), announced; revision 7"


def test_records_and_refusals_name_peer_and_rule() -> None:
    narrator = Narrator(DIRECTORY)
    recorded = packet(DATA, recorded=True, decided=True, peer_badge=WEB, rule="r/in/0")
    assert narrator.peer(recorded) == Peer(WEB, "proved")
    assert narrator.comment(recorded, Peer(WEB, "proved")) == (
        "Allow; unit db (/shop); peer web (/shop), proved; by shop/sql; revision 7"
    )
    refused = packet(SYN, action="Reject", decided=True, peer_badge=WEB)
    assert narrator.peer(refused) == Peer(WEB, "announced")
    assert narrator.comment(refused, Peer(WEB, "announced")).endswith("announced; by the default; revision 7")


def test_strangers_and_older_connections() -> None:
    narrator = Narrator(DIRECTORY)
    stranger = packet(DATA, recorded=True, decided=True)
    assert narrator.comment(stranger, narrator.peer(stranger)) == (
        "Allow; unit db (/shop); peer office, by address; by the default; revision 7"
    )
    older = packet(DATA, recorded=True, existing=True, decided=True, peer_badge=WEB)
    assert narrator.peer(older) == Peer(WEB, "existing")


def test_ipv6_other_protocols_and_packets_cut_short() -> None:
    there, here = ("2001:db8::2", 40000), ("2001:db8::1", 5432)
    found = parsed(segment(there, here, 0x02, identity(WEB, 20), version=6))
    assert found == (*there, *here, 0x02, WEB)
    datagram = bytearray(SYN)
    datagram[9] = 17
    assert parsed(bytes(datagram)) is None
    assert addresses(bytes(datagram)) == ("10.0.0.2", "10.0.0.1")
    fragment = bytearray(SYN)
    fragment[7] = 1
    assert parsed(bytes(fragment)) is None
    for size in range(len(SYN)):  # whatever is cut off, nothing fails and nobody is made up
        short = parsed(SYN[:size])
        assert short is None or short.badge in (0, WEB)


@pytest.mark.parametrize(
    "options", [b"\xfd\x00" * 2, b"\xfd\xff\x57\x57", b"\xfd\x14\x57\x58" + bytes(16), b"\x00\xfd\x14\x57"]
)
def test_options_that_are_not_the_identity(options: bytes) -> None:
    found = parsed(segment(REMOTE, LOCAL, 0x02, options + bytes(-len(options) % 4)))
    assert found is not None
    assert found.badge == 0
