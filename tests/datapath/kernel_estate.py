"""Three fenced hosts with nested units, and one without an Enforcer that has many addresses: where worlds come true.

Units ``u0`` … ``u4`` may be on any host; their cgroups lie inside each other there, and each has an address of
its own. The Enforcers hold what the chain from world to tables made for them.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from testbed import Host, Testbed
from testbed.fence import Fence, pair
from tests.datapath.estate import pairwise
from tests.datapath.workload import Workload
from tests.property.chain import Console, Enforcer
from tests.property.worlds import ADDRESSES, ENFORCERS
from watchword.enforcer.datapath.base import FlowSample, Placement
from watchword.policy.world import Unit, World

#: Where each unit's processes live, below the host's group: u1 inside u0, u2 far inside u1.
GROUPS = {"u0": "u0", "u1": "u0/u1", "u2": "u0/u1/deep/down/u2", "u3": "u3", "u4": "u3/u4"}

#: Ports on both sides of where rules begin and end.
PORTS = (79, 80, 81, 443, 444, 65535)

#: The addresses of the host without an Enforcer; one in disguise is left out, it is another one.
OUTSIDE = tuple(address for address in ADDRESSES if not address.startswith("::ffff:"))


class KernelEstate:
    """Hosts, datapaths and everything that units have open there."""

    def __init__(self, bed: Testbed) -> None:
        router = bed.router("r")
        self.hosts: dict[str, Host] = {name: bed.host(name, router) for name in ENFORCERS}
        self.outside = bed.host("outside", router)
        for host in self.hosts.values():
            prefixes = f"{host.ipv4.rpartition('.')[0]}.{{}}/24", f"{host.ipv6.rpartition('::')[0]}::{{}}/64 nodad"
            for number in range(len(GROUPS)):
                for prefix in prefixes:
                    _ip(host, f"addr add {prefix.format(10 + number)} dev eth0")
        for address in OUTSIDE:
            length, via = (128, self.outside.ipv6) if ":" in address else (32, self.outside.ipv4)
            _ip(self.outside, f"addr add {address}/{length} dev lo")
            _ip(router, f"route add {address}/{length} via {via}")
        self.fences = {name: Fence(host) for name, host in self.hosts.items()}
        for name, fence in self.fences.items():
            peers = [pair(name, other, pairwise(name, other)) for other in ENFORCERS]
            fence.call("set_keys", [1], peers)
        self.console = Console()
        self.enforcers = {name: Enforcer() for name in ENFORCERS}
        self._apps: dict[tuple[str, str], Workload] = {("outside", ""): Workload(self.outside, "app")}
        self._listeners: dict[tuple[str, str, int, int], socket.socket] = {}
        self._placed: dict[str, list[Placement]] = {}

    def become(self, world: World) -> None:
        """Put a world in force everywhere, by the frames that its Enforcers would get."""
        for name, fence in self.fences.items():
            enforcer = self.enforcers[name]
            enforcer.take(self.console.frame(world, name))
            wanted = [
                Placement(unit.native_id, str(self.hosts[name].subgroup(GROUPS[unit.id])))
                for unit in sorted(world.units.values(), key=lambda unit: unit.id)
                if unit.enforcer == name
            ]
            if wanted != self._placed.get(name):
                fence.call("place", wanted)
                self._placed[name] = wanted
            fence.call("apply", enforcer.tables)

    def knows(self, unit: Unit, peer: Unit) -> bool:
        """Whether the Enforcer of ``unit`` has been told of this peer."""
        return peer.badge in self.enforcers[unit.enforcer].tables.peers

    def app(self, unit: Unit | None) -> Workload:
        """The process of a unit where it is now; None for the host outside."""
        key = (unit.enforcer, unit.id) if unit else ("outside", "")
        if key not in self._apps:
            assert unit is not None
            self._apps[key] = Workload(self.hosts[unit.enforcer], GROUPS[unit.id])
        return self._apps[key]

    def address(self, unit: Unit, version: int) -> str:
        """The address of a unit on its host."""
        first = self.hosts[unit.enforcer].address(version)
        return first[:-1] + str(10 + int(unit.id[1:]))

    def listener(self, unit: Unit | None, address: str, port: int) -> socket.socket:
        """A listener of a unit on its address, or of the host outside on all; made when first needed."""
        version = 6 if ":" in address else 4
        key = (unit.enforcer, unit.id, port, version) if unit else ("outside", "", port, version)
        if key not in self._listeners:
            where = address if unit else ("::" if version == 6 else "0.0.0.0")
            options = [(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)] if version == 6 else []
            self._listeners[key] = self.app(unit).listen(port, where, options=options)
        return self._listeners[key]

    def flows(self) -> dict[str, list[FlowSample]]:
        """What each Enforcer has counted."""
        return {name: fence.call("flows") for name, fence in self.fences.items()}

    def close(self) -> None:
        """Uninstall everything."""
        for listener in self._listeners.values():
            listener.close()
        for app in self._apps.values():
            app.close()
        for fence in self.fences.values():
            fence.close()


def _ip(host: Host, *commands: str) -> None:
    for command in commands:
        family = "-6 " if ":" in command else ""
        host.run(["sh", "-c", f"ip {family}{command}"])


@contextmanager
def kernel_estates(name: str) -> Iterator[KernelEstate]:
    """An estate for the tests of one module; fails if anything is left of it."""
    with Testbed(name) as bed:
        estate = KernelEstate(bed)
        yield estate
        estate.close()
    assert bed.leftovers() == []
