"""Shadowed drafts: flows carry their verdicts beside the live ones, and nothing else in the world changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.console.rig import Host, Peer, Running, enrol, ruleset, running, unit
from tests.console.test_drafts import add, imports
from tests.console.test_flows import record, stored
from tests.console.test_histories import NETWORK, administrator, made
from watchword.wire import messages
from watchword.wire.policy import digest

#: web may talk to db on tcp/5432, as both ends have it.
WEB, DB = ruleset("web", "app=web", outgoing=["app=db"]), ruleset("db", "app=db", incoming=["app=web"])


@dataclass
class Shop:
    """web on one Enforcer, pg on another, and what they report."""

    client: httpx2.AsyncClient
    edge: Peer
    store: Peer
    web: dict[str, Any]
    pg: dict[str, Any]
    sent: dict[int, int] = field(default_factory=dict)

    async def report(self, peer: Peer, *records: messages.FlowRecord) -> None:
        sequence = self.sent[id(peer)] = self.sent.get(id(peer), 0) + 1
        await peer.send(messages.FlowReports(sequence=sequence, records=records))
        await peer.answer(messages.ReportsAccepted)

    async def seen(self, **fields: Any) -> dict[str, Any]:
        """What the Console made of one record of web."""
        await self.report(self.edge, record(self.web["ID"], **fields))
        return (await stored(self.client, order="-ID", recursive="true"))[0]

    async def judged(self, **fields: Any) -> dict[str, Any]:
        """The one draft's verdict on a record of web."""
        (verdict,) = (await self.seen(**fields))["draftVerdicts"]
        return dict(verdict)

    @property
    def to_db(self) -> dict[str, Any]:
        return {"peer_badge": self.pg["badge"], "peer_unit": self.pg["ID"]}


@asynccontextmanager
async def shop(console: Running, client: httpx2.AsyncClient, namespace: str = "/") -> AsyncIterator[Shop]:
    closed = {"defaultPUIncomingTrafficAction": "Reject", "defaultPUOutgoingTrafficAction": "Reject"}
    assert (await client.patch("/v1/namespaces//", json=closed)).status_code == 200
    async with Peer(await enrol(console, "edge", namespace)) as edge, Peer(await enrol(console, "store")) as store:
        await edge.register(unit("web", "app=web"))
        await store.register(unit("pg", "app=db"))
        listed = (await client.get("/v1/processingunits", params={"recursive": "true"})).json()
        found = {each["name"]: each for each in listed}
        yield Shop(client, edge, store, found["web"], found["pg"])


async def shadowed(client: httpx2.AsyncClient, name: str, body: dict[str, Any], namespace: str = "/") -> dict[str, Any]:
    """A draft of these changes that judges."""
    here = {"X-Namespace": namespace}
    await made(client, "drafts", {"name": name}, namespace)
    added = await add(client, name, body, **here)
    assert added.status_code == 200, added.text
    answer = await client.post(f"/v1/drafts/{name}/shadow", headers=here)
    assert answer.status_code == 200, answer.text
    assert answer.json()["shadowed"] is True
    return dict(answer.json())


def closing(name: str) -> dict[str, Any]:
    return imports(networkrulesetpolicies=[ruleset(name, f"app={name}")])


async def test_a_draft_that_would_refuse_a_live_flow_says_so_at_both_ends(
    console: Running, client: httpx2.AsyncClient
) -> None:
    web, db = [await made(client, "networkrulesetpolicies", each) for each in (WEB, DB)]
    async with shop(console, client) as there:
        strict = ruleset("strict", "app=db")
        strict["incomingRules"] = [
            {"action": "Reject", "object": [["app=web"]], "protocolPorts": ["tcp/5432"], "name": "no"}
        ]
        draft = await shadowed(client, "d", imports(networkrulesetpolicies=[strict]))
        leaving = {"rule": f"{web['ID']}/out/0", "ruleset": web["ID"], **there.to_db}
        mine = await there.seen(**leaving)
        peer = {"peer_badge": there.web["badge"], "direction": "incoming"}
        incoming = record(there.pg["ID"], rule=f"{db['ID']}/in/0", ruleset=db["ID"], **peer)
        await there.report(there.store, incoming)
        theirs = (await stored(client, order="-ID"))[0]
        revision = int((await client.get("/v1/health")).json()["revision"])
    assert (mine["action"], theirs["action"]) == ("Allow", "Allow"), "what is in force is reported as it is"
    (source,), (destination,) = mine["draftVerdicts"], theirs["draftVerdicts"]
    assert (source["action"], source["policyName"], source["ruleKey"]) == ("Allow", "web", leaving["rule"])
    assert (mine["judgedBy"], mine["changedBy"]) == ([draft["ID"]], [])
    assert (theirs["judgedBy"], theirs["changedBy"]) == ([draft["ID"]], [draft["ID"]])
    planned = next(each["ID"] for each in draft["changes"])
    assert destination == {
        "draft": draft["ID"],
        "name": "d",
        "namespace": "/",
        "edition": 1,
        "revision": revision,
        "action": "Reject",
        "doubt": "",
        "policyID": planned,
        "policyName": "strict",
        "policyNamespace": "/",
        "ruleName": "no",
        "ruleKey": f"{planned}/in/0",
    }
    changed = await stored(client, filter=f'changedBy contains "{draft["ID"]}"')
    assert [each["ID"] for each in changed] == [theirs["ID"]]


async def test_a_draft_that_would_let_a_refused_flow_through(console: Running, client: httpx2.AsyncClient) -> None:
    async with shop(console, client) as there:
        intent = {"name": "sql", "source": [["app=web"]], "destination": [["app=db"]], "protocolPorts": ["tcp/5432"]}
        draft = await shadowed(client, "d", imports(intents=[intent]))
        planned = draft["changes"][0]["ID"]
        verdict = await there.judged(action="Reject", **there.to_db)
        assert (verdict["action"], verdict["policyName"], verdict["policyID"]) == ("Allow", "sql", planned)
        assert (await there.judged(action="Reject", port=80, **there.to_db))["action"] == "Reject"
        refused_at_once = {"action": "Reject", "peer_address": "198.51.100.9", "proved": False}
        unknown = await there.judged(**refused_at_once)
        assert (unknown["action"], unknown["doubt"], unknown["ruleKey"]) == ("Unknown", "Identity", "")
        assert (await there.judged(port=80, **refused_at_once))["action"] == "Reject"
        assert (await there.judged(direction="incoming", **refused_at_once))["action"] == "Reject"
        assert (await there.judged(**{**refused_at_once, "protocol": 17}))["action"] == "Reject"


async def test_networks_of_a_draft(console: Running, client: httpx2.AsyncClient) -> None:
    async with shop(console, client) as there:
        leaving = ruleset("out", "app=web", outgoing=["net=office"])
        named = {"name": "site", "entries": ["example.com"], "associatedTags": ["net=site"]}
        body = imports(externalnetworks=[NETWORK], networkrulesetpolicies=[leaving])
        await shadowed(client, "d", body)
        refused = {"action": "Reject", "proved": False}
        verdict = await there.judged(peer_address="192.0.2.9", **refused)
        assert (verdict["action"], verdict["doubt"], verdict["policyName"]) == ("Allow", "NoIdentity", "out")
        assert (await there.judged(peer_address="192.0.3.9", **refused))["action"] == "Reject"
        leaving["outgoingRules"][0]["object"] = [["net=site"]]
        body = imports(externalnetworks=[named], networkrulesetpolicies=[leaving])
        assert (await add(client, "d", body)).status_code == 200
        verdict = await there.judged(peer_address="192.0.2.9", **refused)
        assert (verdict["action"], verdict["doubt"], verdict["edition"]) == ("Unknown", "HostName", 2)


async def test_what_an_enforcers_profile_says_stays_so(console: Running, client: httpx2.AsyncClient) -> None:
    await made(client, "externalnetworks", NETWORK)
    profile = {"name": "p", "identityRequiredNetworks": ["192.0.2.0/25"], "excludedNetworks": ["192.0.2.200"]}
    await made(client, "enforcerprofiles", profile)
    await made(
        client, "enforcerprofilemappingpolicies", {"name": "m", "subject": [["$name=edge"]], "object": [["$name=p"]]}
    )
    async with shop(console, client) as there:
        await shadowed(client, "d", imports(networkrulesetpolicies=[ruleset("in", "app=web", incoming=["net=office"])]))
        refused = {"action": "Reject", "proved": False, "direction": "incoming"}
        assert (await there.judged(peer_address="192.0.2.130", **refused))["action"] == "Allow"
        assert (await there.judged(peer_address="192.0.2.9", **refused))["action"] == "Reject"
        assert (await there.judged(peer_address="192.0.2.200", **refused))["action"] == "Reject"
        older = {"peer_address": "192.0.2.130", "proved": False, "direction": "incoming", "reason": "existing-refused"}
        assert (await there.judged(**older))["action"] == "Allow", "kept"
        cut = await client.patch("/v1/enforcerprofiles/p", json={"existingConnections": "Cut"})
        assert cut.status_code == 200
        assert (await there.edge.answer(messages.Welcome)).existing_connections == "Cut"
        verdict = await there.judged(**{**older, "action": "Reject"})
        assert (verdict["action"], verdict["policyName"]) == ("Allow", "in")
        assert (await add(client, "d", {"drop": [{"kind": "netruleset", "name": "in"}]})).status_code == 200
        assert (await there.judged(**{**older, "action": "Reject"}))["action"] == "Reject"


async def test_what_no_policy_decided_no_draft_decides_otherwise(console: Running, client: httpx2.AsyncClient) -> None:
    async with shop(console, client) as there:
        await shadowed(client, "d", imports(networkrulesetpolicies=[WEB]))
        for reason in ("badge-unknown", "key-missing", "proof-wrong", "malformed", "no-memory"):
            assert (await there.judged(action="Reject", reason=reason, **there.to_db))["action"] == "Reject", reason
        assert (await there.judged(action="Reject", reason="revoked", **there.to_db))["action"] == "Allow"
        for nobody in ({"peer_badge": 77}, {}, {"peer_address": "no address"}):
            verdict = await there.judged(action="Reject", **nobody)
            assert (verdict["action"], verdict["doubt"]) == ("Unknown", "Gone"), nobody
        await there.edge.send(messages.RetireUnits(("web",)))
        await there.edge.until(lambda document: not document.units)
        verdict = await there.judged(action="Reject", **there.to_db)
        assert (verdict["action"], verdict["doubt"]) == ("Allow", ""), "short-lived units are gone before their reports"


async def test_no_enforcer_ever_hears_of_one(console: Running, client: httpx2.AsyncClient) -> None:
    """Started, edited and stopped: not a frame, not a revision, not a byte of a document."""
    await made(client, "networkrulesetpolicies", WEB)
    async with shop(console, client) as there:
        newest = int((await client.get("/v1/health")).json()["revision"])
        held = await there.edge.until(lambda document: document.revision == newest)
        before = held.revision, digest(held)
        await shadowed(client, "d", closing("web"))
        assert (await there.judged(**there.to_db))["action"] == "Reject"
        await add(client, "d", imports(networkrulesetpolicies=[ruleset("more", "app=web", outgoing=["app=*"])]))
        assert (await there.judged(**there.to_db))["edition"] == 2
        assert (await client.delete("/v1/drafts/d/shadow")).json()["shadowed"] is False
        with pytest.raises(TimeoutError):
            await there.edge.receive(0.5)
        assert int((await client.get("/v1/health")).json()["revision"]) == newest
    async with Peer(there.edge.host) as again:  # a whole document, made anew
        fresh = await again.policy()
        assert (fresh.revision, digest(fresh)) == before
        assert "strict" not in str(fresh)


async def test_an_enforcer_cannot_say_what_a_draft_decides(console: Running, client: httpx2.AsyncClient) -> None:
    async with shop(console, client) as there:
        await shadowed(client, "d", closing("web"))
        forged = messages.encode(messages.FlowReports(sequence=1, records=(record(there.web["ID"], **there.to_db),)))
        forged = forged.replace(b"\xa6action\xa5Allow", b"\xa6action\xa5Allow\xa8judgedBy\x90")
        forged = forged.replace(b"\xde\x00\x19", b"\xde\x00\x1a")  # one field more
        await there.edge.socket.send(forged)
        await there.edge.socket.wait_closed()
        assert "unknown field `judgedBy`" in str(there.edge.socket.close_reason)
    assert await stored(client) == []


async def test_editions_publishing_deleting_and_stopping(console: Running, client: httpx2.AsyncClient) -> None:
    await made(client, "networkrulesetpolicies", WEB)
    async with shop(console, client) as there:
        await shadowed(client, "d", closing("web"))
        first = await there.judged(**there.to_db)
        dropped = await add(client, "d", {"drop": [{"kind": "netruleset", "name": "web"}]})
        assert (dropped.json()["edition"], dropped.json()["shadowed"]) == (2, True)
        second = await there.judged(**there.to_db)
        assert [(each["edition"], each["action"]) for each in (first, second)] == [(1, "Reject"), (2, "Allow")]
        assert (await client.patch("/v1/drafts/d", json={"name": "e"})).status_code == 200
        renamed = await there.judged(**there.to_db)
        assert (renamed["name"], renamed["edition"]) == ("e", 2)
        assert (await add(client, "e", closing("web"))).status_code == 200
        assert (await client.post("/v1/drafts/e/publication", params={"dryRun": "true"})).status_code == 200
        assert (await there.judged(**there.to_db))["action"] == "Reject", "a rehearsal ends nothing"
        published = await client.post("/v1/drafts/e/publication")
        assert published.status_code == 200, published.text
        assert (await client.get("/v1/drafts/e")).json()["shadowed"] is False
        assert (await there.seen(**there.to_db))["draftVerdicts"] == []
        assert (await client.post("/v1/drafts/e/shadow")).status_code == 409
        await shadowed(client, "two", imports(networkrulesetpolicies=[WEB]))
        assert (await there.judged(action="Reject", **there.to_db))["action"] == "Allow", "over what is live by now"
        assert (await client.delete("/v1/drafts/two/shadow")).status_code == 200
        assert (await client.delete("/v1/drafts/two/shadow")).status_code == 200
        assert (await there.seen(**there.to_db))["judgedBy"] == []
        assert (await client.post("/v1/drafts/two/shadow")).status_code == 200
        assert len((await there.seen(**there.to_db))["judgedBy"]) == 1
        assert (await client.delete("/v1/drafts/two")).status_code == 204
        assert (await there.seen(**there.to_db))["judgedBy"] == []


async def test_live_changes_reach_a_draft_that_judges(console: Running, client: httpx2.AsyncClient) -> None:
    live = await made(client, "networkrulesetpolicies", WEB)
    async with shop(console, client) as there:
        await shadowed(client, "d", imports(networkrulesetpolicies=[ruleset("other", "app=web", outgoing=["app=*"])]))
        both = await there.judged(action="Reject", port=5432, **there.to_db)
        assert both["action"] == "Reject", "two rules allow it: as reported, for draft and live agree"
        assert (await client.delete(f"/v1/networkrulesetpolicies/{live['ID']}")).status_code == 204
        verdict = await there.judged(action="Reject", **there.to_db)
        assert (verdict["action"], verdict["policyName"]) == ("Allow", "other")
        await there.edge.register(unit("web", "app=elsewhere"))
        assert (await there.judged(action="Reject", **there.to_db))["action"] == "Reject"
        await made(client, "externalnetworks", NETWORK)
        assert (await there.judged(action="Reject", peer_address="192.0.2.1"))["action"] == "Reject"


async def test_several_at_once_and_no_more(console: Running, client: httpx2.AsyncClient) -> None:
    await made(client, "networkrulesetpolicies", WEB)
    async with shop(console, client) as there:
        drafts = [await shadowed(client, f"d{index}", closing("web" if index % 2 else "db")) for index in range(8)]
        seen = await there.seen(**there.to_db)
        assert [each["action"] for each in seen["draftVerdicts"]] == ["Allow", "Reject"] * 4
        assert seen["judgedBy"] == [each["ID"] for each in drafts]
        assert seen["changedBy"] == [each["ID"] for each in drafts[1::2]]
        await made(client, "drafts", {"name": "nine"})
        refused = await client.post("/v1/drafts/nine/shadow")
        assert refused.status_code == 409
        assert "8 drafts are shadowed on this Console" in refused.text
        assert (await client.post("/v1/drafts/d3/shadow")).status_code == 200, "it is one of them"
        assert (await client.delete("/v1/drafts/d3/shadow")).status_code == 200
        assert (await client.post("/v1/drafts/nine/shadow")).status_code == 200


async def test_it_goes_on_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as console, console.client() as client:
        await made(client, "networkrulesetpolicies", WEB)
        host: Host
        async with shop(console, client) as there:
            host = there.edge.host
            draft = await shadowed(client, "d", closing("web"))
    async with running(tmp_path / "data", console.credential) as again, again.client() as client:
        host.console = again
        async with Peer(host) as edge:
            resumed = Shop(client, edge, edge, there.web, there.pg)
            verdict = await resumed.judged(**there.to_db)
            assert (verdict["draft"], verdict["action"], verdict["edition"]) == (draft["ID"], "Reject", 1)


async def test_a_draft_judges_and_is_seen_where_it_belongs(console: Running, client: httpx2.AsyncClient) -> None:
    for name in ("acme", "other"):
        await made(client, "namespaces", {"name": name})
    async with shop(console, client, "/acme") as there:
        above = await shadowed(client, "above", closing("db"))
        here = await shadowed(client, "here", closing("web"), "/acme")
        await shadowed(client, "beside", closing("web"), "/other")
        seen = await there.seen(**there.to_db)
        assert seen["judgedBy"] == [above["ID"], here["ID"]]
        async with await administrator(console, "/acme") as local:
            (mine,) = await stored(local)
            assert [each["name"] for each in mine["draftVerdicts"]] == ["here"]
            assert (mine["judgedBy"], mine["changedBy"]) == ([here["ID"]], [])
            assert (await local.post(f"/v1/drafts/{above['ID']}/shadow")).status_code == 404
        async with await administrator(console, "/", ["namespace.viewer"]) as viewer:
            assert (await viewer.delete("/v1/drafts/above/shadow")).status_code == 403
            assert (await viewer.post("/v1/drafts/above/shadow")).status_code == 403
    assert (await client.patch("/v1/drafts/above", json={"shadowed": False})).status_code == 422, (
        "not by writing a field"
    )
    assert (await client.post("/v1/drafts/none/shadow")).status_code == 404


async def test_reports_come_in_as_fast_as_drafts_change(console: Running, client: httpx2.AsyncClient) -> None:
    """Each verdict says which edition it is of, and is that edition's, however editing and reporting interleave."""
    await made(client, "networkrulesetpolicies", WEB)
    async with shop(console, client) as there:
        await shadowed(client, "d", closing("web"))

        async def edit() -> None:
            for turn in range(6):
                body = {"drop": [{"kind": "netruleset", "name": "web"}]} if turn % 2 == 0 else closing("web")
                assert (await add(client, "d", body)).status_code == 200

        editing = asyncio.create_task(edit())
        while not editing.done():
            await there.report(there.edge, record(there.web["ID"], **there.to_db))
            await asyncio.sleep(0.01)
        await editing
        await there.report(there.edge, record(there.web["ID"], **there.to_db))
        verdicts = [each for report in await stored(client, limit="1000") for each in report["draftVerdicts"]]
    assert {(each["edition"] % 2, each["action"]) for each in verdicts} == {(1, "Reject"), (0, "Allow")}
    assert (verdicts[0]["edition"], verdicts[-1]["edition"]) == (1, 7)
