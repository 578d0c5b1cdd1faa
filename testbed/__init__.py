"""Simulated hosts for tests, benchmarks and the demonstration.

A simulated host is one network namespace plus one cgroup v2 subtree. Needs root and Debian
packages (``packaging/debian-packages.txt``); imports nothing of Watchword, except for ``fence``.

    with Testbed("name") as bed:
        router = bed.router("r")
        web, client = bed.host("web", router), bed.host("client", router)
        web.start(["nginx", ...], cgroup="web")
        client.run(["curl", f"http://{web.ipv4}/"])
"""

from testbed.bed import Testbed
from testbed.capture import Capture, Frame
from testbed.end import End
from testbed.firewall import Drop, Match
from testbed.host import Host
from testbed.link import Link
from testbed.middlebox import Middlebox
from testbed.packets import Option, Segment
from testbed.process import Process
from testbed.router import Router

__all__ = [
    "Capture",
    "Drop",
    "End",
    "Frame",
    "Host",
    "Link",
    "Match",
    "Middlebox",
    "Option",
    "Process",
    "Router",
    "Segment",
    "Testbed",
]
