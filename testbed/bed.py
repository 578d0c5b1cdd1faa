"""The bed: a set of simulated hosts that is built, used and removed as one.

Every name of a bed begins with its unique ``id``, so beds of several processes live side by side
and leftovers can be told apart. Nothing is created in the machine's own network namespace.
"""

from __future__ import annotations

import itertools
import re
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

from testbed import remains
from testbed.cabling import join
from testbed.host import Host
from testbed.link import Link
from testbed.middlebox import Middlebox
from testbed.router import Router


class Testbed:
    """Simulated hosts with total clean-up.

    Use as a context manager. Leaving it (normally, by an exception, Ctrl-C, SIGTERM or SIGHUP)
    removes everything. After SIGKILL of the owner, the next bed (or ``python -m testbed``) removes
    what is left.
    """

    __test__ = False  # not a test class, whatever pytest thinks of the name

    def __init__(self, name: str) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name):
            raise ValueError(f"bed name {name!r}: use up to 31 of a-z, 0-9 and -, beginning with a letter")
        self.id = f"bed-{name}-{secrets.token_hex(3)}"
        self.hosts: dict[str, Host] = {}
        self.remains = remains.Remains(self.id)
        self._link_numbers = itertools.count(1)
        self._inodes: set[int] = set()
        self._old_handlers: dict[signal.Signals, object] = {}

    # -- building

    def host(self, name: str, router: Host | None = None, *, mtu: int = 1500) -> Host:
        """Add a host; with ``router`` it gets a link to it (host .2, router .1) and default routes."""
        host = self._add(Host, name)
        if router is not None:
            link = self.link(router, host, mtu=mtu)
            host.route("default", link.near.address(4))
            host.route("default", link.near.address(6))
        return host

    def router(self, name: str) -> Router:
        """Add a router without links."""
        router = self._add(Router, name)
        assert isinstance(router, Router)
        return router

    def middlebox(self, name: str) -> Middlebox:
        """Add a middlebox without links; it is given as ``router`` to the hosts around it."""
        box = self._add(Middlebox, name)
        assert isinstance(box, Middlebox)
        return box

    def link(self, near: Host, far: Host, *, mtu: int = 1500) -> Link:
        """Connect two hosts by one more link; routes beyond it are the caller's."""
        return join(near, far, next(self._link_numbers), mtu)

    def direct(self, near: Host, far: Host, *, mtu: int = 1500) -> Link:
        """Connect two hosts with nothing in between (benchmarks)."""
        return self.link(near, far, mtu=mtu)

    def _add(self, kind: type[Host], name: str) -> Host:
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name) or name in self.hosts:
            raise ValueError(f"host name {name!r}: must be new to the bed and made of a-z, 0-9 and -")
        where = self.remains
        host = kind(name, where.net(name), where.group / name, where.directory / name, where.pins / name)
        self.hosts[name] = host
        host.create()
        self._inodes.add(host.net_inode())
        return host

    # -- life

    def __enter__(self) -> Testbed:
        remains.sweep()
        remains.ensure_bpffs()
        self._catch_signals()
        self.remains.claim()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove everything; may be called again."""
        with _undisturbed():
            try:
                for host in self.hosts.values():
                    host.shut()
            finally:
                self.remains.remove()
                self._release_signals()

    def leftovers(self) -> list[str]:
        """What of this bed still exists; empty after :meth:`close`."""
        return self.remains.found(self._inodes)

    # -- signals

    def _catch_signals(self) -> None:
        """Turn the polite ways to end the process into an exception that unwinds the ``with``."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                self._old_handlers[number] = signal.signal(number, _leave)

    def _release_signals(self) -> None:
        while self._old_handlers:
            number, _ = self._old_handlers.popitem()
            signal.signal(number, signal.SIG_DFL)


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Hold back SIGINT, SIGTERM and SIGHUP during the clean-up; they are delivered after it."""
    held = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
