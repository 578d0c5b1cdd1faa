"""Plays plans of handshakes against the real sockets of the host, and asks the oracle about whatever comes of them."""

from __future__ import annotations

import errno
import socket
import struct
import time
from typing import NamedTuple

from testbed.packets import Option
from tests.datapath.ground import KEY
from tests.fuzz import terms
from tests.fuzz.grammar import ipv4, ipv6, tcp
from tests.fuzz.oracle import Ends, Oracle
from tests.fuzz.plans import Bend, Plan
from tests.fuzz.target import Target
from watchword.identity.transcript import (
    EXID,
    OPTION_KIND,
    AckOption,
    SynAckOption,
    SynOption,
    transcript_of,
)

_MSS = Option(2, b"\x05\xb4").encode()
_RST = 0x04
_SYN, _SYNACK, _ACK = 0x02, 0x12, 0x10
_TCP = 6
_GREETING = b"honest"
_SETTLING = 2.0


class Finding(Exception):  # noqa: N818
    """Something that the oracle does not allow, or that no longer works."""


class Heard(NamedTuple):
    """A segment that has left the host."""

    remote: bytes
    sport: int
    dport: int
    seq: int
    ack: int
    flags: int
    option: bytes  # data of the identity option, or nothing
    payload: bytes


class Handshakes:
    """Plays plans one after the other; keeps the options of earlier ones, for replays."""

    def __init__(self, target: Target, oracle: Oracle) -> None:
        self._target, self._oracle = target, oracle
        self._old = {20: bytes(20), 28: bytes(28)}
        self.honest = 0

    def play(self, plan: Plan) -> None:
        """One plan from its beginning to its end; raises :class:`Finding`."""
        for packet in self._target.heard():  # what was late may have begun a flow
            self._oracle.may_leave(packet)
        if plan["kind"] == "call":
            self._call(plan)
        else:
            self._answer(plan)

    # -- the host as the server

    def _call(self, plan: Plan) -> None:
        for bend in plan["before"]:
            self._send(plan, bend, _ACK, plan["seq"] + 1, 1, self._old[28])
        syn = SynOption(terms.FRIEND, 1, plan["to"], plan["nonce"])
        option = _encoded(syn.data())
        for bend in plan["syns"]:
            self._send(plan, bend, _SYN, plan["seq"], 0, option)
        self.expect_nobody()
        if plan["announce"]:
            self._send(plan, {}, _SYN, plan["seq"], 0, option)
        answer = self._answer_to(plan)
        if answer is None:
            self.expect_nobody()
            if plan["announce"] and not plan["syns"] and plan["to"] == terms.STREAM_PORTS[0]:
                raise Finding("the friend's SYN was not answered")
            return
        ends = Ends(remote_of(plan), plan["port"], plan["to"])
        told = SynAckOption.parse(answer.option)
        owed = self._oracle.answered(ends, answer.seq, syn, told)
        if owed is None:
            if not plan["syns"]:
                raise Finding("the host's own proof is wrong")
            return
        proof = _encoded(owed.data())
        for bend in plan["acks"]:
            self._send(plan, bend, _ACK, plan["seq"] + 1, answer.seq + 1, proof, _encoded(answer.option))
        self._old = {20: option, 28: proof}
        early = self._connections(ends)
        if plan["prove"]:
            self._finish(plan, ends, answer, proof, early)
        for each in early:
            each.close()
        self._oracle.forget(ends)

    def _finish(self, plan: Plan, ends: Ends, answer: Heard, proof: bytes, early: list[socket.socket]) -> None:
        self._send(plan, {}, _ACK, plan["seq"] + 1, answer.seq + 1, proof)
        before = list(early)
        made = early + self._connections(ends)
        early[:] = made
        if not made:
            # A SYN within the window ends what has begun, whoever sends it: so any kernel does (RFC 9293, 3.10.7.4).
            # So does the client's RST, if its number is exactly right.
            ended = any("seq" in bend for bend in plan["syns"]) or any(
                bend.get("flags", 0) & _RST for bend in plan["acks"]
            )
            if plan["to"] == terms.STREAM_PORTS[0] and not ended:
                raise Finding("the friend's proof was not believed")
            return
        self.honest += 1
        if made[0] not in before:
            self._stand(plan, made[0], ends, answer.seq + 1)

    def _stand(self, plan: Plan, connection: socket.socket, ends: Ends, ack: int) -> None:
        """The connection stands: nobody else can say anything on it, and the friend can."""
        host = terms.HOST[plan["version"]]
        ports = struct.pack("!H", ends.local_port), struct.pack("!H", ends.remote_port)
        stream = (host, ends.remote, *ports)
        self._oracle.streams.add(stream)
        seq = plan["seq"] + 1
        for bend in plan["after"]:
            self._send(plan, bend, _ACK, seq, ack, b"")
        self._send(plan, {"option": "none", "payload": _GREETING.hex()}, 0x18, seq, ack, b"")
        try:
            data = connection.recv(4096)
        except OSError as error:
            raise Finding(f"the friend's data did not arrive: {error}") from None
        finally:
            self._oracle.streams.discard(stream)
        if data != _GREETING:
            raise Finding(f"the application got {data!r} from the friend")

    def _answer_to(self, plan: Plan) -> Heard | None:
        """The newest SYN-ACK for a plan's SYNs that has an identity."""
        found = None
        for packet in self._target.heard():
            heard = _segment(packet, len(terms.HOST[plan["version"]]))
            if heard is None or heard.flags & 0x17 != _SYNACK or heard.remote != remote_of(plan):
                continue
            if heard.dport == plan["port"] and heard.ack == (plan["seq"] + 1) & 0xFFFFFFFF and heard.option:
                found = heard
        return found

    def expect_nobody(self) -> None:
        """Connections that have come about without being expected here."""
        self._connections(None)

    def _connections(self, expected: Ends | None) -> list[socket.socket]:
        mine = []
        for ends, connection in self._target.accepted():
            if not self._oracle.may_be_accepted(ends):
                connection.close()
                raise Finding(f"a connection without proof was accepted: {ends}")
            if ends == expected:
                mine.append(connection)
            else:
                connection.close()
        return mine

    # -- the host as the client

    def _answer(self, plan: Plan) -> None:
        network = next(each for each in terms.NETWORKS if each.number == plan["network"])
        with self._target.connecting(network, plan["version"], plan["host"], plan["to"]) as near:
            port = near.getsockname()[1]
            called = self._call_of(plan, port)
            if called is None:
                raise Finding("the unit's SYN did not leave with its identity")
            ends = Ends(remote_of(plan), plan["to"], port)
            syn = SynOption.parse(called.option)
            whole = SynAckOption(terms.FRIEND, plan["nonce"], 0)
            proved = SynAckOption(terms.FRIEND, plan["nonce"], transcript_of(syn, whole).synack_proof(KEY))
            answering = {**plan, "port": plan["to"], "to": port}
            option = _encoded(proved.data())
            self._oracle.calls(ends, option)
            spoiled = _encoded(SynAckOption(terms.FRIEND, plan["nonce"], proved.proof ^ 1).data())
            for bend in plan["acks"]:
                flips = bool({"flip", "option", "kind", "exid", "length", "cut", "badge"} & set(bend))
                self._send(answering, bend, _SYNACK, plan["seq"], called.seq + 1, option if flips else spoiled)
            aborted = self._aborted(near, ends)
            if plan["prove"] and not (aborted and plan["acks"]) and not self._oracle.may_be_connected(ends):
                self._send(answering, {}, _SYNACK, plan["seq"], called.seq + 1, option)
                self._connected(answering, near, called, transcript_of(syn, proved).ack_proof(KEY))
            self._oracle.forget(ends)

    def _connected(self, plan: Plan, near: socket.socket, called: Heard, proof: int) -> None:
        state = _state(near)
        deadline = time.monotonic() + _SETTLING
        while state == "connecting" and plan["acks"] and time.monotonic() < deadline:
            state = _state(near)  # the agent may be about to end it
        if state not in ("connected", "connecting") and plan["acks"]:
            return
        if state != "connected":
            raise Finding(f"the friend's answer was not believed: {state}")
        self.honest += 1
        sent = [_segment(packet, len(remote_of(plan))) for packet in self._target.heard()]
        acks = [heard for heard in sent if heard and heard.sport == plan["to"] and heard.flags == _ACK]
        if not any(heard.option and AckOption.parse(heard.option).proof == proof for heard in acks):
            raise Finding("the unit's own proof did not leave")
        for bend in plan["after"]:
            self._send(plan, bend, _ACK, plan["seq"] + 1, called.seq + 1, b"")
        self._send(plan, {"option": "none", "payload": _GREETING.hex()}, 0x18, plan["seq"] + 1, called.seq + 1, b"")
        try:
            data = near.recv(4096)
        except OSError as error:
            if plan["acks"] and error.errno == errno.ECONNABORTED:
                return  # the agent has ended it for what was heard before the friend
            raise Finding(f"the friend's data did not arrive: {error}") from None
        if data != _GREETING:
            raise Finding(f"the application got {data!r} from the friend")

    def _aborted(self, near: socket.socket, ends: Ends) -> bool:
        """Whether the host has given the connection up: who sees its SYN can make it do so, and do no more."""
        state = _state(near)
        if state == "connected" and not self._oracle.may_be_connected(ends):
            raise Finding(f"a socket was connected without proof: {ends}")
        return state not in ("connected", "connecting")

    def _call_of(self, plan: Plan, port: int) -> Heard | None:
        for packet in self._target.heard():
            heard = _segment(packet, len(remote_of(plan)))
            if heard and heard.flags & 0x17 == _SYN and heard.sport == port and heard.option:
                return heard
        return None

    # -- segments

    def _send(self, plan: Plan, bend: Bend, flags: int, seq: int, ack: int, option: bytes, answer: bytes = b"") -> None:
        for packet in self._packets(plan, bend, flags, seq, ack, option, answer):
            self._target.send(packet)

    def _packets(
        self, plan: Plan, bend: Bend, flags: int, seq: int, ack: int, option: bytes, answer: bytes
    ) -> list[bytes]:
        version = plan["version"]
        source = remote_of({**plan, "host": bend["host"]}) if "host" in bend else remote_of(plan)
        port = (plan["port"] + bend.get("port", 0)) & 0xFFFF
        said = self._option(bend, option, answer)
        options = (_MSS if flags & _SYN and len(said) <= 36 else b"") + said
        options = options[:40] + bytes(-len(options[:40]) % 4)
        ack += bend.get("ack", 0)
        body = tcp(
            *(port, plan["to"], seq + bend.get("seq", 0), ack, bend.get("flags", flags)),
            options,
            bytes.fromhex(bend.get("payload", "")),
            bend.get("words"),
        )
        self._oracle.sent(Ends(source, port, plan["to"]), ack & 0xFFFFFFFF, body[20 : (body[12] >> 4) * 4])
        return list(wrapped(version, source, body, bend))

    def _option(self, bend: Bend, option: bytes, answer: bytes) -> bytes:
        said = {"none": b"", "zero": option[:8] + bytes(max(0, len(option) - 8)), "of the answer": answer}.get(
            bend.get("option", ""), self._old.get(len(option), b"") if bend.get("option") == "old" else option
        )
        made = bytearray(said)
        if len(made) >= 8:
            if "badge" in bend:
                made[4:8] = bend["badge"].to_bytes(4, "big")
            if "exid" in bend:
                made[2:4] = bend["exid"].to_bytes(2, "big")
            made[0] = bend.get("kind", made[0])
            made[1] = bend.get("length", made[1])
        for bit in bend.get("flip", ()):
            if made:
                made[bit // 8 % len(made)] ^= 1 << bit % 8
        if "cut" in bend:
            del made[-bend["cut"] :]
        said = bytes.fromhex(bend.get("ahead", "")) + bytes(made) * (2 if bend.get("twice") else 1)
        return said + bytes.fromhex(bend.get("behind", ""))


def wrapped(version: int, source: bytes, body: bytes, bend: Bend, protocol: int = _TCP) -> list[bytes]:
    """The packet, or its fragments, behind the headers that a bend says."""
    host, size = terms.HOST[version], bend.get("fragments", 0)
    if version == 4:
        options = bytes.fromhex(bend.get("ip options", ""))
        if not size:
            return [
                ipv4(source, host, protocol, body, options=options, length=_length(20 + len(options) + len(body), bend))
            ]
        pieces = range(0, len(body), size)
        more = [0x2000 * (at + size < len(body)) | at // 8 for at in pieces]
        return [
            ipv4(source, host, protocol, body[at : at + size], fragment=field, number=len(body))
            for at, field in zip(pieces, more, strict=True)
        ]
    if size:
        return [
            ipv6(
                source,
                host,
                44,
                struct.pack("!BBHI", protocol, 0, at | (at + size < len(body)), len(body)) + body[at : at + size],
            )
            for at in range(0, len(body), size)
        ]
    following = protocol
    for kind in reversed(bend.get("chain", ())):
        body = bytes([following, 0, 1 if kind != 44 else 0, 4 if kind != 44 else 0]) + bytes(4) + body
        following = kind
    return [ipv6(source, host, following, body, length=_length(len(body), bend))]


def _length(length: int, bend: Bend) -> int | None:
    return length + bend["ip length"] if "ip length" in bend else None


def _encoded(data: bytes) -> bytes:
    return bytes([OPTION_KIND, len(data) + 2]) + data


def remote_of(plan: Plan) -> bytes:
    """The address that a plan speaks of."""
    network = next(each for each in terms.NETWORKS if each.number == plan["network"])
    return terms.address(plan["version"], network, plan["host"])


def _segment(packet: bytes, size: int) -> Heard | None:
    """A TCP segment behind a plain header of this version, or None; ``size`` is that of an address."""
    at = 20 if size == 4 else 40
    if len(packet) < at + 20 or packet[0] >> 4 != (4 if size == 4 else 6) or packet[9 if size == 4 else 6] != _TCP:
        return None
    sport, dport, seq, ack, words, flags = struct.unpack_from("!HHIIBB", packet, at)
    end = at + (words >> 4) * 4
    option = next((packet[end - n + 2 : end] for n in (20, 28) if _is_ours(packet[at + 20 : end], n)), b"")
    return Heard(packet[at - size : at], sport, dport, seq, ack, flags, option, packet[end:])


def _is_ours(options: bytes, length: int) -> bool:
    head = struct.pack("!BBH", OPTION_KIND, length, EXID)
    return len(options) >= length and options[-length:][:4] == head


def _state(near: socket.socket) -> str:
    number = near.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number:
        return errno.errorcode[number]
    try:
        near.getpeername()
    except OSError:
        return "connecting"
    return "connected"
