"""``GET /v1/exports``: what an import needs to make the same again.

Everything of the request's namespace and below that people make, or what one label owns, as one consistent state.
Never secrets, credentials or anything that gives access: those kinds are not exchanged at all.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from watchword.console.api.context import check_parameters, context, json_answer
from watchword.console.api.resources import REVISION_HEADER
from watchword.console.changes import newest_revision
from watchword.console.store import records
from watchword.console.store.records import Record
from watchword.console.store.schema import TABLES
from watchword.exchange.kinds import OWNER, exchanged, written
from watchword.model.declarations import Part
from watchword.policy.namespaces import ROOT


class Export(Part, frozen=True, kw_only=True):
    """A document that can be imported into the namespace it came from, or one of the same path."""

    label: str
    data: dict[str, list[dict[str, Any]]]


async def endpoint(request: Request) -> Response:
    """``GET /v1/exports?label=``."""
    asked = await context(request)
    check_parameters(request, {"label"})
    label = request.query_params.get("label", "")
    data: dict[str, list[dict[str, Any]]] = {}
    async with asked.console.database.reading() as connection:
        revision = await newest_revision(connection)
        for kind in exchanged():
            scope = records.in_namespace(TABLES[kind.singular], asked.namespace, recursive=True)
            found = await records.find(connection, kind, scope)
            if kind.singular == "namespace" and asked.namespace == ROOT:
                found += await records.find(connection, kind, TABLES["namespace"].c.name == ROOT)
            shown = [
                _item(record, asked.namespace) for record in sorted(found, key=_place) if _belongs(record, label, asked)
            ]
            if shown:
                data[kind.plural] = shown
    return json_answer(Export(label=label, data=data), headers={REVISION_HEADER: str(revision)})


def _place(record: Record) -> tuple[str, str]:
    return record.resource.namespace, record.resource.name


def _belongs(record: Record, label: str, asked: Any) -> bool:
    return not label or record.resource.annotations.get(OWNER) == [label, asked.namespace]


def _item(record: Record, namespace: str) -> dict[str, Any]:
    resource = record.resource
    shown = written(record.kind, resource)
    if record.kind.singular == "namespace":
        return shown  # its name says where it is
    return shown if resource.namespace == namespace else {"namespace": resource.namespace, **shown}
