"""``GET /v1/dnslookupreports``: what units asked resolvers for, in the order in which it was told."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from watchword.console.api import reportlists
from watchword.console.api.context import context
from watchword.console.flows.sqlite import LOOKUPS


async def endpoint(request: Request) -> Response:
    """One page; with ``wait``, held until it is not empty."""
    asked = await context(request)
    return await reportlists.page(request, asked, asked.console.reports.lookups, LOOKUPS)
