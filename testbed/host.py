"""Simulated hosts: machines with links, the addresses they have there, and the packets on them."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from testbed.capture import Capture, Filter
from testbed.end import End
from testbed.firewall import Match, rule
from testbed.injection import onto_loopback
from testbed.link import Link
from testbed.machine import Machine
from testbed.packets import Segment

_SOURCE = Path(__file__).parents[1]


class Host(Machine):
    """A machine that links connect to others."""

    def __init__(self, name: str, net: str, group: Path, directory: Path, pins: Path) -> None:
        super().__init__(name, net, group, directory, pins)
        self.links: list[Link] = []

    # -- addresses

    @property
    def end(self) -> End:
        """This host's end of its first link."""
        if not self.links:
            raise RuntimeError(f"host {self.name} has no link yet")
        return self.links[0].end(self)

    @property
    def ipv4(self) -> str:
        """IPv4 address on the first link."""
        return self.end.address(4)

    @property
    def ipv6(self) -> str:
        """IPv6 address on the first link."""
        return self.end.address(6)

    def address(self, version: int) -> str:
        """Address on the first link; ``version`` is 4 or 6."""
        return self.end.address(version)

    # -- packets

    def capture(self, filter: str | Filter = "tcp") -> Capture:
        """Record TCP segments on all devices: ``with host.capture("tcp port 80") as taken: ...``."""
        return Capture(self, filter)

    def inject_loopback(self, *packets: Segment | bytes) -> None:
        """Send packets over ``lo``, past every program of the sender's side.

        For the IPv4 stack to take them, ``accept_local`` and ``route_localnet`` are set on ``lo``.
        """
        self.sysctl("net.ipv4.conf.lo.accept_local", 1)
        self.sysctl("net.ipv4.conf.lo.route_localnet", 1)
        with self.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
            wire.bind(("lo", 0))
            onto_loopback(wire, packets)

    def send_raw(self, *packets: Segment | bytes, cgroup: str = "") -> int:
        """Send packets through the host's own stack, by a process in its cgroup with raw sockets.

        Returns how many the kernel refused to send.
        """
        lines = [packet if isinstance(packet, bytes) else packet.packet() for packet in packets]
        text = "".join(line.hex() + "\n" for line in lines)
        command = [sys.executable, "-m", "testbed.injection"]
        return int(self.run(command, input=text, cgroup=cgroup, cwd=_SOURCE).stdout)

    def mute_resets(self, port: int | None = None) -> None:
        """Keep the kernel from answering packets of hand-made connections (to ``port``) by RST."""
        for version in (4, 6):
            which = Match("R", sport=port).arguments(version), Match("RA", sport=port).arguments(version)
            for arguments in which:
                rule(self, version, "-A", "OUTPUT", *arguments, "-j", "DROP")
