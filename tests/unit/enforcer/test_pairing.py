"""Two hosts and a real Console: badges, and pairwise keys that fit, also while one of them changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.enforcer.console_side import Operator, publish_meeting, unit_named
from tests.unit.enforcer.hosts import Host, revision, until


async def test_two_hosts_meet_by_badge_with_keys_that_fit(tmp_path: Path, operator: Operator) -> None:
    one, other = Host(tmp_path, "one"), Host(tmp_path, "other")
    token = await operator.token(uses=2)
    one.give(token)
    other.give(token)
    async with one.agent(), other.agent():
        await until(lambda: revision(one) > 0 and revision(other) > 0)
        await operator.post(
            "/v1/networkrulesetpolicies",
            {
                "name": "meet",
                "subject": [["role=edge"]],
                "incomingRules": [{"object": [["role=edge"]], "protocolPorts": ["tcp/80"]}],
                "outgoingRules": [{"object": [["role=edge"]], "protocolPorts": ["tcp/80"]}],
            },
        )
        await operator.enforced()
        badge = int((await unit_named(operator, "other"))["badge"])
        await until(lambda: one.decide(badge, 80) == "Allow")
        ids = {e["name"]: e["ID"] for e in await operator.get("/v1/enforcers")}
        assert one.kernel.keys[ids["other"]] == other.kernel.keys[ids["one"]]
        assert one.kernel.keys[ids["other"]] != one.kernel.keys[ids["one"]]


async def test_a_rotated_key_is_known_to_peers_before_it_is_used(
    tmp_path: Path, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = Host(tmp_path, "one"), Host(tmp_path, "other")
    token = await operator.token(uses=2)
    one.give(token)
    other.give(token)
    async with one.agent() as agent, other.agent():
        await until(lambda: revision(one) > 0 and revision(other) > 0)
        await publish_meeting(operator)
        await operator.enforced()
        ids = {e["name"]: e["ID"] for e in await operator.get("/v1/enforcers")}
        assert agent.guard is not None
        keys = agent.guard.keys
        monkeypatch.setattr(keys, "age", lambda now: 1e9 if keys.published()[0].epoch == 1 else 0.0)
        monkeypatch.setattr("watchword.enforcer.keys.SETTLE", 3600.0)
        await until(lambda: (1, 2) in other.kernel.keys.get(ids["one"], {}))
        assert one.kernel.own_epochs == (1,), "not used while peers may not know it"
        monkeypatch.setattr("watchword.enforcer.keys.SETTLE", 0.0)
        await until(lambda: one.kernel.own_epochs == (2, 1))
        assert one.kernel.keys[ids["other"]][2, 1] == other.kernel.keys[ids["one"]][1, 2]
