"""The endpoints that every kind of resource has, as far as its declaration allows."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import msgspec
from sqlalchemy import ColumnElement, and_, or_
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watchword.console import lifecycle
from watchword.console.api import bodies, replays
from watchword.console.api.context import Context, check_parameters, context, decoded, json_answer, raw_body
from watchword.console.api.lists import list_resources
from watchword.console.problems import Problem
from watchword.console.spaces import space
from watchword.console.store import records
from watchword.console.store.records import Record
from watchword.console.store.schema import STORED, TABLES
from watchword.model.registry import Kind
from watchword.policy.namespaces import reaches, upwards

Endpoint = Callable[[Request], Awaitable[Response]]

REVISION_HEADER = "X-Watchword-Revision"


def routes() -> list[Route]:
    """Routes of all kinds that the Console stores."""
    found = []
    for kind in STORED:
        collection = {"list": ("GET", _list), "create": ("POST", _create)}
        single = {"get": ("GET", _get), "update": ("PATCH", _update), "delete": ("DELETE", _delete)}
        for path, offered in ((f"/v1/{kind.plural}", collection), (f"/v1/{kind.plural}/{{key:path}}", single)):
            by_method = {method: make(kind) for verb, (method, make) in offered.items() if verb in kind.verbs}
            if "PATCH" in by_method:
                by_method["PUT"] = _update(kind)
            if by_method:
                found.append(Route(path, _by_method(by_method), methods=sorted(by_method)))
    return found


def _by_method(endpoints: dict[str, Endpoint]) -> Endpoint:
    async def dispatch(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        return await endpoints[method](request)

    return dispatch


def _list(kind: Kind) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return await list_resources(await context(request), kind)

    return endpoint


def _get(kind: Kind) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        asked = await context(request)
        check_parameters(request, set())
        async with asked.console.database.reading() as connection:
            record = await _find(connection, asked, kind, request.path_params["key"])
        return json_answer(record.resource, headers={"ETag": etag(record)})

    return endpoint


def _create(kind: Kind) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        asked = await context(request)
        check_parameters(request, set())
        asked.actor.demand_writing(asked.namespace)
        body = await raw_body(request)
        given = bodies.for_creation(kind, decoded(body))
        async with asked.console.changes.begin(asked.actor.author()) as change:
            replay = await replays.find(change, asked, body)
            if replay is None:
                where = await space(change.connection, asked.namespace)
                created = await lifecycle.create(change, asked.console.mint, kind, where, given)
                headers = {
                    "Location": f"/v1/{kind.plural}/{quote(created.record.id)}",
                    "ETag": etag(created.record),
                }
                await replays.keep(change, asked, body, 201, headers, msgspec.json.encode(created.record.resource))
        answer = replay or json_answer(created.shown, 201, headers)
        answer.headers[REVISION_HEADER] = str(change.revision)
        return answer

    return endpoint


def _update(kind: Kind) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        asked = await context(request)
        check_parameters(request, set())
        body = decoded(await raw_body(request))
        merge = bodies.for_update if request.method == "PATCH" else bodies.for_replacement
        async with asked.console.changes.begin(asked.actor.author()) as change:
            before = await _find(change.connection, asked, kind, request.path_params["key"])
            asked.actor.demand_writing(before.resource.namespace)
            _check_match(request, before)
            resource = merge(kind, body, before.resource)
            after = before
            if resource != before.resource:
                after = await lifecycle.update(change, before, resource)
        headers = {"ETag": etag(after), REVISION_HEADER: str(change.revision)}
        return json_answer(after.resource, headers=headers)

    return endpoint


def _delete(kind: Kind) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        asked = await context(request)
        check_parameters(request, set())
        async with asked.console.changes.begin(asked.actor.author()) as change:
            record = await _find(change.connection, asked, kind, request.path_params["key"])
            asked.actor.demand_writing(record.resource.namespace)
            _check_match(request, record)
            await lifecycle.delete(change, record)
        return Response(status_code=204, headers={REVISION_HEADER: str(change.revision)})

    return endpoint


def etag(record: Record) -> str:
    """What changes whenever somebody changes the resource."""
    digest = hashlib.sha256(f"{record.kind.singular}/{record.id}/{record.version}".encode()).hexdigest()[:16]
    return f'"{digest}"'


def _check_match(request: Request, record: Record) -> None:
    wanted = request.headers.get("if-match")
    if wanted is None or wanted.strip() == "*":
        return
    if etag(record) not in [part.strip() for part in wanted.split(",")]:
        raise Problem("changed-meanwhile", "the resource has changed since you read it; read it again and retry")


async def _find(connection: AsyncConnection, asked: Context, kind: Kind, key: str) -> Record:
    """The resource with this ID, or of this name in the request's namespace. Raises :class:`Problem`."""
    by_id = await records.by_id(connection, kind, key)
    if by_id is not None and _visible(asked, kind, by_id.resource):
        return by_id
    found = [] if kind.singular in ("revision", "activity") else await _named(connection, asked, kind, key)
    if len(found) > 1:
        listed = ", ".join(record.id for record in found)
        raise Problem("conflict", f"{len(found)} {kind.plural} are called {key!r}; use an ID: {listed}")
    if not found:
        raise Problem(
            "not-found", f"there is no {kind.singular} with ID or name {key!r} in namespace {asked.namespace}"
        )
    return found[0]


async def _named(connection: AsyncConnection, asked: Context, kind: Kind, key: str) -> list[Record]:
    table = TABLES[kind.singular]
    if kind.singular == "namespace":
        path = key if key.startswith("/") else f"{asked.namespace.rstrip('/')}/{key}"
        found = await records.find(connection, kind, table.c.name == path)
        return [record for record in found if _visible(asked, kind, record.resource)]
    place: ColumnElement[bool] = table.c.namespace == asked.namespace
    if kind.propagates:
        above = [path for path in upwards(asked.namespace) if path != asked.namespace]
        place = or_(place, and_(table.c.namespace.in_(above), table.c.propagate.is_(True)))
    return await records.find(connection, kind, table.c.name == key, place)


def _visible(asked: Context, kind: Kind, resource: Any) -> bool:
    """Whether the caller may know of the resource: in its scope, handed down to it, or a namespace of its own."""
    actor = asked.actor
    if actor.sees(resource.namespace):
        return True
    if getattr(resource, "propagate", False) and reaches(resource.namespace, True, actor.namespace):
        return True
    return kind.singular == "namespace" and actor.sees(resource.name)
