"""The OpenAPI 3.1 description, generated from the declarations."""

from __future__ import annotations

import functools
from importlib.metadata import version
from typing import Any

import msgspec

from watchword.console import enrolment, importing
from watchword.console.api import changing, differences, explanations, exports, findings, paths, pings, revisions
from watchword.console.problems import TYPE_PREFIX, TYPES
from watchword.console.store.schema import REPORTED
from watchword.model.registry import KINDS, Kind
from watchword.policy.difference import LIMIT, Difference
from watchword.policy.explain import Explanation

_REFERENCE = "#/components/schemas/{name}"
_JSON = "application/json"


@functools.cache
def document() -> dict[str, Any]:
    """The whole description."""
    types = [kind.type for kind in KINDS]
    others = [importing.Import, importing.Outcome, exports.Export, enrolment.Enrolment, enrolment.Enrolled]
    _, schemas = msgspec.json.schema_components(
        [*types, *others, revisions.Enforcement, *_inquiries(), *changing.TYPES], ref_template=_REFERENCE
    )
    schemas["Problem"] = _problem_schema()
    for kind in KINDS:
        if "update" in kind.verbs:
            schemas[f"{kind.type.__name__}Changes"] = _changes_schema(kind, schemas[kind.type.__name__])
    paths: dict[str, Any] = {}
    for kind in KINDS:
        paths.update(_paths(kind))
    paths.update(_other_paths())
    paths.update(changing.paths(_operation, _uses))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Watchword Console", "version": version("watchword")},
        "security": [{"credential": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"credential": {"type": "http", "scheme": "bearer"}},
            "parameters": _parameters(),
            "responses": {
                "Problem": {
                    "description": "What is wrong, and what to do about it.",
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
            },
        },
    }


def _problem_schema() -> dict[str, Any]:
    text = {"type": "string"}
    error = {"type": "object", "properties": {"path": text, "message": text, "remedy": text}}
    return {
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string", "enum": [TYPE_PREFIX + kind for kind in TYPES]},
            "title": text,
            "status": {"type": "integer"},
            "detail": text,
            "errors": {"type": "array", "items": error},
        },
    }


def _changes_schema(kind: Kind, whole: dict[str, Any]) -> dict[str, Any]:
    """What PATCH takes: fields that may change, null for their default, the others as they were read."""
    properties = {}
    for name, schema in whole["properties"].items():
        field = kind.fields[name]
        fixed = field.read_only or field.creation_only
        properties[name] = schema if fixed or field.required else {"anyOf": [schema, {"type": "null"}]}
    return {
        "title": f"{kind.type.__name__}Changes",
        "description": "Fields to change; a list is replaced as a whole, null is the default.",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def _parameters() -> dict[str, Any]:
    def query(name: str, description: str, **schema: Any) -> dict[str, Any]:
        return {"name": name, "in": "query", "description": description, "schema": schema or {"type": "string"}}

    truth = {"type": "boolean", "default": False}
    return {
        "namespace": {
            "name": "X-Namespace",
            "in": "header",
            "description": "The namespace the request is about; the credential's own if left out.",
            "schema": {"type": "string"},
        },
        "recursive": query("recursive", "Namespaces below too.", **truth),
        "propagated": query("propagated", "Also what namespaces above hand down.", **truth),
        "fields": query("fields", "Only these fields, separated by commas."),
        "order": query("order", "Fields to order by, separated by commas; - for descending."),
        "limit": query("limit", "Resources on a page.", type="integer", default=100, maximum=1000),
        "after": query("after", "The X-Next of the page before."),
        "filter": query("filter", 'Such as: name == web and createTime > now("-24h")'),
        "wait": query("wait", "Seconds to wait for something to tell.", type="number", maximum=60),
        "ifMatch": {"name": "If-Match", "in": "header", "schema": {"type": "string"}},
        "idempotencyKey": {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "maxLength": 128}},
        "key": {"name": "key", "in": "path", "required": True, "schema": {"type": "string"}},
    }


def _uses(*names: str) -> list[dict[str, str]]:
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _schema(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _one_or_many(name: str) -> dict[str, Any]:
    return {"oneOf": [_schema(name), {"type": "array", "items": _schema(name)}]}


def _operation(
    summary: str, status: str, schema: dict[str, Any] | None, parameters: list[dict[str, str]], body: str = ""
) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": summary}
    if schema is not None:
        answer["content"] = {_JSON: {"schema": schema}}
    operation: dict[str, Any] = {
        "summary": summary,
        "parameters": parameters,
        "responses": {status: answer, "default": {"$ref": "#/components/responses/Problem"}},
    }
    if body:
        operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": _schema(body)}}}
    return operation


def _paths(kind: Kind) -> dict[str, Any]:
    name = kind.type.__name__
    collection: dict[str, Any] = {}
    single: dict[str, Any] = {}
    if "list" in kind.verbs:
        listing = ["namespace", "recursive", "fields", "order", "limit", "after", "filter"]
        listing += ["propagated"] if kind.propagates else []
        listing += ["wait"] if kind.singular in REPORTED else []
        found = {"type": "array", "items": _schema(name)}
        collection["get"] = _operation(f"List {kind.plural}", "200", found, _uses(*listing))
    if "create" in kind.verbs:
        uses = _uses("namespace", "idempotencyKey")
        collection["post"] = _operation(f"Create a {kind.singular}", "201", _schema(name), uses, name)
    if "get" in kind.verbs:
        single["get"] = _operation(f"Read one {kind.singular}", "200", _schema(name), _uses("namespace", "key"))
    if "update" in kind.verbs:
        uses = _uses("namespace", "key", "ifMatch")
        single["put"] = _operation(f"Replace a {kind.singular}", "200", _schema(name), uses, name)
        single["patch"] = _operation(f"Change a {kind.singular}", "200", _schema(name), uses, f"{name}Changes")
    if "delete" in kind.verbs:
        uses = _uses("namespace", "key", "ifMatch")
        single["delete"] = _operation(f"Delete a {kind.singular}", "204", None, uses)
    paths = {f"/v1/{kind.plural}": collection, f"/v1/{kind.plural}/{{key}}": single}
    return {path: operations for path, operations in paths.items() if operations}


def _other_paths() -> dict[str, Any]:
    dry_run = [{"name": "dryRun", "in": "query", "schema": {"type": "boolean", "default": False}}]
    number = [{"name": "number", "in": "path", "required": True, "schema": {"type": "string"}}]
    flow = [
        {"name": name, "in": "query", "required": name != "port", "schema": {"type": "string"}}
        for name in ("source", "destination", "protocol", "port")
    ]
    imported = _operation("Import resources", "200", _one_or_many("Outcome"), _uses("namespace"), "Import")
    imported["parameters"] += dry_run
    imported["requestBody"]["content"][_JSON]["schema"] = _one_or_many("Import")
    exported = _operation("What an import would need to make this again", "200", _schema("Export"), _uses("namespace"))
    exported["parameters"] += [{"name": "label", "in": "query", "schema": {"type": "string"}}]
    enforcement = _operation("How far a revision has got", "200", _schema("Enforcement"), _uses("wait"))
    enforcement["parameters"] += number
    explained = _operation("Why a flow would be allowed or not", "200", _schema("Explanation"), _uses("namespace"))
    explained["parameters"] += [*flow, *_world()]
    asked = _operation(
        "Why a flow, real or not, would be allowed", "200", _schema("Explanation"), _uses("namespace"), "Question"
    )
    asked["parameters"] += _world()
    enrolled = _operation("Enrol a host", "201", _schema("Enrolled"), [], "Enrolment")
    health = _operation("Whether the Console lives", "200", {"type": "object"}, [])
    authority: dict[str, Any] = {
        "summary": "The CA certificate",
        "responses": {"200": {"description": "PEM", "content": {"application/x-pem-file": {}}}},
    }
    for public in (enrolled, health, authority):
        public["security"] = []
    return {
        "/v1/imports": {"post": imported},
        "/v1/exports": {"get": exported},
        "/v1/revisions/{number}/enforcement": {"get": enforcement},
        "/v1/explanations": {"get": explained, "post": asked},
        "/v1/findings": {"get": _findings()},
        "/v1/differences": {"get": _difference()},
        "/v1/paths": {
            "get": _operation(
                "Where identities are lost", "200", {"type": "array", "items": _schema("PathState")}, _uses("namespace")
            )
        },
        "/v1/pings": {
            "post": _operation("Call as a unit", "200", _schema("PingReport"), _uses("namespace"), "PingAsked")
        },
        "/v1/enrolments": {"post": enrolled},
        "/v1/me": {"get": _operation("Whose credential this is", "200", {"type": "object"}, [])},
        "/v1/health": {"get": health},
        "/v1/ca": {"get": authority},
    }


def _inquiries() -> list[Any]:
    """What questions about policy are answered with."""
    return [
        Explanation,
        explanations.Question,
        findings.Findings,
        Difference,
        pings.PingAsked,
        pings.PingReport,
        paths.PathState,
    ]


def _texts(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]


def _limit(default: int, largest: int) -> list[dict[str, Any]]:
    return [{"name": "limit", "in": "query", "schema": {"type": "integer", "default": default, "maximum": largest}}]


def _world() -> list[dict[str, Any]]:
    """Which world a question is about: that of now if neither is given."""
    return _texts("draft", "revision")


def _findings() -> dict[str, Any]:
    found = _operation("What is doubtful about policy", "200", _schema("Findings"), _uses("namespace"))
    found["parameters"] += [*_world(), *_texts("code", "severity"), *_limit(findings.PAGE, findings.LARGEST_PAGE)]
    return found


def _difference() -> dict[str, Any]:
    found = _operation("Which flows are decided differently", "200", _schema("Difference"), _uses("namespace"))
    units = {"name": "units", "in": "query", "schema": {"enum": ["now", "then"], "default": "now"}}
    found["parameters"] += [*_texts("from", "to", "draft"), units, *_limit(LIMIT, differences.LARGEST_PAGE)]
    return found
