"""One Console put together: every part made once, in order, and handed to those that need it."""

from __future__ import annotations

import datetime
import os
import secrets
import ssl
from collections.abc import Callable
from pathlib import Path

import structlog

from watchword.console import bootstrap, trust
from watchword.console.changes import Changes, Effect, newest_revision
from watchword.console.flows.sqlite import SqliteStores
from watchword.console.flows.store import ReportStores
from watchword.console.housekeeping import Housekeeping
from watchword.console.identifiers import Identifiers
from watchword.console.inquiries import Inquiries
from watchword.console.lifecycle import Mint
from watchword.console.limits import FailureLimit
from watchword.console.paths import Paths
from watchword.console.pings import Pings
from watchword.console.policytests import PolicyTests
from watchword.console.presence import Presence
from watchword.console.publisher import Publisher
from watchword.console.roster import Roster
from watchword.console.settings import FirstStart, FirstStartHandler, Settings
from watchword.console.shadows import Shadows
from watchword.console.store import migrations, records
from watchword.console.store.database import Database, create_private
from watchword.console.store.records import Record
from watchword.console.store.schema import STORED
from watchword.console.stream.hub import Hub
from watchword.console.stream.parts import StreamParts
from watchword.console.stream.settings import concerned
from watchword.console.trust import Trust
from watchword.identity.keys import Random

log = structlog.get_logger(__name__)


def utc_now() -> datetime.datetime:
    """The time."""
    return datetime.datetime.now(datetime.UTC)


class Console:
    """The parts of one Console. Made by :func:`open_console`; closed by :meth:`close`."""

    def __init__(
        self,
        settings: Settings,
        root: Trust,
        database: Database,
        reports: ReportStores,
        lock: int,
        clock: Callable[[], datetime.datetime],
        random: Random,
    ) -> None:
        self.settings = settings
        self.trust = root
        self.database = database
        self.reports = reports
        self.clock = clock
        self.random = random
        self._lock = lock
        self.identifiers = Identifiers(clock, random)
        self.mint = Mint(self.identifiers, random, root.ca_sha256)
        self.roster = Roster()
        self.publisher = Publisher(self.roster)
        self.shadows = Shadows(self.roster, self.publisher.engine.units)
        self.inquiries = Inquiries()
        self.presence = Presence(database, clock)
        self.hub = Hub()
        self.pings = Pings(self.hub, self.roster)
        self.paths = Paths(self.pings, self.publisher, self.presence, database, self.identifiers, clock)
        self.failures = FailureLimit()
        self.changes = Changes(database, root.signing_key, clock, self.identifiers, root.console_id)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.minimum_version = ssl.TLSVersion.TLSv1_2
        self.tls.load_cert_chain(self._server_certificate()[0])
        self.stream = StreamParts(
            console_id=root.console_id,
            signing_key=root.signing_key,
            database=database,
            changes=self.changes,
            identifiers=self.identifiers,
            publisher=self.publisher,
            presence=self.presence,
            hub=self.hub,
            reports=reports,
            pings=self.pings,
            paths=self.paths,
            shadows=self.shadows,
            clock=clock,
            random=random,
            certify=self._certify,
        )
        self.housekeeping = Housekeeping(
            database, self.changes, self.presence, reports, clock, self._certify, self._renew_tls, settings.flow_days
        )
        self.policy_tests = PolicyTests(self.roster, database, clock, self.identifiers)
        followers = (self.publisher.follow, self.presence.follow, self.hub.follow, self.policy_tests.follow)
        for follower in followers:
            self.changes.follow(follower)
        self.changes.watch(self._unsettle)
        self.changes.watch(self.shadows.watch)
        self.changes.watch(self.policy_tests.watch)
        self.changes.guard(self.policy_tests.guard)

    def _unsettle(self, effects: list[Effect]) -> None:
        everybody, some = concerned(effects)
        if everybody or some:
            self.hub.unsettle(None if everybody else some)

    def _certify(self, enforcer: Record) -> str:
        return self.trust.certify(enforcer.id, enforcer.private["public_key"], self.clock(), self.random)

    def _server_certificate(self) -> tuple[Path, bool]:
        names = self.settings.certificate_names()
        return trust.server_certificate(self.settings.data_dir, self.trust, names, self.clock(), self.random)

    def _renew_tls(self) -> None:
        path, renewed = self._server_certificate()
        if renewed:
            self.tls.load_cert_chain(path)  # for connections from now on
            log.info("TLS certificate renewed")

    async def load(self) -> None:
        """Build the state in memory from the store."""
        async with self.database.reading() as connection:
            stored = [
                record for kind in STORED if kind.shapes_policy for record in await records.everything(connection, kind)
            ]
            self.publisher.load(await newest_revision(connection), stored)
            await self.shadows.load(connection)
        await self.presence.load()
        await self.policy_tests.load()

    async def close(self) -> None:
        """Let go of everything."""
        await self.paths.close()
        await self.reports.close()
        await self.database.close()
        os.close(self._lock)


async def open_console(
    settings: Settings,
    *,
    clock: Callable[[], datetime.datetime] = utc_now,
    random: Random = secrets.token_bytes,
) -> Console:
    """Open the Console in ``settings.data_dir``; nothing listens yet. Raises ``SettingsError``."""
    settings.addresses()
    lock = trust.claim_directory(settings.data_dir)
    try:
        root = trust.load(settings.data_dir, clock(), random)
        if not settings.database_url:
            create_private(settings.data_dir / "console.db")
        database = Database(settings.store_url())
    except BaseException:
        os.close(lock)
        raise
    try:
        async with database.writing() as connection:
            await migrations.upgrade(connection, "console")
        reports = await SqliteStores.open(settings.data_dir / "flows.db")
        return Console(settings, root, database, reports, lock, clock, random)
    except BaseException:
        await database.close()
        os.close(lock)
        raise


async def fill(console: Console, on_first_start: FirstStartHandler | None) -> None:
    """Do what a first start needs, once; then load everything. ``console.mint.url`` must be known."""
    credential = await bootstrap.first_start(console.database, console.changes, console.mint)
    await console.load()
    await bootstrap.derive_again(console.database, console.changes)
    if credential is not None and on_first_start is not None:
        on_first_start(
            FirstStart(
                url=console.mint.url,
                credential=credential,
                ca_pem=console.trust.ca_pem,
                ca_sha256=console.trust.ca_sha256,
                console_id=console.trust.console_id,
            )
        )
