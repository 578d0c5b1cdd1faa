"""Routers: hosts that forward, translate addresses and meddle with packets, for both IP versions."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

from testbed.firewall import Match, rule
from testbed.host import Host
from testbed.link import Link
from testbed.translation import balanced


class Router(Host):
    """A host that forwards packets between its links."""

    forwards = True

    def create(self) -> None:
        """As a host, with forwarding on."""
        super().create()
        self.sysctl("net.ipv4.ip_forward", 1)
        self.sysctl("net.ipv6.conf.all.forwarding", 1)

    def masquerade(self, link: Link) -> None:
        """Give what leaves by ``link`` the router's address there (source NAT, both IP versions)."""
        for version in (4, 6):
            rule(self, version, "-t", "nat", "-A", "POSTROUTING", "-o", link.end(self).device, "-j", "MASQUERADE")

    def snat(self, source: str, to: str) -> None:
        """Give packets from the network ``source`` the source address ``to``."""
        rule(self, ip_network(source).version, "-t", "nat", "-A", "POSTROUTING", "-s", source, "-j", "SNAT", "--to", to)

    def dnat(self, address: str, port: int, backends: Sequence[tuple[str, int]]) -> None:
        """Send TCP connections to ``address``:``port`` to backends in turn, each (address, port).

        With one backend it is port forwarding, with several a load balancer. ``address`` is one of
        the router's, or any that is routed to it.
        """
        version = ip_address(address).version
        for arguments in balanced(version, address, port, backends):
            rule(self, version, "-t", "nat", "-A", "PREROUTING", *arguments)

    def strip_options(self, kinds: Sequence[int], match: Match | None = None) -> None:
        """Overwrite these TCP options with padding in matching forwarded packets (default: all)."""
        chosen = match or Match()
        for version in chosen.versions():
            where = ["-t", "mangle", "-A", "FORWARD", *chosen.arguments(version)]
            rule(self, version, *where, "-j", "TCPOPTSTRIP", "--strip-options", ",".join(map(str, kinds)))
