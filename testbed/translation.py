"""Address translation by iptables rules of one host, for both IP versions.

A rule holds for the body of a ``with``; do not count on a connection that outlives it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING, Literal

from testbed.firewall import rule

if TYPE_CHECKING:
    from testbed.host import Host

Chain = Literal["PREROUTING", "OUTPUT", "POSTROUTING"]


Protocol = Literal["tcp", "udp"]


def balanced(
    version: int, address: str, port: int, backends: Sequence[tuple[str, int]], protocol: Protocol = "tcp"
) -> list[list[str]]:
    """Arguments of the rules that send connections to ``address``:``port`` to backends in turn."""
    rules = []
    for index, (to, to_port) in enumerate(backends):
        left = len(backends) - index
        turn = ["-m", "statistic", "--mode", "nth", "--every", str(left), "--packet", "0"] if left > 1 else []
        target = f"{to}:{to_port}" if version == 4 else f"[{to}]:{to_port}"
        which = ["-p", protocol, "-d", address, "--dport", str(port)]
        rules.append([*which, *turn, "-j", "DNAT", "--to-destination", target])
    return rules


@contextmanager
def translated(host: Host, version: int, chain: Chain, *arguments: str) -> Iterator[None]:
    """One rule of the table ``nat``."""
    rule(host, version, "-t", "nat", "-A", chain, *arguments)
    try:
        yield
    finally:
        rule(host, version, "-t", "nat", "-D", chain, *arguments)


@contextmanager
def dialled(
    host: Host,
    address: str,
    port: int,
    backends: Sequence[tuple[str, int]],
    chain: Chain = "PREROUTING",
    protocol: Protocol = "tcp",
) -> Iterator[None]:
    """Connections to ``address``:``port`` go to backends in turn, each (address, port).

    On a router those that come in are meant, in the chain ``OUTPUT`` those that the host itself opens.
    """
    version = ip_address(address).version
    with ExitStack() as rules:
        for arguments in balanced(version, address, port, backends, protocol):
            rules.enter_context(translated(host, version, chain, *arguments))
        yield


@contextmanager
def masqueraded(host: Host, device: str, version: int) -> Iterator[None]:
    """What leaves by ``device`` has the host's own address there."""
    with translated(host, version, "POSTROUTING", "-o", device, "-j", "MASQUERADE"):
        yield


@contextmanager
def redirected(host: Host, version: int, port: int, to: int) -> Iterator[None]:
    """TCP connections that arrive for ``port``, whatever address, go to the host's own port ``to``."""
    which = ["-p", "tcp", "--dport", str(port)]
    with translated(host, version, "PREROUTING", *which, "-j", "REDIRECT", "--to-ports", str(to)):
        yield
