"""Which datagrams have proved themselves: what the oracle knows of trailers, by the reference alone.

It hears of every packet that is sent to the host and of every one that leaves it. What a server must have asked for
stands in the bounces that were heard, what a client must have asked in its calls.
"""

from __future__ import annotations

from tests.datapath.ground import KEY
from tests.fuzz import terms
from tests.fuzz.reading import UDP, Key, Reading, read
from watchword.identity.trailer import VERSION, Message, Trailer

_EPOCH = 1  # the only one that there are keys for; programs know epochs by their lowest bits
_MANY = 50_000


def trailer_of(packet: bytes) -> tuple[Reading, Trailer] | None:
    """The trailer of a packet that has a plain IP header and all else as docs/wire-protocol.md says."""
    reading = read(packet)
    if reading is None or reading.piece != "whole" or reading.protocol != UDP:
        return None
    if packet[0] != 0x45 and (packet[0] >> 4, packet[6]) != (6, UDP):
        return None
    length = int.from_bytes(reading.upper[4:6], "big")
    if not 8 <= length <= len(reading.upper):
        return None
    try:
        found = Trailer.parse(reading.upper[length:], length)
    except ValueError:
        return None
    return (reading, found) if found.version == VERSION else None


class Proofs:
    """Flows of datagrams that were proved, in either direction."""

    def __init__(self) -> None:
        self._challenges: dict[tuple[Key, int], set[int]] = {}
        self._sessions: dict[tuple[bytes, int], set[int]] = {}
        self._opened: dict[Key, int] = {}
        self._asked: dict[Key, int] = {}
        #: Flows that somebody with the key has opened, and those in which the server has proved itself.
        self.proved: set[Key] = set()
        #: Flows of which the server has been found out, so that data may leave.
        self.reached: set[Key] = set()

    def heard(self, packet: bytes) -> None:
        """A packet has left the host, or would have."""
        made = trailer_of(packet)
        if made is None:
            return
        reading, told = made
        flow = reading.flow(incoming=False)
        if told.message is Message.HELLO:
            self._asked[flow] = told.nonce
        elif told.message is Message.BOUNCE and _right(told, terms.FRIEND, terms.OWN):
            self._challenges.setdefault((flow, told.nonce), set()).add(told.server_nonce)
        elif told.message is Message.ANSWER and _right(told, terms.FRIEND, terms.OWN):
            self._sessions.setdefault((reading.destination, told.server_nonce), set())
        for table in (self._challenges, self._sessions, self._asked):
            if len(table) > _MANY:
                table.clear()

    def sent(self, packet: bytes) -> None:
        """A packet goes to the host: it may open a flow, or be the proof that one waits for."""
        made = trailer_of(packet)
        if made is None or made[1].badge != terms.FRIEND:
            return
        reading, told = made
        flow = reading.flow(incoming=True)
        if told.message is Message.CHALLENGE and _right(told, terms.FRIEND, terms.OWN):
            if told.server_nonce in self._challenges.get((flow, told.nonce), ()):
                self._opens(flow, told.nonce)
        elif told.message is Message.SESSION and _right(told, terms.FRIEND, terms.OWN):
            self._called(reading, flow, told)
        elif told.nonce == self._asked.get(flow) and _right(told, terms.OWN, terms.FRIEND):
            if told.message is Message.BOUNCE:
                self.reached.add(flow)
            elif told.message is Message.ANSWER and flow in self.reached:
                self.proved.add(flow)

    def next_call(self, source: bytes, session: int) -> int:
        """A number that no call of the session has had."""
        return max(self._sessions.get((source, session), ()), default=0) + 1

    def _called(self, reading: Reading, flow: Key, told: Trailer) -> None:
        used = self._sessions.get((reading.source, told.server_nonce))
        someone = int.from_bytes(reading.upper[2:4], "big") in terms.DATAGRAM_PORTS
        if used is None or not someone or not told.nonce or self._opened.get(flow) == told.nonce:
            return
        if told.nonce not in used:
            used.add(told.nonce)
            self._opens(flow, told.nonce)

    def _opens(self, flow: Key, nonce: int) -> None:
        self.proved.add(flow)
        self._opened[flow] = nonce


def _right(told: Trailer, client: int, server: int) -> bool:
    epochs = told.epoch & 1 == told.server_epoch & 1 == _EPOCH & 1
    return epochs and told.proof == told.expected_proof(KEY, client, server)
