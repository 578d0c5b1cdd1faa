"""``GET /v1/revisions/<n>/enforcement``: has this revision reached every kernel yet?"""

from __future__ import annotations

from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from watchword.console.api.context import Context, check_parameters, context, json_answer, number
from watchword.console.presence import State
from watchword.console.problems import Problem
from watchword.model.declarations import Part

LONGEST_WAIT = 60.0


class Straggler(Part, frozen=True, kw_only=True):
    """An Enforcer that does not enforce the revision yet."""

    id: str
    name: str
    namespace: str
    operational_status: str
    enforced_revision: int
    reason: str


class Enforcement(Part, frozen=True, kw_only=True):
    """How far a revision has got. ``affected`` counts the Enforcers that the caller may see."""

    revision: int
    affected: int
    enforced: int
    stragglers: list[str]
    details: list[Straggler]


async def enforcement(request: Request) -> Response:
    """Answer at once, or with ``wait`` when nobody is missing or the time is over."""
    asked = await context(request)
    check_parameters(request, {"wait"})
    revision = _revision(asked, request.path_params["number"])
    loop_time = asked.console.clock
    deadline = loop_time().timestamp() + number(request, "wait", 0, LONGEST_WAIT)
    while True:
        found = _enforcement(asked, revision)
        left = deadline - loop_time().timestamp()
        if not found.stragglers or left <= 0:
            return json_answer(found)
        await asked.console.presence.news(left)


def _revision(asked: Context, text: str) -> int:
    newest = asked.console.roster.world.revision
    if text == "latest":
        return newest
    if not text.isdecimal() or not 0 < int(text[:18]) <= newest:
        raise Problem("not-found", f"there is no revision {text[:40]!r}; the newest is {newest}")
    return int(text)


def _enforcement(asked: Context, revision: int) -> Enforcement:
    states = [state for state in asked.console.presence.states.values() if asked.actor.sees(state.namespace)]
    behind = [state for state in asked.console.presence.stragglers(revision) if asked.actor.sees(state.namespace)]
    return Enforcement(
        revision=revision,
        affected=len(states),
        enforced=len(states) - len(behind),
        stragglers=[state.name for state in behind],
        details=[_straggler(state, revision) for state in behind],
    )


def _straggler(state: State, revision: int) -> Straggler:
    reason: Literal["offline", "pending"] | str = "pending" if state.status == "Connected" else "offline"
    if state.refused >= revision:
        reason = f"refused: {state.refused_reason}"
    return Straggler(
        id=state.id,
        name=state.name,
        namespace=state.namespace,
        operational_status=state.status,
        enforced_revision=state.enforced,
        reason=reason,
    )
