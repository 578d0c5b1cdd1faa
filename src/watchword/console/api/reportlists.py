"""Lists of reports (flows, look-ups): pages in the order of arrival or against it, and what arrives next."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from watchword.console.actors import Actor
from watchword.console.api.context import Context, check_parameters, flag, json_answer, number
from watchword.console.api.lists import page_size, sparse, tree, wanted_fields
from watchword.console.flows.store import BEGINNING, R, ReportQuery, ReportStore
from watchword.console.problems import invalid
from watchword.model.problems import Invalid
from watchword.model.registry import Kind

PARAMETERS = {"after", "wait", "filter", "limit", "order", "recursive", "fields"}
LONGEST_WAIT = 60.0

_CURSOR = re.compile(r"[0-9a-f]{16}")


async def page(
    request: Request, asked: Context, store: ReportStore[R], kind: Kind, seen_by: Callable[[Actor, R], R] | None = None
) -> Response:
    """One page; with ``wait``, held until it is not empty. ``seen_by`` takes out what the caller may not know of."""
    check_parameters(request, PARAMETERS)
    after = _cursor(request.query_params.get("after", BEGINNING), store)
    newest_first = _newest_first(request.query_params.get("order", "ID"))
    wait = number(request, "wait", 0, LONGEST_WAIT)
    if wait and newest_first:
        raise invalid(Invalid("wait", "goes with order=ID only", "leave out order"))
    try:
        query = ReportQuery(
            namespace=asked.namespace,
            recursive=flag(request, "recursive"),
            where=tree(asked),
            after=after,
            newest_first=newest_first,
            limit=page_size(asked),
        )
        fields = wanted_fields(asked, kind)
        reports, position = await _read(store, query, wait)
    except Invalid as error:
        raise invalid(error) from None
    shown = [seen_by(asked.actor, report) for report in reports] if seen_by else reports
    return json_answer(sparse(shown, fields), headers={"X-Next": position})


def _cursor(text: str, store: ReportStore[R]) -> str:
    if text == "latest":
        return store.newest()
    if text and not _CURSOR.fullmatch(text):
        raise invalid(Invalid("after", "is not a cursor", "send what X-Next said, or latest"))
    return text


def _newest_first(order: str) -> bool:
    if order not in ("ID", "-ID"):
        raise invalid(Invalid("order", f"{order!r} is not possible here", "use ID or -ID"))
    return order == "-ID"


async def _read(store: ReportStore[R], query: ReportQuery, wait: float) -> tuple[list[R], str]:
    """Reports, and the cursor to go on from: past everything looked at, whether it matched or not."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait
    while True:
        newest = store.newest()
        reports = await store.query(query)
        if reports:
            return reports, reports[-1].id
        left = deadline - loop.time()
        if query.newest_first:
            return [], query.after
        if left <= 0 or not await store.arrived(newest, left):
            return [], max(newest, query.after)  # nothing up to the newest matches: no need to look there again
