"""Matching and dropping packets by iptables rules of one machine, for both IP versions."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from ipaddress import ip_network

from testbed.machine import Machine

_FLAG_NAMES = {"F": "FIN", "S": "SYN", "R": "RST", "A": "ACK"}
_chain_numbers = itertools.count(1)

# Classic BPF for "the segment carries data": length of the IP payload minus the TCP header's.
_TAIL = "116 0 0 2,84 0 0 60,7 0 0 0,96 0 0 0,28 0 0 0,21 0 1 0,6 0 0 {empty},6 0 0 {full}"
_HAS_PAYLOAD = {
    4: "13,40 0 0 2,177 0 0 0,28 0 0 0,2 0 0 0,80 0 0 12," + _TAIL,
    6: "11,40 0 0 4,2 0 0 0,48 0 0 52," + _TAIL,
}


@dataclass(frozen=True, slots=True)
class Match:
    """Which TCP packets. ``flags`` is exact among F, S, R and A: ``"SA"`` is a SYN-ACK.

    ``Match("A", payload=False)`` is a pure ACK.
    """

    flags: str | None = None
    sport: int | None = None
    dport: int | None = None
    source: str | None = None
    destination: str | None = None
    payload: bool | None = None
    option: int | None = None

    def versions(self) -> list[int]:
        """IP versions it can match."""
        given = self.source or self.destination
        return [ip_network(given).version] if given else [4, 6]

    def arguments(self, version: int) -> list[str]:
        """As arguments of iptables or ip6tables."""
        words = ["-p", "tcp"]
        for name, value in (("--sport", self.sport), ("--dport", self.dport), ("--tcp-option", self.option)):
            words += [name, str(value)] if value is not None else []
        for name, address in (("-s", self.source), ("-d", self.destination)):
            words += [name, address] if address else []
        if self.flags is not None:
            words += ["--tcp-flags", "FIN,SYN,RST,ACK", ",".join(_FLAG_NAMES[letter] for letter in self.flags)]
        if self.payload is not None:
            code = _HAS_PAYLOAD[version].format(empty=int(not self.payload), full=int(self.payload))
            words += ["-m", "bpf", "--bytecode", code]
        return words


def rule(machine: Machine, version: int, *arguments: str) -> str:
    """Run iptables (4) or ip6tables (6) on a machine; returns its output."""
    return machine.run(["iptables" if version == 4 else "ip6tables", "-w", *arguments]).stdout


class Drop:
    """Packets that are being dropped, and how many have been."""

    def __init__(self, machine: Machine, table: str, chain: str, where: list[str], match: Match) -> None:
        self._machine, self._table, self._chain, self._match = machine, table, chain, match
        self._own = f"drop{next(_chain_numbers)}"
        self._where = where

    def begin(self, count: int | None, skip: int) -> None:
        """Let ``skip`` matching packets pass, drop the next ``count`` (None: all that follow)."""
        for version in self._match.versions():
            self._rule(version, "-N", self._own)
            for number, target in ((skip, "RETURN"), (count, "DROP")):
                if number != 0:
                    # A bucket of `number` tokens that is not refilled during a test: the first `number` match.
                    only = ["-m", "limit", "--limit", "1/day", "--limit-burst", str(number)] if number else []
                    self._rule(version, "-A", self._own, *only, "-j", target)
            self._rule(version, "-I", self._chain, *self._jump(version))

    def dropped(self) -> int:
        """How many packets have been dropped."""
        total = 0
        for version in self._match.versions():
            for line in self._rule(version, "-nvxL", self._own).splitlines():
                words = line.split()
                if len(words) > 2 and words[2] == "DROP":
                    total += int(words[0])
        return total

    def end(self) -> None:
        """Drop no more."""
        for version in self._match.versions():
            self._rule(version, "-D", self._chain, *self._jump(version))
            self._rule(version, "-F", self._own)
            self._rule(version, "-X", self._own)

    def _jump(self, version: int) -> list[str]:
        return [*self._where, *self._match.arguments(version), "-j", self._own]

    def _rule(self, version: int, *arguments: str) -> str:
        return rule(self._machine, version, "-t", self._table, *arguments)
