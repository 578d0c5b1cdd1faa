"""``GET /v1/differences``: which flows two revisions, or a draft and a revision, decide differently."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from watchword.console.api.askedworlds import drafted_world, revised_world
from watchword.console.api.context import check_parameters, context, json_answer, number
from watchword.console.problems import invalid
from watchword.console.worlds import Units
from watchword.model.problems import Invalid
from watchword.policy.difference import LIMIT

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
    before = await revised_world(asked, request.query_params.get("from", "latest"), "from", units)
    if draft:
        after = await drafted_world(asked, draft)
    else:
        after = await revised_world(asked, request.query_params.get("to", "latest"), "to", units)
    return json_answer(await asked.console.inquiries.difference(before, after, asked.actor.namespace, limit))


def _units(request: Request) -> Units:
    text = request.query_params.get("units", "now")
    if text == "now":
        return "now"
    if text == "then":
        return "then"
    raise invalid(Invalid("units", f"{text[:40]!r} is unknown", "write now or then"))
