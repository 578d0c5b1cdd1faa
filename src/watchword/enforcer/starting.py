"""Starting a unit on request, and waiting until it is policed.

A process may move into its cgroup only when the kernel judges that cgroup by a document in which the
Console has given the unit its identity. Until then nothing runs there; if it does not come to that,
nothing is left behind.
"""

from __future__ import annotations

import asyncio
import logging

from watchword.enforcer import cgroups
from watchword.enforcer.control import StartUnit, UnitReady
from watchword.enforcer.errors import UnitError
from watchword.enforcer.guard import Guard
from watchword.enforcer.units import Unit
from watchword.wire.messages import RegisterUnits

_log = logging.getLogger(__name__)

#: Seconds a unit may take to become policed.
PATIENCE = 20.0
#: Seconds after the Console's answer in which its document should have the tags asked for. Later the
#: Console has its own idea of them: people change tags there, and that stands.
_TAGS_PATIENCE = 2.0


async def start_unit(guard: Guard, request: StartUnit) -> UnitReady:
    """Make a unit and wait until it is policed. Raises :class:`UnitError`."""
    unit = guard.units.start(request.name, request.type, request.tags)
    native_id = unit.registration.native_id
    try:
        guard.link.submit(RegisterUnits((unit.registration,)))
        guard.wake()
        await _policed(guard, unit)
    except BaseException:
        abandon(guard, native_id)
        raise
    _log.info("unit %s is ready in %s", native_id, unit.cgroup)
    return UnitReady(native_id, str(unit.cgroup))


def abandon(guard: Guard, native_id: str) -> None:
    """Remove a started unit if nothing moved in."""
    unit = guard.units.get(native_id)
    if unit is not None and not cgroups.populated(unit.cgroup) and guard.units.end(native_id):
        guard.retire((native_id,))


async def _policed(guard: Guard, unit: Unit) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    answered = None
    while True:
        if unit.refused:
            raise UnitError(f"the Console refused the unit: {unit.refused}")
        if unit.accepted and answered is None:
            answered = loop.time()
        now = loop.time()
        heard = answered is not None or not guard.link.established
        if heard and guard.enforcement.places(unit.registration.native_id):
            overdue = answered is not None and now - answered > _TAGS_PATIENCE
            if overdue or set(unit.registration.tags) <= _tags(guard, unit):
                return
        if now > deadline:
            raise UnitError(_reason(guard, unit))
        await guard.changed(min(0.25, deadline - now + 0.01))


def _tags(guard: Guard, unit: Unit) -> set[str]:
    """The unit's tags in the document in force."""
    actual = guard.enforcement.actual
    entries = actual.signed.document.units.values() if actual else ()
    return {tag for entry in entries if entry.native_id == unit.registration.native_id for tag in entry.tags}


def _reason(guard: Guard, unit: Unit) -> str:
    if not guard.link.established and not unit.accepted:
        why = guard.link.problem or "no answer yet"
        return f"no session with the Console, which must give the unit its identity: {why}"
    complaints = "; ".join(guard.complaints())
    return f"the unit was not policed within {PATIENCE:.0f} s" + (f": {complaints}" if complaints else "")
