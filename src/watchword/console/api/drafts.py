"""The endpoints of drafts beyond those of every resource: add to one, compare it, shadow it, publish it."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from watchword.console import drafts, history
from watchword.console.api.askedworlds import draft_record
from watchword.console.api.context import Context, check_parameters, context, decoded, flag, json_answer, raw_body
from watchword.console.api.histories import ChangeShown, shown
from watchword.console.api.resources import REVISION_HEADER, etag
from watchword.console.changes import TakenBack
from watchword.console.decoding import convert
from watchword.console.drafts import Additions
from watchword.console.problems import Problem
from watchword.console.store.records import Record
from watchword.model.declarations import Part
from watchword.model.resources import Draft, DraftChange

BODY_LIMIT = 16 << 20


class DraftDifference(Part, frozen=True, kw_only=True):
    """What publishing would do. ``conflicts`` is object ID to what became of it since the draft found it."""

    id: str
    name: str
    namespace: str
    status: str
    base_revision: int
    revision: int
    changes: list[ChangeShown]
    conflicts: dict[str, str]


class Publication(Part, frozen=True, kw_only=True):
    """What publishing did, or (``dryRun``) would do."""

    dry_run: bool
    id: str
    name: str
    namespace: str
    revision: int
    changes: list[ChangeShown]


async def changes(request: Request) -> Response:
    """``POST /v1/drafts/<key>/changes``: add to a draft, or drop from it. Nothing comes into force."""
    asked = await context(request)
    check_parameters(request, set())
    asked.actor.demand_writing(asked.namespace)
    given = convert(decoded(await raw_body(request, BODY_LIMIT)), Additions)
    found: list[DraftChange] = []
    record = await _open(asked)
    try:
        async with asked.console.changes.begin(asked.actor.author(), "draft") as trial:
            record = await draft_record(trial.connection, asked, record.id)
            found = await drafts.try_out(trial, asked, record, given)
            raise TakenBack
    except TakenBack:
        pass
    async with asked.console.changes.begin(asked.actor.author()) as change:
        present = await draft_record(change.connection, asked, record.id)
        drafts.demand_open(present.resource)
        if present.version != record.version:
            raise Problem("changed-meanwhile", "somebody else has just changed this draft; look at it and try again")
        revision = await change.newest()
        edition = present.resource.edition + (found != present.resource.changes)
        resource = msgspec.structs.replace(present.resource, changes=found, base_revision=revision, edition=edition)
        after = await change.update(present, resource)
    return json_answer(after.resource, headers={"ETag": etag(after), REVISION_HEADER: str(revision)})


async def _open(asked: Context) -> Record:
    """The draft of a request, which the caller may change."""
    async with asked.console.database.reading() as connection:
        record = await draft_record(connection, asked, asked.request.path_params["key"])
    asked.actor.demand_writing(record.resource.namespace)
    drafts.demand_open(record.resource)
    return record


async def difference(request: Request) -> Response:
    """``GET /v1/drafts/<key>/difference``: field by field, and what stands against publishing it."""
    asked = await context(request)
    check_parameters(request, set())
    async with asked.console.database.reading() as connection:
        record = await draft_record(connection, asked, request.path_params["key"])
        draft: Draft = record.resource
        parted = await drafts.conflicts(connection, draft.changes) if draft.status == "Open" else {}
    answer = DraftDifference(
        id=draft.id,
        name=draft.name,
        namespace=draft.namespace,
        status=draft.status,
        base_revision=draft.base_revision,
        revision=asked.console.roster.world.revision,
        changes=[shown(each, asked.actor) for each in history.drafted(draft.changes)],
        conflicts=parted,
    )
    return json_answer(answer, headers={"ETag": etag(record)})


async def shadow(request: Request) -> Response:
    """``POST /v1/drafts/<key>/shadow`` lets a draft judge flows beside the live policy; ``DELETE`` ends that."""
    asked = await context(request)
    check_parameters(request, set())
    async with asked.console.changes.begin(asked.actor.author()) as change:
        record = await drafts.shadow(change, asked, request.path_params["key"], request.method == "POST")
    return json_answer(record.resource, headers={"ETag": etag(record), REVISION_HEADER: str(change.revision)})


async def publication(request: Request) -> Response:
    """``POST /v1/drafts/<key>/publication?dryRun=``: put a draft in force, as one revision."""
    asked = await context(request)
    check_parameters(request, {"dryRun"})
    dry_run = flag(request, "dryRun")
    async with asked.console.changes.attempt(asked.actor.author(), "publish", dry_run=dry_run) as change:
        published = await drafts.publish(change, asked, request.path_params["key"])
        log = history.net(change.effects)
    answer = Publication(
        dry_run=dry_run,
        id=published.id,
        name=published.name,
        namespace=published.namespace,
        revision=change.revision,
        changes=[shown(each, asked.actor) for each in log],
    )
    return json_answer(answer, headers={REVISION_HEADER: str(change.revision)})
