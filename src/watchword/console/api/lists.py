"""Lists of resources: scope, filter, order, paging and sparse fields, the same for every kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Table, and_, or_
from starlette.responses import Response

from watchword.console.api.context import Context, check_parameters, flag, json_answer, number
from watchword.console.problems import invalid
from watchword.console.store import filtering, records
from watchword.console.store.records import Query
from watchword.console.store.schema import TABLES
from watchword.model import filters
from watchword.model.problems import Invalid
from watchword.model.registry import Kind
from watchword.policy.namespaces import upwards

PARAMETERS = {"recursive", "propagated", "fields", "order", "limit", "after", "filter"}

PAGE = 100
LARGEST_PAGE = 1000


async def list_resources(context: Context, kind: Kind) -> Response:
    """``GET /v1/<plural>``."""
    request = context.request
    check_parameters(request, PARAMETERS)
    table = TABLES[kind.singular]
    try:
        query = Query(
            scope=_scope(context, kind, table),
            where=_where(context, kind, table),
            order=tuple(part for part in request.query_params.get("order", "").split(",") if part),
            limit=page_size(context),
            after=request.query_params.get("after", ""),
        )
        fields = wanted_fields(context, kind)
        async with context.console.database.reading() as connection:
            page = await records.page(connection, kind, query)
    except Invalid as error:
        raise invalid(error) from None
    headers = {"X-Count-Total": str(page.total)}
    if page.after:
        headers["X-Next"] = page.after
    return json_answer(sparse((record.resource for record in page.records), fields), headers=headers)


def page_size(context: Context) -> int:
    """``limit``: at least one, so that paging gets on."""
    return max(1, int(number(context.request, "limit", PAGE, LARGEST_PAGE)))


def tree(context: Context) -> filters.Filter | None:
    """``filter``. Raises :class:`Invalid`."""
    text = context.request.query_params.get("filter")
    return filters.parse(text, context.console.clock()) if text else None


def _where(context: Context, kind: Kind, table: Table) -> ColumnElement[bool] | None:
    found = tree(context)
    return None if found is None else filtering.condition(found, kind, table)


def _scope(context: Context, kind: Kind, table: Table) -> ColumnElement[bool]:
    """Rows of the request's namespace; with ``recursive`` below it, with ``propagated`` from above it."""
    scope = records.in_namespace(table, context.namespace, recursive=flag(context.request, "recursive"))
    if flag(context.request, "propagated"):
        if not kind.propagates:
            raise Invalid("propagated", f"{kind.plural} do not propagate", "leave it out")
        above = [path for path in upwards(context.namespace) if path != context.namespace]
        scope = or_(scope, and_(table.c.namespace.in_(above), table.c.propagate.is_(True)))
    return scope


def wanted_fields(context: Context, kind: Kind) -> set[str] | None:
    """``fields``; ``None`` for all. Raises :class:`Invalid`."""
    text = context.request.query_params.get("fields")
    if not text:
        return None
    return {filtering.searchable(kind, name.strip(), "fields").name for name in text.split(",")}


def sparse(resources: Iterable[Any], fields: set[str] | None) -> list[Any]:
    """Resources with only the wanted fields."""
    if fields is None:
        return list(resources)
    return [
        {name: value for name, value in msgspec.to_builtins(resource).items() if name in fields}
        for resource in resources
    ]
