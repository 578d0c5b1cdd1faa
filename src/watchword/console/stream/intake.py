"""What one Enforcer says, taken in order and answered."""

from __future__ import annotations

import msgspec
import structlog

from watchword.console import lifecycle, trust
from watchword.console.changes import Author, Change
from watchword.console.flows import lookups
from watchword.console.flows.resolution import Reporter, resolve
from watchword.console.lifecycle import ENFORCER, UNIT
from watchword.console.roster import datapath_keys, encode_keys
from watchword.console.store import records
from watchword.console.store.records import Record
from watchword.console.stream import registration
from watchword.console.stream.admission import check_keys
from watchword.console.stream.channel import Channel
from watchword.console.stream.closing import EVICTED, MALFORMED, NORMAL, SessionEnded
from watchword.console.stream.outlet import Outlet
from watchword.console.stream.parts import StreamParts
from watchword.console.stream.settings import Settler
from watchword.wire import messages
from watchword.wire.policy import DatapathKey

log = structlog.get_logger(__name__)

#: Limits of what one Enforcer may say of itself.
_COUNTER_LIMIT = 512
_PROBLEM_LIMIT = 50
_REQUIREMENT_LIMIT = 100
_TEXT_LIMIT = 500
_NUMBER_LIMIT = 1 << 62


class Intake:
    """Takes the messages of one session."""

    def __init__(self, parts: StreamParts, channel: Channel, record: Record) -> None:
        self._parts = parts
        self._channel = channel
        self._source = channel.source
        self.record = record
        self._inactive: dict[str, int] = {}  # unit ID to the revision that has its policy

    @property
    def _id(self) -> str:
        return self.record.id

    @property
    def author(self) -> Author:
        """How activities call this Enforcer."""
        enforcer = self.record.resource
        return Author(f"enforcer {enforcer.namespace} {enforcer.name}", self._source)

    async def begin(self, hello: messages.Hello) -> None:
        """Publish the keys of the hello."""
        await self._store_keys(hello.keys)

    def announce(self, hello: messages.Hello) -> None:
        """The Enforcer is connected; what the hello says of it."""
        self._parts.presence.connected(
            self._id,
            current_version=hello.version[:_TEXT_LIMIT],
            datapath=hello.datapath,
            kernel=hello.kernel[:_TEXT_LIMIT],
            key_epoch=min(hello.keys[0].epoch, _NUMBER_LIMIT),
        )

    async def run(self, outlet: Outlet, settler: Settler) -> None:
        """Take messages until the session ends."""
        while True:
            message = await self._channel.receive()
            self._parts.presence.heard(self._id)
            await self._take(message, outlet, settler)

    async def _take(self, message: messages.ToConsole, outlet: Outlet, settler: Settler) -> None:
        match message:
            case messages.RegisterUnits():
                await self._register(message)
            case messages.RetireUnits():
                async with self._parts.changes.begin(self.author) as change:
                    await registration.retire(change, self.record.resource, message.native_ids)
            case messages.PublishKeys():
                check_keys(self.record, message.keys)
                await self._store_keys(message.keys)
                self._parts.presence.note(self._id, key_epoch=min(message.keys[0].epoch, _NUMBER_LIMIT))
            case messages.RevisionEnforced():
                await self._enforced(message.revision, outlet)
            case messages.RevisionRefused():
                self._refused(message.revision, message.reason[:_TEXT_LIMIT], outlet)
            case messages.BadgeQuery():
                await self._badge(message.badge, outlet)
            case messages.FlowReports():
                await self._flows(message, settler.sent)
            case messages.LookupReports():
                await self._lookups(message)
            case messages.HostAddresses() | messages.PingHeard() | messages.PingSighted():
                self._parts.pings.take(self._id, message)
            case messages.Status():
                self._status(message)
            case messages.Examined():
                self._examined(message)
            case messages.Goodbye():
                await self._goodbye(message)
            case messages.Hello():
                raise SessionEnded(MALFORMED, "a second hello")

    async def _store_keys(self, keys: tuple[DatapathKey, ...]) -> None:
        """Publish the Enforcer's keys to its peers, with a certificate that is good for a while."""
        record = await self._current()
        stale = trust.renewal_due(record.resource.certificate, self._parts.clock())
        if datapath_keys(record) == keys and not stale:
            self.record = record
            return
        async with self._parts.changes.begin(self.author) as change:
            record = await self._current_in(change)
            resource = record.resource
            if stale:
                resource = msgspec.structs.replace(resource, certificate=self._parts.certify(record))
            self.record = await change.update(record, resource, datapath_keys=encode_keys(keys))

    async def _current(self) -> Record:
        async with self._parts.database.reading() as connection:
            return self._present(await records.by_id(connection, ENFORCER, self._id))

    async def _current_in(self, change: Change) -> Record:
        return self._present(await records.by_id(change.connection, ENFORCER, self._id))

    def _present(self, record: Record | None) -> Record:
        if record is None:
            raise SessionEnded(EVICTED, "this Enforcer was deleted; install it anew with a new key")
        return record

    async def _register(self, message: messages.RegisterUnits) -> None:
        async with self._parts.changes.begin(self.author) as change:
            enforcer = (await self._current_in(change)).resource
            result = await registration.register(
                change, self._parts.identifiers, enforcer, message.units, complete=message.complete
            )
        for native_id, reason in result.refused.items():
            log.warning("unit refused", enforcer=self._id, native_id=native_id, reason=reason)
        self._inactive.update(dict.fromkeys(result.units.values(), change.revision))
        await self._channel.send(messages.UnitsAccepted(units=result.units, refused=result.refused))

    def _exists(self, revision: int) -> bool:
        """Whether there is such a revision. There may not be, if this Console was set back to an older state."""
        newest = self._parts.publisher.roster.world.revision
        if 0 < revision <= newest:
            return True
        log.warning("unknown revision", enforcer=self._id, revision=revision, newest=newest)
        return False

    def _refused(self, revision: int, reason: str, outlet: Outlet) -> None:
        log.warning("revision refused", enforcer=self._id, revision=revision, reason=reason)
        if self._exists(revision):
            self._parts.presence.refused(self._id, revision, reason)
            outlet.refused()

    async def _enforced(self, revision: int, outlet: Outlet) -> None:
        if not self._exists(revision):
            return
        outlet.enforced(revision)
        self._parts.presence.enforced(self._id, revision)
        active = [unit for unit, needed in self._inactive.items() if needed <= revision]
        if active:
            async with self._parts.database.writing() as connection:
                for unit in active:
                    await records.set_fields(connection, UNIT, unit, enforcement_status="Active")
            for unit in active:
                del self._inactive[unit]

    async def _badge(self, badge: int, outlet: Outlet) -> None:
        if self._parts.publisher.roster.unit_by_badge(badge) is None:
            await self._channel.send(messages.BadgeUnknown(badge=badge))
        else:
            outlet.ask(badge)

    async def _flows(self, message: messages.FlowReports, settings: messages.Welcome | None) -> None:
        _check_numbers(message)
        self._parts.pings.reported(self._id, message.records)
        self._parts.paths.suspect(self._id, message.records)
        now = self._parts.clock()
        reporter = Reporter(self._id, self.record.resource.name)
        roster, shadows = self._parts.publisher.roster, self._parts.shadows
        reports = [
            shadows.judged(record, report, settings)
            for record in message.records
            if (report := resolve(record, reporter, roster, now)) is not None
        ]
        if len(reports) < len(message.records):
            log.warning("flow records refused", enforcer=self._id, count=len(message.records) - len(reports))
        newest = await self._parts.reports.flows.append(self._id, message.sequence, reports)
        if newest is None:
            self._parts.presence.lost_reports(self._id, message.lost)
        # more than was asked about tells an Enforcer that it has forgotten where it was
        await self._channel.send(messages.ReportsAccepted(sequence=message.sequence if newest is None else newest))

    async def _lookups(self, message: messages.LookupReports) -> None:
        _check_numbers(message)
        now = self._parts.clock()
        reporter, roster = Reporter(self._id, self.record.resource.name), self._parts.publisher.roster
        found = [lookups.resolve(record, reporter, roster, now) for record in message.records]
        reports = [report for report in found if report is not None]
        if len(reports) < len(found):
            log.warning("look-up records refused", enforcer=self._id, count=len(found) - len(reports))
        newest = await self._parts.reports.lookups.append(self._id, message.sequence, reports)
        if newest is None:
            self._parts.presence.lost_reports(self._id, message.lost)
        await self._channel.send(messages.LookupsAccepted(sequence=message.sequence if newest is None else newest))

    def _status(self, message: messages.Status) -> None:
        counters = {
            name[:_TEXT_LIMIT]: min(max(count, 0), _NUMBER_LIMIT)
            for name, count in list(message.counters.items())[:_COUNTER_LIMIT]
        }
        self._parts.presence.note(
            self._id,
            rss_bytes=min(max(message.rss_bytes, 0), _NUMBER_LIMIT),
            counters=counters,
        )
        self._parts.paths.told(self._id, [problem[:_TEXT_LIMIT] for problem in message.problems[:_PROBLEM_LIMIT]])

    def _examined(self, message: messages.Examined) -> None:
        unmet = [
            {field: str(getattr(each, field))[:_TEXT_LIMIT] for field in each.__struct_fields__}
            for each in message.unmet[:_REQUIREMENT_LIMIT]
        ]
        self._parts.presence.note(
            self._id, requirement_status=message.result, requirements=unmet, requirements_time=self._parts.clock()
        )

    async def _goodbye(self, message: messages.Goodbye) -> None:
        if message.uninstalled:
            self._parts.hub.release(self._id)  # it goes by itself: no eviction to tell it of
            async with self._parts.changes.begin(self.author) as change:
                await lifecycle.forget_enforcer(change, await self._current_in(change))
        raise SessionEnded(NORMAL, "goodbye")


def _check_numbers(message: messages.FlowReports | messages.LookupReports) -> None:
    if not 0 < message.sequence <= _NUMBER_LIMIT or not 0 <= message.lost <= _NUMBER_LIMIT:
        raise SessionEnded(MALFORMED, "reports: sequence and lost have to be positive 63-bit numbers")
