"""Links: one veth pair between two hosts, with an IPv4 and an IPv6 network of its own."""

from __future__ import annotations

from dataclasses import dataclass

from testbed.end import End
from testbed.firewall import Drop, Match
from testbed.injection import onto_wire
from testbed.machine import Machine
from testbed.packets import Segment


@dataclass(frozen=True, slots=True)
class Link:
    """A veth pair. ``near`` is the end of the first host named, ``far`` that of the second."""

    near: End
    far: End
    mtu: int

    def end(self, host: Machine) -> End:
        """The end that belongs to ``host``."""
        for end in (self.near, self.far):
            if end.host is host:
                return end
        raise ValueError(f"{host.name} is not on this link")

    def other(self, host: Machine) -> End:
        """The end that does not belong to ``host``."""
        return self.far if self.end(host) is self.near else self.near

    def inject(self, toward: Machine, *packets: Segment | bytes) -> None:
        """Put packets on the wire towards ``toward``, as if the other end (or one beyond it) had sent them.

        They pass no tc egress and no cgroup egress program.
        """
        onto_wire(self.other(toward), packets, self.end(toward).mac())

    def drop(self, match: Match, *, toward: Machine, count: int | None = 1, skip: int = 0) -> Drop:
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
