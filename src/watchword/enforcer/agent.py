"""The Enforcer's agent from start to end: enrol once, stand guard, stop orderly, or remove everything.

Stopping it changes nothing in the kernel. A part that fails in a way nobody foresaw ends the agent
with an error, for the service manager to start it anew; the kernel's state outlives that as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from watchword.enforcer import cgroups, credential, enrolment, facts, files, removal, starting
from watchword.enforcer.checkup import Checkup
from watchword.enforcer.control import ControlSocket, PingFrom, StartUnit, UnitReady
from watchword.enforcer.credential import Credential
from watchword.enforcer.datapath.base import Datapath, DatapathError
from watchword.enforcer.errors import EnforcerError, UnreachableError
from watchword.enforcer.guard import Guard
from watchword.enforcer.household import Household
from watchword.enforcer.link import Backoff
from watchword.enforcer.notify import notify
from watchword.enforcer.removal import uninstall as uninstall  # part of this module's interface
from watchword.enforcer.run import status as status  # likewise
from watchword.enforcer.settings import Settings, install_token
from watchword.wire.messages import Goodbye

_log = logging.getLogger(__name__)

#: Seconds for an answer to reach who asked for the removal.
_LAST_WORDS = 0.2

DatapathFactory = Callable[[Settings], Datapath]


class Agent:
    """One Enforcer."""

    def __init__(self, settings: Settings, datapath_factory: DatapathFactory) -> None:
        self.settings = settings
        self.guard: Guard | None = None
        self._factory = datapath_factory
        self._stop = asyncio.Event()
        self._capturing = False

    async def run(self) -> None:
        """Enrol if need be, then stand guard until :meth:`stop`, SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        caught = [s for s in (signal.SIGTERM, signal.SIGINT) if _catch(loop, s, self.stop)]
        try:
            root = cgroups.checked_root(self.settings.cgroup_root)
            files.private_directory(self.settings.data)
            known = credential.load(self.settings.data) or await self._enrol()
            if known is not None:
                await self._stand_guard(known, root)
        finally:
            for number in caught:
                loop.remove_signal_handler(number)
            notify("STOPPING=1")

    def stop(self) -> None:
        """Let :meth:`run` come to an orderly end; the kernel goes on deciding."""
        self._stop.set()

    # --- what the control socket asks ---------------------------------------------------------

    async def start_unit(self, request: StartUnit) -> UnitReady:
        """Make a unit for ``watchword run``."""
        return await starting.start_unit(self._on_duty(), request)

    def unit_abandoned(self, native_id: str) -> None:
        """``watchword run`` has become its command, or gave up."""
        if self.guard is not None and not self.guard.removed:
            starting.abandon(self.guard, native_id)

    def status(self) -> dict[str, Any]:
        """Facts for people and programs."""
        return facts.about(self._on_duty())

    def look(self) -> dict[str, Any]:
        """Let the kernel's tables say how live connections are now."""
        guard = self._on_duty()
        if guard.enforcement.installed:
            guard.enforcement.datapath.look()
        return {"counters": guard.own_counters()}

    async def ping(self, request: PingFrom) -> dict[str, Any]:
        """Call as a unit, for root of this host."""
        return await self._on_duty().pings.nearby(request)

    def begin_capture(self) -> dict[str, Any]:
        """One capture at a time: each takes the place of the same programs."""
        guard = self._on_duty()
        if not guard.enforcement.installed:
            raise EnforcerError("no packet is judged on this host: there is no revision in force yet")
        if self._capturing:
            raise EnforcerError("somebody captures on this host already; wait for the end of that")
        self._capturing = True
        return {}

    def end_capture(self) -> None:
        """Put the agent's own programs back."""
        self._capturing = False
        if self.guard is not None and not self.guard.removed and self.guard.enforcement.installed:
            try:
                self.guard.enforcement.datapath.reattach()
            except DatapathError as error:  # the capture's judge alike; the next agent replaces them
                _log.error("the programs of a capture stay in place: %s", error)

    async def remove_everything(self) -> dict[str, Any]:
        """Uninstall, and stop soon after the answer is out."""
        guard = self._on_duty()
        try:
            return await removal.remove(guard)
        finally:  # what is half removed does not go on
            asyncio.get_running_loop().call_later(_LAST_WORDS, self.stop)

    # --- life ---------------------------------------------------------------------------------

    async def _enrol(self) -> Credential | None:
        """A credential from the Console, however long it takes to answer; None when stopped before."""
        token = install_token(self.settings)
        backoff = Backoff()
        while not self._stop.is_set():
            try:
                enrolled = await enrolment.enrol(self.settings, token)
            except UnreachableError as error:
                delay = backoff.delay()
                _log.warning("%s; next attempt in %.1f s", error, delay)
                notify("STATUS=Waiting for the Console to enrol")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), delay)
            else:
                _log.info("enrolled as %s in %s", enrolled.enrolled.name, enrolled.enrolled.namespace)
                return enrolled
        return None

    async def _stand_guard(self, known: Credential, root: Path) -> None:
        datapath = self._factory(self.settings)
        guard = self.guard = Guard(self.settings, known, datapath, root, secrets.token_bytes)
        control = ControlSocket(self.settings.socket_path, self)
        try:
            await control.open()
            guard.begin()
            notify("READY=1\nSTATUS=On duty")
            async with asyncio.TaskGroup() as tasks:
                loops = (
                    guard.keep_enforcing(),
                    guard.keep_reporting(),
                    Household(guard).keep(),
                    guard.resolving.keep(),
                    guard.link.run(),
                    Checkup(guard).keep(),
                )
                running = [tasks.create_task(loop) for loop in loops]
                guard.wake()
                await self._stop.wait()
                if not guard.removed:
                    await guard.link.farewell(Goodbye())
                for task in running:
                    task.cancel()
        except ExceptionGroup as group:
            for failure in group.exceptions[1:]:
                _log.error("and then", exc_info=failure)
            raise group.exceptions[0] from None  # one failure ends the agent; what followed it is logged
        finally:
            await control.close(forget=guard.removed)
            await guard.pings.close()
            guard.close()
            self.guard = None

    def _on_duty(self) -> Guard:
        if self.guard is None or self.guard.removed:
            raise EnforcerError("the Enforcer is starting or stopping; try again")
        return self.guard


def _catch(loop: asyncio.AbstractEventLoop, number: signal.Signals, handler: Callable[[], None]) -> bool:
    try:
        loop.add_signal_handler(number, handler)
    except (RuntimeError, ValueError):  # not the main thread: whoever runs us there stops us himself
        return False
    return True
