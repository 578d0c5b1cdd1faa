"""The eBPF datapath of one Enforcer: everything between tables and pinned kernel objects.

Kernel state outlives this object. The agent that comes next opens the same pins, puts its programs
behind the same links and goes on; in between the kernel decides by what stands in its tables.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from watchword.enforcer.datapath.base import (
    AnswerUnread,
    BadgeMissed,
    DatapathError,
    Event,
    EventsLost,
    FeatureMissing,
    FlowSample,
    Lookup,
    PeerKeys,
    Placement,
)
from watchword.enforcer.datapath.ebpf import _layout as layout
from watchword.enforcer.datapath.ebpf import counting, features, libbpf, samples
from watchword.enforcer.datapath.ebpf._layout import Counter, EventKind, Limit, LookupResult, NameKind
from watchword.enforcer.datapath.ebpf._layout import Event as KernelEvent
from watchword.enforcer.datapath.ebpf.attachments import Attachments, has_links
from watchword.enforcer.datapath.ebpf.bank import Banks
from watchword.enforcer.datapath.ebpf.editions import check_names, edition, hears_names
from watchword.enforcer.datapath.ebpf.hearing import hears_datagrams
from watchword.enforcer.datapath.ebpf.hostnames import HostNames
from watchword.enforcer.datapath.ebpf.interfaces import Interfaces
from watchword.enforcer.datapath.ebpf.names import Numbers
from watchword.enforcer.datapath.ebpf.object import BpfObject, Map
from watchword.enforcer.datapath.ebpf.predecessor import Predecessor, build, builds, predecessor
from watchword.enforcer.datapath.ebpf.sizes import checked_sizes
from watchword.enforcer.datapath.ebpf.sockets import RefusalSender, address_text
from watchword.enforcer.datapath.ebpf.succession import Succession
from watchword.enforcer.datapath.ebpf.sweep import Sweep, connection_of
from watchword.policy.ledger import differing, differing_members
from watchword.policy.tables import Tables

_PROGRAMS = ("stamp", "verify", "refuse", "enforce", "sweep", "names", "resolve")

_IDLE = 3600.0  # seconds after which a reported aggregate is dropped
_SETTLING = 0.02  # seconds after which no program that was replaced still runs
_REMEDY = "use Linux 5.10 or later; a datapath for older kernels, by netfilter, is yet to come"
_REFUSALS_PER_POLL = 256  # RSTs sent for one batch of events; the rest time out by themselves


def objects() -> list[Path]:
    """The compiled programs for this kernel. Raises :class:`DatapathError` where one is missing."""
    paths = [edition() / f"{name}.bpf.o" for name in _PROGRAMS]
    for path in paths:
        if not path.exists():
            raise DatapathError(f"{path.name} is missing from this installation: build it with `make bpf`")
    return paths


class EbpfDatapath:
    """Implements :class:`watchword.enforcer.datapath.base.Datapath`.

    Must be created, and ``poll``/``apply`` called, in the network namespace it is to police.
    ``agent_cgroup`` holds the agent, whose own connections are never judged. ``sizes`` are numbers of entries
    of tables (see :mod:`.sizes`), for tables that do not exist yet; those an earlier agent left keep theirs.
    """

    name: Literal["ebpf", "netfilter", "windows"] = "ebpf"

    def __init__(
        self,
        cgroup_root: Path,
        pin_root: Path,
        agent_cgroup: Path | None = None,
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        self._sizes = checked_sizes(sizes or {})
        self._cgroup, self._agent = cgroup_root, agent_cgroup
        self._pin_root = pin_root
        self._succession: Succession | None = None
        self._held = ExitStack()  # what close() gives back, the last taken first
        self._tables: Tables | None = None
        self._placements: dict[str, str] = {}
        self._handler: Callable[[Event], None] | None = None
        self._ring: int | None = None
        self._lost = 0

    # --- life ---------------------------------------------------------------------------------

    def install(self) -> None:
        """Load, take over what an earlier agent left, attach when the first tables are in place."""
        paths = objects()
        self._pins = self._pin_root / build(paths)
        before = self._prepare_pins()
        fds: dict[str, int] = {}
        programs: dict[str, int] = {}
        for path in paths:
            loaded = self._load(path)
            self._held.callback(loaded.close)
            fds.update(loaded.maps)
            programs.update(loaded.programs)
        self._programs, self._fds = programs, fds
        self._open_maps(fds, before)
        self._hostnames = HostNames(fds, programs)
        self._held.callback(self._hostnames.close)
        self._attachments = Attachments(self._pins, self._cgroup, programs)
        self._refusals = RefusalSender()
        self._held.callback(self._refusals.close)
        self._sweep = Sweep(programs, fds, self._state)
        self._held.callback(self._sweep.close)
        self._interfaces = Interfaces(fds, self._state)
        self._held.callback(self._interfaces.close)
        if self._attachments.attached() and before is None:
            self._clear_away()
        elif self._attachments.attached():
            self._attachments.take_over()

    def _prepare_pins(self) -> Predecessor | None:
        """A place for this build's pins; what another build has left that is attached, if there is such a thing."""
        before = predecessor(self._pin_root, self._pins)
        if before and not before.was_following and self._pins.exists() and not has_links(self._pins):
            shutil.rmtree(self._pins)  # left by an attempt that failed
        try:
            self._pins.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise DatapathError(f"{self._pins} cannot be made: mount a bpffs at /sys/fs/bpf ({error})") from error
        if not _is_bpffs(self._pins):
            raise FeatureMissing("a bpffs at " + str(self._pin_root), "mount -t bpf bpf /sys/fs/bpf")
        return before

    def _load(self, path: Path) -> BpfObject:
        try:
            return BpfObject(path, self._pins, self._sizes)
        except libbpf.KernelError as error:
            missing = ", ".join(features.lacking())
            if missing or error.log:
                raise FeatureMissing(missing or f"what {path.stem} needs", f"{_REMEDY} ({error})") from error
            raise

    def _open_maps(self, fds: Mapping[str, int], before: Predecessor | None) -> None:
        cpus = libbpf.checked("count CPUs", libbpf.library().libbpf_num_possible_cpus())
        self._state_memory = mmap.mmap(fds["state"], mmap.PAGESIZE)
        self._held.callback(self._state_memory.close)
        self._state = layout.State.from_buffer(self._state_memory)
        self._held.callback(self._leave_state)
        if before is not None:
            self._succession = Succession(before, self._state, fds)
        self._keys = Map(fds["keys"], ctypes.c_uint32, layout.Keys)
        self._counters = counting.counters_map(fds["counters"])
        self._flows = Map(fds["flows"], layout.FlowKey, layout.FlowCounts * cpus)  # type: ignore[type-var]
        self._reported = Map(fds["reported"], layout.FlowKey, layout.FlowCounts)
        self._totals = Map(fds["totals"], ctypes.c_uint32, layout.FlowCounts)
        self._adopted = Map(fds["adopted"], layout.End, ctypes.c_uint32)
        self._earlier_flows = Map(fds["earlier_flows"], layout.FlowKey, layout.FlowCounts)
        names = Map(fds["names"], layout.NameKey, layout.Name, "names")
        self._rules = Numbers(names, NameKind.RULE)
        self._banks = Banks(
            Map(fds["units"], ctypes.c_uint64, layout.Unit, "units"),
            Map(fds["peers"], ctypes.c_uint32, layout.Peer, "peers"),
            Map(fds["prefixes4"], layout.Prefix4, layout.PrefixClass, "prefixes4"),
            Map(fds["prefixes6"], layout.Prefix6, layout.PrefixClass, "prefixes6"),
            Map(fds["verdicts"], layout.VerdictKey, layout.Verdict, "verdicts"),
            fds["segments"],
            fds["icmp_types"],
            self._rules,
            Numbers(names, NameKind.ENFORCER, Limit.MAX_ENFORCERS),
        )
        self._held.callback(self._banks.close)
        if not self._state.secret[0]:
            self._state.secret[:] = [secrets.randbits(64) | 1, secrets.randbits(64)]
        self._state.root, self._state.root_level = _cgroup_id(self._cgroup), _level(self._cgroup)
        self._state.agent = _cgroup_id(self._agent) if self._agent else 0
        self._state.namespace = os.stat("/proc/thread-self/ns/net").st_ino

    def close(self) -> None:
        """Let go; the kernel goes on deciding."""
        self._held.close()

    def _leave_state(self) -> None:
        """The mapping cannot be closed while anything looks into it."""
        self._succession = None
        del self._state

    def uninstall(self) -> None:
        """Detach and unpin everything; with its last reference each link, program and map goes."""
        self.close()
        if self._pin_root.exists():
            for pins in self._pin_root.iterdir():  # also of builds before this one
                Attachments(pins, self._cgroup, {}).detach()
            shutil.rmtree(self._pin_root)

    # --- tables -------------------------------------------------------------------------------

    def place(self, placements: Sequence[Placement]) -> None:
        """Replace all placements; takes effect at once under the tables in force."""
        for placement in placements:
            if not Path(placement.cgroup).is_dir():
                raise DatapathError(f"unit {placement.native_id}: the cgroup {placement.cgroup} does not exist")
        self._placements = {placement.cgroup: placement.native_id for placement in placements}
        if self._tables is not None:
            self._enforce(self._tables)

    def set_keys(self, own_epochs: Sequence[int], peers: Sequence[PeerKeys]) -> None:
        """Write all pairwise keys and forget all others; the newest own epoch is the one that handshakes announce."""
        named = {self._banks.enforcer_number(peer.enforcer) for peer in peers}
        for number, old in self._keys.items_batched():
            if old.valid and number.value not in named:
                self._keys.put(number, layout.Keys())
        for peer in peers:
            entry = layout.Keys()
            for (own, theirs), key in sorted(peer.keys.items()):
                i, j = own & 1, theirs & 1
                entry.key[i][j][:] = [int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")]
                entry.own_epoch[i], entry.peer_epoch[j] = own & 0xFFFFFFFF, theirs & 0xFFFFFFFF
                entry.valid |= 1 << (i * 2 + j)
                entry.newest = max(entry.newest, theirs)
            self._keys.put(ctypes.c_uint32(self._banks.enforcer_number(peer.enforcer)), entry)
        if own_epochs:
            self._state.epoch = own_epochs[0]

    def apply(self, tables: Tables) -> None:
        """Fill the other bank, flip, judge the quiet flows; attach if nothing is attached yet."""
        check_names(tables)
        unchanged = self._tables is not None and _same_verdicts(self._tables, tables)
        if unchanged and self._state.generation:
            self._tables = tables
            self._state.revision = tables.revision
            return
        self._enforce(tables)
        if self._succession is not None:
            self._succeed(self._succession)
        elif not self._attachments.attached():
            self._begin()

    def _enforce(self, tables: Tables) -> None:
        generation = (self._state.generation + 1) & 0xFFFFFFFF or 2
        badges = {unit.native_id: unit.badge for unit in tables.units.values()}
        places: dict[int, int] = {}
        levels = 0
        for cgroup, native_id in self._placements.items():
            path = Path(cgroup)
            if path.is_dir():  # a unit may end while its revision is on the way
                places[_cgroup_id(path)] = badges.get(native_id, 0)
                levels |= 1 << _level(path)
        hears = hears_datagrams(tables)
        if hears:
            self._hear(True)  # before the tables that need it are in force; else after those that did
        bank = generation & 1
        reads = bool(tables.names) and hears_names()
        if reads:
            self._attachments.resolve(True)
        self._banks.fill(bank, tables, places)
        self._hostnames.fill(bank, tables.names)
        self._state.named = (self._state.named & ~(1 << bank)) | (bool(tables.names) << bank)
        self._state.levels |= levels  # before the flip a level too many is harmless, one too few is not
        self._state.before, self._state.revision = self._state.revision, tables.revision
        self._state.generation = generation
        self._state.levels = levels
        self._tables = tables
        self._hear(hears)
        self._attachments.resolve(reads)
        self._hostnames.respell()
        if self._succession is None:
            self._sweep.whole()

    def _succeed(self, succession: Succession) -> None:
        """Follow the build that ran before, whose programs decide until ours stand in their place."""
        succession.carry()
        self._hostnames.respell()
        succession.before.begin()
        self._attachments.inherit(builds(self._pin_root, self._pins))  # also of an agent that died while it followed
        time.sleep(_SETTLING)
        succession.carry()
        succession.settle()
        self._clear_away()
        succession.before.remove()
        self._succession = None
        self._sweep.whole()

    def _clear_away(self) -> None:
        """Take all links, and remove what builds that never came to be at work have left."""
        others = builds(self._pin_root, self._pins)
        self._attachments.inherit(others)
        for pins in others:
            if self._succession is None or pins != self._succession.before.pins:
                shutil.rmtree(pins)

    def _hear(self, wanted: bool) -> None:
        if self._attachments.hearing is not wanted:
            self._attachments.hearing = wanted
            self.attend()

    def _begin(self) -> None:
        """Attach for the first time. Connections that stand now are older than the Enforcer: judged by address."""
        self._attachments.attach_devices()
        self._attachments.attach_cgroup()
        self._sweep.adopt()
        self._adopted.clear()
        self._sweep.whole()

    def keep_existing(self, keep: bool) -> None:
        """Whether connections older than the Enforcer go on where policy refuses them; if not, they end now."""
        if self._state.cut_existing == (not keep):
            return
        self._state.cut_existing = not keep
        if self._state.generation and not keep:
            self._sweep.whole()

    def exclude(self, interfaces: Sequence[str]) -> None:
        """Leave interfaces of these names alone, those that are there and those that come."""
        if self._interfaces.choose(interfaces):
            self._judge_anew()

    def _judge_anew(self) -> None:
        """Ask the tables in force again about all that lives; without tables, those to come will."""
        if self._tables is not None:
            self._enforce(self._tables)

    def attend(self) -> None:
        """Stamp devices that have appeared, and put back what somebody removed."""
        if self._interfaces.follow():
            self._judge_anew()
        if self._attachments.attached():
            self._attachments.attach_devices()

    def reattach(self) -> None:
        """Put this agent's own programs behind all links and hooks."""
        if self._attachments.attached():
            self._attachments.take_over()

    def revision(self) -> int:
        """The revision in force, also one that an earlier agent applied."""
        return int(self._state.revision) if self._state.generation else 0

    # --- host names ---------------------------------------------------------------------------

    def believe(self, resolvers: Sequence[str]) -> None:
        """Replace the set of resolvers."""
        self._hostnames.believe(resolvers)

    def learn(self, badge: int, answer: bytes) -> bool:
        """Read an answer as if the unit had got it."""
        return self._hostnames.learn(badge, answer) not in (LookupResult.UNREAD, LookupResult.LOST)

    def learned(self, badge: int, address: str) -> list[str]:
        """Names of an address."""
        return self._hostnames.learned(badge, address)

    def lookups(self) -> list[Lookup]:
        """All aggregated look-ups."""
        return self._hostnames.lookups(_clock())

    def unreported_lookups(self) -> list[tuple[Lookup, Lookup | None]]:
        """What has been looked up since ``reported_lookups``."""
        return self._hostnames.unreported(_clock())

    def reported_lookups(self, lookups: Sequence[Lookup]) -> None:
        """Remember it in the kernel, where it outlives this process."""
        self._hostnames.reported(lookups)

    def forget(self, lookups: Sequence[Lookup]) -> None:
        """One pass over what was learned."""
        self._state.forgetting += 1
        self._hostnames.forget(lookups)

    # --- seeing -------------------------------------------------------------------------------

    def look(self) -> None:
        """Bring the counts of live connections up to date."""
        self._sweep.whole()

    def flows(self) -> list[FlowSample]:
        """All aggregates; those reported and idle for an hour are dropped after."""
        clock = _clock()
        self._sweep.whole()
        return [samples.sample(key, counts, self._rules, clock) for key, counts in counting.aggregates(self._fds)]

    def unreported(self) -> list[tuple[FlowSample, FlowSample | None]]:
        """What has grown since ``reported``."""
        clock, grown = _clock(), []
        self._pending: dict[FlowSample, tuple[layout.FlowKey, layout.FlowCounts]] = {}
        before = {samples.raw(key): counts for key, counts in self._reported.items_batched()}
        self._sweep.due()
        for key, counts in counting.aggregates(self._fds):
            last = before.get(samples.raw(key))
            now = samples.sample(key, counts, self._rules, clock)
            if last is None or samples.raw(last) != samples.raw(counts):
                grown.append((now, samples.sample(key, last, self._rules, clock) if last else None))
                self._pending[now] = (key, counts)
            elif time.time() - now.last_seen > _IDLE:
                self._totals.put(*counting.added(self._totals, key, counts))
                for aggregates in (self._flows, self._earlier_flows, self._reported):
                    aggregates.remove(key)
        return grown

    def reported(self, reported: Sequence[FlowSample]) -> None:
        """Remember what has been handed on, in the kernel, where it outlives this process."""
        self._reported.put_all(self._pending[sample] for sample in reported if sample in self._pending)

    def counters(self) -> dict[str, int]:
        """All counters by name, those that are zero too."""
        return counting.counted(self._fds)

    def watch(self, handler: Callable[[Event], None]) -> int:
        """Deliver events to ``handler``; returns the descriptor that says when some wait."""
        self._handler = handler
        self._callback = libbpf.SampleHandler(self._on_sample)
        lib = libbpf.library()
        self._ring = lib.ring_buffer__new(self._fds["events"], self._callback, None, None)
        if not self._ring:
            raise libbpf.KernelError("open the event ring", ctypes.get_errno())
        self._held.callback(lib.ring_buffer__free, self._ring)
        epoll = int(lib.ring_buffer__epoll_fd(self._ring))
        self._interfaces.announce(epoll)
        return epoll

    def poll(self) -> None:
        """Deliver what waits, say how many events found no room, and follow devices that have changed."""
        if self._interfaces.follow():
            self._judge_anew()
        self._refusals_left = _REFUSALS_PER_POLL
        libbpf.checked("read events", libbpf.library().ring_buffer__consume(self._ring))
        lost = sum(self._counters.get(ctypes.c_uint32(Counter.EVENT_LOST)) or ())
        if lost > self._lost and self._handler:
            self._handler(EventsLost(lost - self._lost))
        self._lost = lost

    def _on_sample(self, _context: int, data: int, _size: int) -> int:
        event = KernelEvent.from_buffer_copy(ctypes.string_at(data, ctypes.sizeof(KernelEvent)))
        if event.kind == EventKind.BADGE_UNKNOWN and self._handler:
            self._handler(BadgeMissed(event.badge))
        elif event.kind == EventKind.REFUSED and self._refusals_left:
            self._refusals_left -= 1
            self._refusals.refuse(connection_of(event), event.sequence)
        elif event.kind == EventKind.NAME and self._handler:
            name = self._hostnames.asked_for(event.badge, event.socket, event.sequence)
            self._handler(AnswerUnread(event.badge, name, event.sequence, address_text(event.remote)))
        elif event.kind == EventKind.ABORT:
            self._sweep.end(event)
        return 0


def _clock() -> samples.Clock:
    return samples.Clock(time.time() - time.clock_gettime(time.CLOCK_MONOTONIC))


def _same_verdicts(old: Tables, new: Tables) -> bool:
    return (
        old.units == new.units
        and old.prefixes == new.prefixes
        and old.names == new.names
        and old.segments == new.segments
        and not differing(old.peers, new.peers)
        and not differing(old.verdicts, new.verdicts)
        and not differing_members(old.reachable, new.reachable)
    )


def _cgroup_id(path: Path) -> int:
    """A cgroup v2 directory's inode number is its ID (kernel Documentation/admin-guide/cgroup-v2.rst)."""
    return path.stat().st_ino


def _level(path: Path) -> int:
    """Depth below the mount point of cgroup v2; the mount point itself is 0."""
    depth = 0
    while not os.path.ismount(path):
        path, depth = path.parent, depth + 1
    return depth


def _is_bpffs(path: Path) -> bool:
    return _filesystem(path) == "bpf"


def _filesystem(path: Path) -> str:
    best, kind = "", ""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, found, *_ = line.split()
        if (str(path) + "/").startswith(where.rstrip("/") + "/") and len(where) >= len(best):
            best, kind = where, found
    return kind
