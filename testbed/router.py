"""Routers: hosts that forward, for both IP versions."""

from __future__ import annotations

from testbed.host import Host


class Router(Host):
    """A host that forwards packets between its links."""

    def create(self) -> None:
        """As a host, with forwarding on."""
        super().create()
        self.sysctl("net.ipv4.ip_forward", 1)
        self.sysctl("net.ipv6.conf.all.forwarding", 1)
