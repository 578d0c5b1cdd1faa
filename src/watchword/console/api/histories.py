"""``GET /v1/histories``: what each revision changed in a namespace and below, and between any two of them.

Revisions themselves (``/v1/revisions``) are for readers of the root namespace, because a record names
everything it changed. Here everybody sees what happened where they may read.
"""

from __future__ import annotations

import base64
from typing import Any

from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import Response

from watchword.console import history
from watchword.console.actors import Actor
from watchword.console.api.askedworlds import numbered
from watchword.console.api.context import Context, check_parameters, context, flag, json_answer, number
from watchword.console.history import ObjectChange
from watchword.console.problems import Problem
from watchword.console.store import records
from watchword.console.store.schema import TABLES, revision_changes
from watchword.model import registry
from watchword.model.declarations import Part
from watchword.model.resources import Revision
from watchword.policy.namespaces import ROOT

REVISION = registry.kind("revision")

#: Revisions in one answer.
PAGE = 50
LARGEST_PAGE = 500


class ChangeShown(Part, frozen=True, kw_only=True):
    """What happened to one object. ``diff`` is field to [before, after], as JSON."""

    operation: str
    kind: str
    id: str
    namespace: str
    name: str
    diff: dict[str, list[str]] = {}
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


class RevisionShown(Part, frozen=True, kw_only=True):
    """One revision, as far as the reader may see what it changed."""

    revision: int
    time: Any
    author: str
    message: str
    changes: list[ChangeShown]


class HistoryDifference(Part, frozen=True, kw_only=True):
    """What is different in ``to`` from what was in ``from``, object by object."""

    from_: int
    to: int
    namespace: str
    changes: list[ChangeShown]


class ChainPage(Part, frozen=True, kw_only=True):
    """Records with what they changed, for checking signatures without trusting the Console that stores them."""

    console_id: str
    public_key: str
    policy_complete_from: int
    workload_complete_from: int
    links: list[dict[str, Any]]


def shown(change: ObjectChange, actor: Actor, *, whole: bool = False) -> ChangeShown:
    """A change as ``actor`` may see it: a unit may have come from, or gone, where they may not read."""
    before = change.before if change.before is None or actor.sees(change.before["namespace"]) else None
    after = change.after if change.after is None or actor.sees(change.after["namespace"]) else None
    visible = ObjectChange(
        change.operation, change.kind, change.id, change.namespace, change.name, before, after, change.version
    )
    return ChangeShown(
        operation=change.operation,
        kind=change.kind,
        id=change.id,
        namespace=change.namespace,
        name=change.name,
        diff=history.differences(visible),
        before=before if whole else None,
        after=after if whole else None,
    )


async def listing(request: Request) -> Response:
    """``GET /v1/histories``: the newest revisions that changed something here, newest first."""
    asked = await context(request)
    check_parameters(request, {"limit", "after", "workloads"})
    limit = max(1, int(number(request, "limit", PAGE, LARGEST_PAGE)))
    before = int(number(request, "after", 0, 1 << 53))
    workloads = flag(request, "workloads")
    table = revision_changes
    where = [history.at_or_below(asked.namespace)]
    if not workloads:
        where.append(table.c.workload.is_(False))
    if before:
        where.append(table.c.revision < before)
    query = select(table.c.revision).where(*where).distinct().order_by(table.c.revision.desc()).limit(limit + 1)
    async with asked.console.database.reading() as connection:
        numbers = list((await connection.scalars(query)).all())
        page = numbers[:limit]
        found: dict[int, list[ObjectChange]] = {each: [] for each in page}
        if page:
            span = await history.between(connection, page[-1] - 1, page[0], *where, workloads=workloads)
            for revision, change in span:
                found[revision].append(change)
        kept = await records.find(connection, REVISION, TABLES["revision"].c.number.in_(page or [0]))
    by_number = {record.resource.number: record.resource for record in kept}
    answer = [_revision(by_number.get(each), each, found[each], asked) for each in page]
    headers = {"X-Next": str(page[-1])} if len(numbers) > limit else {}
    return json_answer(answer, headers=headers)


def _revision(record: Revision | None, number_: int, changes: list[ObjectChange], asked: Context) -> RevisionShown:
    return RevisionShown(
        revision=number_,
        time=record.create_time if record else None,
        author=record.author if record else "",
        message=_message(record, asked.actor),
        changes=[shown(each, asked.actor) for each in changes],
    )


def _message(record: Revision | None, actor: Actor) -> str:
    """Why a revision was made; what it says of others' namespaces is only for readers of the root."""
    return record.message if record is not None and actor.sees(ROOT) else ""


async def single(request: Request) -> Response:
    """``GET /v1/histories/<n>``: what one revision changed here, objects whole."""
    asked = await context(request)
    check_parameters(request, {"workloads"})
    workloads = flag(request, "workloads")
    async with asked.console.database.reading() as connection:
        revision = _number(asked, request.path_params["number"], "number")
        await history.demand(connection, revision, asked.console.roster.world.revision)
        scope = history.at_or_below(asked.namespace)
        changes = await history.between(connection, revision - 1, revision, scope, workloads=workloads)
        kept = await records.by_id(connection, REVISION, str(revision))
    answer = RevisionShown(
        revision=revision,
        time=kept.resource.create_time if kept else None,
        author=kept.resource.author if kept and (changes or asked.actor.sees(ROOT)) else "",
        message=_message(kept.resource if kept else None, asked.actor),
        changes=[shown(each, asked.actor, whole=True) for _, each in changes],
    )
    return json_answer(answer)


async def difference(request: Request) -> Response:
    """``GET /v1/histories/difference?from=&to=``: object by object, in either direction of time."""
    asked = await context(request)
    check_parameters(request, {"from", "to", "workloads"})
    newest = asked.console.roster.world.revision
    first = _number(asked, request.query_params.get("from", ""), "from")
    last = _number(asked, request.query_params.get("to", "latest"), "to")
    async with asked.console.database.reading() as connection:
        for revision in (first, last):
            await history.demand(connection, revision, newest)
        scope = history.at_or_below(asked.namespace)
        low, high = sorted((first, last))
        found = await history.between(connection, low, high, scope, workloads=flag(request, "workloads"))
    changes = history.summed(each for _, each in found)
    if last < first:
        changes = [history.reversed_(each) for each in changes]
    answer = HistoryDifference(
        from_=first, to=last, namespace=asked.namespace, changes=[shown(each, asked.actor) for each in changes]
    )
    return json_answer(answer)


async def chain(request: Request) -> Response:
    """``GET /v1/histories/chain?after=&limit=``: for readers of the root namespace."""
    asked = await context(request)
    check_parameters(request, {"after", "limit"})
    asked.actor.demand_reading(ROOT)
    after, limit = int(number(request, "after", 0, 1 << 53)), max(1, int(number(request, "limit", PAGE, LARGEST_PAGE)))
    table = TABLES["revision"]
    query = select(table.c.number).where(table.c.number > after).order_by(table.c.number).limit(limit)
    async with asked.console.database.reading() as connection:
        numbers = list((await connection.scalars(query)).all())
        kept = await records.find(connection, REVISION, table.c.number.in_(numbers or [0]))
        changes: dict[int, list[ObjectChange]] = {each: [] for each in numbers}
        if numbers:
            for revision, change in await history.between(connection, after, numbers[-1], workloads=True):
                changes[revision].append(change)
        floors = [await history.floor(connection, workloads=each) for each in (False, True)]
    by_number = {record.resource.number: record.resource for record in kept}
    answer = ChainPage(
        console_id=asked.console.trust.console_id,
        public_key=base64.b64encode(asked.console.trust.signing_key.public).decode(),
        policy_complete_from=floors[0] + 1,
        workload_complete_from=floors[1] + 1,
        links=[
            {"record": by_number[each], "changes": [change.document() for change in changes[each]]} for each in numbers
        ],
    )
    return json_answer(answer, headers={"X-Next": str(numbers[-1])} if len(numbers) == limit else {})


def _number(asked: Context, text: str, path: str) -> int:
    if text == "latest":
        return asked.console.roster.world.revision
    value = numbered(text, path)
    if not value:
        raise Problem("not-found", "there is no revision 0; the first is 1")
    return value
