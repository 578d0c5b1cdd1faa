"""The few endpoints that are about the Console itself."""

from __future__ import annotations

from importlib.metadata import version

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from watchword.console.api.context import check_parameters, console_of, context, json_answer
from watchword.console.api.openapi import document


async def health(request: Request) -> Response:
    """It answers, so it lives: ``GET /v1/health``."""
    console = console_of(request)
    return json_answer(
        {
            "status": "ok",
            "consoleID": console.trust.console_id,
            "version": version("watchword"),
            "revision": console.roster.world.revision,
        }
    )


async def certificate_authority(request: Request) -> Response:
    """``GET /v1/ca``; new hosts check it against the fingerprint in their install token."""
    return PlainTextResponse(console_of(request).trust.ca_pem, media_type="application/x-pem-file")


async def me(request: Request) -> Response:
    """``GET /v1/me``: whose credential this is."""
    asked = await context(request)
    check_parameters(request, set())
    actor = asked.actor
    return json_answer({"ID": actor.id, "name": actor.name, "namespace": actor.namespace, "roles": list(actor.roles)})


async def openapi(request: Request) -> Response:
    """``GET /v1/openapi.json``."""
    return json_answer(document())
