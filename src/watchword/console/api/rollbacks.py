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


async def endpoint(request: Request) -> Response:
    """Restore, or say what restoring would do."""
    asked = await context(request)
    check_parameters(request, {"dryRun"})
    dry_run = flag(request, "dryRun")
    asked.actor.demand_writing(asked.namespace)
    given = convert(decoded(await raw_body(request)), Rollback)
    async with asked.console.changes.attempt(asked.actor.author(), "rollback", dry_run=dry_run) as change:
        wanted = await roll_back(
            change,
            given.revision,
            asked.namespace,
            expected=given.expected_revision,
            protected=given.include_protected,
        )
    answer = RolledBack(
        dry_run=dry_run,
        restored=given.revision,
        namespace=asked.namespace,
        revision=change.revision,
        changes=[shown(each, asked.actor) for each in wanted],
    )
    return json_answer(answer, headers={REVISION_HEADER: str(change.revision)})
