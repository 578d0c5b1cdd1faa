"""Intents as rulesets: one for each end that can exist."""

from __future__ import annotations

from typing import Any

import pytest

from watchword.model.resources import Intent
from watchword.policy.intents import ends

NETWORK = ["net=office", "$identity=externalnetwork"]


def intent(**fields: Any) -> Intent:
    given = {"source": [["app=web"]], "destination": [["app=db"]], "protocol_ports": ["tcp/5432"], **fields}
    return Intent(id="i1", name="query", namespace="/shop", **given)


def test_two_ends_that_mirror_each_other() -> None:
    outgoing, incoming = ends(intent(propagate=True, logs_disabled=True, action="Reject"))
    assert (outgoing.id, incoming.id) == ("i1:out", "i1:in")
    assert outgoing.resource == incoming.resource == "i1"
    assert (outgoing.subject, outgoing.incoming) == ((("app=web",),), ())
    assert (incoming.subject, incoming.outgoing) == ((("app=db",),), ())
    assert outgoing.outgoing[0].object == incoming.subject
    assert incoming.incoming[0].object == outgoing.subject
    for end, rule in ((outgoing, outgoing.outgoing[0]), (incoming, incoming.incoming[0])):
        assert (end.name, end.namespace, end.propagate, end.fallback) == ("query", "/shop", True, False)
        assert (rule.action, rule.log, rule.observed) == ("Reject", False, False)


@pytest.mark.parametrize(("side", "left"), [("destination", "i1:out"), ("source", "i1:in")])
def test_a_side_that_is_a_network_is_no_end(side: str, left: str) -> None:
    assert [end.id for end in ends(intent(**{side: [NETWORK]}))] == [left]
    both = ends(intent(**{side: [NETWORK, ["app=x"]]}))
    assert len(both) == 2
    subject = both[1 if side == "destination" else 0].subject
    assert subject == (("app=x",),)  # the network is named as a peer, and is about nobody


def test_observation_and_disabling_are_carried_over() -> None:
    for end in ends(intent(observation_enabled=True, disabled=True)):
        assert end.disabled
        assert (end.incoming or end.outgoing)[0].observed
