"""Removing an Enforcer: nothing of it stays, in the kernel or on disk, and its Console hears of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from watchword.enforcer import cgroups, credential, run
from watchword.enforcer.datapath.base import Datapath
from watchword.enforcer.errors import CredentialError
from watchword.enforcer.guard import Guard
from watchword.enforcer.keys import DAMAGED
from watchword.enforcer.settings import Settings
from watchword.enforcer.units import Units
from watchword.wire.messages import Goodbye

_log = logging.getLogger(__name__)

#: Seconds a removal waits for the Console to hear of it.
_PATIENCE = 8.0

#: What this package ever puts into a data directory; nothing else is removed from it.
_DATA = (
    *("confirmed", "credential", "datapath-keys", DAMAGED, "reports"),
    *("revision", "revision-before", "signing-key.pem", "welcome"),
)


async def uninstall(settings: Settings, datapath_factory: Callable[[Settings], Datapath]) -> dict[str, Any]:
    """Remove everything of this Enforcer, through the running agent or, if none runs, from here.

    Says whether the Console heard of it (``told``), and what could not be removed (``left``).
    """
    if await asyncio.to_thread(run.is_running, settings):
        return await asyncio.to_thread(run.ask_uninstall, settings)
    root = cgroups.checked_root(settings.cgroup_root)
    datapath = datapath_factory(settings)
    _remove_socket(settings)
    guard = _guard(settings, datapath, root)
    if guard is None:
        datapath.uninstall()
        return {"told": False, "left": _remove_units(settings, root) + _remove_data(settings)}
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


def _guard(settings: Settings, datapath: Datapath, root: Path) -> Guard | None:
    """Who speaks with the Console; None when this host is not enrolled, or its files do not say as whom any more."""
    try:
        known = credential.load(settings.data)
        return Guard(settings, known, datapath, root, secrets.token_bytes) if known is not None else None
    except CredentialError as error:
        _log.warning("the Console does not hear of this: %s", error)
        return None


def _remove_units(settings: Settings, root: Path) -> list[str]:
    units = Units(settings, root, settings.data / "units")
    try:
        units.restore()
        return units.uninstall()
    finally:
        units.close()


async def remove(guard: Guard) -> dict[str, Any]:
    """Remove everything that belongs to ``guard``, which is of no use afterwards."""
    guard.enforcement.removed = True
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
    known += [*(data / "units").glob("*.json"), *(data / "units").glob(".*.json.new")]
    left: list[str] = []
    for path in known:
        with contextlib.suppress(OSError):  # a disk that takes nothing any more: named below
            path.unlink(missing_ok=True)
    for directory in (data / "units", data):
        if directory.is_dir():
            left += [str(path) for path in directory.iterdir()]
            with contextlib.suppress(OSError):  # not empty, or a mount point: then it is not ours
                directory.rmdir()
    return left
