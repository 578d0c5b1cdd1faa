"""Explanations over REST: whom a name can mean, and what is told."""

from __future__ import annotations

from typing import Any

import httpx2

from tests.console.rig import Peer, Running, enrol, ruleset, unit


async def ask(client: httpx2.AsyncClient, source: str, destination: str, **more: Any) -> httpx2.Response:
    query = {"source": source, "destination": destination, "protocol": "tcp", "port": 5432, **more}
    return await client.get("/v1/explanations", params=query)


async def test_explanations(console: Running, client: httpx2.AsyncClient) -> None:
    reject = {"defaultPUIncomingTrafficAction": "Reject"}
    await client.patch("/v1/namespaces//", json=reject)
    async with Peer(await enrol(console, "edge")) as edge:
        await edge.register(unit("web-1", "app=web"), unit("web-2", "app=web"), unit("pg", "app=db"))
        await client.post("/v1/networkrulesetpolicies", json=ruleset("db", "app=db", incoming=["app=web"]))
        ids = {each["name"]: each["ID"] for each in (await client.get("/v1/processingunits")).json()}
        for source in ("web-1", ids["web-1"], f"$id={ids['web-1']}"):
            told = (await ask(client, source, "app=db")).json()
            assert told["action"] == "Allow"
            assert told["source"]["id"] == ids["web-1"]
            assert told["destination"]["name"] == "pg"
            assert told["incoming"]["matching"][0]["rulesetName"] == "db"
        assert (await ask(client, "web-1", "app=db", port=5433)).json()["action"] == "Reject"
        outside = (await ask(client, "203.0.113.7", "pg")).json()
        assert (outside["action"], outside["source"]["kind"]) == ("Reject", "somewhere")
        assert outside["incoming"]["remedies"]

        several = await ask(client, "app=web", "pg")
        assert several.status_code == 422
        assert ids["web-1"] in several.text
        assert ids["web-2"] in several.text
        assert (await ask(client, "nobody", "pg")).status_code == 404
        assert (await ask(client, "a=b", "pg")).status_code == 404
        assert (await ask(client, "", "pg")).status_code == 422
        assert (await ask(client, "192.0.2.1", "192.0.2.2")).status_code == 422
        for wrong in ({"protocol": "any", "port": ""}, {"protocol": ""}, {"port": "99999"}, {"port": "1:2"}):
            assert (await ask(client, "web-1", "pg", **wrong)).status_code == 422, wrong
