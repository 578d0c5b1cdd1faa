"""A draft's verdict in words."""

from __future__ import annotations

from typing import Any

import pytest

from watchword.cli.beside import drafted

DRAFT = {"ID": "d1", "name": "shop", "edition": 3}


def report(**verdict: Any) -> dict[str, Any]:
    """A flow that was allowed by the rule r/out/0, and what d1 says of it."""
    told = {
        "draft": "d1", "edition": 3, "action": "Allow", "doubt": "", "policyID": "r", "policyName": "shop",
        "ruleName": "sql", "ruleKey": "r/out/0",
    }  # fmt: skip
    other = {**told, "draft": "d0", "action": "Reject"}
    return {"action": "Allow", "ruleKey": "r/out/0", "draftVerdicts": [other, {**told, **verdict}]}


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        ({}, "same"),
        ({"edition": 2}, "same (edition 2)"),
        ({"action": "Reject"}, "Reject: shop/sql"),
        ({"ruleKey": "r/out/1", "ruleName": "any"}, "Allow: shop/any"),
        ({"action": "Reject", "policyID": "default", "ruleKey": "", "edition": 1}, "Reject: default (edition 1)"),
        ({"doubt": "NoIdentity"}, "Allow: shop/sql, if the peer has no identity"),
        ({"action": "Unknown", "doubt": "Identity"}, "Unknown: refused before the peer could say who it is"),
        ({"action": "Unknown", "doubt": "HostName"}, "Unknown: the address may be that of a host name"),
        ({"action": "Unknown", "doubt": "Gone"}, "Unknown: the peer is not known any more"),
        ({"draft": "d2"}, ""),
    ],
)
def test_a_verdict_beside_the_live_one(verdict: dict[str, Any], told: str) -> None:
    assert drafted(report(**verdict), DRAFT) == told
