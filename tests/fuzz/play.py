"""Rounds of the fuzzer: plans of handshakes, packets on the wire, packets of the unit, and programs run alone.

What a round does follows from its seed and number. Whatever the oracle does not allow is cut down to the least that
shows it again.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz import plans, terms, trailers
from tests.fuzz.datagrams import Datagrams
from tests.fuzz.grammar import OUTGOING, Grammar
from tests.fuzz.handshakes import Finding, Handshakes
from tests.fuzz.oracle import Oracle
from tests.fuzz.programs import LET_OUT, PASS_IN, REDIRECT, SHOT, Program
from tests.fuzz.reading import is_call
from tests.fuzz.target import Target

#: A finding as plain data: a plan, or packets and the way by which they come.
Case = dict[str, Any]

_WIRE, _IN, _OUT, _SAID = 24, 48, 32, 8
_LEAST_SECONDS = 8.0  # for cutting a finding down


class Rounds:
    """Plays rounds; counts packets and what was honest and went through."""

    def __init__(self, pins: Path, seed: str) -> None:
        self._seed = seed
        self._oracle = Oracle()
        self._target = Target()
        self._handshakes = Handshakes(self._target, self._oracle)
        index = socket.if_nametoindex(terms.DEVICE)
        self._enforce = Program(pins / "enforce_in", terms.DEVICE)
        self._stamp = Program(pins / f"stamp_{index}", terms.DEVICE)
        self._verify = Program(pins / f"verify_{index}", terms.DEVICE)
        self._datagrams = Datagrams(self._target, self._oracle, self._verify, self._enforce)
        self._run = 0
        self._ways: dict[str, Callable[[bytes], None]] = {
            "wire": self._wire,
            "in": self._judge_in,
            "out": self._judge_out,
            "said": self._say,
        }

    @property
    def packets(self) -> int:
        """How many packets there have been, by whatever way."""
        return self._target.packets + self._run + self._datagrams.packets

    @property
    def honest(self) -> int:
        """Honest handshakes and datagrams that were let through."""
        return self._handshakes.honest + self._datagrams.honest

    def play(self, number: int, known: Collection[str] = ()) -> Case | None:
        """One round; what it found, cut down, or None. What is ``known`` already is left out."""
        random = Random(f"{self._seed}:{number}")
        made = [plans.call(random) if random.random() < 0.75 else plans.answer(random) for _ in range(2)]
        for plan in (*made, trailers.exchange(random)):
            why = self._played(plan)
            if why and _kind(why) not in known:
                return {**self._least_plan(plan, why), "why": why, "what": _kind(why)}
        for way, count in (("wire", _WIRE), ("in", _IN), ("out", _OUT), ("said", _SAID)):
            grammar = Grammar(random)
            packets = [grammar.packet(incoming=way in ("wire", "in")) for _ in range(count)]
            why = self._sent(way, packets)
            if why and _kind(why) not in known:
                return {**self._least_packets(way, packets), "why": why, "what": _kind(why)}
        return None

    def again(self, case: Case) -> str:
        """What is found by a case now; nothing if it is empty."""
        if case["kind"] == "packets":
            return self._sent(case["way"], [bytes.fromhex(each) for each in case["packets"]])
        return self._played_again(case)

    def close(self) -> None:
        """Close what was opened."""
        self._enforce.close()
        self._stamp.close()
        self._verify.close()
        self._target.close()

    # -- one thing at a time

    def _played(self, plan: plans.Plan) -> str:
        try:
            player = self._handshakes if _is_handshake(plan) else self._datagrams
            player.play(plan)
            self._handshakes.expect_nobody()
        except Finding as found:
            return str(found)
        return ""

    def _played_again(self, plan: plans.Plan) -> str:
        return self._played(plan if _is_handshake(plan) else trailers.elsewhere(plan, time.monotonic_ns()))

    def _sent(self, way: str, packets: Sequence[bytes]) -> str:
        send = self._ways[way]
        try:
            for packet in packets:
                send(packet)
            self._settle(way)
        except Finding as found:
            return str(found)
        return ""

    def _wire(self, packet: bytes) -> None:
        self._oracle.proofs.sent(packet)
        self._oracle.may_come_in(packet)  # where a rule lets it pass it begins a flow, whether a socket wants it or not
        self._target.send(packet)

    def _say(self, packet: bytes) -> None:
        self._oracle.said(packet)
        self._target.say(packet)

    def _settle(self, way: str) -> None:
        """What was sent has been received, or never will be. What a unit sends to itself nobody judges."""
        ready = self._target.ready()
        if ready:
            for arrival in list(self._target.arrivals(ready)):  # also where the first one is a finding
                if way != "said" and not self._oracle.may_come_in(arrival.packet):
                    raise Finding(f"{arrival.where} received: {arrival.packet.hex()}")
            self._handshakes.expect_nobody()
        for packet in self._target.heard():
            self._oracle.proofs.heard(packet)
            if is_call(packet):
                self._oracle.asks(packet)
            allowed = self._oracle.may_leave(packet)  # also of what has lost its mark, for it may begin a flow
            if OUTGOING in packet and not allowed:
                raise Finding(f"the unit sent: {packet.hex()}")
            if OUTGOING not in packet and not self._oracle.may_be_answered(packet):
                raise Finding(f"the host answered: {packet.hex()}")

    def _judge_in(self, packet: bytes) -> None:
        self._run += 1
        packet = _trimmed(packet)
        verdict = self._enforce.run(packet)
        if verdict is None:
            return
        if verdict == PASS_IN and not self._oracle.may_come_in(packet):
            raise Finding("enforce let in what nobody allows")
        if verdict != PASS_IN and self._oracle.must_come_in(packet):
            raise Finding("enforce kept out what a rule lets in")

    def _judge_out(self, packet: bytes) -> None:
        self._run += 1
        packet = _trimmed(packet)
        verdict = self._stamp.run(packet)
        if verdict is None:
            return
        if verdict == LET_OUT and is_call(self._stamp.left()):
            self._oracle.asks(
                self._stamp.left()
            )  # also where the oracle still knows a flow: the kernel forgets idle ones
        elif verdict in (SHOT, REDIRECT):
            self._oracle.asks(packet)
        elif verdict == LET_OUT and not self._oracle.may_leave(packet):
            raise Finding("stamp let out what nobody allows")
        if verdict == SHOT and self._oracle.must_leave(packet):
            raise Finding("stamp kept back what a rule lets out")

    # -- the least that shows it

    def _least_plan(self, plan: plans.Plan, why: str) -> Case:
        until, shrunk = time.monotonic() + _LEAST_SECONDS, True
        while shrunk and time.monotonic() < until:
            shrunk = False
            for candidate in plans.smaller(plan):
                if time.monotonic() >= until:
                    break
                if _kind(self._played_again(candidate)) == _kind(why):
                    plan, shrunk = candidate, True
                    break
        return plan

    def _least_packets(self, way: str, packets: list[bytes]) -> Case:
        for packet in packets:
            if self._sent(way, [packet]):
                return {"kind": "packets", "way": way, "packets": [packet.hex()]}
        kept = list(packets)
        for packet in packets:
            fewer = [each for each in kept if each is not packet]
            if self._sent(way, fewer):
                kept = fewer
        return {"kind": "packets", "way": way, "packets": [each.hex() for each in kept]}


def _is_handshake(plan: plans.Plan) -> bool:
    return plan["kind"] in ("call", "answer")


def _kind(why: str) -> str:
    """What a finding says, without the addresses and bytes of this one."""
    return " ".join(why.partition(":")[0].split()[:5])


def _trimmed(packet: bytes) -> bytes:
    """The packet without what stands behind its end, which the kernel cuts off before it looks for a socket."""
    if len(packet) < 40:
        return packet
    four = packet[0] >> 4 == 4
    end = int.from_bytes(packet[2:4] if four else packet[4:6], "big") + (0 if four else 40)
    return packet[:end] if end >= 40 else packet[:end].ljust(40, b"\0")  # BPF_PROG_RUN takes no fewer bytes
