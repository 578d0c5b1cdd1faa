"""The ASGI application of one Console: routes, and what becomes of errors.

Whatever goes wrong leaves as a problem document; an unexpected error is logged whole and told to the
client only as such.
"""

from __future__ import annotations

import msgspec
import structlog
from sqlalchemy.exc import IntegrityError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from watchword.console.api import (
    differences,
    dnslookupreports,
    drafts,
    enrolments,
    explanations,
    exports,
    findings,
    flowreports,
    histories,
    imports,
    paths,
    pings,
    policytestruns,
    resources,
    revisions,
    rollbacks,
    root,
)
from watchword.console.console import Console
from watchword.console.logs import plain
from watchword.console.problems import Problem, invalid
from watchword.console.stream.channel import Channel
from watchword.console.stream.session import Session
from watchword.model.problems import Invalid

log = structlog.get_logger(__name__)


def create_app(console: Console) -> Starlette:
    """The application that serves ``console``, which is open and filled."""
    app = Starlette(
        routes=[
            Route("/v1/health", root.health),
            Route("/v1/ca", root.certificate_authority),
            Route("/v1/openapi.json", root.openapi),
            Route("/v1/me", root.me),
            Route("/v1/enrolments", enrolments.endpoint, methods=["POST"]),
            Route("/v1/imports", imports.endpoint, methods=["POST"]),
            Route("/v1/exports", exports.endpoint),
            Route("/v1/explanations", explanations.endpoint, methods=["GET", "POST"]),
            Route("/v1/findings", findings.endpoint),
            Route("/v1/differences", differences.endpoint),
            Route("/v1/flowreports", flowreports.endpoint),
            Route("/v1/dnslookupreports", dnslookupreports.endpoint),
            Route("/v1/revisions/{number}/enforcement", revisions.enforcement),
            Route("/v1/histories", histories.listing),
            Route("/v1/histories/difference", histories.difference),
            Route("/v1/histories/chain", histories.chain),
            Route("/v1/histories/{number}", histories.single),
            Route("/v1/rollbacks", rollbacks.endpoint, methods=["POST"]),
            Route("/v1/drafts/{key}/changes", drafts.changes, methods=["POST"]),
            Route("/v1/drafts/{key}/difference", drafts.difference),
            Route("/v1/drafts/{key}/shadow", drafts.shadow, methods=["POST", "DELETE"]),
            Route("/v1/drafts/{key}/publication", drafts.publication, methods=["POST"]),
            Route("/v1/paths", paths.endpoint),
            Route("/v1/pings", pings.endpoint, methods=["POST"]),
            Route("/v1/policytestruns", policytestruns.endpoint),
            WebSocketRoute("/v1/stream", _stream),
            *resources.routes(),
        ],
        exception_handlers={
            Problem: _problem,
            Invalid: _invalid,
            HTTPException: _http,
            IntegrityError: _integrity,
            Exception: _unexpected,
        },
    )
    app.state.console = console
    return app


async def _stream(socket: WebSocket) -> None:
    console: Console = socket.app.state.console
    await socket.accept()
    await Session(console.stream, Channel(socket)).run()


def _answer(problem: Problem) -> Response:
    return Response(
        msgspec.json.encode(problem.document()), problem.status, problem.headers, "application/problem+json"
    )


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101 - registered for it
    return _answer(error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, Invalid)  # noqa: S101 - registered for it
    return _answer(invalid(error))


async def _integrity(request: Request, error: Exception) -> Response:
    # The check before the insert lost a race against another Console on the same database.
    return _answer(Problem("conflict", "somebody else has just made the same thing; read it and retry"))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    if error.status_code == 404:
        return _answer(Problem("not-found", f"there is nothing at {request.url.path}"))
    if error.status_code == 405:
        problem = Problem("method-not-allowed", f"{request.method} is not possible at {request.url.path}")
        problem.headers.update(error.headers or {})
        return _answer(problem)
    return _answer(Problem("malformed", str(error.detail)))


async def _unexpected(request: Request, error: Exception) -> Response:
    if not isinstance(error, ClientDisconnect):
        log.error("request failed", method=request.method, path=request.url.path, exception=plain(error))
    return _answer(Problem("internal", "the Console failed to serve this request; its log says why"))
