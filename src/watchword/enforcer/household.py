"""What an Enforcer on duty looks after by the clock: its units, its keys, the age of its revision, its health."""

from __future__ import annotations

import asyncio
import logging
import time

from watchword.enforcer import health
from watchword.enforcer.datapath.base import DatapathError
from watchword.enforcer.errors import StorageError
from watchword.enforcer.guard import Guard
from watchword.wire import messages

_log = logging.getLogger(__name__)

_INTERVAL = 0.5
_STATUS_INTERVAL = 60.0


class Household:
    """The rounds of a :class:`Guard`."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._told = 0.0
        self._told_session = 0
        self._told_problems: tuple[str, ...] | None = None

    async def keep(self) -> None:
        """Make rounds until everything is removed."""
        while True:
            await asyncio.sleep(_INTERVAL)
            if self._guard.removed:
                return
            self._look_at_units()
            self._look_at_keys()
            self._look_at_datapath()
            self._look_at_age()
            self._guard.keeping.again(time.monotonic())
            self._look_at_health()

    def _look_at_units(self) -> None:
        guard = self._guard
        changes = guard.units.refresh()
        if changes.appeared:
            guard.link.submit(messages.RegisterUnits(changes.appeared))
        guard.retire(changes.gone)
        if changes.moved or "placement" in guard.enforcement.problems:
            guard.wake()

    def _look_at_keys(self) -> None:
        guard = self._guard
        try:
            self._rotate_keys()
            guard.problems.pop("rotation", None)
        except StorageError as error:  # the keys there are go on; a key is on disk before anybody hears of it
            guard.problems["rotation"] = f"datapath keys stay as they are: {error}"

    def _rotate_keys(self) -> None:
        guard, now = self._guard, time.time()
        if guard.link.established and guard.keys.age(now) >= guard.key_lifetime() and guard.keys.rotate(now):
            guard.link.submit(messages.PublishKeys(guard.keys.published()))
            guard.keys.carried(time.monotonic())
            _log.info("datapath key of epoch %d published", guard.keys.published()[0].epoch)
        if guard.keys.settle(time.monotonic()):
            _log.info("handshakes name key epoch %d from now on", guard.keys.usable()[0].epoch)
            guard.enforcement.own_keys(guard.keys.usable())
            guard.wake()

    def _look_at_datapath(self) -> None:
        guard = self._guard
        if guard.enforcement.actual is None:
            return
        try:
            guard.enforcement.datapath.attend()
            guard.problems.pop("devices", None)
        except DatapathError as error:
            guard.problems["devices"] = str(error)

    def _look_at_age(self) -> None:
        guard = self._guard
        if guard.enforcement.expire(guard.too_old()):
            _log.warning("revision %d: rules %s", guard.enforced(), "lapsed" if guard.too_old() else "hold again")
            guard.wake()

    def _look_at_health(self) -> None:
        guard = self._guard
        now = time.monotonic()
        complaints = guard.complaints()
        news = guard.sessions != self._told_session or complaints != self._told_problems
        if not news and now - self._told < _STATUS_INTERVAL:
            return
        if guard.link.submit(
            messages.Status(health.resident_bytes(), health.processor_seconds(), guard.counters(), complaints)
        ):
            self._told, self._told_session, self._told_problems = now, guard.sessions, complaints
            guard.confirm()
            guard.pings.look_at_addresses()
