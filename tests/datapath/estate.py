"""Many fenced hosts behind one router, each with its own Enforcer, unit and badge; every two share a key.

For what a pair of hosts cannot show: several backends behind one address, a connection that arrives at
another unit than the one it was meant for, two units on one host.
"""

from __future__ import annotations

import hashlib
import itertools
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from testbed import Router, Testbed
from testbed.fence import pair
from tests.datapath.ground import Connection, Direction, Side, Verdicts, says


def pairwise(one: str, other: str) -> bytes:
    """The key that two Enforcers of an estate share."""
    return hashlib.blake2b("|".join(sorted((one, other))).encode(), digest_size=16).digest()


class Estate:
    """Fenced hosts by name, with badges counted from 0xC0000001; ``neighbours`` are further units of a host."""

    def __init__(
        self, bed: Testbed, names: Sequence[str], neighbours: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self.bed = bed
        self.router: Router = bed.router("r")
        badges = itertools.count(0xC0000001)
        self.sides: dict[str, Side] = {}
        known: dict[int, str] = {}
        for name in names:
            more = {unit: next(badges) for unit in (neighbours or {}).get(name, ())}
            side = Side(bed.host(name, self.router), name, next(badges), more)
            known |= dict.fromkeys([side.badge, *more.values()], name)
            self.sides[name] = side
        for side in self.sides.values():
            side.known = known
        for side in self.sides.values():
            others = [other for other in self.sides if other != side.enforcer]
            side.trust([pair(side.enforcer, other, pairwise(side.enforcer, other)) for other in others])
            side.apply()
        self._ports = itertools.count(1000)

    def __getitem__(self, name: str) -> Side:
        return self.sides[name]

    def meet(self, one: str, *others: str, direction: Direction = "out") -> Verdicts:
        """Verdicts for the host unit of ``one``: these others are allowed."""
        own = self[one].badge
        return {key: v for other in others for key, v in says(own, self[other].badge, direction).items()}

    def port(self) -> int:
        """A port that nobody has used here."""
        return next(self._ports)

    def close(self) -> None:
        """Uninstall all datapaths."""
        for side in self.sides.values():
            side.app.close()
            side.fence.close()


def accepted(near: socket.socket, *listeners: socket.socket, timeout: float = 10.0) -> tuple[Connection, int]:
    """The connection at whichever listener has it, and that listener's index; all of them must not block long."""
    for round_ in range(int(timeout * 20)):
        index = round_ % len(listeners)
        listeners[index].settimeout(0.05)
        try:
            far, _ = listeners[index].accept()
        except TimeoutError:
            continue
        far.settimeout(timeout)
        return Connection(near, far), index
    near.close()
    raise TimeoutError(f"no listener has the connection after {timeout} s")


@contextmanager
def estates(name: str, hosts: Sequence[str], neighbours: Mapping[str, Sequence[str]] | None = None) -> Iterator[Estate]:
    """An estate for the tests of one module; fails if anything is left of it."""
    with Testbed(name) as bed:
        estate = Estate(bed, hosts, neighbours)
        yield estate
        estate.close()
    assert bed.leftovers() == []
