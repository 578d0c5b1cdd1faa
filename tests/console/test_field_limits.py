"""Every limit of every field that a client may write: there is one, it is described, and it is enforced.

The fields and their limits are read from the registry, so that a new kind of resource or a new field is in here
without anybody thinking of it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from msgspec import inspect

from tests.console.certificates import certificate
from tests.console.rig import Peer, Running, enrol, unit
from watchword.model import limits, registry
from watchword.model.limits import Limit
from watchword.model.registry import Kind

TAGS = {"associatedTags": ["team=x"], "annotations": {"k": ["v"]}, "description": "d"}
SOURCE = {"metadata": ["@tool:made=yes"]}
RULE = {"name": "r", "action": "Allow", "object": [["app=web"]], "protocolPorts": ["tcp/80"]}
ASSERTION = {
    "name": "a",
    "from": [["app=web"]],
    "fromAddresses": ["10.0.0.0/8"],
    "to": [["app=db"]],
    "toAddresses": ["10.0.0.0/8"],
    "protocolPorts": ["tcp/80"],
    "expect": "Allow",
    "quantifier": "All",
    "end": "Both",
}

#: A body with every writable field of each kind, lists with one element.
BODIES: dict[str, dict[str, Any]] = {
    "namespace": {
        "name": "acme",
        "description": "d",
        "annotations": {"k": ["v"]},
        "type": "Default",
        "defaultPUIncomingTrafficAction": "Inherit",
        "defaultPUOutgoingTrafficAction": "Inherit",
        "tagPrefixes": ["app="],
        "organizationalMetadata": ["@org:team=x"],
        "defaultEnforcerVersion": "1.2.3",
        "offlineMaxAge": 60,
    },
    "externalnetwork": {**TAGS, **SOURCE, "name": "office", "entries": ["198.51.100.0/24"]},
    "networkrulesetpolicy": {
        **TAGS,
        **SOURCE,
        "name": "shop",
        "subject": [["app=db"]],
        "incomingRules": [RULE],
        "outgoingRules": [RULE],
    },
    "namespacemappingpolicy": {
        **TAGS,
        **SOURCE,
        "name": "map",
        "subject": [["app=db"]],
        "mappedNamespace": "/below",
    },
    "enforcerprofile": {
        **TAGS,
        **SOURCE,
        "name": "servers",
        "flowReportInterval": 5,
        "keyLifetime": 3600,
        "existingConnections": "Cut",
        "targetNetworks": ["10.0.0.0/8"],
        "targetUDPNetworks": ["10.0.0.0/8"],
        "excludedNetworks": ["10.9.0.0/16"],
        "excludedInterfaces": ["eth1"],
        "identityRequiredNetworks": ["10.0.0.0/8"],
        "ignoreExpression": [["app=old"]],
        "trustedCAs": [certificate()],
        "syslogEndpoint": "tls://logs.example.com:6514",
        "syslogFacility": 3,
        "syslogFormat": "IETF",
        "syslogEndpointTLSServerCA": certificate(),
    },
    "enforcerprofilemappingpolicy": {
        **TAGS,
        **SOURCE,
        "name": "map",
        "subject": [["$identity=enforcer"]],
        "object": [["$name=servers"]],
    },
    "token": {"name": "t", "description": "d", "annotations": {"k": ["v"]}, "uses": 2, "validity": "30m"},
    "appcredential": {
        "name": "c",
        "description": "d",
        "annotations": {"k": ["v"]},
        "roles": ["namespace.viewer"],
    },
    "intent": {
        **TAGS,
        **SOURCE,
        "name": "web-db",
        "source": [["app=web"]],
        "destination": [["app=db"]],
        "protocolPorts": ["tcp/80"],
        "action": "Allow",
    },
    "policytest": {
        "name": "test",
        "description": "d",
        "annotations": {"k": ["v"]},
        "assertions": [ASSERTION],
        "mode": "warn",
    },
    "draft": {"name": "draft", "description": "d", "annotations": {"k": ["v"]}},
    "processingunit": TAGS,
    "enforcer": TAGS,
}

WRITABLE = [kind for kind in registry.KINDS if {"create", "update"} & set(kind.verbs)]

_STEP = re.compile(r"\[\]|\{\}|\{key\}|\.?([A-Za-z_][A-Za-z0-9_]*)")


def writable_limits(kind: Kind) -> Iterator[Limit]:
    for field in kind.fields.values():
        if not field.read_only:
            yield from limits.listed(field.declared, field.name)


def types(declaration: inspect.Type, path: str) -> Iterator[tuple[str, inspect.Type]]:
    found, _ = limits.node(declaration)
    yield path, found
    match found:
        case inspect.StructType():
            for field in found.fields:
                yield from types(field.type, f"{path}.{field.encode_name}")
        case inspect.ListType():
            yield from types(found.item_type, f"{path}[]")
        case inspect.DictType():
            yield from types(found.key_type, f"{path}{{key}}")
            yield from types(found.value_type, f"{path}{{}}")


def steps(path: str) -> list[str]:
    return [match[1] or match[0] for match in _STEP.finditer(path)]


def described(document: dict[str, Any], kind: Kind, path: str) -> dict[str, Any]:
    """The schema at ``path`` of a kind."""
    schemas = document["components"]["schemas"]
    schema: dict[str, Any] = {"$ref": f"#/components/schemas/{kind.type.__name__}"}
    for step in steps(path):
        schema = resolved(schemas, schema)
        match step:
            case "[]":
                schema = schema["items"]
            case "{}":
                schema = schema["additionalProperties"]
            case "{key}":
                schema = schema["propertyNames"]
            case name:
                schema = schema["properties"][name]
    return resolved(schemas, schema)


def resolved(schemas: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    for inner in schema.get("anyOf", ()):  # a field that may be null
        if inner.get("type") != "null":
            schema = {**schema, **inner}
    reference = schema.get("$ref")
    return {**schemas[reference.rpartition("/")[2]], **schema} if reference else schema


def replaced(value: Any, path: list[str], new: Any) -> Any:
    """``value`` with what is at ``path`` replaced; ``new`` is given what was there."""
    if not path:
        return new(value)
    value = copy.deepcopy(value)
    match path[0]:
        case "[]":
            value[0] = replaced(value[0], path[1:], new)
        case "{}":
            key = next(iter(value))
            value[key] = replaced(value[key], path[1:], new)
        case "{key}":
            key = next(iter(value))
            return {new(key): value[key]}
        case name:
            value[name] = replaced(value[name], path[1:], new)
    return value


def violating(limit: Limit, present: Any) -> Any:
    """A value next to ``present`` that breaks just this limit, as far as that is possible."""
    bound = limit.bound
    match limit.keyword:
        case "maxLength":
            return present + "a" * (bound + 1 - len(present))
        case "minLength":
            return "a" * (bound - 1)
        case "x-max-bytes":
            return present + "é" * ((bound - len(present)) // 2 + 1)
        case "pattern":
            return next(text for text in ("x\n", " x", "@", "", "\0") if not re.search(bound, text))
        case "minimum":
            return bound - 1
        case "maximum":
            return bound + 1
        case "enum":
            return "Nonsense"
        case "maxItems":
            return present * (bound + 1)
        case "minItems":
            return present[: bound - 1]
        case "uniqueItems":
            return present * 2
        case "maxProperties":
            return {f"k{index}": next(iter(present.values())) for index in range(bound + 1)}
    raise AssertionError(f"no way to break {limit}")


def written(kind: Kind, resource: dict[str, Any]) -> dict[str, Any]:
    """What people have written of a resource, and its ID: the Console goes on with the rest by itself."""
    return {name: value for name, value in resource.items() if name == "ID" or not kind.fields[name].read_only}


def test_every_kind_is_here() -> None:
    assert {kind.singular for kind in WRITABLE} == set(BODIES)


@pytest.mark.parametrize("kind", WRITABLE, ids=lambda kind: kind.singular)
def test_every_writable_field_is_limited(kind: Kind) -> None:
    unlimited = []
    for field in kind.fields.values():
        if field.read_only:
            continue
        for path, found in types(field.declared, field.name):
            own = {limit.keyword for limit in limits.listed(found) if limit.path == ""}
            match found:
                case inspect.StrType():
                    wanted = {"maxLength"}
                case inspect.IntType():
                    wanted = {"minimum", "maximum"}
                case inspect.ListType():
                    wanted = {"maxItems"}
                case inspect.DictType():
                    wanted = {"maxProperties"}
                case _:
                    wanted = set()
            if not wanted <= own:
                unlimited.append((path, wanted - own))
    assert unlimited == []


@pytest.mark.parametrize("kind", WRITABLE, ids=lambda kind: kind.singular)
async def test_every_limit_is_described(client: httpx2.AsyncClient, kind: Kind) -> None:
    document = (await client.get("/v1/openapi.json")).json()
    silent = []
    count = 0
    for limit in writable_limits(kind):
        schema = described(document, kind, limit.path)
        said = schema.get(limit.keyword)
        if limit.keyword == "enum":
            said = sorted(said or [])
        count += 1
        if said != limit.bound:
            silent.append((limit, said))
        if "update" in kind.verbs:
            top = steps(limit.path)[0]
            changes = document["components"]["schemas"][f"{kind.type.__name__}Changes"]["properties"][top]
            whole = document["components"]["schemas"][kind.type.__name__]["properties"][top]
            assert whole in (changes, *changes.get("anyOf", ())), top
    assert silent == []
    assert count > 5


async def present(console: Running, client: httpx2.AsyncClient, kind: Kind) -> str:
    """A resource of the kind; its ID."""
    if "create" in kind.verbs:
        made = await client.post(f"/v1/{kind.plural}", json=BODIES[kind.singular])
        assert made.status_code == 201, made.text
        return str(made.json()["ID"])
    host = await enrol(console, "edge")
    if kind.singular == "enforcer":
        return host.enforcer_id
    async with Peer(host) as peer:
        return (await peer.register(unit("web", "app=web"))).units["web"]


@pytest.mark.parametrize("kind", WRITABLE, ids=lambda kind: kind.singular)
async def test_every_limit_is_enforced(console: Running, client: httpx2.AsyncClient, kind: Kind) -> None:
    await client.post("/v1/namespaces", json={"name": "below"})
    identifier = await present(console, client, kind)
    url = f"/v1/{kind.plural}/{identifier}"
    before = written(kind, (await client.get(url)).json())
    count = (await client.get(f"/v1/{kind.plural}")).headers["X-Count-Total"]
    revision = (await client.get("/v1/health")).json()["revision"]
    body = BODIES[kind.singular]
    passed = []
    for limit in writable_limits(kind):
        path = steps(limit.path)
        broken = replaced(body, path, lambda present, limit=limit: violating(limit, present))
        field = path[0]
        answers = []
        if "create" in kind.verbs:
            renamed = broken if field == "name" else {**broken, "name": "another"}
            answers.append(await client.post(f"/v1/{kind.plural}", json=renamed))
        if "update" in kind.verbs:
            answers.append(await client.patch(url, json={field: broken[field]}))
        for answer in answers:
            errors = answer.json().get("errors", []) if answer.status_code == 422 else []
            named = [error for error in errors if error["path"].startswith(field) and error["remedy"]]
            if not named:
                passed.append((limit, answer.status_code, answer.text[:200]))
    assert passed == []
    assert written(kind, (await client.get(url)).json()) == before
    assert (await client.get(f"/v1/{kind.plural}")).headers["X-Count-Total"] == count
    assert (await client.get("/v1/health")).json()["revision"] == revision


@pytest.mark.parametrize("kind", WRITABLE, ids=lambda kind: kind.singular)
def test_what_is_just_within_passes(kind: Kind) -> None:
    """Of each length and number the largest one that is allowed is no violation."""
    body = BODIES[kind.singular]
    tried = 0
    for limit in writable_limits(kind):
        if limit.keyword not in ("maxLength", "maximum", "minimum"):
            continue

        def within(present: Any, limit: Limit = limit) -> Any:
            if limit.keyword == "maxLength":
                return present + "a" * (limit.bound - len(present))
            return limit.bound

        path = steps(limit.path)
        good = replaced(body, path, within)
        wrong = [
            error
            for error in limits.violations(good[path[0]], kind.fields[path[0]].declared, path[0])
            if "stay within" in error.remedy or "out of range" in error.message
        ]
        assert wrong == [], limit
        tried += 1
    assert tried
