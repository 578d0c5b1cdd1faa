"""Links: one veth pair between two hosts, with an IPv4 and an IPv6 network of its own."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path
from typing import TYPE_CHECKING

from testbed import namespace
from testbed.firewall import Drop, Match
from testbed.injection import onto_wire
from testbed.packets import Segment

if TYPE_CHECKING:
    from testbed.host import Host


_ROUTES6 = Path("/proc/thread-self/net/ipv6_route")  # not /proc/net: that is the main thread's namespace


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

    def other(self, host: Host) -> End:
        """The end that does not belong to ``host``."""
        return self.far if self.end(host) is self.near else self.near

    def inject(self, toward: Host, *packets: Segment | bytes) -> None:
        """Put packets on the wire towards ``toward``, as if the other end (or one beyond it) had sent them.

        They pass no tc egress and no cgroup egress program.
        """
        onto_wire(self.other(toward), packets, self.end(toward).mac())

    def drop(self, match: Match, *, toward: Host, count: int | None = 1, skip: int = 0) -> Drop:
        """Lose packets on their way to ``toward``: pass ``skip`` matching ones, drop the next ``count``.

        ``count=None`` drops all that follow. At most 10,000 each. With a router at one end the router
        loses them; otherwise the receiver does, before its sockets and cgroup programs but after its
        tc ingress programs.
        """
        receiver, sender = self.end(toward), self.other(toward)
        if receiver.host.forwards:
            dropping = Drop(receiver.host, "mangle", "FORWARD", ["-i", receiver.device], match)
        elif sender.host.forwards:
            dropping = Drop(sender.host, "mangle", "FORWARD", ["-o", sender.device], match)
        else:
            dropping = Drop(receiver.host, "raw", "PREROUTING", ["-i", receiver.device], match)
        dropping.begin(count, skip)
        return dropping

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
    # Different indices, or the kernel takes the pair for no pair and delays "carrier on" by up to a second.
    index = 100 + 2 * number
    ours, theirs = (f"index {index + n} mtu {mtu}" for n in (0, 1))
    pair = f"link add {first.device} {ours} type veth peer name {second.device} {theirs} netns {far.net}"
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
    for end in ends:
        _await_multicast(end)
    link = Link(first, second, mtu)
    near.links.append(link)
    far.links.append(link)
    return link


def _await_multicast(end: End) -> None:
    """Wait until the kernel takes IPv6 multicast on the device.

    It does so a little after the device is up. A neighbour that asks for the address before gets no
    answer and asks again only after a second.
    """
    deadline = time.monotonic() + 5
    with end.host.enter():
        while not any(_is_multicast_route(line.split(), end.device) for line in _ROUTES6.read_text().splitlines()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{end.device} of {end.host.name} takes no IPv6 multicast")
            time.sleep(0.001)


def _is_multicast_route(fields: list[str], device: str) -> bool:
    return fields[0].startswith("ff00") and fields[1] == "08" and fields[-1] == device
