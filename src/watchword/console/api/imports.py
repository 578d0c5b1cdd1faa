"""``POST /v1/imports``: one document, or an array of them in one transaction and one revision."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from watchword.console.api.context import (
    check_parameters,
    checked_object,
    context,
    decoded,
    flag,
    json_answer,
    raw_body,
)
from watchword.console.api.resources import REVISION_HEADER
from watchword.console.decoding import convert, parse
from watchword.console.importing import Import, Importer, check
from watchword.console.problems import Problem, invalid
from watchword.model.problems import Invalid

BODY_LIMIT = 16 << 20

#: Documents of one request.
DOCUMENT_LIMIT = 1000


async def endpoint(request: Request) -> Response:
    """``POST /v1/imports?dryRun=``."""
    asked = await context(request)
    check_parameters(request, {"dryRun"})
    dry_run = flag(request, "dryRun")
    asked.actor.demand_writing(asked.namespace)
    body = await raw_body(request, BODY_LIMIT)
    several = body.lstrip()[:1] == b"["
    given, prefix = _documents(body) if several else ([convert(decoded(body), Import)], [""])
    check(given, prefix)
    async with asked.console.changes.attempt(asked.actor.author(), "import", dry_run=dry_run) as change:
        importer = Importer(change, asked, given, prefix)
        await importer.carry_out()
    outcomes = importer.outcomes(dry_run, change.revision)
    return json_answer(outcomes if several else outcomes[0], headers={REVISION_HEADER: str(change.revision)})


def _documents(body: bytes) -> tuple[list[Import], list[str]]:
    """The documents of an array, and what the paths of each begin with."""
    values: list[Any] = parse(body)
    if not 1 <= len(values) <= DOCUMENT_LIMIT:
        raise invalid(Invalid("body", f"has {len(values)} documents", f"send 1 to {DOCUMENT_LIMIT}"))
    given, prefix = [], []
    for index, value in enumerate(values):
        path = f"[{index}]."
        try:
            given.append(convert(checked_object(value), Import))
        except Problem as problem:
            errors = [Invalid(path + error.path, error.message, error.remedy) for error in problem.errors]
            raise Problem(problem.kind, f"[{index}]: {problem.detail}", errors) from None
        prefix.append(path)
    return given, prefix
