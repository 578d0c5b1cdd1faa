"""Removing an Enforcer: nothing of it stays, in the kernel or on disk, and its Console hears of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable
from typing import Any

from watchword.enforcer import cgroups, credential, run
from watchword.enforcer.datapath.base import Datapath
from watchword.enforcer.guard import Guard
from watchword.enforcer.settings import Settings
from watchword.wire.messages import Goodbye

_log = logging.getLogger(__name__)

#: Seconds a removal waits for the Console to hear of it.
_PATIENCE = 8.0

#: What this package ever puts into a data directory; nothing else is removed from it.
_DATA = ("credential", "datapath-keys", "reports", "revision", "signing-key.pem", "welcome")


async def uninstall(settings: Settings, datapath_factory: Callable[[Settings], Datapath]) -> dict[str, Any]:
    """Remove everything of this Enforcer, through the running agent or, if none runs, from here.

    Says whether the Console heard of it (``told``), and what could not be removed (``left``).
    """
    if await asyncio.to_thread(run.is_running, settings):
        return await asyncio.to_thread(run.ask_uninstall, settings)
    known = credential.load(settings.data)
    root = cgroups.checked_root(settings.cgroup_root)
    datapath = datapath_factory(settings)
    _remove_socket(settings)
    if known is None:
        datapath.uninstall()
        return {"told": False, "left": _remove_data(settings)}
    guard = Guard(settings, known, datapath, root, secrets.token_bytes)
    try:
        guard.units.restore()
        link = asyncio.create_task(guard.link.run())
        try:
            async with asyncio.timeout(_PATIENCE):
                await guard.link.stands.wait()
        except TimeoutError:
            _log.warning("the Console does not hear of this: %s", guard.link.problem or "no answer")
        removed = await remove(guard)
        link.cancel()
        await asyncio.gather(link, return_exceptions=True)
        return removed
    finally:
        guard.close()


async def remove(guard: Guard) -> dict[str, Any]:
    """Remove everything that belongs to ``guard``, which is of no use afterwards."""
    guard.removed = True
    told = await guard.link.farewell(Goodbye(uninstalled=True))
    if guard.enforcement.installed:
        guard.stop_listening()
    guard.enforcement.datapath.uninstall()
    return {"told": told, "left": guard.units.uninstall() + _remove_data(guard.settings)}


def _remove_socket(settings: Settings) -> None:
    """Remove what an agent that was killed left in the run directory."""
    with contextlib.suppress(FileNotFoundError):
        settings.socket_path.unlink()
    with contextlib.suppress(OSError):  # not there, or others keep something in it
        settings.socket_path.parent.rmdir()


def _remove_data(settings: Settings) -> list[str]:
    """Remove what this package wrote; names what it did not write and therefore leaves."""
    data = settings.data
    known = [data / name for name in _DATA]
    known += [path.with_name(f".{path.name}.new") for path in known]
    known += (data / "units").glob("*.json") if (data / "units").is_dir() else []
    for path in known:
        path.unlink(missing_ok=True)
    left: list[str] = []
    for directory in (data / "units", data):
        if directory.is_dir():
            left += [str(path) for path in directory.iterdir()]
            if not left:
                directory.rmdir()
    return left
