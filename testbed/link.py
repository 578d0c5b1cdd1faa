"""Links: one veth pair between two hosts, with an IPv4 and an IPv6 network of its own."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from typing import TYPE_CHECKING

from testbed import namespace

if TYPE_CHECKING:
    from testbed.host import Host


@dataclass(frozen=True, slots=True)
class End:
    """One end of a link: a device of one host and its addresses."""

    host: Host
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


@dataclass(frozen=True, slots=True)
class Link:
    """A veth pair. ``near`` is the end of the first host named, ``far`` that of the second."""

    near: End
    far: End
    mtu: int

    def end(self, host: Host) -> End:
        """The end that belongs to ``host``."""
        for end in (self.near, self.far):
            if end.host is host:
                return end
        raise ValueError(f"{host.name} is not on this link")

    def offload(self, enabled: bool) -> None:
        """Switch checksum and segmentation offload of both ends.

        With offload (the kernel's default for veth) captured packets carry unfinished checksums and
        may be larger than the MTU; without it they look as on a real wire.
        """
        state = "on" if enabled else "off"
        for end in (self.near, self.far):
            features = [part for name in ("tx", "tso", "gso", "gro") for part in (name, state)]
            end.host.run(["ethtool", "-K", end.device, *features])


def join(near: Host, far: Host, number: int, mtu: int) -> Link:
    """Connect two hosts. Link ``number`` is 10.77.N.0/24 and fd77:N::/64; ``near`` is .1, ``far`` .2."""
    ends = [
        End(
            host,
            f"eth{len(host.links)}",
            IPv4Interface(f"10.77.{number}.{last}/24"),
            IPv6Interface(f"fd77:{number:x}::{last}/64"),
        )
        for host, last in ((near, 1), (far, 2))
    ]
    first, second = ends
    # Created inside the namespaces at once: the name never exists in the machine's own namespace.
    pair = f"link add {first.device} mtu {mtu} type veth peer name {second.device} mtu {mtu} netns {far.net}"
    namespace.configure(near.net, [pair])
    for end in ends:
        namespace.configure(
            end.host.net,
            [
                f"addr add {end.ipv4} dev {end.device}",
                f"addr add {end.ipv6} dev {end.device} nodad",
                f"link set {end.device} up",
            ],
        )
    link = Link(first, second, mtu)
    near.links.append(link)
    far.links.append(link)
    return link
