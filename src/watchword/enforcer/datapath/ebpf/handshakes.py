"""Single handshakes in the kernel's tables: found by the socket that began them, or by the nonce they carry."""

from __future__ import annotations

import ctypes
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

from watchword.enforcer.datapath.base import DatapathError, FlowSample
from watchword.enforcer.datapath.ebpf import _layout as layout
from watchword.enforcer.datapath.ebpf import counting, samples
from watchword.enforcer.datapath.ebpf._layout import Action, Direction, Limit, NameKind
from watchword.enforcer.datapath.ebpf.glance import Glance
from watchword.enforcer.datapath.ebpf.names import Numbers
from watchword.enforcer.datapath.ebpf.object import Map
from watchword.enforcer.datapath.ebpf.sockets import SocketReaper, Tuple, address_text

#: The kernel's time stamps of refusals are as coarse as its clock tick, seconds.
_TICK = 0.02


@dataclass(frozen=True, slots=True)
class Handshake:
    """One end's record of one handshake. Of one that is not ``open`` only who announced what is known."""

    cookie: int  # of the socket or request; 0 for a record that has outgrown its slot
    unit_badge: int
    peer_badge: int  # 0 without identity
    incoming: bool
    open: bool  # judged, and to be a connection
    allowed: bool
    reason: str
    rule: str
    local: str
    local_port: int
    remote: str
    remote_port: int


class Handshakes(Glance):
    """See the module's text. Close it."""

    def of_socket(self, cookie: int, local_port: int, remote_port: int) -> Handshake | None:
        """What a connecting socket has come to; its slot, or the record that it has outgrown it for."""
        for index in _slots(cookie):
            young = self._young_map().get(ctypes.c_uint32(index))
            if young is not None and young.cookie == cookie:
                return self._known(young)
        for record in self._live():
            ports = socket.ntohs(record.id.local_port), socket.ntohs(record.id.remote_port)
            if record.direction == Direction.OUT and ports == (local_port, remote_port):
                return self._known(record)
        return None

    def announced(self, nonce: int) -> Handshake | None:
        """The handshake or connection from elsewhere whose SYN brought ``nonce``."""
        for _, young in self._young_map().items_batched():
            if young.cookie and young.direction == Direction.IN and young.nonce == nonce:
                return self._known(young)
        for record in self._live():
            if record.direction == Direction.IN and record.nonce == nonce:
                return self._known(record)
        return None

    def without_identity(self, remote: str, remote_port: int) -> Handshake | None:
        """The handshake or connection that came from these ends and announced nobody."""
        young: list[layout.Young | layout.Flow] = [each for _, each in self._young_map().items_batched() if each.cookie]
        for record in (*young, *self._live()):
            came = record.direction == Direction.IN and socket.ntohs(record.id.remote_port) == remote_port
            if came and not record.peer and address_text(record.id.remote) == remote:
                return self._known(record)
        return None

    def refusals(self, since: float) -> list[FlowSample]:
        """What has been refused since that Unix time, the latest first."""
        return [each for each in self.decided(since) if each.action == "Reject"]

    def decided(self, since: float) -> list[FlowSample]:
        """What has been allowed or refused since that Unix time, the latest first; of TCP what the agent has seen."""
        clock = samples.Clock(time.time() - time.clock_gettime(time.CLOCK_MONOTONIC))
        rules = self._rules()
        found = [
            samples.sample(key, counts, rules, clock)
            for key, counts in counting.aggregates(self._fds)
            if clock.unix(counts.last_seen) >= since - _TICK
        ]
        return sorted(found, key=lambda each: -each.last_seen)

    def _known(self, record: layout.Young | layout.Flow) -> Handshake:
        judged, where = record.judged, record.id
        young = isinstance(record, layout.Young)
        return Handshake(
            cookie=record.cookie if young else 0,
            unit_badge=record.unit,
            peer_badge=record.peer,
            incoming=record.direction == Direction.IN,
            open=bool(judged.generation) or not young,
            allowed=judged.action == Action.ALLOW,
            reason=samples.reason_name(judged.reason),
            rule=self._rules().text(judged.rule) if judged.generation else "",
            local=address_text(where.local),
            local_port=socket.ntohs(where.local_port),
            remote=address_text(where.remote),
            remote_port=socket.ntohs(where.remote_port),
        )

    def _rules(self) -> Numbers:
        return Numbers(Map(self._fds["names"], layout.NameKey, layout.Name), NameKind.RULE)

    def _young_map(self) -> Map[ctypes.c_uint32, layout.Young]:
        return Map(self._fds["young"], ctypes.c_uint32, layout.Young)

    def _live(self) -> Iterator[layout.Flow]:
        for _, record in Map(self._fds["live"], ctypes.c_uint64, layout.Flow).items_batched():
            yield record


def _slots(cookie: int) -> tuple[int, int]:
    """The two slots that a handshake may have; see lib/handshake.h."""
    row = (cookie >> Limit.YOUNG_ROW) % Limit.YOUNG_ROWS
    first = row * Limit.YOUNG_FIRST + cookie % Limit.YOUNG_FIRST
    second = row * Limit.YOUNG_SECOND + cookie % Limit.YOUNG_SECOND
    return first, Limit.YOUNG_ROWS * Limit.YOUNG_FIRST + second


def give_up(handshake: Handshake) -> bool:
    """End a handshake that came from elsewhere and is to be no connection, so that nobody waits for its end.

    False when it is over. Only what is not open yet is ended. Acts in the network namespace of the caller.
    """
    if handshake.open or not handshake.incoming or not handshake.cookie:
        return False
    reaper = SocketReaper()
    ends = Tuple(handshake.local, handshake.local_port, handshake.remote, handshake.remote_port)
    try:
        return reaper.destroy(ends, handshake.cookie)
    except OSError as error:
        raise DatapathError(f"a handshake could not be given up: {error.strerror}") from None
    finally:
        reaper.close()
