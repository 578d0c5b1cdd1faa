"""Plays exchanges of datagrams with the host, by wire or BPF_PROG_RUN, and asks the oracle what comes of them."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from dataclasses import replace

from tests.datapath.ground import KEY
from tests.fuzz import terms
from tests.fuzz.grammar import OUTGOING
from tests.fuzz.handshakes import Finding, remote_of, wrapped
from tests.fuzz.oracle import Oracle
from tests.fuzz.plans import Bend, Plan
from tests.fuzz.programs import PASS_IN, REDIRECT, SHOT, Program
from tests.fuzz.proofs import trailer_of
from tests.fuzz.reading import UDP
from tests.fuzz.target import Target
from tests.fuzz.trailers import FIELDS, encoded
from watchword.identity.trailer import Message, Trailer

_EVIL, _GREETING, _QUESTION = b"evil", b"honest", b"question" + OUTGOING
#: What docs/wire-protocol.md says of bounces to one source, and the second that they are counted in.
_BOUNCES, _SECOND = 2048, 1.0737
_AMPLIFIED = 1.1
#: A challenge is good for one tick of 4.3 s at least; who was held up for longer begins anew.
_GOOD_FOR = 4.0


class Datagrams:
    """Plays plans one after the other; keeps a trailer of the one before, for replays."""

    def __init__(self, target: Target, oracle: Oracle, verify: Program, enforce: Program) -> None:
        self._target, self._oracle, self._verify, self._enforce = target, oracle, verify, enforce
        self._old = bytes(Trailer.SIZE)
        self._left: list[bytes] = []
        self.honest = self.packets = 0

    def play(self, plan: Plan) -> None:
        """One plan from its beginning to its end; raises :class:`Finding`."""
        self._hear()
        self._left.clear()
        {"called": self._called, "asking": self._asking, "flood": self._flood}[plan["kind"]](plan)

    # -- the host as the server

    def _called(self, plan: Plan) -> None:
        call = Trailer(Message.HELLO, terms.FRIEND, plan["to"], plan["nonce"], ticket=7)
        claim = replace(call, message=Message.CHALLENGE, server_nonce=plan["nonce"] ^ 1, server_epoch=1)
        self._bent(plan, plan["before"], claim, "an unproved datagram reached a socket")
        self._bent(plan, plan["syns"], call, "a call without proof reached a socket")
        if not plan["announce"]:
            return
        began = time.monotonic()
        bounce = self._bounce(plan, call)
        proof = replace(bounce, message=Message.CHALLENGE, badge=terms.FRIEND, ticket=0, bodyless=False)
        proof = proof.proved(KEY, terms.FRIEND, terms.OWN)
        self._bent(plan, plan["acks"], proof, "an unproved datagram reached a socket")
        if plan["prove"]:
            self._must_arrive(plan, proof, began, "the friend's datagram was not believed")
            self._under_session(plan, self._answer(plan, bounce), began)
        self._old = proof.surplus(8)

    def _bounce(self, plan: Plan, call: Trailer) -> Trailer:
        """What the host answers to an honest call: at once, or when its limit allows another."""
        for _ in range(3):
            self._send(plan, {}, call, _EVIL)
            for packet in self._take():
                found = trailer_of(packet)
                if found and found[1].message is Message.BOUNCE and found[1].nonce == call.nonce:
                    told = found[1]
                    wanted = replace(
                        call, message=Message.BOUNCE, badge=terms.OWN, server_epoch=1, bodyless=True,
                        server_nonce=told.server_nonce,
                    ).proved(KEY, terms.FRIEND, terms.OWN)  # fmt: skip
                    if told != wanted:
                        raise Finding(f"the host's bounce is wrong: {told}")
                    return told
            time.sleep(_SECOND)
        raise Finding("the friend's call was not bounced")

    def _must_arrive(self, plan: Plan, proof: Trailer, began: float, why: str) -> None:
        if _GREETING not in self._send(plan, {}, proof, _GREETING) and time.monotonic() - began < _GOOD_FOR:
            raise Finding(why)
        self.honest += 1

    def _answer(self, plan: Plan, bounce: Trailer) -> Trailer | None:
        """The unit replies, and its kernel proves who does; None where the flow could not be begun in time."""
        self._target.speak(plan["version"], plan["to"], remote_of(plan), plan["port"], _QUESTION)
        for packet in self._take():
            found = trailer_of(packet)
            if found and found[1].message is Message.ANSWER and found[1].nonce == bounce.nonce:
                told = found[1]
                if told.proof != told.expected_proof(KEY, terms.FRIEND, terms.OWN) or told.badge != terms.OWN:
                    raise Finding(f"the host's answer is wrong: {told}")
                return told
        return None

    def _under_session(self, plan: Plan, told: Trailer | None, began: float) -> None:
        if told is None:
            if time.monotonic() - began < _GOOD_FOR:
                raise Finding("the host's reply carries no proof")
            return
        number = self._oracle.proofs.next_call(remote_of(plan), told.server_nonce)
        if number >> 64:
            return
        later = {**plan, "port": plan["port"] ^ 0x200}
        call = replace(told, message=Message.SESSION, badge=terms.FRIEND, nonce=number, bodyless=False)
        call = call.proved(KEY, terms.FRIEND, terms.OWN)
        self._bent(later, plan["calls"], call, "a wrong call of a session reached a socket")
        number = self._oracle.proofs.next_call(remote_of(plan), told.server_nonce)
        if number >> 64:
            return
        call = replace(call, nonce=number).proved(KEY, terms.FRIEND, terms.OWN)
        self._must_arrive(later, call, began, "the friend's call was not believed")
        elsewhere = {**plan, "port": plan["port"] ^ 0x400}
        self._bent(elsewhere, [{}, *plan["replays"]], call, "a call has counted twice")

    # -- the host as the client

    def _asking(self, plan: Plan) -> None:
        local, remote = plan["to"], remote_of(plan)
        self._target.speak(plan["version"], local, remote, plan["port"], _QUESTION)
        asked = next((found[1] for each in self._take() if (found := trailer_of(each))), None)
        if asked is None or asked.message is not Message.HELLO:
            return  # somebody has been found there before
        claim = Trailer(
            Message.BOUNCE, terms.FRIEND, asked.dialled, asked.nonce, asked.epoch, 1, plan["nonce"] | 1,
            ticket=asked.ticket, bodyless=True,
        )  # fmt: skip
        proved = claim.proved(KEY, terms.OWN, terms.FRIEND)
        wrong = "what nobody proved has reached a socket"
        for bend in (*plan["before"], *plan["syns"]):
            self._bent(plan, [bend], replace(claim, message=Message.ANSWER, proof=plan["nonce"]), wrong)
        for bend in plan["acks"]:
            self._bent(plan, [bend], proved, wrong)
        if not plan["prove"]:
            return
        self._send(plan, {}, proved, b"")
        answer = replace(proved, message=Message.ANSWER, bodyless=False).proved(KEY, terms.OWN, terms.FRIEND)
        self._bent(plan, [*plan["calls"], *plan["replays"]], answer, wrong)
        if _GREETING not in self._send(plan, {}, answer, _GREETING):
            raise Finding("the friend's reply did not arrive")
        self.honest += 1

    # -- calls without end

    def _flood(self, plan: Plan) -> None:
        """No more bounces to one source than are said, however many it calls."""
        call = Trailer(Message.HELLO, terms.FRIEND, plan["to"], plan["nonce"], ticket=7)
        packet = self._packets(plan, {}, call, b"")[0]
        began, bounced = time.monotonic(), 0
        self.packets += 1  # it is always the same
        for _ in range(plan["count"]):
            bounced += self._verify.run(packet) == REDIRECT
        self._oracle.proofs.heard(self._verify.left())
        allowed = _BOUNCES * (int((time.monotonic() - began) / _SECOND) + 2)
        if bounced > allowed:
            raise Finding(f"more bounces than are allowed: {bounced} of {plan['count']}, where {allowed} are")

    # -- datagrams

    def _bent(self, plan: Plan, bends: Sequence[Bend], said: Trailer, why: str) -> None:
        for bend in bends:
            self._send(plan, bend, said, _EVIL * plan["payload"], why)

    def _send(self, plan: Plan, bend: Bend, said: Trailer, payload: bytes, why: str = "") -> bytes:
        """Send, and look at what leaves and what arrives; all that has arrived."""
        packets = self._packets(plan, bend, said, payload)
        self._take()
        arrived = b""
        for packet in packets:
            self._oracle.proofs.sent(packet)
            arrived += self._run(packet) if plan["way"] == "run" else self._wire(packet, why)
        self._hear()
        self._weigh(sum(map(len, packets)))
        return arrived

    def _wire(self, packet: bytes, why: str) -> bytes:
        self._target.send(packet, checked=True)
        arrived = b""
        for arrival in list(self._target.arrivals(self._target.ready())):  # also where the first one is a finding
            if not self._oracle.may_come_in(arrival.packet):
                raise Finding(f"{why or 'an unproved datagram reached a socket'}: {arrival.where}")
            if arrival.where.startswith("udp "):
                arrived += arrival.packet
        return arrived

    def _run(self, packet: bytes) -> bytes:
        """Both programs that it would pass, one after the other."""
        self.packets += 1
        verdict = self._verify.run(packet)
        if verdict is None or verdict == SHOT:
            return b""
        if verdict == REDIRECT:
            self._left.append(self._verify.left())
            self._oracle.proofs.heard(self._left[-1])
            if OUTGOING in self._left[-1] and not self._oracle.may_leave(self._left[-1]):
                raise Finding("data left before anybody had proved himself")
            return b""
        if self._enforce.run(packet) != PASS_IN:
            return b""
        if not self._oracle.may_come_in(packet):
            raise Finding("verify and enforce let in what nobody has proved")
        return packet

    def _hear(self) -> None:
        for packet in self._target.heard():
            if not self._oracle.may_leave(packet) and OUTGOING in packet:
                raise Finding(f"data left before anybody had proved himself: {packet.hex()}")
            self._left.append(packet)

    def _take(self) -> list[bytes]:
        self._hear()
        taken, self._left = self._left, []
        return taken

    def _weigh(self, sent: int) -> None:
        """Nobody gets more in bounces than was sent in his name."""
        found = [(len(packet), made[1].message) for packet in self._left if (made := trailer_of(packet))]
        back = sum(size for size, message in found if message is Message.BOUNCE)
        if back > _AMPLIFIED * sent:
            raise Finding(f"bounces are longer than what they answer: {back} bytes for {sent}")

    def _packets(self, plan: Plan, bend: Bend, said: Trailer, payload: bytes) -> list[bytes]:
        source = remote_of({**plan, "host": bend["host"]} if "host" in bend else plan)
        port = (plan["port"] + bend.get("port", 0)) & 0xFFFF
        data = payload
        length = 8 + len(data)
        behind = encoded(_bent_fields(said, bend), bend, length, self._old)
        if bend.get("middle"):
            data, behind = data + behind, b""
            length += len(data) - len(payload)
        told = (length + bend.get("udp length", 0)) & 0xFFFF
        body = struct.pack("!HHHH", port, bend.get("to", plan["to"]), told, 0) + data + behind
        check = _checksum(source, terms.HOST[plan["version"]], body[:told])
        return list(wrapped(plan["version"], source, body[:6] + check + body[8:], bend, UDP))


def _bent_fields(said: Trailer, bend: Bend) -> Trailer:
    changed: dict[str, int] = {}
    for name in FIELDS:
        if name in bend:
            whole = name in ("message", "badge")
            changed[name] = bend[name] if whole else getattr(said, name) ^ bend[name]
    if "message" in changed:
        changed["message"] = Message(changed["message"])
    if bend.get("zero"):
        changed["proof"] = 0
    if "bodyless" in bend:
        changed["bodyless"] = True
    made: Trailer = replace(said, **changed)  # type: ignore[arg-type]
    return made.proved(KEY, terms.FRIEND, terms.OWN) if bend.get("sign") else made


def _checksum(source: bytes, destination: bytes, datagram: bytes) -> bytes:
    covered = source + destination + struct.pack("!HH", UDP, len(datagram)) + datagram
    covered += bytes(len(covered) % 2)
    total: int = sum(struct.unpack(f"!{len(covered) // 2}H", covered))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF or 0xFFFF)
