"""``POST /v1/enrolments``: the install token is the authentication."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from watchword.console import enrolment
from watchword.console.api.context import console_of, decoded, json_answer, raw_body, slow_down, source_of
from watchword.console.decoding import convert
from watchword.console.problems import Problem

BODY_LIMIT = 16 << 10


async def endpoint(request: Request) -> Response:
    """Enrol a host."""
    console, source = console_of(request), source_of(request)
    slow_down(console, source)
    given = convert(decoded(await raw_body(request, BODY_LIMIT)), enrolment.Enrolment)
    try:
        async with console.changes.begin(enrolment.author(source), "enrol") as change:
            enrolled, new = await enrolment.enrol(change, console.trust, console.mint, given)
    except enrolment.TokenRefused as refusal:
        console.failures.failed(source)
        raise Problem("unauthenticated", f"token: {refusal}") from None
    return json_answer(enrolled, 201 if new else 200)
