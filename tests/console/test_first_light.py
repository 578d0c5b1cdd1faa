"""The whole way once: start, enrol, register, rule, push, acknowledge."""

from __future__ import annotations

import httpx2

from tests.console.rig import Peer, Running, enrol, ruleset, unit


async def test_a_ruleset_reaches_the_enforcers(console: Running, client: httpx2.AsyncClient) -> None:
    web, db = await enrol(console, "web"), await enrol(console, "db")
    async with Peer(web) as at_web, Peer(db) as at_db:
        await at_web.register(unit("host", "app=web", type="Host"))
        accepted = await at_db.register(unit("pg", "app=db"))
        made = await client.post("/v1/networkrulesetpolicies", json=ruleset("db", "app=db", incoming=["app=web"]))
        assert made.status_code == 201, made.text
        revision = int(made.headers["X-Watchword-Revision"])
        document = await at_db.until(lambda d: d.revision >= revision)
        (entry,) = document.units.values()
        assert accepted.units == {"pg": next(iter(document.units))}
        assert len(entry.incoming) == 1
        assert {peer.name for peer in document.peers.values()} >= {"host"}
        await at_web.until(lambda d: d.revision >= revision)
        found = await client.get(f"/v1/revisions/{revision}/enforcement", params={"wait": 5})
        assert found.json() == {
            "revision": revision,
            "affected": 2,
            "enforced": 2,
            "stragglers": [],
            "details": [],
        }
