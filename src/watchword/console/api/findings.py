"""``GET /v1/findings``: what is doubtful about the policy of a namespace and those below it."""

from __future__ import annotations

import datetime

from starlette.requests import Request
from starlette.responses import Response

from watchword.console.api.askedworlds import asked_world
from watchword.console.api.context import Context, check_parameters, context, json_answer, number
from watchword.console.problems import invalid
from watchword.console.store import records
from watchword.console.store.schema import TABLES
from watchword.model import registry
from watchword.model.declarations import Part
from watchword.model.problems import Invalid
from watchword.policy.lint import CODES, Finding
from watchword.policy.lint.codes import SEVERITIES

#: Findings in one answer, unless more are asked for; and the most there can be.
PAGE = 500
LARGEST_PAGE = 10_000


class Findings(Part, frozen=True, kw_only=True):
    """What was found. ``counts`` is by severity and complete; ``findings`` may be cut, worst first.

    Everything is said of the units and resources at and below ``reader``, the namespace of the
    credential, and of what is handed down to it.
    """

    revision: int
    namespace: str
    reader: str
    counts: dict[str, int]
    total: int
    findings: list[Finding]


async def endpoint(request: Request) -> Response:
    """Look at the live policy, a draft (``?draft=``) or an older revision (``?revision=``)."""
    asked = await context(request)
    check_parameters(request, {"draft", "revision", "code", "severity", "limit"})
    codes = _chosen(request, "code", tuple(CODES))
    severities = _chosen(request, "severity", SEVERITIES)
    limit = int(number(request, "limit", PAGE, LARGEST_PAGE))
    world = await asked_world(asked)
    found = await asked.console.inquiries.findings(
        world, asked.actor.namespace, asked.namespace, await _changed(asked), asked.console.clock()
    )
    chosen = [each for each in found if each.code in codes and each.severity in severities]
    answer = Findings(
        revision=world.revision,
        namespace=asked.namespace,
        reader=asked.actor.namespace,
        counts={severity: sum(each.severity == severity for each in chosen) for severity in SEVERITIES},
        total=len(chosen),
        findings=chosen[:limit],
    )
    return json_answer(answer)


def _chosen(request: Request, name: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """A parameter that names some of ``known``, separated by commas; all of them if it is not there."""
    text = request.query_params.get(name)
    if text is None:
        return known
    chosen = tuple(text.split(","))
    for each in chosen:
        if each not in known:
            raise invalid(Invalid(name, f"{each[:40]!r} is unknown", f"use {', '.join(known)}"))
    return chosen


async def _changed(asked: Context) -> dict[str, datetime.datetime]:
    """When each disabled ruleset and intent last changed, by ID."""
    found: dict[str, datetime.datetime] = {}
    async with asked.console.database.reading() as connection:
        for name in ("networkrulesetpolicy", "intent"):
            kind, table = registry.kind(name), TABLES[name]
            scope = records.in_namespace(table, asked.namespace, recursive=True)
            for record in await records.find(connection, kind, scope, table.c.disabled.is_(True)):
                since = record.resource.update_time or record.resource.create_time
                if since is not None:
                    found[record.id] = since
    return found
