"""An enrolled Enforcer on duty: what the Console and the host say, turned into state and messages.

Decides nothing about packets. Every handler here is synchronous and quick; the work in the kernel is
done in one place (:meth:`Guard.keep_enforcing`), so that changes that come together cost one pass.
Sessions come and go without effect on what is enforced.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import time
from importlib import metadata
from pathlib import Path

from watchword.enforcer import memory, transport
from watchword.enforcer.addressbook import AddressBook
from watchword.enforcer.badges import BadgeQuestions
from watchword.enforcer.courier import Courier
from watchword.enforcer.credential import Credential
from watchword.enforcer.datapath.base import (
    AnswerUnread,
    BadgeMissed,
    Datapath,
    DatapathError,
    Event,
    EventsLost,
    FeatureMissing,
)
from watchword.enforcer.enforcement import Enforcement
from watchword.enforcer.errors import RevisionError
from watchword.enforcer.keeping import Keeping
from watchword.enforcer.keys import DatapathKeys
from watchword.enforcer.link import Link, Route
from watchword.enforcer.lookupreports import LookupBatches
from watchword.enforcer.moment import Moment
from watchword.enforcer.pairing import Pairing
from watchword.enforcer.pings import Pings
from watchword.enforcer.reports import Reports
from watchword.enforcer.resolving import Resolving
from watchword.enforcer.session import (
    Adopt,
    Asked,
    BadgeAbsent,
    Command,
    Established,
    Evict,
    Facts,
    Refused,
    ReportsStored,
    Session,
    Settled,
    UnitsAnswered,
)
from watchword.enforcer.settings import Settings
from watchword.enforcer.store import RevisionStore, SignedDocument
from watchword.enforcer.units import Units
from watchword.enforcer.welcome import Pledge, keep_welcome, remembered_welcome
from watchword.identity.keys import Random
from watchword.wire import messages
from watchword.wire.policy import PolicyDocument

_log = logging.getLogger(__name__)

_RETRY_AFTER = 2.0


class Guard:
    """The parts of an enrolled Enforcer, and what passes between them."""

    def __init__(
        self, settings: Settings, credential: Credential, datapath: Datapath, root: Path, random: Random
    ) -> None:
        enrolled = credential.enrolled
        self.settings = settings
        self.credential = credential
        self.problems: dict[str, str] = {}
        self.keeping = Keeping(self.problems)
        self.units = Units(settings, root, settings.data / "units")
        self.keys = DatapathKeys(settings.data, enrolled.enforcer, credential.key, time.time(), random)
        if self.keys.problem:
            self.problems["keys"] = self.keys.problem
        self.pairing = Pairing(credential.authority, enrolled.console, enrolled.enforcer)
        self.enforcement = Enforcement(datapath, self.pairing, self.units)
        self.store = RevisionStore(settings.data, enrolled.console_public, enrolled.enforcer)
        self.reports = Reports(settings.data, time.time())
        lookups = LookupBatches(settings.data, time.time())
        self.book = AddressBook()
        self.questions = BadgeQuestions()
        self.resolving = Resolving(self.enforcement, settings.resolvers, self.problems)
        self._pledge = Pledge(enrolled.console_public, enrolled.enforcer)
        remembered = remembered_welcome(settings.data, enrolled.enforcer, enrolled.namespace, self.problems)
        self.welcome = self._pledge.settled(remembered, None, self.problems)
        self.enforcement.bound(self.welcome.boundaries)
        self._settle_existing()
        url = settings.console or enrolled.console_url
        route = Route(
            url, transport.trusting(enrolled.authority, settings.trusted_ca), transport.proxy(settings.proxy, url)
        )
        self.link = Link(route, self._session, self._handle, self._session_over)
        self.sessions = 0  # how many there have been
        self.courier = Courier(self.reports, lookups, datapath, self.book, self.link, self.problems)
        self.pings = Pings(settings, self.units, self.enforcement, self.link.submit)
        self.held: PolicyDocument | None = None
        self._desired: SignedDocument | None = None
        self._told_refused = 0
        self._work = asyncio.Event()
        self._pulse: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._version = metadata.version("watchword")
        self._kernel = platform.release()
        self._was_established = False
        self._stored: SignedDocument | None = None  # what the disk held at the start
        self._events = -1

    # --- starting -----------------------------------------------------------------------------

    def begin(self) -> None:
        """Find the units again, and enforce the revision on disk before anything else happens."""
        self.units.restore()
        self.units.refresh()
        asyncio.get_running_loop().add_reader(self.units.watch.fileno(), self._populations_changed)
        self.enforcement.own_keys(self.keys.usable())
        self.enforcement.expire(self.too_old())
        try:
            stored = self.store.load()
        except RevisionError as error:
            stored = self._before(str(error))
        if stored is None:
            return
        self._desired = stored
        self._install()
        kernel = self.enforcement.datapath.revision()
        if kernel > stored.document.revision:
            self._desired = None
            older = f"the stored revision {stored.document.revision} is older than {kernel} in the kernel"
            self.problems["store"] = "; ".join([*filter(None, [self.problems.get("store")]), older])
            _log.warning("%s; the kernel's stays", self.problems["store"])
            return
        self.held = stored.document
        self._stored = stored
        self.enforcement.want(stored)
        self._enforce()

    def _before(self, why: str) -> SignedDocument | None:
        """The revision before the last, whose file is not usable: rules of yesterday rather than none."""
        stored = self.store.load_before()
        instead = f"; revision {stored.document.revision}, the one before, is taken instead" if stored else ""
        self.problems["store"] = f"the stored revision is not used: {why}{instead}"
        _log.error("%s", self.problems["store"])
        return stored

    def close(self) -> None:
        """Let go of everything; the kernel goes on deciding."""
        asyncio.get_running_loop().remove_reader(self.units.watch.fileno())
        self.units.close()
        if self.enforcement.installed and not self.removed:
            self.stop_listening()
            self.enforcement.datapath.close()

    # --- loops, each a task of the agent ------------------------------------------------------

    async def keep_enforcing(self) -> None:
        """Bring the kernel to what is wanted, whenever that changed."""
        while True:
            await self._work.wait()
            self._work.clear()
            if not self.removed and not self._enforce():
                asyncio.get_running_loop().call_later(_RETRY_AFTER, self._work.set)

    async def keep_reporting(self) -> None:
        """Tell the Console about flows."""
        while True:
            await self.courier.due(self.welcome.report_interval)
            if self.link.established and self.enforcement.actual is not None and not self.removed:
                self.courier.report()

    # --- what others ask ----------------------------------------------------------------------

    @property
    def removed(self) -> bool:
        """Whether all of this is gone, or about to go."""
        return self.enforcement.removed

    def wake(self) -> None:
        """Something changed that the kernel may have to know."""
        self._work.set()

    async def changed(self, within: float) -> None:
        """Wait until something about units or enforcement changed, at most ``within`` seconds."""
        await asyncio.wait([self._pulse], timeout=max(0.0, within))

    def announce(self) -> None:
        """Something that others may wait for changed."""
        self._pulse.set_result(None)
        self._pulse = asyncio.get_running_loop().create_future()

    def complaints(self) -> tuple[str, ...]:
        """What is wrong, in words."""
        own = (*self.problems.values(), *self.enforcement.problems.values(), *self.units.problems.values())
        return tuple(sorted({*own, *self.pairing.problems, *self._waiting_complaints()}))

    def counters(self) -> dict[str, int]:
        """The datapath's counters and the agent's own."""
        kernel = self.enforcement.datapath.counters() if self.enforcement.installed and not self.removed else {}
        return {**kernel, **self.own_counters()}

    def own_counters(self) -> dict[str, int]:
        """What the agent itself counts."""
        return {"badge-questions-suppressed": self.questions.suppressed}

    def retire(self, native_ids: tuple[str, ...]) -> None:
        """Units are gone."""
        if native_ids:
            self.link.submit(messages.RetireUnits(native_ids))
            self.wake()

    # --- the Console's words ------------------------------------------------------------------

    def _session(self) -> Session:
        enrolled = self.credential.enrolled
        facts = Facts(
            enforcer=enrolled.enforcer,
            console=enrolled.console,
            console_public=enrolled.console_public,
            key=self.credential.key,
            version=self._version,
            kernel=self._kernel,
            datapath=self.enforcement.datapath.name,
            keys=self.keys.published(),
            bounded=self._pledge.binding(self.welcome),
        )
        return Session(facts, self.held)

    def _session_over(self) -> None:
        self.keys.dropped()
        if self._was_established and not self.removed:
            self.confirm()
        self._was_established = False

    def _handle(self, command: Command) -> None:
        match command:
            case Established(welcome):
                self._established(welcome)
            case Settled(welcome):
                self._settle(welcome)
            case Adopt(signed, touched):
                self.held = signed.document
                self._desired = signed
                self.enforcement.want(signed, touched)
                self.wake()
            case Refused(revision, reason):
                self.problems["revision"] = f"revision {revision} was refused: {reason}"
                _log.error("revision %d was refused: %s", revision, reason)
            case UnitsAnswered(units, refused):
                self.units.answered(units, refused)
                for native_id, reason in refused.items():
                    _log.error("the Console refused unit %s: %s", native_id, reason)
                self.wake()
                self.announce()
            case ReportsStored(sequence, lookups):
                self.courier.stored(sequence, lookups=lookups)
            case BadgeAbsent(badge):
                self.questions.absent(badge, time.monotonic())
            case Asked(message):
                self.pings.receive(message)
            case Evict(reason):
                self.problems["evicted"] = (
                    f"the Console deleted this Enforcer ({reason}); the last revision stays in force"
                )
                _log.error("%s", self.problems["evicted"])

    def _established(self, welcome: messages.Welcome) -> None:
        _log.info("session with the Console established")
        self._was_established = True
        self.sessions += 1
        self._settle(welcome)
        self.keys.carried(time.monotonic())
        self.link.submit(messages.RegisterUnits(self.units.registrations(), complete=True))
        if self.enforced():
            self.link.submit(messages.RevisionEnforced(self.enforced()))
        self.pings.tell_addresses()
        self.courier.resend()

    def _settle(self, welcome: messages.Welcome) -> None:
        self.problems.pop("settings", None)
        welcome = self._pledge.settled(welcome, self.welcome, self.problems)
        if welcome != self.welcome:
            self.welcome = welcome
            self.keeping.keep("Console's settings", lambda: keep_welcome(self.settings.data, welcome))
            self._settle_existing()
            self.enforcement.bound(welcome.boundaries)
            self.courier.hurry()
            self.wake()

    def _settle_existing(self) -> None:
        self.enforcement.keep_existing = self.boundaries.existing_connections == "Keep"

    # --- the kernel ---------------------------------------------------------------------------

    def enforced(self) -> int:
        """The revision in force; 0 for none."""
        actual = self.enforcement.actual
        return actual.signed.document.revision if actual else 0

    def _nameless(self) -> list[str]:
        """Units without an identity, as long as nothing is in force at all.

        A first document from the Console does not know this host's units yet; enforcing it would cut off
        everything on the host for a moment. What is in force already, or comes from the disk, is complete.
        """
        if self.enforcement.actual is not None or self.held is None or self._stored:
            return []
        named = {unit.native_id for unit in self.held.units.values()}
        return [
            unit.registration.name
            for unit in self.units.all()
            if unit.registration.native_id not in named and not unit.refused
        ]

    def _install(self) -> None:
        descriptor = self.enforcement.install(self._event)
        asyncio.get_running_loop().add_reader(descriptor, self.enforcement.datapath.poll)
        self._events = descriptor

    def stop_listening(self) -> None:
        """Hear no more events of the kernel."""
        asyncio.get_running_loop().remove_reader(self._events)

    def _enforce(self) -> bool:
        """One pass; False when something is left to be tried again."""
        if self._nameless():
            return True
        try:
            if self.enforcement.wanted and not self.enforcement.installed:
                self._install()
            changed = self.enforcement.reconcile()
        except RevisionError as error:
            self._unusable(str(error))
            return True
        except FeatureMissing:
            raise
        except DatapathError as error:
            self.problems["datapath"] = str(error)
            _log.error("the datapath refused: %s", error)
            self._refuse(str(error))
            return False
        self.problems.pop("datapath", None)
        if changed:
            self._enforced_anew()
        self.announce()
        return "placement" not in self.enforcement.problems

    def _enforced_anew(self) -> None:
        """Acknowledged as soon as true; then kept. A file that is older than the kernel is known as such."""
        actual = self.enforcement.actual
        if actual is None:
            return
        self.problems.pop("revision", None)
        revision = actual.signed.document.revision
        self.link.submit(messages.RevisionEnforced(revision))
        if actual.signed is not self._stored:
            self.problems.pop("store", None)
            self.keeping.keep("policy", lambda: self.store.keep(actual.signed))
            self.confirm()
        self.book.update(actual.document, actual.tables)
        _log.info("revision %d is enforced", revision)
        memory.give_back()

    def _unusable(self, reason: str) -> None:
        """The document was signed but cannot be enforced: back to the one in force, also as a base for deltas."""
        _log.error("%s", reason)
        self.problems["revision"] = reason
        self._refuse(reason)
        actual = self.enforcement.actual
        self.held = actual.signed.document if actual else None
        self._desired = actual.signed if actual else None
        if self.link.session is not None:
            self.link.session.retreat(self.held)

    def _refuse(self, reason: str) -> None:
        revision = self._desired.document.revision if self._desired else 0
        if revision != self._told_refused:
            self._told_refused = revision
            self.link.submit(messages.RevisionRefused(revision, reason[:1000]))

    def _event(self, event: Event) -> None:
        if isinstance(event, BadgeMissed):
            if self.link.established and self.questions.ask(event.badge, time.monotonic()):
                self.link.submit(messages.BadgeQuery(event.badge))
        elif isinstance(event, AnswerUnread):
            self.resolving.unread(event)
        elif isinstance(event, EventsLost):
            _log.warning("%d events of the kernel found no room", event.count)

    # --- the host and the clock ---------------------------------------------------------------

    def _populations_changed(self) -> None:
        gone = self.units.emptied()
        for native_id in gone:
            _log.info("unit %s has ended", native_id)
        self.retire(gone)

    def too_old(self) -> bool:
        """Whether the revision is older than ``offline_max_age`` allows, so that its rules lapse."""
        limit = self._max_age()
        return bool(limit) and not self.link.established and self.store.age(Moment.now()) > limit

    def confirm(self) -> None:
        """A Console stands behind what is in force now: its age begins anew."""
        if self.enforced():
            self.keeping.keep("age of the policy", lambda: self.store.confirm(Moment.now()))

    @property
    def boundaries(self) -> messages.Boundaries:
        """What the Console has signed about how to behave; empty before it ever did."""
        return self.welcome.boundaries or messages.Boundaries(0)

    def key_lifetime(self) -> float:
        """Seconds between two datapath keys."""
        return self.boundaries.key_lifetime or messages.DAY

    def _max_age(self) -> float:
        own = self.settings.offline_max_age
        return own if own is not None else self.boundaries.offline_max_age

    def _waiting_complaints(self) -> list[str]:
        found = []
        if self.too_old():
            found.append("the last revision is older than offline_max_age: rules have lapsed, defaults decide")
        if self._nameless():
            found.append(f"nothing is enforced before the Console gives an identity to: {', '.join(self._nameless())}")
        return found
