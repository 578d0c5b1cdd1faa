"""Two hosts on one link that the benchmarks fence and unfence in turn: the same machine, bare and policed.

Policed means what a customer would have: a world of two Enforcers, a client and a server in units of
their own, rulesets at both ends that allow exactly the measured ports, everything else rejected,
compiled by the policy engine; mutual proof on every connection. Bare means that nothing of Watchword
is in the kernel.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any

from bench.generator import LOADGEN, build_loadgen, report
from testbed import Host, Testbed
from testbed.fence import Fence
from testbed.services import listens
from watchword.enforcer.datapath.base import PeerKeys, Placement
from watchword.model.ports import parse as parse_ports
from watchword.policy.compile import compile as compile_tables
from watchword.policy.render import render
from watchword.policy.world import Namespace, Rule, Ruleset, Unit, World
from watchword.wire.policy import EnforcerEntry

PORT, PORTS = 8000, 8
STREAM_PORT = 9000

_KEY = bytes(range(16))
_BADGES = {"client": 0x10000001, "server": 0x20000002}


def world(*more: str) -> World:
    """Client and server may meet on the measured ports and ``more`` of them; the root namespace rejects all else."""
    ports = parse_ports([f"tcp/{PORT}:{PORT + PORTS - 1}", f"tcp/{STREAM_PORT}", *more], "protocolPorts")
    tags = {name: frozenset({f"app={name}"}) for name in _BADGES}
    return World(
        revision=1,
        namespaces={"/": Namespace("/", "Reject", "Reject")},
        units={
            name: Unit(name, name, name, "/", f"enforcer-{name}", badge, tags[name]) for name, badge in _BADGES.items()
        },
        networks={},
        rulesets={
            "out": Ruleset(
                "out", "client to server", "/", (("app=client",),), (), (_rule("to server", "app=server", ports),)
            ),
            "in": Ruleset(
                "in", "server from client", "/", (("app=server",),), (_rule("from client", "app=client", ports),)
            ),
        },
        enforcers={f"enforcer-{name}": EnforcerEntry(b"", ()) for name in _BADGES},
    )


def _rule(name: str, tag: str, ports: Any) -> Rule:
    return Rule(name, "Allow", ((tag,),), ports)


class FencedPair:
    """``client`` and ``server`` on one link, bare until :meth:`policed`."""

    def __init__(self, mtu: int = 1500, ports: Sequence[str] = ()) -> None:
        """``ports``: further ones that policy allows, as in ``protocolPorts``."""
        build_loadgen()
        self._ports = ports
        self._bed = Testbed("bench")
        self._mtu = mtu

    def __enter__(self) -> FencedPair:
        """Make the hosts."""
        self._bed.__enter__()
        self.client, self.server = self._bed.host("client"), self._bed.host("server")
        self._bed.direct(self.client, self.server, mtu=self._mtu)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove them."""
        self._bed.__exit__(kind, error, trace)

    @contextmanager
    def policed(self) -> Iterator[None]:
        """Both hosts enforce for as long as the context lasts."""
        hosts = {"client": self.client, "server": self.server}
        with ExitStack() as stack, ThreadPoolExecutor(len(hosts)) as pool:
            for name, fence in zip(hosts, pool.map(Fence, hosts.values()), strict=True):
                stack.enter_context(fence)
                self._load(fence, name, hosts[name])
            yield

    def _load(self, fence: Fence, name: str, host: Host) -> None:
        peer = "server" if name == "client" else "client"
        fence.call("place", [Placement(name, str(host.subgroup("unit")))])
        fence.call("set_keys", [1], [PeerKeys(f"enforcer-{each}", {(1, 1): _KEY}) for each in (name, peer)])
        fence.call("apply", compile_tables(render(world(*self._ports), f"enforcer-{name}")))

    def serve(self, *arguments: str, port: int, ports: int = 1, protocol: str = "tcp") -> None:
        """Start a server of the load generator in its unit on ``ports`` ports from ``port``; returns once it serves.

        Listeners outlive all fencing.
        """
        numbers = ["--port", str(port), *(["--ports", str(ports)] if ports > 1 else [])]
        process = self.server.start([str(LOADGEN), arguments[0], *numbers, *arguments[1:]], cgroup="unit")
        deadline = time.monotonic() + 30
        while not all(listens(self.server, each, protocol) for each in range(port, port + ports)):
            if not process.running() or time.monotonic() > deadline:
                raise RuntimeError(f"the load generator's server does not serve: {process.output()}")
            time.sleep(0.01)

    def load(self, *arguments: str, timeout: float = 60.0) -> dict[str, Any]:
        """Run the load generator's client in its unit to its end; its report. Any failure is an error."""
        return report(self.client, *arguments, timeout=timeout)

    def in_turn(self, measure: Callable[[], float]) -> tuple[Callable[[], float], Callable[[], float]]:
        """The same measurement bare and policed."""

        def policed() -> float:
            with self.policed():
                return measure()

        return measure, policed
