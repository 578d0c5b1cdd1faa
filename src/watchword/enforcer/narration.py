"""What is said about a captured packet: its verdict, why, and who is at both ends. Pure.

The kernel names the peer of a connection that has a record, and of a refusal that has a rule. Of a handshake the
packets themselves name it: what they announce is told as announced until a packet has passed that proves it.
"""

from __future__ import annotations

import ipaddress
import struct
from collections import OrderedDict
from typing import NamedTuple

from watchword.enforcer.datapath.base import CapturedPacket
from watchword.enforcer.directory import Directory, identity_text

_TCP = 6
_SYN, _ACK = 0x02, 0x10

#: The option that carries an identity, as bpf/include/api.h has it: kind, and ExID "WW"; then the badge.
_KIND, _EXID = 253, 0x5757
_END, _NOP = 0, 1

#: Connections remembered, the oldest forgotten first.
_REMEMBERED = 10_000


class Segment(NamedTuple):
    """What of a TCP segment matters here."""

    source: str
    source_port: int
    destination: str
    destination_port: int
    flags: int
    badge: int  # announced by its sender; 0 for none


class Peer(NamedTuple):
    """Who is at the other end: ``state`` is ``proved``, ``announced``, ``existing`` or ``by address``."""

    badge: int
    state: str


_NOBODY = Peer(0, "by address")


class Narrator:
    """Tells packets' stories, one after the other."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._peers: OrderedDict[tuple[str, int, str, int], Peer] = OrderedDict()

    def peer(self, packet: CapturedPacket) -> Peer:
        """Who is at the other end of a packet. Each packet is to be asked about once, in order."""
        segment = parsed(packet.content)
        if packet.existing:
            return Peer(packet.peer_badge, "existing")
        if packet.recorded:
            return Peer(packet.peer_badge, "proved") if packet.peer_badge else _NOBODY
        if segment is None:
            return Peer(packet.peer_badge, "announced") if packet.peer_badge else _NOBODY
        if packet.decided and packet.peer_badge:
            opening = segment.flags & (_SYN | _ACK) == _SYN
            return Peer(packet.peer_badge, "announced" if opening or packet.reason != "policy" else "proved")
        return self._by_handshake(packet, segment)

    def _by_handshake(self, packet: CapturedPacket, segment: Segment) -> Peer:
        incoming = packet.direction == "incoming"
        here, there = segment[:2], segment[2:4]
        where = (*there, *here) if incoming else (*here, *there)
        known = self._peers.get(where)
        if segment.flags & (_SYN | _ACK) == _SYN and not incoming:
            self._peers.pop(where, None)  # another connection between the same ends
            return _NOBODY
        if not incoming or not segment.badge:
            return known or _NOBODY
        proves = bool(segment.flags & _ACK) and packet.action == "Allow"
        told = Peer(segment.badge, "proved" if proves else "announced")
        if packet.action == "Allow":
            self._peers[where] = told
            self._peers.move_to_end(where)
            if len(self._peers) > _REMEMBERED:
                self._peers.popitem(last=False)
        return told

    def comment(self, packet: CapturedPacket, peer: Peer) -> str:
        """The comment of a packet, on one line."""
        verdict = packet.action if packet.reason == "policy" else f"{packet.action} ({packet.reason})"
        parts = [verdict, f"unit {self._named(packet.unit_badge)}"]
        parts.append(f"peer {self._named(peer.badge)}, {peer.state}" if peer.badge else self._stranger(packet, peer))
        if packet.decided:
            parts.append(f"by {self._rule(packet.rule)}")
        parts.append(f"revision {packet.revision}")
        return "; ".join(parts)

    def _named(self, badge: int) -> str:
        identity = self._directory.unit(badge)
        where = f" ({identity['namespace']})" if identity and identity["namespace"] else ""
        return identity_text(identity) + where

    def _stranger(self, packet: CapturedPacket, peer: Peer) -> str:
        ends = addresses(packet.content)
        other = ends[0 if packet.direction == "incoming" else 1] if ends else ""
        network = self._directory.network(other)
        return f"peer {network or 'somewhere'}, {peer.state}"

    def _rule(self, key: str) -> str:
        if not key:
            return "the default"
        rule = self._directory.rule(key)
        return "/".join(part for part in (rule["ruleset"], rule["name"]) if part) or key


def addresses(content: bytes) -> tuple[str, str] | None:
    """Source and destination of an IP packet; None when it is none, or cut short."""
    version = content[0] >> 4 if content else 0
    at, size = (12, 4) if version == 4 else (8, 16)
    if version not in (4, 6) or len(content) < at + 2 * size:
        return None
    source, destination = content[at : at + size], content[at + size : at + 2 * size]
    return str(ipaddress.ip_address(source)), str(ipaddress.ip_address(destination))


def parsed(content: bytes) -> Segment | None:
    """The TCP segment in an IP packet; None when there is none, or not enough of it was captured."""
    ends = addresses(content)
    if ends is None:
        return None
    if content[0] >> 4 == 4:
        protocol, at = content[9], (content[0] & 15) * 4
        if struct.unpack_from("!H", content, 6)[0] & 0x1FFF:
            return None
    else:
        protocol, at = content[6], 40
    if protocol != _TCP or len(content) < at + 20:
        return None
    source_port, destination_port = struct.unpack_from("!HH", content, at)
    header = (content[at + 12] >> 4) * 4
    badge = _badge(content[at + 20 : at + header])
    return Segment(ends[0], source_port, ends[1], destination_port, content[at + 13], badge)


def _badge(options: bytes) -> int:
    """The badge in the identity option; 0 when there is none."""
    at = 0
    while at < len(options) and options[at] != _END:
        if options[at] == _NOP:
            at += 1
            continue
        length = options[at + 1] if at + 1 < len(options) else 0
        if length < 2 or at + length > len(options):
            return 0
        if options[at] == _KIND and length >= 8 and struct.unpack_from("!H", options, at + 2)[0] == _EXID:
            return int(struct.unpack_from("!I", options, at + 4)[0])
        at += length
    return 0
