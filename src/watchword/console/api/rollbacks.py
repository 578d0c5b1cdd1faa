"""``POST /v1/rollbacks``: the policy of an older revision back, in the request's namespace and below."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from watchword.console.api.context import check_parameters, context, decoded, flag, json_answer, raw_body
from watchword.console.api.histories import ChangeShown, shown
from watchword.console.api.resources import REVISION_HEADER
from watchword.console.decoding import convert
from watchword.console.history import ObjectChange
from watchword.console.rollback import roll_back
from watchword.model.declarations import Part


class Rollback(Part, frozen=True, kw_only=True):
    """What to restore. ``expectedRevision`` refuses if policy here has changed since that one."""

    revision: Annotated[int, msgspec.Meta(ge=1)]
    expected_revision: Annotated[int, msgspec.Meta(ge=1)] | None = None
    include_protected: bool = False


class RolledBack(Part, frozen=True, kw_only=True):
    """What a rollback did, or (``dryRun``) would do."""

    dry_run: bool
    restored: int
    namespace: str
    revision: int
    changes: list[ChangeShown]


class _DryRun(Exception):  # noqa: N818 - it is no error: it takes the transaction back
    """Thrown to undo everything at the end of a dry run."""


async def endpoint(request: Request) -> Response:
    """Restore, or say what restoring would do."""
    asked = await context(request)
    check_parameters(request, {"dryRun"})
    dry_run = flag(request, "dryRun")
    asked.actor.demand_writing(asked.namespace)
    given = convert(decoded(await raw_body(request)), Rollback)
    changes, wanted = asked.console.changes, list[ObjectChange]()
    revision = asked.console.roster.world.revision
    try:
        async with changes.begin(asked.actor.author(), "rollback") as change:
            wanted = await roll_back(
                change,
                given.revision,
                asked.namespace,
                expected=given.expected_revision,
                protected=given.include_protected,
            )
            if dry_run:
                await changes.check(change)
                raise _DryRun
        revision = change.revision
    except _DryRun:
        pass
    answer = RolledBack(
        dry_run=dry_run,
        restored=given.revision,
        namespace=asked.namespace,
        revision=revision,
        changes=[shown(each, asked.actor) for each in wanted],
    )
    return json_answer(answer, headers={REVISION_HEADER: str(revision)})
