"""Who may have reached a socket, or left the host: by proofs that the reference computes, and by plain policy.

The oracle hears of every packet that is sent and of everything that sockets receive. It knows keys, addresses and
the terms of policy, and nothing of what the kernel programs have decided.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.datapath.ground import KEY
from tests.fuzz import terms
from tests.fuzz.proofs import Proofs
from tests.fuzz.reading import ICMP, ICMP6, LEAST, UDP, WITH_PORTS, Key, Reading, read
from watchword.identity.transcript import (
    OPTION_KIND,
    AckOption,
    SynAckOption,
    SynOption,
    transcript_of,
)


class Ends(NamedTuple):
    """A connection by its other end, and the host's port."""

    remote: bytes
    remote_port: int
    local_port: int


class Oracle:
    """What has been proved and allowed so far."""

    def __init__(self) -> None:
        self._acknowledgements: dict[tuple[Ends, int], bytes] = {}
        self._proved: dict[Ends, set[int]] = {}
        self._answers: dict[Ends, bytes] = {}
        self._called: set[Ends] = set()
        self._flows: set[Key] = set()
        self._asked: set[Key] = set()
        self._fragments: set[tuple[bytes, bytes, bytes]] = set()
        self.proofs = Proofs()
        self.streams: set[tuple[bytes, bytes, bytes, bytes]] = set()

    # -- handshakes in which the host is the server

    def answered(self, ends: Ends, isn: int, syn: SynOption, answer: SynAckOption) -> AckOption | None:
        """The host has answered a SYN: what would prove the friend to it. None when it has answered another SYN."""
        transcript = transcript_of(syn, answer)
        if answer.proof != transcript.synack_proof(KEY):
            return None
        proof = AckOption(syn.badge, syn.epoch, answer.nonce & 1, syn.dialled, syn.nonce, transcript.ack_proof(KEY))
        if len(self._acknowledgements) > 4096:
            self._acknowledgements.clear()
            self._proved.clear()
        self._acknowledgements[ends, isn] = bytes([OPTION_KIND, AckOption.LENGTH]) + proof.data()
        return proof

    def sent(self, ends: Ends, ack: int, option: bytes) -> None:
        """A segment goes to the host that ends with these options: they may be the proof."""
        isn = (ack - 1) & 0xFFFFFFFF
        right = self._acknowledgements.get((ends, isn))
        if right is not None and _settled(option[-AckOption.LENGTH :]) == _settled(right):
            self._proved.setdefault(ends, set()).add(isn)
        answer = self._answers.get(ends)
        if answer is not None and option.endswith(answer):
            self._called.add(ends)

    def may_be_accepted(self, ends: Ends) -> bool:
        """Whether a connection from there may have come about; each proof is good for one.

        The second listener has a short queue, and soon uses SYN cookies: there it may be used again (docs/datapath.md,
        limits).
        """
        if terms.network_of(ends.remote).allows("in", 6):
            return True
        proved = self._proved.get(ends)
        if not proved:
            return False
        if ends.local_port != terms.STREAM_PORTS[1]:
            proved.pop()
        return True

    # -- handshakes in which the host is the client

    def calls(self, ends: Ends, answer: bytes) -> None:
        """The unit calls there, and only this option would prove the friend to it."""
        self._answers[ends] = answer

    def may_be_connected(self, ends: Ends) -> bool:
        """Whether a socket of the host's unit may find itself connected there."""
        if terms.network_of(ends.remote).allows("out", 6):
            return True
        return ends in self._called

    def forget(self, ends: Ends) -> None:
        """Both ends are gone."""
        self._called.discard(ends)
        self._answers.pop(ends, None)
        self._proved.pop(ends, None)

    # -- everything else

    def may_come_in(self, packet: bytes) -> bool:
        """Whether a socket may receive this packet, as it came in. What passes becomes a flow."""
        reading = read(packet, cut=True)
        if reading is None or reading.piece != "whole":
            return False
        return self._may_pass(reading, "in")

    def must_come_in(self, packet: bytes) -> bool:
        """Whether a rule says so, and the packet is beyond any doubt; who was asked by UDP proves himself first."""
        reading = read(packet)
        if reading is None or reading.piece != "whole" or reading.flow(incoming=True) in self._asked:
            return False
        return self._ruled(reading, "in")

    def asks(self, packet: bytes) -> None:
        """The unit's datagram does not leave, or without its data: it may be kept until it is known who is there."""
        reading = read(packet)
        if reading is not None and reading.protocol == UDP and reading.piece != "later":
            self._asked.add(reading.flow(incoming=False))

    def said(self, packet: bytes) -> None:
        """The unit sends this, perhaps to its own host: a unit may speak to itself, and that is a flow too."""
        packet = _filled(packet)
        reading = read(packet)
        if reading is None or reading.piece == "later":
            return
        self.asks(packet)
        to = reading.destination
        if to in terms.HOST.values() or not any(to[:-1]) or not any(to) or (len(to) == 4 and to[0] == 127):
            self._flows.add(reading.flow(incoming=False))
            self._flows.add(reading.flow(incoming=True))

    def may_be_answered(self, packet: bytes) -> bool:
        """Whether the kernel may answer an echo request: this is its answer, and the request was for the unit."""
        reading = read(packet)
        if reading is None or reading.piece != "whole" or not reading.upper:
            return True
        if (reading.protocol, reading.upper[0]) not in ((ICMP, 0), (ICMP6, 129)):
            return True
        return self._may_pass(reading, "out") or terms.network_of(reading.destination).allows("in", reading.protocol)

    def may_leave(self, packet: bytes) -> bool:
        """Whether the unit may send this packet."""
        self.proofs.heard(packet)
        reading = read(packet)
        if reading is None:
            return False
        ends = reading.source, reading.destination, reading.number
        if reading.piece == "later":
            return ends in self._fragments or reading.is_network
        passes = self._may_pass(reading, "out")
        if passes and reading.piece == "first":
            self._fragments.add(ends)
        return passes

    def must_leave(self, packet: bytes) -> bool:
        """Whether a rule says so, and the packet is beyond any doubt."""
        reading = read(packet)
        return reading is not None and reading.piece == "whole" and self._ruled(reading, "out")

    def _ruled(self, reading: Reading, way: terms.Way) -> bool:
        remote = reading.source if way == "in" else reading.destination
        return terms.network_of(remote).allows(way, reading.protocol)

    def _may_pass(self, reading: Reading, way: terms.Way) -> bool:
        if reading.is_network or (reading.is_error and self._quotes_known(reading, way)):
            return True
        flow = reading.flow(way == "in")
        if self._ruled(reading, way):
            self._flows.add(flow)
            return True
        if way == "out" and flow in self.proofs.reached:
            return True
        return flow in self._flows or flow in self.proofs.proved

    def _quotes_known(self, error: Reading, way: terms.Way) -> bool:
        """Whether an error is about a packet of a flow that was allowed, and was sent by whoever gets the error."""
        quoted = read(error.upper[8:], quoted=True)
        if quoted is None or quoted.piece == "later" or quoted.source != error.destination:
            return False
        if len(quoted.upper) < (4 if quoted.protocol in WITH_PORTS else LEAST.get(quoted.protocol, 0)):
            return False
        flow = quoted.flow(way == "out")
        if flow in self._flows or (way == "in" and flow in self._asked):
            return True
        ends = quoted.source, quoted.destination, quoted.upper[:2], quoted.upper[2:4]
        return way == "in" and quoted.protocol == 6 and ends in self.streams


def _filled(packet: bytes) -> bytes:
    """What the kernel makes of the IPv4 header of a raw socket: it sets the length, and a source where none is."""
    if len(packet) < 20 or packet[0] >> 4 != 4:
        return packet
    source = packet[12:16] if any(packet[12:16]) else terms.HOST[4]
    return packet[:2] + len(packet).to_bytes(2, "big") + packet[4:12] + source + packet[16:]


def _settled(option: bytes) -> bytes:
    """An ACK's option with nothing in it that is read by nobody: of the server's epoch only the lowest bit is."""
    return option[:9] + bytes([option[9] & 1]) + option[10:] if len(option) > 9 else option
