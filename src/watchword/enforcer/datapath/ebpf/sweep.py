"""The agent's look at every socket and every record, by the programs of ``bpf/sweep.bpf.c``, and what follows."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from watchword.enforcer.datapath.ebpf import _layout as layout
from watchword.enforcer.datapath.ebpf import libbpf
from watchword.enforcer.datapath.ebpf._layout import Adopting
from watchword.enforcer.datapath.ebpf._layout import Event as KernelEvent
from watchword.enforcer.datapath.ebpf.sockets import SocketReaper, Tuple, address_text

#: Iterators over records, each with its table, in the order in which a look runs them.
_JUDGES = {"judge_young": "young", "judge": "live"}

#: Seconds until a host that keeps still is looked at all the same: for sockets that no program admitted, and for
#: the bytes of connections that hardly carry any.
_STILL = 5.0
#: Segments between two looks that count as keeping still; the agent's own session has a few.
_MURMUR = 64
#: Seconds after which records are gone over though all are judged: for those that lost their socket.
_FORGETTING = 5.0
#: Of the line ``Tcp:`` in /proc/net/snmp (RFC 4022): connections opened by both ends, and segments.
_OPENED, _SEGMENTS = ("ActiveOpens", "PassiveOpens"), ("InSegs", "OutSegs")


class Sweep:
    """One Enforcer's; ``programs`` and ``fds`` are descriptors of programs and maps by name.

    A look costs some milliseconds of processor time however little there is to see: the kernel goes over all of its
    hash tables. :meth:`whole` is for whoever needs to know now, :meth:`due` for whoever asks every second.
    """

    def __init__(self, programs: Mapping[str, int], fds: Mapping[str, int], state: layout.State) -> None:
        self._state = state
        self._tally = libbpf.link_create("attach tally", programs["tally"], 0, libbpf.TRACE_ITER)
        self._judges = [
            libbpf.link_create(f"attach {name}", programs[name], 0, libbpf.TRACE_ITER, fds[table])
            for name, table in _JUDGES.items()
        ]
        self._reaper = SocketReaper()
        self._strays: set[int] = set()
        self._looked = self._judged = -_STILL
        self._activity = (0, 0)

    def close(self) -> None:
        """Let go of the programs; the kernel goes on deciding."""
        for link in (self._tally, *self._judges):
            os.close(link)
        self._reaper.close()
        del self._state  # its memory is closed next

    def adopt(self) -> None:
        """Make records of the connections that stand, which are older than the Enforcer."""
        for look in (Adopting.RECORDS, Adopting.NEIGHBOURS):
            self._state.adopting = look
            libbpf.iterate(self._tally)
        self._state.adopting = Adopting.NONE

    def whole(self) -> None:
        """Look at every socket and every record.

        Moves live connections' numbers into the aggregate, forgets records that lost their socket, resets
        what the tables in force refuse and sockets that no program admitted. Once nothing refused is left,
        packets pass without their records being looked up.
        """
        self._activity = tcp_activity()
        self._count()
        self._judge()

    def due(self) -> None:
        """The same, but for what cannot have changed: nothing while the host keeps still, no verdicts that stand."""
        activity = tcp_activity()
        judged = self._state.swept == self._state.generation
        if judged and time.monotonic() - self._looked < _STILL and is_still(self._activity, activity):
            return
        self._activity = activity
        self._count()
        if not judged or time.monotonic() - self._judged >= _FORGETTING:
            self._judge()

    def end(self, event: KernelEvent) -> bool:
        """Reset the socket that an event is about; whether that came to an end."""
        return self._reaper.destroy(connection_of(event), event.socket)

    def _count(self) -> None:
        self._looked = time.monotonic()
        self._state.tally += 1
        self._end_strays(_events(libbpf.iterate(self._tally)))

    def _end_strays(self, strays: Iterable[KernelEvent]) -> None:
        """Reset sockets without a record, unless they had one at the look before: they may be ending."""
        now = {event.socket: event for event in strays}
        for socket in now.keys() & self._strays:
            self.end(now[socket])
        self._strays = set(now)

    def _judge(self) -> None:
        generation = self._state.generation
        self._judged = time.monotonic()
        cut = True
        for event in _events(b"".join([libbpf.iterate(judge) for judge in self._judges])):
            cut = self.end(event) and cut
        if cut:
            self._state.swept = generation


def connection_of(event: KernelEvent) -> Tuple:
    """The ends of the connection that an event is about."""
    return Tuple(
        address_text(event.local),
        int.from_bytes(event.local_port.to_bytes(2, "little"), "big"),
        address_text(event.remote),
        int.from_bytes(event.remote_port.to_bytes(2, "little"), "big"),
    )


def _events(data: bytes) -> list[KernelEvent]:
    size = ctypes.sizeof(KernelEvent)
    return [KernelEvent.from_buffer_copy(data, at) for at in range(0, len(data) - size + 1, size)]


def tcp_activity(path: Path = Path("/proc/thread-self/net/snmp")) -> tuple[int, int]:
    """Connections opened and segments carried so far in this network namespace, IPv4 and IPv6 together."""
    names, numbers = (line.split() for line in path.read_text().splitlines() if line.startswith("Tcp:"))
    counts = dict(zip(names[1:], map(int, numbers[1:]), strict=True))
    return sum(counts[name] for name in _OPENED), sum(counts[name] for name in _SEGMENTS)


def is_still(before: tuple[int, int], now: tuple[int, int]) -> bool:
    """Whether no connection was opened between two looks, and hardly a segment carried."""
    return now[0] == before[0] and now[1] - before[1] <= _MURMUR
