"""Bodies that nobody would write: every one is answered, none breaks the Console, none is half done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import inspect

from tests.console.rig import Running, running
from tests.console.test_field_limits import BODIES, WRITABLE, written
from watchword.model import limits
from watchword.model.registry import Kind

CREATABLE = [kind for kind in WRITABLE if "create" in kind.verbs]

#: Texts that mean something somewhere.
TEXTS = st.one_of(
    st.sampled_from(
        [
            "",
            " ",
            "/",
            "//",
            "/acme",
            "a=b",
            "a=",
            "=b",
            "@org:a=b",
            "@auth:x=y",
            "$id=1",
            "+a=b",
            "!a=b",
            "a=*",
            "a=b*",
            "any",
            "ANY",
            "tcp",
            "tcp/0",
            "tcp/65536",
            "tcp/2:1",
            "icmp/3/1,4:7",
            "icmp6/256",
            "hopopt",
            "udp/-1",
            "a/n",
            "10.0.0.0/8",
            "!10.0.0.0/8",
            "::/0",
            "::ffff:10.0.0.1",
            "*.example.com",
            "xn--a",
            "10.0.0.1/0.0.0.255",
            "30m",
            "30m\n",
            "1.2.3",
            "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----",
            "tls://x:1",
            "\u2028",
            "\ufeff",
            "é" * 600,
            "x" * 2000,
            "\x00",
            "\x7f",
            "'; drop table namespaces; --",
            "%s",
            "{{ .Values.x }}",
        ]
    ),
    st.text(max_size=12),
)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 70), 1 << 70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def like(declaration: inspect.Type) -> st.SearchStrategy[Any]:
    """Values of about the declared shape."""
    kind, _ = limits.node(declaration)
    match kind:
        case inspect.StructType():
            return st.fixed_dictionaries(
                {}, optional={field.encode_name: wild(like(field.type)) for field in kind.fields}
            )
        case inspect.ListType():
            return st.lists(wild(like(kind.item_type)), max_size=3)
        case inspect.DictType():
            return st.dictionaries(TEXTS, wild(like(kind.value_type)), max_size=2)
        case inspect.LiteralType():
            return st.sampled_from(list(kind.values))
        case inspect.BoolType():
            return st.booleans()
        case inspect.IntType():
            return st.integers(-2, 100_000) | st.integers()
    return TEXTS


def wild(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly ``strategy``."""
    return st.integers(0, 9).flatmap(lambda number: ANYTHING if number == 0 else strategy)


def fields_of(kind: Kind, *, writable: bool) -> st.SearchStrategy[dict[str, Any]]:
    chosen = {
        field.name: wild(like(field.declared)) for field in kind.fields.values() if not writable or not field.read_only
    }
    return st.fixed_dictionaries({}, optional=chosen)


def bodies(kind: Kind) -> st.SearchStrategy[Any]:
    """A good body with some fields replaced, or something else altogether."""
    changed = fields_of(kind, writable=True).map(lambda fields: {**BODIES[kind.singular], **fields})
    strange = st.dictionaries(TEXTS, ANYTHING, max_size=2).map(lambda more: {**BODIES[kind.singular], **more})
    return st.one_of(changed, changed, strange, fields_of(kind, writable=False), ANYTHING)


class Site:
    """A Console in a thread of its own, for tests that are not coroutines."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._loop = asyncio.new_event_loop()
        self._started: Future[Running] = Future()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> httpx2.Client:
        self._thread.start()
        console = self._started.result(60)
        headers = {"Authorization": f"Bearer {console.credential}"}
        self._client = httpx2.Client(base_url=console.ready.url, verify=console.tls, headers=headers, timeout=60)
        return self._client

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        try:
            async with running(self._data) as console:
                self._started.set_result(console)
                await self._stop.wait()
        except BaseException as error:
            if not self._started.done():
                self._started.set_exception(error)
            raise


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    with Site(tmp_path_factory.mktemp("fuzz") / "data") as client:
        assert client.post("/v1/namespaces", json={"name": "below"}).status_code == 201
        yield client


def state(client: httpx2.Client, kind: Kind) -> tuple[str, list[Any], str]:
    """What a refused request may not change: the newest revision, the kind's resources, what clients have done."""
    revision = client.get("/v1/health").json()["revision"]
    query = {"recursive": "true", "limit": "1000"}
    listed = client.get(f"/v1/{kind.plural}", params=query)
    assert listed.status_code == 200
    ours = {"recursive": "true", "limit": "1", "filter": 'author matches "appcredential*"'}
    done = client.get("/v1/activities", params=ours).headers["X-Count-Total"]
    return revision, [written(kind, resource) for resource in listed.json()], done


def judge(answer: httpx2.Response, body: Any) -> bool:
    """Whether the request was carried out. A refusal names what is wrong and what to do."""
    assert answer.status_code < 500, (answer.status_code, answer.text, body)
    if answer.is_success:
        return True
    document = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert document["detail"]
    if answer.status_code == 422:
        assert document["errors"], document
        assert all(error["path"] and error["message"] and error["remedy"] for error in document["errors"]), document
    return False


SETTINGS = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.mark.parametrize("kind", CREATABLE, ids=lambda kind: kind.singular)
@SETTINGS
@given(data=st.data())
def test_creating(site: httpx2.Client, kind: Kind, data: st.DataObject) -> None:
    body = data.draw(bodies(kind))
    before = state(site, kind)
    answer = site.post(f"/v1/{kind.plural}", json=body)
    if judge(answer, body):
        made = answer.json()
        found = site.get(f"/v1/{kind.plural}/{made['ID']}")
        assert found.status_code == 200
        secrets = [field.name for field in kind.fields.values() if field.secret]
        assert written(kind, {**found.json(), **{name: made[name] for name in secrets}}) == written(kind, made)
        assert site.get("/v1/namespaces").status_code == 200
        again = site.put(f"/v1/{kind.plural}/{made['ID']}", json=found.json()) if "update" in kind.verbs else None
        assert again is None or again.status_code in (200, 423), (again.text, body)
        if made.get("protected"):
            site.patch(f"/v1/{kind.plural}/{made['ID']}", json={"protected": False})
        assert site.delete(f"/v1/{kind.plural}/{made['ID']}").status_code == 204
    else:
        assert state(site, kind) == before


@pytest.mark.parametrize("kind", [kind for kind in CREATABLE if "update" in kind.verbs], ids=lambda kind: kind.singular)
@SETTINGS
@given(data=st.data())
def test_changing(site: httpx2.Client, kind: Kind, data: st.DataObject) -> None:
    name = {"namespace": "acme"}.get(kind.singular, "changed")
    made = site.post(f"/v1/{kind.plural}", json={**BODIES[kind.singular], "name": name})
    if made.status_code == 409:  # of an example before
        made = site.get(f"/v1/{kind.plural}/{name}")
    assert made.is_success, made.text
    url = f"/v1/{kind.plural}/{made.json()['ID']}"
    body = data.draw(fields_of(kind, writable=False) | ANYTHING)
    before = state(site, kind)
    answer = site.patch(url, json=body)
    if judge(answer, body):
        after = answer.json()
        found = site.get(url)
        secrets = {field.name: "" for field in kind.fields.values() if field.secret}
        assert written(kind, found.json()) == written(kind, {**after, **secrets})
        if after.get("protected"):
            assert site.patch(url, json={"protected": False}).status_code == 200
        assert site.delete(url).status_code == 204
    else:
        assert state(site, kind) == before
