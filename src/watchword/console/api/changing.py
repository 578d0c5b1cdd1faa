"""The part of the OpenAPI description about how policy changes: histories, rollbacks, drafts, policy tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from watchword.console import drafts
from watchword.console.api import drafts as draft_endpoints
from watchword.console.api import histories, policytestruns, rollbacks

Operation = Callable[..., dict[str, Any]]

#: The structs of requests and answers.
TYPES: tuple[Any, ...] = (
    histories.RevisionShown,
    histories.HistoryDifference,
    histories.ChainPage,
    rollbacks.Rollback,
    rollbacks.RolledBack,
    drafts.Additions,
    draft_endpoints.DraftDifference,
    draft_endpoints.Publication,
    policytestruns.TestRuns,
)


def paths(operation: Operation, uses: Callable[..., list[dict[str, str]]]) -> dict[str, Any]:
    """The paths; ``operation`` and ``uses`` are how the rest of the description makes its own."""

    def made(summary: str, schema: Any, *parameters: dict[str, Any], body: str = "") -> dict[str, Any]:
        made_ = operation(summary, "200", schema, uses("namespace"), body)
        made_["parameters"] = [*made_["parameters"], *parameters]
        return made_

    truth = {"type": "boolean", "default": False}
    dry_run, workloads = _query("dryRun", **truth), _query("workloads", **truth)
    page = (_query("limit", type="integer", default=histories.PAGE, maximum=histories.LARGEST_PAGE), _query("after"))
    number, key = _path("number"), _path("key")
    listed = {"type": "array", "items": _schema("RevisionShown")}
    world = (_query("draft"), _query("revision"))
    return {
        "/v1/histories": {"get": made("What each revision changed here, newest first", listed, workloads, *page)},
        "/v1/histories/{number}": {
            "get": made("What one revision changed here", _schema("RevisionShown"), workloads, number)
        },
        "/v1/histories/difference": {
            "get": made(
                "Objects of two revisions, field by field",
                _schema("HistoryDifference"),
                _query("from"),
                _query("to"),
                workloads,
            )
        },
        "/v1/histories/chain": {"get": made("Signed records, for verification", _schema("ChainPage"), *page)},
        "/v1/rollbacks": {"post": made("Bring an older policy back", _schema("RolledBack"), dry_run, body="Rollback")},
        "/v1/drafts/{key}/changes": {
            "post": made("Add to a draft, or drop from it", _schema("Draft"), key, body="Additions")
        },
        "/v1/drafts/{key}/difference": {
            "get": made("What publishing would change, and conflicts", _schema("DraftDifference"), key)
        },
        "/v1/drafts/{key}/publication": {"post": made("Put a draft in force", _schema("Publication"), key, dry_run)},
        "/v1/policytestruns": {"get": made("Run policy tests now", _schema("TestRuns"), *world)},
    }


def _schema(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _query(name: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema or {"type": "string"}}


def _path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
