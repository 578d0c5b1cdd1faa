"""How one build of the programs follows another: everything that the earlier one knows and no revision says.

Policy is not carried over: the agent fills this build's tables from the signed revision before the programs are
replaced. What is carried are records of live connections, datagram flows, host names that were learned, aggregates,
counters and names. Records are carried twice, before the programs are replaced and after: the first time takes as long
as there are connections, the second finds what the earlier programs changed meanwhile. Until then a packet of a
connection without a record here is dropped, and TCP sends it again. Whatever fails before the programs are replaced
leaves the earlier build in force.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Mapping

from watchword.enforcer.datapath.ebpf import _layout as layout
from watchword.enforcer.datapath.ebpf import samples
from watchword.enforcer.datapath.ebpf._layout import Direction
from watchword.enforcer.datapath.ebpf.object import K, Map, V
from watchword.enforcer.datapath.ebpf.predecessor import Predecessor
from watchword.identity.transcript import siphash

#: Young connections have their records in the slots of their handshakes: what the fields of a record are called there.
_YOUNG: Mapping[str, str] = {"port": "dialled", "proof": "reply"}

#: Tables that are carried once, when nothing changes there any more.
_SETTLED = ("flows", "earlier_flows", "reported", "totals", "counters", "earlier_counters", "lookups", "lookups_told")

_Records = dict[bytes, bytes]


def flow_key(secret: tuple[int, int], flow_id: layout.FlowId) -> int:
    """The key of a record in ``live``: ``flow_key`` of bpf/lib/flow.h."""
    remote, local = flow_id.remote.word, flow_id.local.word
    last = (flow_id.cgroup << 32 | flow_id.remote_port << 16 | flow_id.local_port) & 0xFFFFFFFFFFFFFFFF
    return siphash(struct.pack("<2Q", *secret), struct.pack("<8IQ", *remote, *local, last), 1, 3)


class Succession:
    """Carries over what an earlier build left. ``state`` and the descriptors ``fds`` of maps are this build's."""

    def __init__(self, before: Predecessor, state: layout.State, fds: Mapping[str, int]) -> None:
        self.before, self._state, self._fds = before, state, fds
        self._carried: _Records = {}
        self._take_state()

    def _take_state(self) -> None:
        """Go on counting where it stopped: no number may come to mean two things."""
        theirs = self.before.one("state", layout.State)
        if theirs is not None and theirs.generation > self._state.generation:  # else an agent died half-way
            self._state.secret[:] = list(theirs.secret)
            self._state.generation, self._state.revision = theirs.generation, theirs.revision
            self._state.tally, self._state.cut_existing = theirs.tally, theirs.cut_existing
        names = Map(self._fds["names"], layout.NameKey, layout.Name, "names")
        names.put_all(self.before.table("names", layout.NameKey, layout.Name))

    def carry(self) -> None:
        """Bring the records here to what they are there now; may be called again."""
        live = Map(self._fds["live"], ctypes.c_uint64, layout.Flow, "live")
        now = self._records()
        live.put_all(
            (ctypes.c_uint64.from_buffer_copy(key), layout.Flow.from_buffer_copy(record))
            for key, record in now.items()
            if self._carried.get(key) != record
        )
        for key in self._carried.keys() - now.keys():  # over, by the earlier programs; unless it is another's by now
            number = ctypes.c_uint64.from_buffer_copy(key)
            standing = live.get(number)
            if standing is not None and samples.raw(standing) == self._carried[key]:
                live.remove(number)
        self._carried = now
        datagrams = Map(self._fds["datagrams"], layout.DatagramKey, layout.Datagram, "datagrams")
        datagrams.put_all(self.before.table("datagrams", layout.DatagramKey, layout.Datagram))
        proved = Map(self._fds["udp_flows"], layout.DatagramKey, layout.UdpFlow, "udp_flows")
        proved.put_all(self.before.table("udp_flows", layout.DatagramKey, layout.UdpFlow))
        self._carry_learned()

    def _carry_learned(self) -> None:
        """Host names that units have learned: what is here already is as new, or newer."""
        self._carry_new("resolvers", layout.Address, ctypes.c_uint32)
        self._carry_new("spelled", ctypes.c_uint64, layout.Spelled)
        self._carry_new("learned", layout.LearnedKey, layout.Learned)

    def _carry_new(self, name: str, key: type[K], value: type[V]) -> None:
        """Bring the entries of a table that are there and not here."""
        into = Map(self._fds[name], key, value, name)
        known = {bytes(each) for each, _ in into.items_batched()}
        into.put_all(entry for entry in self.before.table(name, key, value) if bytes(entry[0]) not in known)

    def _records(self) -> _Records:
        found = [record for _, record in self.before.table("live", ctypes.c_uint64, layout.Flow)]
        settled = {samples.raw(record) for record in self._young()}
        # read twice: a slot that a program is just writing is not the same the second time
        for record in self._young():
            if record.judged.generation and samples.raw(record) in settled:
                if record.direction == Direction.IN:
                    record.port = int.from_bytes(record.id.local_port.to_bytes(2, "little"), "big")
                found.append(record)
        secret = (self._state.secret[0], self._state.secret[1])
        return {struct.pack("<Q", flow_key(secret, record.id)): samples.raw(record) for record in found}

    def _young(self) -> list[layout.Flow]:
        return [record for _, record in self.before.table("young", ctypes.c_uint32, layout.Flow, _YOUNG)]

    def settle(self) -> None:
        """Carry what only grows, when nothing grows there any more: counters, aggregates, what has been reported."""
        totals = {samples.raw(key): counts for key, counts in self._flows("earlier_flows")}
        for key, per_cpu in self.before.table_per_cpu("flows", layout.FlowKey, layout.FlowCounts):
            earlier = totals.get(samples.raw(key))
            totals[samples.raw(key)] = samples.summed([*per_cpu, *([earlier] if earlier else [])])
        into = Map(self._fds["earlier_flows"], layout.FlowKey, layout.FlowCounts, "earlier_flows")
        into.put_all((layout.FlowKey.from_buffer_copy(key), counts) for key, counts in totals.items())
        reported = Map(self._fds["reported"], layout.FlowKey, layout.FlowCounts, "reported")
        reported.put_all(self._flows("reported"))
        gone = Map(self._fds["totals"], ctypes.c_uint32, layout.FlowCounts, "totals")
        gone.put_all(self.before.table("totals", ctypes.c_uint32, layout.FlowCounts))
        self._carry_lookups()
        counters = Map(self._fds["earlier_counters"], ctypes.c_uint32, ctypes.c_uint64, "earlier_counters")
        earlier_sums = self.before.table("earlier_counters", ctypes.c_uint32, ctypes.c_uint64)
        sums = {index.value: total.value for index, total in earlier_sums}
        for index, values in self.before.table_per_cpu("counters", ctypes.c_uint32, ctypes.c_uint64):
            sums[index.value] = sums.get(index.value, 0) + sum(value.value for value in values)
        for number, count in sums.items():
            if number < layout.Counter.MAX:
                counters.put(ctypes.c_uint32(number), ctypes.c_uint64(count))
        self.before.forget(_SETTLED)

    def _carry_lookups(self) -> None:
        """Counts of look-ups: those of this build's programs, which have just begun, are added."""
        into = Map(self._fds["lookups"], layout.LookupKey, layout.Lookup, "lookups")
        begun = {bytes(key): value for key, value in into.items_batched()}
        for key, value in self.before.table("lookups", layout.LookupKey, layout.Lookup):
            newer = begun.get(bytes(key))
            if newer is not None:
                newer.count += value.count
                newer.first_seen = value.first_seen
            into.put(key, newer or value)
        told = Map(self._fds["lookups_told"], layout.LookupKey, ctypes.c_uint64, "lookups_told")
        told.put_all(self.before.table("lookups_told", layout.LookupKey, ctypes.c_uint64))

    def _flows(self, name: str) -> list[tuple[layout.FlowKey, layout.FlowCounts]]:
        return self.before.table(name, layout.FlowKey, layout.FlowCounts)
