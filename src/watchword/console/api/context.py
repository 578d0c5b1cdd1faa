"""What every authenticated request has: the Console, the caller and the namespace it is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from watchword.console.actors import Actor
from watchword.console.bootstrap import CREDENTIAL
from watchword.console.console import Console
from watchword.console.decoding import parse
from watchword.console.problems import Problem, invalid
from watchword.console.spaces import space
from watchword.console.store import records
from watchword.identity.tokens import Credential, TokenError, matches
from watchword.model.problems import Invalid
from watchword.model.validation import check_text

#: Bytes of a request's body.
BODY_LIMIT = 1 << 20

_UNAUTHENTICATED = "send Authorization: Bearer <credential> with a credential that exists and is not disabled"


@dataclass(frozen=True, slots=True)
class Context:
    """One request."""

    request: Request
    console: Console
    actor: Actor
    namespace: str


def console_of(request: Request) -> Console:
    """The Console that serves this request."""
    console: Console = request.app.state.console
    return console


def source_of(request: Request) -> str:
    """The address a request comes from."""
    return request.client.host if request.client else ""


def slow_down(console: Console, source: str) -> None:
    """Raise :class:`Problem` when ``source`` has failed too often."""
    wait = console.failures.retry_after(source)
    if wait:
        raise Problem("too-many-requests", f"try again in {wait} seconds", headers={"Retry-After": str(wait)})


async def context(request: Request) -> Context:
    """Authenticate a request and find its namespace. Raises :class:`Problem`."""
    console = console_of(request)
    actor = await _authenticate(request, console)
    namespace = request.headers.get("x-namespace") or request.query_params.get("namespace") or actor.namespace
    actor.demand_reading(namespace)
    async with console.database.reading() as connection:
        await space(connection, namespace)
    return Context(request, console, actor, namespace)


async def _authenticate(request: Request, console: Console) -> Actor:
    source = source_of(request)
    slow_down(console, source)
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    try:
        if scheme.lower() != "bearer":
            raise TokenError
        credential = Credential.decode(text.strip())
        async with console.database.reading() as connection:
            record = await records.by_id(connection, CREDENTIAL, credential.id)
        # Compare even if there is no such record: whether an ID exists is nobody's business.
        stored = record.private["secret_hash"] if record is not None else bytes(32)
        if not matches(credential.secret, stored) or record is None or record.resource.disabled:
            raise TokenError
    except TokenError:
        console.failures.failed(source)
        raise Problem("unauthenticated", _UNAUTHENTICATED, headers={"WWW-Authenticate": "Bearer"}) from None
    known = record.resource
    return Actor(known.id, known.name, known.namespace, tuple(known.roles), source)


async def raw_body(request: Request, limit: int = BODY_LIMIT) -> bytes:
    """The body, read no further than ``limit``. Raises :class:`Problem`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/json", "application/merge-patch+json"):
        raise Problem("unsupported-media-type", "send Content-Type: application/json")
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise Problem("too-large", f"the body has more than {limit} bytes")
        parts.append(part)
    return b"".join(parts)


def decoded(body: bytes) -> dict[str, Any]:
    """A body that is a JSON object. Raises :class:`Problem`."""
    return checked_object(parse(body))


def checked_object(value: Any) -> dict[str, Any]:
    """``value`` if it is a JSON object of sensible texts and lists. Raises :class:`Problem`."""
    if not isinstance(value, dict):
        raise Problem("malformed", "the body has to be a JSON object")
    try:
        check_text(value)
    except Invalid as error:
        raise invalid(error) from None
    return value


def json_answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """``value`` as JSON."""
    return Response(msgspec.json.encode(value), status, headers, media_type="application/json")


def flag(request: Request, name: str) -> bool:
    """A query parameter that is true or false; false if it is not there. Raises :class:`Problem`."""
    text = request.query_params.get(name, "false").lower()
    if text not in ("true", "false"):
        raise invalid(Invalid(name, f"{text!r} is not true or false", f"write {name}=true"))
    return text == "true"


def number(request: Request, name: str, default: float, highest: float) -> float:
    """A query parameter that is a number from 0. Raises :class:`Problem`."""
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= highest:
        raise invalid(Invalid(name, f"{text!r} is not a number from 0 to {highest:g}", f"write {name}={default:g}"))
    return value


def check_parameters(request: Request, known: set[str]) -> None:
    """Raise :class:`Problem` for a query parameter that this endpoint does not have."""
    for name in request.query_params:
        if name not in known | {"namespace"}:
            raise invalid(Invalid(name, "is not a parameter here", f"use {', '.join(sorted(known)) or 'none'}"))
