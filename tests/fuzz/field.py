"""The fuzzed host from the outside: a simulated host with one device, its datapath, and tables made from the terms."""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from testbed import Host, Testbed
from testbed.fence import pair, tables
from tests.datapath.ground import KEY, SERVER, Side, pins_of
from tests.fuzz import terms
from watchword.enforcer.datapath.ebpf import _layout as layout
from watchword.enforcer.datapath.ebpf import libbpf
from watchword.enforcer.datapath.ebpf.object import Map

ROOT = Path(__file__).parents[2]
_PATIENCE = 30.0
_KINDS = 10  # findings of as many kinds are enough for one run
#: Half-open handshakes are given up after a second, and many fit.
_SYSCTLS = {
    "net.ipv4.tcp_synack_retries": 0,
    "net.ipv4.tcp_max_syn_backlog": 65536,
    "net.core.somaxconn": 4096,
    "net.ipv4.tcp_syncookies": 1,
    "net.ipv4.icmp_ratelimit": 0,
    "net.ipv6.icmp.ratelimit": 0,
}


class Field(Side):
    """The host with its datapath."""

    known: Mapping[int, str] = terms.KNOWN

    def __init__(self, bed: Testbed, code: Path | None = None) -> None:
        """``code`` is where another version of the datapath is unpacked."""
        host = bed.host("target")
        _wire(host)
        super().__init__(host, "server", SERVER)
        if code is not None:
            self.fence.call("uninstall")
            self.fence.kill()
            self.restart(code)
        self.trust([pair("server", "client", KEY)])
        made = tables(1, {"server": SERVER}, terms.KNOWN, terms.verdicts(), terms.prefixes())
        self.fence.call("apply", made)

    def rounds(self, seed: str, first: int, packets: int, seconds: float, wanted: Iterable[str] = ()) -> Any:
        """Play rounds from this one on until that many packets, seconds or kinds of findings; what the worker tells.

        ``wanted`` are kinds: when all are found it is enough.
        """
        numbers = (first, packets, seconds, _KINDS)
        return self._work(["rounds", seed, *map(str, numbers), *wanted], seconds + 300)

    def again(self, cases: Sequence[Mapping[str, Any]]) -> list[str]:
        """What is found by each of these cases; nothing is empty."""
        path = self.host.directory / "cases.jsonl"
        path.write_text("".join(json.dumps(case) + "\n" for case in cases))
        found: list[str] = self._work(["again", str(path)], 60)
        return found

    def _work(self, arguments: Sequence[str], timeout: float) -> Any:
        command = [sys.executable, "-m", "tests.fuzz.worker", str(pins_of(self.host)), *arguments]
        return json.loads(self.host.run(command, cgroup="app", cwd=ROOT, timeout=timeout).stdout)

    def records(self) -> int:
        """How many records of connections stay for good, now that no socket of the fuzzer's is left.

        One whose handshake made no socket, such as that of a proof with a wrong sequence number, is given up later.
        """
        deadline = time.monotonic() + _PATIENCE
        while (count := self._live()) and time.monotonic() < deadline:
            time.sleep(1)
            self.fence.call("flows")
        return count

    def _live(self) -> int:
        fd = libbpf.pinned(str(self.pinned() / "live"))
        if fd is None:
            raise FileNotFoundError("the table of live connections is not pinned")
        try:
            return len(Map(fd, ctypes.c_uint64, layout.Flow).items())
        finally:
            os.close(fd)

    def close(self) -> None:
        """Uninstall."""
        self.app.close()
        self.fence.close()


def _wire(host: Host) -> None:
    """Give the host its device: whoever opens it is the world."""
    name = terms.DEVICE
    for command in (
        f"tuntap add dev {name} mode tap vnet_hdr",
        f"link set {name} arp off txqueuelen 10000",
        f"addr add 10.99.0.1/16 dev {name}",
        f"addr add fd99::1/48 dev {name} nodad",
        f"link set {name} up",
    ):
        host.run(["ip", *command.split()])
    host.run(["tc", "qdisc", "replace", "dev", name, "root", "noqueue"])  # nothing waits for another processor
    for key, value in _SYSCTLS.items():
        host.sysctl(key, value)


@contextmanager
def fields(name: str, code: Path | None = None) -> Iterator[Field]:
    """A field for the body of the ``with``; fails if anything is left of it."""
    with Testbed(name) as bed:
        made = Field(bed, code)
        try:
            yield made
        finally:
            made.close()
    if bed.leftovers():
        raise AssertionError(f"left behind: {bed.leftovers()}")
