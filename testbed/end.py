"""Ends of links: a device of one machine and its addresses."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface

from testbed.machine import Machine


@dataclass(frozen=True, slots=True)
class End:
    """One end of a link: a device of one machine and its addresses."""

    host: Machine
    device: str
    ipv4: IPv4Interface
    ipv6: IPv6Interface

    def address(self, version: int) -> str:
        """The address of this end; ``version`` is 4 or 6."""
        return str(self.ipv4.ip if version == 4 else self.ipv6.ip)

    def mac(self) -> bytes:
        """The Ethernet address of the device."""
        with self.host.socket(socket.AF_PACKET, socket.SOCK_RAW) as probe:
            probe.bind((self.device, 0))
            address: bytes = probe.getsockname()[4]
            return address
