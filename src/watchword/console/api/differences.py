"""``GET /v1/differences``: which flows two revisions, or a draft and a revision, decide differently."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from watchword.console.api.context import Context, check_parameters, context, json_answer, number
from watchword.console.problems import invalid
from watchword.console.worlds import Units, draft_record, drafted, world_at
from watchword.model.problems import Invalid
from watchword.policy.difference import LIMIT
from watchword.policy.world import World

#: The most entries of one answer.
LARGEST_PAGE = 10_000


async def endpoint(request: Request) -> Response:
    """Compare ``from`` (a revision; the newest if left out) with ``to`` or with ``draft``."""
    asked = await context(request)
    check_parameters(request, {"from", "to", "draft", "units", "limit"})
    limit = int(number(request, "limit", LIMIT, LARGEST_PAGE))
    draft, to = request.query_params.get("draft", ""), request.query_params.get("to", "")
    if draft and to:
        raise invalid(Invalid("draft", "and to are two worlds to compare with", "name one of them"))
    units = _units(request)
    before = await _at(asked, "from", units)
    after = await _drafted(asked, draft) if draft else await _at(asked, "to", units)
    return json_answer(await asked.console.inquiries.difference(before, after, asked.actor.namespace, limit))


def _units(request: Request) -> Units:
    text = request.query_params.get("units", "now")
    if text == "now":
        return "now"
    if text == "then":
        return "then"
    raise invalid(Invalid("units", f"{text[:40]!r} is unknown", "write now or then"))


async def _at(asked: Context, name: str, units: Units) -> World:
    text = asked.request.query_params.get(name, "latest")
    if text == "latest":
        return asked.console.roster.world
    if not text.isdecimal():
        raise invalid(Invalid(name, f"{text[:40]!r} is no revision", "write its number, or latest"))
    return await world_at(asked.console, int(text[:18]), units)


async def _drafted(asked: Context, key: str) -> World:
    async with asked.console.database.reading() as connection:
        record = await draft_record(connection, asked, key)
    return drafted(asked.console.roster.world, record)
