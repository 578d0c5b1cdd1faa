"""Enforcer profiles: which one is in force, what of it reaches the Enforcer, what does nothing and says so."""

from __future__ import annotations

from typing import Any

import httpx2
import msgspec
import pytest

from tests.console.certificates import certificate
from tests.console.rig import Peer, Running, enrol
from tests.console.test_rest_conventions import create, problem
from watchword.identity.keys import SignatureError
from watchword.identity.signatures import verify_boundaries
from watchword.wire import messages


async def profile(client: httpx2.AsyncClient, name: str, where: str = "/", **fields: Any) -> str:
    made = await client.post(
        "/v1/enforcerprofiles", json={"name": name, "propagate": True, **fields}, headers={"X-Namespace": where}
    )
    assert made.status_code == 201, made.text
    return str(made.json()["ID"])


async def mapped(client: httpx2.AsyncClient, name: str, tag: str, to: str, where: str = "/", **fields: Any) -> str:
    body = {"name": name, "subject": [[tag]], "object": [[f"$name={to}"]], "propagate": True, **fields}
    made = await client.post("/v1/enforcerprofilemappingpolicies", json=body, headers={"X-Namespace": where})
    assert made.status_code == 201, made.text
    return str(made.json()["ID"])


async def in_force(client: httpx2.AsyncClient, identifier: str) -> tuple[str, list[str]]:
    found = (await client.get(f"/v1/enforcers/{identifier}")).json()
    return found["profileName"], [each.partition(" (")[0] for each in found["otherProfiles"]]


async def test_the_most_specific_is_in_force_and_the_others_are_reported(
    console: Running, client: httpx2.AsyncClient
) -> None:
    await create(client, "namespaces", name="acme")
    host = await enrol(console, "edge", "/acme")
    url = f"/v1/enforcers/{host.enforcer_id}"
    assert await in_force(client, host.enforcer_id) == ("", [])
    await profile(client, "all")
    await mapped(client, "all", "$identity=enforcer", "all")
    assert await in_force(client, host.enforcer_id) == ("all", [])
    await profile(client, "acme", "/acme")
    await mapped(client, "acme", "$identity=enforcer", "acme", "/acme")
    assert await in_force(client, host.enforcer_id) == ("acme", ["/ all"])
    await profile(client, "rack", "/acme")
    await mapped(client, "rack", "rack=7", "rack", "/acme")
    assert await in_force(client, host.enforcer_id) == ("acme", ["/ all"])
    await client.patch(url, json={"associatedTags": ["rack=7"]})
    assert await in_force(client, host.enforcer_id) == ("acme", ["/acme rack", "/ all"])  # as specific, first by name
    inside = {"X-Namespace": "/acme"}
    await client.patch(
        "/v1/enforcerprofilemappingpolicies/rack", json={"subject": [["rack=7", "$identity=enforcer"]]}, headers=inside
    )
    assert await in_force(client, host.enforcer_id) == ("rack", ["/acme acme", "/ all"])
    # an Enforcer that comes later gets it at once
    other = await enrol(console, "late", "/acme")
    assert await in_force(client, other.enforcer_id) == ("acme", ["/ all"])
    await client.delete("/v1/enforcerprofiles/rack", headers=inside)
    assert await in_force(client, host.enforcer_id) == ("acme", ["/ all"])
    await client.patch("/v1/enforcerprofilemappingpolicies/acme", json={"disabled": True}, headers=inside)
    assert await in_force(client, host.enforcer_id) == ("all", [])
    await client.delete("/v1/enforcerprofilemappingpolicies/all")
    assert await in_force(client, host.enforcer_id) == ("", [])


async def test_settings_reach_a_connected_enforcer_at_once(console: Running, client: httpx2.AsyncClient) -> None:
    async with Peer(await enrol(console, "edge")) as peer, Peer(await enrol(console, "other")) as bystander:
        assert peer.welcome is not None
        assert (peer.welcome.report_interval, peer.welcome.key_lifetime) == (1.0, 86400.0)
        assert peer.welcome.existing_connections == "Keep"
        identifier = await profile(client, "slow", flowReportInterval=30, keyLifetime=600, existingConnections="Cut")
        mapping = await mapped(client, "slow", "$name=edge", "slow")
        told = await peer.answer(messages.Welcome)
        assert (told.report_interval, told.key_lifetime, told.existing_connections) == (30.0, 600.0, "Cut")
        assert told.boundaries is not None
        assert (told.boundaries.key_lifetime, told.boundaries.existing_connections) == (600.0, "Cut")
        verify_boundaries(peer.host.console_key, peer.host.enforcer_id, told.boundaries)
        for laxer in ({"key_lifetime": 0.0}, {"existing_connections": "Keep"}, {"key_lifetime": 1e9}):
            with pytest.raises(SignatureError):
                verify_boundaries(
                    peer.host.console_key, peer.host.enforcer_id, msgspec.structs.replace(told.boundaries, **laxer)
                )
        await client.patch(f"/v1/enforcerprofiles/{identifier}", json={"flowReportInterval": 5})
        assert (await peer.answer(messages.Welcome)).report_interval == 5.0
        # nothing is sent when nothing that an Enforcer knows of has changed
        await client.patch(f"/v1/enforcerprofiles/{identifier}", json={"description": "x"})
        await client.delete(f"/v1/enforcerprofilemappingpolicies/{mapping}")
        assert (await peer.answer(messages.Welcome)).report_interval == 1.0
        await client.post(
            "/v1/externalnetworks", json={"name": "n", "entries": ["10.0.0.0/8"], "associatedTags": ["a=b"]}
        )
        seen = len((await client.get("/v1/revisions?limit=1000")).json())
        document = await bystander.until(lambda d: d.revision >= seen)
        assert document
        assert not [message for message in bystander._others if isinstance(message, messages.Welcome)]
    # and one that connects later is told in its welcome
    await mapped(client, "slow", "$name=edge", "slow")
    async with Peer(peer.host) as again:
        assert again.welcome is not None
        assert again.welcome.report_interval == 5.0


async def test_no_field_does_nothing_in_silence(client: httpx2.AsyncClient) -> None:
    """Every field is in effect or says that it is not: in the description, and on the profile that sets it."""
    settings: dict[str, Any] = {
        "targetNetworks": ["10.0.0.0/8", "!10.1.0.0/16"],
        "targetUDPNetworks": ["10.0.0.0/8"],
        "ignoreExpression": [["app=old"]],
        "trustedCAs": [certificate()],
        "syslogEnabled": True,
        "syslogEndpoint": "tls://logs.example.com:6514",
        "syslogFacility": 3,
        "syslogFormat": "IETF",
        "syslogEndpointTLSServerCA": certificate(),
    }
    made = await create(client, "enforcerprofiles", name="p", **settings, flowReportInterval=7, keyLifetime=900)
    assert {field: made[field] for field in settings} == settings
    assert {warning.partition(" ")[0] for warning in made["warnings"]} == set(settings)
    schema = (await client.get("/v1/openapi.json")).json()["components"]["schemas"]["EnforcerProfile"]["properties"]
    for field in settings:
        assert "no effect yet" in schema[field]["description"]
        assert schema[field]["x-no-effect"]
    effective = {"flowReportInterval", "keyLifetime", "existingConnections", "excludedNetworks"}
    effective |= {"identityRequiredNetworks", "excludedInterfaces"}
    for field in effective:
        assert "In effect" in schema[field]["description"]
    quiet = await client.patch("/v1/enforcerprofiles/p", json=dict.fromkeys(settings))
    assert quiet.json()["warnings"] == []
    common = {"ID", "namespace", "createTime", "updateTime", "name", "description", "annotations", "protected"}
    common |= {"associatedTags", "normalizedTags", "metadata", "propagate", "warnings"}
    assert set(schema) - common - set(settings) == effective


async def test_boundaries_are_signed_and_taken_back_signed(console: Running, client: httpx2.AsyncClient) -> None:
    """Who has none and never had hears nothing of them; whoever has some is told when there are none any more."""
    host, other = await enrol(console, "edge"), await enrol(console, "other")
    public = host.console_key
    async with Peer(host) as peer, Peer(other) as bystander:
        assert peer.welcome is not None
        assert peer.welcome.boundaries is None
        identifier = await profile(
            client, "storage", excludedNetworks=["10.9.0.0/16"], identityRequiredNetworks=["10.0.0.0/8", "!10.1.0.0/16"]
        )
        await mapped(client, "storage", "$name=edge", "storage")
        first = (await peer.answer(messages.Welcome)).boundaries
        assert first is not None
        assert (first.excluded_networks, first.identity_required_networks) == (
            *(("10.9.0.0/16",),),
            *(("10.0.0.0/8", "!10.1.0.0/16"),),
        )
        verify_boundaries(public, host.enforcer_id, first)
        for forged in (
            msgspec.structs.replace(first, excluded_networks=("0.0.0.0/0",)),
            msgspec.structs.replace(first, identity_required_networks=()),
            msgspec.structs.replace(first, issued=first.issued + 1),
        ):
            with pytest.raises(SignatureError):
                verify_boundaries(public, host.enforcer_id, forged)
        with pytest.raises(SignatureError):
            verify_boundaries(public, other.enforcer_id, first)
        await client.patch(
            f"/v1/enforcerprofiles/{identifier}", json={"excludedNetworks": None, "identityRequiredNetworks": None}
        )
        last = (await peer.answer(messages.Welcome)).boundaries
        assert last is not None
        assert (last.excluded_networks, last.identity_required_networks) == ((), ())
        assert last.issued > first.issued
        verify_boundaries(public, host.enforcer_id, last)
        assert not [message for message in bystander._others if isinstance(message, messages.Welcome)]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"targetNetworks": ["10.0.0.0/8", "!192.0.2.0/24"]}, "targetNetworks[1]"),
        ({"targetNetworks": ["10.0.0.0/8", "10.9.9.9/8"]}, "targetNetworks[1]"),
        ({"targetNetworks": ["example.com"]}, "targetNetworks[0]"),
        ({"targetUDPNetworks": ["0.0.0.0/0"]}, "targetUDPNetworks[0]"),
        ({"targetUDPNetworks": ["::/0", "!224.0.0.0/4"]}, "targetUDPNetworks[1]"),
        ({"targetUDPNetworks": ["::/0"]}, "targetUDPNetworks[0]"),
        ({"targetUDPNetworks": ["239.1.0.0/16"]}, "targetUDPNetworks[0]"),
        ({"excludedNetworks": ["10.0.0.0/8", "!10.1.0.0/16"]}, "excludedNetworks[1]"),
        ({"excludedInterfaces": ["eth 0"]}, "excludedInterfaces[0]"),
        ({"excludedInterfaces": [".."]}, "excludedInterfaces[0]"),
        ({"excludedInterfaces": ["a/b"]}, "excludedInterfaces[0]"),
        ({"ignoreExpression": [[]]}, "ignoreExpression[0]"),
        ({"trustedCAs": ["x"]}, "trustedCAs[0]"),
        ({"trustedCAs": ["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]}, "trustedCAs[0]"),
        ({"syslogEndpoint": "http://x:1"}, "syslogEndpoint"),
        ({"syslogEndpoint": "udp://x:70000"}, "syslogEndpoint"),
        ({"syslogEndpoint": "udp://x:0"}, "syslogEndpoint"),
        ({"syslogEndpoint": "udp://x:1", "syslogEndpointTLSServerCA": certificate()}, "syslogEndpointTLSServerCA"),
        ({"flowReportInterval": 0}, "flowReportInterval"),
        ({"existingConnections": "Drop"}, "existingConnections"),
        ({"keyLifetime": 1}, "keyLifetime"),
    ],
)
async def test_what_a_profile_cannot_say(client: httpx2.AsyncClient, body: dict[str, Any], path: str) -> None:
    answer = await client.post("/v1/enforcerprofiles", json={"name": "p", **body})
    (error,) = problem(answer, "validation", 422)["errors"]
    assert error["path"] == path
    assert error["remedy"]


async def test_multicast_may_be_left_out(client: httpx2.AsyncClient) -> None:
    networks = ["0.0.0.0/0", "!224.0.0.0/4", "::/0", "!ff00::/8"]
    assert (await create(client, "enforcerprofiles", name="p", targetUDPNetworks=networks))[
        "targetUDPNetworks"
    ] == networks


async def test_profiles_shape_no_policy(client: httpx2.AsyncClient, console: Running) -> None:
    await enrol(console, "edge")
    revision = (await client.get("/v1/health")).json()["revision"]
    await profile(client, "p", flowReportInterval=9)
    await mapped(client, "m", "$name=edge", "p")
    assert (await client.get("/v1/health")).json()["revision"] == revision
