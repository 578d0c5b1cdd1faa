"""Programs that tell of the packets they judge, in the place of those that do not, for as long as somebody captures.

They are compiled from the same sources and use the same tables, so every verdict is the same. They are loaded and put
in place by the command that captures, and nothing of theirs is pinned. The agent puts its own programs back when the
command is over (:meth:`watchword.enforcer.datapath.base.Datapath.reattach`), however that ended; :meth:`Witness.close`
puts back what was there before, in case the agent has died meanwhile.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import ipaddress
import os
import time
from collections.abc import Callable
from pathlib import Path

from watchword.enforcer.datapath.base import CapturedPacket, CaptureFilter, DatapathError
from watchword.enforcer.datapath.ebpf import libbpf, seats
from watchword.enforcer.datapath.ebpf._layout import (
    Action,
    Address,
    Captured,
    Direction,
    Filter,
    Known,
    Limit,
    Missed,
    NameKey,
    NameKind,
)
from watchword.enforcer.datapath.ebpf._layout import Name as KernelName
from watchword.enforcer.datapath.ebpf.editions import edition
from watchword.enforcer.datapath.ebpf.glance import pins_in_force
from watchword.enforcer.datapath.ebpf.libbpf import checked, library
from watchword.enforcer.datapath.ebpf.names import Numbers
from watchword.enforcer.datapath.ebpf.object import BpfObject, Map
from watchword.enforcer.datapath.ebpf.samples import Clock, reason_name

_OBJECTS = ("capture_in", "capture_out", "capture_verify")

#: Maps of the capture alone, shared by its objects.
_PASSING = ("wanted", "packets", "missed", "pace", "scenes")

_MAPPED = 96  # bits of an IPv6 address before an IPv4 one in it


class Witness:
    """Hands the packets that ``wanted`` wants to ``handler``, from :meth:`begin` on, by :meth:`poll`."""

    def __init__(self, pin_root: Path, wanted: CaptureFilter, handler: Callable[[CapturedPacket], None]) -> None:
        """Load, but change nothing yet. Raises :class:`DatapathError` when nothing judges packets here."""
        self._pins, self._handler = pins_in_force(pin_root), handler
        self._objects: list[BpfObject] = []
        self._before: dict[seats.Seat, int] = {}  # descriptors of the programs whose place was taken
        self._ring: int | None = None
        self._clock = Clock(time.time() - time.clock_gettime(time.CLOCK_MONOTONIC))
        try:
            self._load()
            self._rules = self._named_rules()
            self.want(wanted)
            self._callback = libbpf.SampleHandler(self._sample)
            self._ring = library().ring_buffer__new(self._maps["packets"], self._callback, None, None)
            if not self._ring:
                raise libbpf.KernelError("open the packets' ring", ctypes.get_errno())
        except BaseException:
            self.close()
            raise

    def _load(self) -> None:
        self._maps: dict[str, int] = {}
        self._programs: dict[str, int] = {}
        for name in _OBJECTS:
            passing = {each: self._maps.get(each) for each in _PASSING}
            loaded = BpfObject(edition() / f"{name}.bpf.o", self._pins, passing=passing)
            self._objects.append(loaded)
            self._maps = {**loaded.maps, **self._maps}
            self._programs.update(loaded.programs)

    def _named_rules(self) -> Numbers:
        return Numbers(Map(self._maps["names"], NameKey, KernelName), NameKind.RULE)

    def want(self, wanted: CaptureFilter) -> None:
        """Other packets from now on."""
        Map(self._maps["wanted"], ctypes.c_uint32, Filter).put(ctypes.c_uint32(0), _filter(wanted))

    def begin(self) -> None:
        """Take the place of the programs that judge, between two packets; also of those that came since."""
        ours = {int(libbpf.program_info(fd).id) for fd in self._programs.values()}
        for seat in seats.seats(self._pins):
            number = seat.program()
            if number is None or number in ours:
                continue
            name = seats.named(number)
            if name not in self._programs:
                raise DatapathError(f"{name} is in force, which this version does not know: use that one's command")
            if seat not in self._before:
                self._before[seat] = libbpf.program_of_id(number)
            seat.put(self._programs[name])

    def _sample(self, _context: int, data: int, size: int) -> int:
        content = ctypes.string_at(data, size)
        head = Captured.from_buffer_copy(content)
        start = ctypes.sizeof(Captured)
        self._handler(self._packet(head, content[start : start + head.told]))
        return 0

    def _packet(self, head: Captured, content: bytes) -> CapturedPacket:
        rule = self._rules.text(head.rule)
        if rule.startswith("#"):  # of a later revision than those that were read
            self._rules = self._named_rules()
            rule = self._rules.text(head.rule)
        return CapturedPacket(
            time=self._clock.unix(head.time),
            direction="incoming" if head.direction == Direction.IN else "outgoing",
            action="Allow" if head.action == Action.ALLOW else "Reject",
            reason=reason_name(head.reason),
            unit_badge=head.unit,
            peer_badge=head.peer,
            recorded=bool(head.known & Known.RECORD),
            existing=bool(head.known & Known.EXISTING),
            rule=rule,
            decided=bool(head.known & (Known.RECORD | Known.RULE)),
            revision=head.revision,
            device=head.device,
            length=head.length,
            content=content,
        )

    def poll(self, milliseconds: int) -> None:
        """Hand over what has come; waits at most so long for the first packet."""
        result = library().ring_buffer__poll(self._ring, milliseconds)
        if result < 0 and -result != errno.EINTR:
            raise libbpf.KernelError("read captured packets", -result)

    def missed(self) -> tuple[int, int]:
        """Packets that were wanted and not told: more than the rate allows; more than there was room for."""
        cpus = checked("count CPUs", library().libbpf_num_possible_cpus())
        counts = Map(self._maps["missed"], ctypes.c_uint32, ctypes.c_uint64 * cpus)  # type: ignore[type-var]
        rate, room = (sum(counts.get(ctypes.c_uint32(why)) or ()) for why in (Missed.RATE, Missed.ROOM))
        return rate, room

    def end(self) -> None:
        """Put back the programs whose place was taken, where ours are still there."""
        ours = {int(libbpf.program_info(fd).id) for fd in self._programs.values()}
        for seat, program in self._before.items():
            with contextlib.suppress(libbpf.KernelError):  # its device went meanwhile
                if seat.program() in ours:
                    seat.put(program)
            os.close(program)
        self._before.clear()

    def close(self) -> None:
        """End, and forget everything."""
        if self._before:
            self.end()
        if self._ring:
            library().ring_buffer__free(self._ring)
            self._ring = None
        while self._objects:
            self._objects.pop().close()


def _filter(wanted: CaptureFilter) -> Filter:
    made = Filter(unit=wanted.unit_badge, port=wanted.port, rate=wanted.rate)
    made.snap = min(wanted.snap or Limit.SNAP_MAX, Limit.SNAP_MAX)
    if wanted.remote:
        network = ipaddress.ip_network(wanted.remote)
        packed = network.network_address.packed
        mapped = packed if network.version == 6 else bytes(10) + b"\xff\xff" + packed
        made.remote = Address.from_buffer_copy(mapped)
        made.bits = network.prefixlen + (_MAPPED if network.version == 4 else 0)
    return made
