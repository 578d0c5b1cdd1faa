"""Laying links between hosts: devices, addresses, and the wait until the kernel uses them."""

from __future__ import annotations

import os
import time
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path

from testbed import namespace
from testbed.end import End
from testbed.host import Host
from testbed.link import Link

#: What links do to packets, each way, in the words of tc-netem(8): ``delay 5ms loss 1%``. Needs that module.
NETEM_VARIABLE = "WATCHWORD_NETEM"

_ROUTES6 = Path("/proc/thread-self/net/ipv6_route")  # not /proc/net: that is the main thread's namespace


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
        _worsen(end)
    link = Link(first, second, mtu)
    near.links.append(link)
    far.links.append(link)
    return link


def _worsen(end: End) -> None:
    """Lose, delay and reorder what leaves by this end, if the environment says so; after all programs at the device."""
    words = os.environ.get(NETEM_VARIABLE, "").split()
    if words:
        end.host.run(["tc", "qdisc", "add", "dev", end.device, "root", "netem", *words])


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
