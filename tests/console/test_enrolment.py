"""Enrolment: what a new host gets, and everything that must not get in."""

from __future__ import annotations

import asyncio
import base64
import datetime
import secrets
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.console.rig import Peer, Running, enrol, enrolment, new_token, running
from watchword.identity.certificates import verify_enforcer
from watchword.identity.keys import SigningKey
from watchword.identity.signatures import ENROLMENT_CONTEXT, sign_enrolment
from watchword.identity.tokens import InstallToken, fingerprint


def new_key() -> SigningKey:
    return SigningKey.generate(secrets.token_bytes)


async def post(console: Running, body: dict[str, Any]) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=console.ready.url, verify=console.tls) as client:
        return await client.post("/v1/enrolments", json=body)


async def enforcers(client: httpx2.AsyncClient) -> list[dict[str, Any]]:
    return list((await client.get("/v1/enforcers?recursive=true")).json())


async def test_what_a_host_gets(console: Running, client: httpx2.AsyncClient) -> None:
    await client.post("/v1/namespaces", json={"name": "acme"})
    host = await enrol(console, "edge", "/acme")
    answer = host.answer
    authority = x509.load_pem_x509_certificate(answer["ca"].encode())
    der = x509.load_pem_x509_certificate(answer["certificate"].encode()).public_bytes(Encoding.DER)
    identity = verify_enforcer(authority, der, datetime.datetime.now(datetime.UTC))
    assert identity.enforcer == host.enforcer_id
    assert identity.console == host.console_id == console.ready.console_id
    assert identity.public == host.key.public
    assert answer["namespace"] == "/acme"
    (stored,) = await enforcers(client)
    assert (stored["name"], stored["FQDN"], stored["operationalStatus"]) == ("edge", "edge.example.com", "Registered")


async def test_the_token_pins_the_console(console: Running, tmp_path: Path) -> None:
    """The first step of a new host: the CA it is shown has to be the one in its token."""
    token = InstallToken.decode(await new_token(console))
    assert token.url == console.ready.url
    shown = x509.load_pem_x509_certificate(console.ready.ca_pem.encode())
    assert fingerprint(shown.public_bytes(Encoding.DER)) == token.ca_sha256
    async with running(tmp_path / "impostor") as impostor:
        assert impostor.ready.ca_sha256 != token.ca_sha256
        async with httpx2.AsyncClient(base_url=impostor.ready.url, verify=console.tls) as client:
            with pytest.raises(httpx2.ConnectError):
                await client.get("/v1/ca")


async def test_a_spent_token_enrols_nobody(console: Running, client: httpx2.AsyncClient) -> None:
    token = await new_token(console, uses=2)
    for index in range(2):
        assert (await post(console, enrolment(token, new_key(), f"h{index}"))).status_code == 201
    refused = await post(console, enrolment(token, new_key(), "h2"))
    assert refused.status_code == 401
    assert "spent" in refused.json()["detail"]
    assert len(await enforcers(client)) == 2
    assert [each["used"] for each in (await client.get("/v1/tokens")).json()] == [2]


async def test_a_race_for_the_last_use_has_one_winner(console: Running, client: httpx2.AsyncClient) -> None:
    token = await new_token(console)
    answers = await asyncio.gather(*(post(console, enrolment(token, new_key(), f"h{i}")) for i in range(6)))
    assert sorted(answer.status_code for answer in answers) == [201] + [401] * 5
    assert len(await enforcers(client)) == 1


async def test_the_same_key_again_is_the_same_enforcer(console: Running, client: httpx2.AsyncClient) -> None:
    token, key = await new_token(console), new_key()
    first = await post(console, enrolment(token, key, "edge"))
    again = await post(console, enrolment(token, key, "edge"))
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    other = await post(console, enrolment(await new_token(console), key, "edge"))
    assert other.json()["enforcerID"] == first.json()["enforcerID"]
    assert len(await enforcers(client)) == 1


async def test_the_same_name_is_another_enforcer(console: Running, client: httpx2.AsyncClient) -> None:
    first, second = await enrol(console, "edge"), await enrol(console, "edge")
    assert first.enforcer_id != second.enforcer_id
    assert second.name.startswith("edge-")


async def test_an_expired_token(console: Running, client: httpx2.AsyncClient) -> None:
    token = await new_token(console, validity="1s")
    await asyncio.sleep(1.1)
    refused = await post(console, enrolment(token, new_key(), "edge"))
    assert refused.status_code == 401
    assert await enforcers(client) == []


async def test_a_deleted_token(console: Running, client: httpx2.AsyncClient) -> None:
    token = await new_token(console)
    await client.delete(f"/v1/tokens/{InstallToken.decode(token).id}")
    assert (await post(console, enrolment(token, new_key(), "edge"))).status_code == 401


async def test_wrong_secrets_and_wrong_proofs(console: Running, client: httpx2.AsyncClient) -> None:
    text, key = await new_token(console), new_key()
    token = InstallToken.decode(text)
    forged = InstallToken(url=token.url, ca_sha256=token.ca_sha256, id=token.id, secret="A" * 43).encode()
    unknown = InstallToken(url=token.url, ca_sha256=token.ca_sha256, id="0" * 24, secret=token.secret).encode()
    good = enrolment(text, key, "edge")
    other_context = base64.b64encode(key.sign(b"x" + ENROLMENT_CONTEXT + token.id.encode() + b"\0" + key.public))
    attempts = [
        ({**good, "token": forged}, 401),
        ({**good, "token": unknown}, 401),
        ({**good, "token": "ww1.x"}, 401),
        ({**good, "token": ""}, 401),
        ({**good, "proof": base64.b64encode(bytes(64)).decode()}, 403),
        ({**good, "proof": base64.b64encode(sign_enrolment(key, "another-token")).decode()}, 403),
        ({**good, "proof": base64.b64encode(sign_enrolment(new_key(), token.id)).decode()}, 403),
        ({**good, "proof": other_context.decode()}, 403),
        ({**good, "publicKey": base64.b64encode(new_key().public).decode()}, 403),
        ({**good, "publicKey": "AAAA"}, 422),
        ({**good, "publicKey": "!" * 44}, 422),
        ({**good, "namespace": "/"}, 422),
        ({**good, "name": "a\nb"}, 422),
        ({**good, "name": ""}, 422),
        ({name: value for name, value in good.items() if name != "proof"}, 422),
    ]
    for body, status in attempts:
        answer = await post(console, body)
        assert answer.status_code == status, (body, answer.text)
        assert token.secret not in answer.text
    assert await enforcers(client) == []
    assert (await post(console, good)).status_code == 201


async def test_oversize(console: Running) -> None:
    body = enrolment(await new_token(console), new_key(), "edge")
    assert (await post(console, {**body, "FQDN": "x" * 20_000})).status_code == 413


async def test_an_evicted_key_never_comes_back(console: Running, client: httpx2.AsyncClient) -> None:
    host = await enrol(console, "edge")
    assert (await client.delete(f"/v1/enforcers/{host.enforcer_id}")).status_code == 204
    refused = await post(console, enrolment(await new_token(console, uses=5), host.key, "edge"))
    assert refused.status_code == 403
    assert "evicted" in refused.json()["detail"]
    assert await enforcers(client) == []


async def test_a_key_stays_in_its_namespace(console: Running, client: httpx2.AsyncClient) -> None:
    await client.post("/v1/namespaces", json={"name": "acme"})
    host = await enrol(console, "edge", "/acme")
    refused = await post(console, enrolment(await new_token(console, "/"), host.key, "edge"))
    assert refused.status_code == 409


async def test_enrolment_survives_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as console:
        host = await enrol(console, "edge")
        token, key = await new_token(console), new_key()
    async with running(tmp_path / "data", console.credential) as again:
        assert again.first is None
        host.console = again
        async with Peer(host) as peer:
            assert (await peer.policy()).revision >= 2
        assert (await post(again, enrolment(token, key, "other"))).status_code == 201


async def test_plain_http_is_not_served(console: Running) -> None:
    plain = console.ready.url.replace("https://", "http://")
    async with httpx2.AsyncClient(base_url=plain) as client:
        with pytest.raises(httpx2.TransportError):
            await client.get("/v1/health")
