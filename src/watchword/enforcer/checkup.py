"""At the agent's start: hold the host against the requirements, in a process of its own, and tell the Console.

A process of its own, because what it loads would stay in the agent's memory, and because an agent that stops need not
wait for somebody on the network. It lives in the agent's cgroup, and so reaches the Console as the agent does.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING

import msgspec

from watchword.enforcer.doctor.errand import Errand
from watchword.enforcer.errors import UNDECODABLE
from watchword.wire.messages import Examined

if TYPE_CHECKING:
    from watchword.enforcer.guard import Guard

_log = logging.getLogger(__name__)

#: Seconds after the start; until then the agent has better things to do.
AFTER = 5.0

#: Seconds for the process, and between looks whether there is a new session to tell it in.
_PATIENCE, _INTERVAL = 120.0, 1.0


class Checkup:
    """The examination of one agent's host."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def keep(self) -> None:
        """Examine once, then tell it in each session."""
        await asyncio.sleep(AFTER)
        found = await self._examined()
        if found is None:
            return
        for each in found.unmet:
            _log.warning("requirement %s, %s: %s: %s; %s", each.group, each.name, each.result, each.detail, each.remedy)
        told = 0
        while not self._guard.removed:
            session = self._guard.sessions
            if session != told and self._guard.link.submit(found):
                told = session
            await asyncio.sleep(_INTERVAL)

    async def _examined(self) -> Examined | None:
        guard = self._guard
        enrolled = guard.credential.enrolled
        errand = Errand(
            url=guard.settings.console or enrolled.console_url,
            proxy=guard.settings.proxy,
            authority=enrolled.authority,
            trusted_ca=guard.settings.trusted_ca,
        )
        try:
            async with asyncio.timeout(_PATIENCE):
                return msgspec.json.decode(await _sent(msgspec.json.encode(errand)), type=Examined)
        except (TimeoutError, OSError, *UNDECODABLE) as error:
            _log.error("this host could not be held against the requirements: %s", error)
            return None


async def _sent(errand: bytes) -> bytes:
    """What the process answers. The proxy's password goes by standard input, where nobody sees it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "watchword.enforcer.doctor.errand"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        answer, _ = await process.communicate(errand)
        return answer
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
