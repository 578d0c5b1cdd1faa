"""``GET /v1/flowreports``: what was seen, in the order in which it arrived, and what is seen next."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from watchword.console.actors import Actor
from watchword.console.api import reportlists
from watchword.console.api.context import context
from watchword.console.flows.sqlite import FLOWS
from watchword.model.resources import FlowReport


async def endpoint(request: Request) -> Response:
    """One page; with ``wait``, held until it is not empty."""
    asked = await context(request)
    return await reportlists.page(request, asked, asked.console.reports.flows, FLOWS, _as_seen_by)


def _as_seen_by(actor: Actor, report: FlowReport) -> FlowReport:
    """Without the verdicts of drafts that ``actor`` may not know of: what is not in force is nobody else's business."""
    hidden = {each.draft for each in report.draft_verdicts if not actor.sees(each.namespace)}
    if not hidden:
        return report
    return msgspec.structs.replace(
        report,
        draft_verdicts=[each for each in report.draft_verdicts if each.draft not in hidden],
        judged_by=[each for each in report.judged_by if each not in hidden],
        changed_by=[each for each in report.changed_by if each not in hidden],
    )
