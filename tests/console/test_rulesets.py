"""Network rulesets over the real API: ports in every spelling, flags, protection, what cannot be said."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from tests.console.rig import Peer, Running, enrol, ruleset, unit
from tests.console.test_rest_conventions import create, problem
from watchword.model import ports, protocols
from watchword.model.ports import PortRange


def body(*entries: str, **fields: Any) -> dict[str, Any]:
    rule = {"object": [["app=web"]], "protocolPorts": list(entries), **fields}
    return {"name": "r", "subject": [["app=db"]], "incomingRules": [rule]}


async def compiled(console: Running, client: httpx2.AsyncClient, given: dict[str, Any]) -> list[Any]:
    """The rules that an Enforcer is sent for a ruleset."""
    await create(client, "networkrulesetpolicies", **given)
    async with Peer(await enrol(console, "edge")) as peer:
        accepted = await peer.register(unit("db", "app=db"))
        document = await peer.until(lambda d: accepted.units["db"] in d.units)
        return [document.rules[key] for key in document.units[accepted.units["db"]].incoming]


async def test_every_spelling_reaches_the_enforcer(console: Running, client: httpx2.AsyncClient) -> None:
    entries = ["TCP/80", "udp/1:65535", "icmp/8", "ICMP/3/1,4:7", "Icmp6", "Esp", "a/n", "ipv6-opts"]
    (rule,) = await compiled(console, client, body(*entries))
    assert rule.ports == (
        PortRange(6, 80, 80),
        PortRange(17, 1, 65535),
        PortRange(1, 8 << 8, 8 << 8 | 255),
        PortRange(1, 3 << 8 | 1, 3 << 8 | 1),
        PortRange(1, 3 << 8 | 4, 3 << 8 | 7),
        PortRange(58, 0, 65535),
        PortRange(50, 0, 65535),
        PortRange(107, 0, 65535),
        PortRange(60, 0, 65535),
    )


async def test_every_protocol_of_iana_can_be_named(client: httpx2.AsyncClient) -> None:
    names = [name for name, number in protocols.NUMBERS.items() if number not in (protocols.TCP, protocols.UDP)]
    assert len(names) > 130
    made = await create(client, "networkrulesetpolicies", **body(*(name.upper() for name in names)))
    assert len(made["incomingRules"][0]["protocolPorts"]) == len(names)


@pytest.mark.parametrize(
    ("entries", "path"),
    [
        ([], "incomingRules[0].protocolPorts"),
        (["any", "tcp/80"], "incomingRules[0].protocolPorts[0]"),
        (["tcp/80", "ANY"], "incomingRules[0].protocolPorts[1]"),
        (["tcp/80", "TCP/80"], "incomingRules[0].protocolPorts[1]"),
        (["icmp6", "ipv6-icmp"], "incomingRules[0].protocolPorts[1]"),
        (["icmp/8", "icmp/8/0:255"], "incomingRules[0].protocolPorts[1]"),
        (["tcp"], "incomingRules[0].protocolPorts[0]"),
        (["udp"], "incomingRules[0].protocolPorts[0]"),
        (["tcp/80,443"], "incomingRules[0].protocolPorts[0]"),
        (["tcp/443:80"], "incomingRules[0].protocolPorts[0]"),
        (["tcp/80:80"], "incomingRules[0].protocolPorts[0]"),
        (["tcp/65536"], "incomingRules[0].protocolPorts[0]"),
        (["tcp/-1"], "incomingRules[0].protocolPorts[0]"),
        (["tcp/ 80"], "incomingRules[0].protocolPorts[0]"),
        (["tcp/80\n"], "incomingRules[0].protocolPorts[0]"),
        (["icmp/256"], "incomingRules[0].protocolPorts[0]"),
        (["icmp/3/1,1"], "incomingRules[0].protocolPorts[0]"),
        (["icmp/3/"], "incomingRules[0].protocolPorts[0]"),
        (["esp/80"], "incomingRules[0].protocolPorts[0]"),
        (["sctp/80"], "incomingRules[0].protocolPorts[0]"),
        (["6"], "incomingRules[0].protocolPorts[0]"),
        (["http"], "incomingRules[0].protocolPorts[0]"),
    ],
)
async def test_ports_that_cannot_be_said(client: httpx2.AsyncClient, entries: list[str], path: str) -> None:
    answer = await client.post("/v1/networkrulesetpolicies", json=body(*entries))
    (error,) = problem(answer, "validation", 422)["errors"]
    assert error["path"] == path
    assert error["remedy"]


async def test_pieces_that_overlap_count_once(console: Running, client: httpx2.AsyncClient) -> None:
    """They are no error: the family's files have them."""
    (rule,) = await compiled(console, client, body("tcp/80", "tcp/1:100", "icmp", "icmp/8"))
    assert [piece for piece in rule.ports if piece.covers(6, 80)] == [PortRange(6, 80, 80), PortRange(6, 1, 100)]
    assert ports.parse(["tcp/80", "tcp/1:100", "icmp", "icmp/8"]) == rule.ports


async def test_flags_reach_the_enforcer(console: Running, client: httpx2.AsyncClient) -> None:
    flags = {"action": "Reject", "logsDisabled": True, "observationEnabled": True, "name": "watch"}
    (rule,) = await compiled(console, client, body("any", **flags))
    assert (rule.action, rule.log, rule.observed, rule.name) == ("Reject", False, True, "watch")


async def test_disabled_propagate_and_fallback(console: Running, client: httpx2.AsyncClient) -> None:
    await create(client, "namespaces", name="acme")
    for name in ("up", "back"):
        await create(client, "networkrulesetpolicies", **ruleset(name, "app=db", incoming=["app=web"]))
    url = "/v1/networkrulesetpolicies"
    async with Peer(await enrol(console, "edge", "/acme")) as peer:
        accepted = await peer.register(unit("db", "app=db"))
        db = accepted.units["db"]

        async def until(names: set[str]) -> None:
            def there(document: Any) -> bool:
                entry = document.units.get(db)
                return entry is not None and {document.rules[key].ruleset_name for key in entry.incoming} == names

            await peer.until(there)

        await until(set())
        await client.patch(f"{url}/up", json={"propagate": True})
        await until({"up"})
        await client.patch(f"{url}/back", json={"propagate": True, "fallback": True})
        await client.patch(f"{url}/up", json={"disabled": True})
        await until({"back"})
        await client.patch(f"{url}/up", json={"disabled": False})
        await until({"up"})


async def test_a_protected_ruleset_does_not_change_or_go(client: httpx2.AsyncClient) -> None:
    made = await create(
        client, "networkrulesetpolicies", **ruleset("r", "app=db", incoming=["app=web"]), protected=True
    )
    url = f"/v1/networkrulesetpolicies/{made['ID']}"
    changes: tuple[dict[str, Any], ...] = (
        {"description": "x"},
        {"incomingRules": []},
        {"disabled": True},
        {"annotations": {"a": ["b"]}},
    )
    for change in changes:
        problem(await client.patch(url, json=change), "protected", 423)
    problem(await client.put(url, json={**made, "description": "x"}), "protected", 423)
    problem(await client.delete(url), "protected", 423)
    assert (await client.patch(url, json={"protected": True})).status_code == 200  # changes nothing
    assert (await client.get(url)).json() == made
    freed = await client.patch(url, json={"protected": False, "description": "x"})
    assert (freed.json()["protected"], freed.json()["description"]) == (False, "x")
    assert (await client.delete(url)).status_code == 204


async def test_an_import_does_not_get_round_protection(client: httpx2.AsyncClient) -> None:
    await create(client, "networkrulesetpolicies", **ruleset("r", "app=db", incoming=["app=web"]), protected=True)
    before = (await client.get("/v1/networkrulesetpolicies")).json()
    changed = {**ruleset("r", "app=db", incoming=["app=lb"]), "protected": True}
    data = {
        "networkrulesetpolicies": [changed],
        "externalnetworks": [{"name": "n", "entries": ["10.0.0.0/8"], "associatedTags": ["a=b"]}],
    }
    problem(await client.post("/v1/imports", json={"data": data}), "protected", 423)
    assert (await client.get("/v1/networkrulesetpolicies")).json() == before
    assert (await client.get("/v1/externalnetworks")).json() == []


async def test_own_tags_and_metadata_match_nothing(console: Running, client: httpx2.AsyncClient) -> None:
    given = {**body("any"), "associatedTags": ["app=web", "owner=shop"], "metadata": ["@tool:made=yes"]}
    await compiled(console, client, given)
    made = (await client.get("/v1/networkrulesetpolicies/r")).json()
    assert (made["associatedTags"], made["metadata"]) == (["app=web", "owner=shop"], ["@tool:made=yes"])
    answer = await client.patch("/v1/networkrulesetpolicies/r", json={"metadata": []})
    assert problem(answer, "validation", 422)["errors"][0]["path"] == "metadata"
    for bad in ({"associatedTags": ["@a=b"]}, {"metadata": ["a=b"]}, {"metadata": ["@org:a=b"]}):
        answer = await client.post("/v1/networkrulesetpolicies", json={**body("any"), "name": "s", **bad})
        assert problem(answer, "validation", 422)["errors"][0]["path"] == f"{next(iter(bad))}[0]"
