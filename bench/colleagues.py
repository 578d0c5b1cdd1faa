"""Enforcers of a large company, as many as wanted: enrolled, keyed, their units registered, and then gone for the day.

They enrol and speak with the Console by the agent's own enrolment, link and session; what they lack is a host to
enforce on. A Console keeps the units of an Enforcer that is away in everybody's policy.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from pathlib import Path

from watchword.enforcer import enrolment, transport
from watchword.enforcer.keys import DatapathKeys
from watchword.enforcer.link import Link, Route
from watchword.enforcer.secret import Secret
from watchword.enforcer.session import Command, Established, Facts, Session, UnitsAnswered
from watchword.enforcer.settings import Settings
from watchword.wire.messages import RegisterUnits, UnitRegistration

#: How many speak with the Console at a time.
_AT_ONCE = 8
_PATIENCE = 60.0


def register(url: str, token: str, directory: Path, units: Sequence[Sequence[Sequence[str]]]) -> None:
    """Enrol one Enforcer for each entry of ``units``, and register units with these tags."""
    asyncio.run(_register(url, token, directory, units))


async def _register(url: str, token: str, directory: Path, units: Sequence[Sequence[Sequence[str]]]) -> None:
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int, tags: Sequence[Sequence[str]]) -> None:
        async with room, asyncio.timeout(_PATIENCE):
            name = f"colleague-{number}"
            settings = Settings(console=url, name=name, data_dir=str(directory / name), proxy="none")
            await _visit(settings, Secret(token), tags)

    async with asyncio.TaskGroup() as tasks:
        for number, tags in enumerate(units):
            tasks.create_task(one(number, tags))


async def _visit(settings: Settings, token: Secret, tags: Sequence[Sequence[str]]) -> None:
    known = await enrolment.enrol(settings, token)
    enrolled = known.enrolled
    keys = DatapathKeys(settings.data, enrolled.enforcer, known.key, time.time(), secrets.token_bytes)
    facts = Facts(
        enforcer=enrolled.enforcer,
        console=enrolled.console,
        console_public=enrolled.console_public,
        key=known.key,
        version="benchmark",
        kernel="none",
        datapath="ebpf",
        keys=keys.published(),
    )
    registrations = tuple(
        UnitRegistration(f"unit/{number}", "Process", f"{settings.name}-{number}", tuple(each))
        for number, each in enumerate(tags)
    )
    answered: asyncio.Future[UnitsAnswered] = asyncio.get_running_loop().create_future()

    def handle(command: Command) -> None:
        if isinstance(command, Established):
            link.submit(RegisterUnits(registrations, complete=True))
        elif isinstance(command, UnitsAnswered) and not answered.done():
            answered.set_result(command)

    route = Route(settings.console, transport.trusting(enrolled.authority), None)
    link = Link(route, lambda: Session(facts, None), handle, lambda: None)
    speaking = asyncio.create_task(link.run())
    try:
        answer = await answered
        if answer.refused or len(answer.units) != len(registrations):
            raise RuntimeError(f"the Console refused units of {settings.name}: {answer.refused}")
    finally:
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
