"""Who reads what: selectors that are shared, and what comes to documents with them."""

from __future__ import annotations

import pytest

from tests.unit.policy.engine.following import Following
from tests.unit.policy.shop import keyed, network, rule, ruleset, unit, world
from watchword.policy.engine import subscriptions
from watchword.wire.policy import EnforcerEntry

DB = rule("Allow", [["app=db"]], "tcp/1")


def test_rules_of_one_expression_share_a_selector_and_namespaces_share_its_members() -> None:
    following = Following(world(rulesets={}))
    state = following.engine._state
    for key, path in (("a", "/shop"), ("b", "/shop"), ("c", "/")):
        following.put("rulesets", key, ruleset(key, path, [["app=web"]], out=[DB, DB], propagate=True))
    assert sorted(each.namespace for each in state.selectors.values()) == ["/", "/shop"]
    assert len(state.crowds) == len(state.sighting) == 1
    following.put("rulesets", "a", None)
    assert len(state.selectors) == 2
    following.put("rulesets", "b", None)
    assert [each.namespace for each in state.selectors.values()] == ["/"]
    assert len(state.crowds) == 1
    following.put("rulesets", "c", None)
    assert (state.selectors, state.crowds, state.sighting) == ({}, {}, {})
    assert following.engine._subscriptions._uses == {}


@pytest.mark.parametrize("readers", [8, 9])
def test_a_few_get_what_they_lack_and_many_all_of_it(readers: int) -> None:
    """Each of the readers has db2 as a peer already, and with it e2."""
    entries = {f"e{number}": EnforcerEntry(b"%d" % number, ()) for number in range(2, readers + 3)}
    clients = [unit(f"c{number}", 100 + number, f"e{number}", "app=web") for number in range(3, readers + 3)]
    servers = [unit("db1", 21, "e2", "app=db"), unit("db2", 22, "e2", "app=db", "old=1")]
    known = ruleset("known", "/shop", [["app=web"]], out=[rule("Allow", [["old=1"]], "tcp/1")])
    following = Following(world(enforcers=entries, units=keyed(*clients, *servers), rulesets=keyed(known)))
    told = following.put("rulesets", "r", ruleset("r", "/shop", [["app=web"]], out=[DB]))
    assert set(told) == set(entries) - {"e2"}
    assert subscriptions.APART == 8
    few = readers <= 8
    for amendment in told.values():
        assert set(amendment.peers) == ({21} if few else {21, 22})
        assert set(amendment.enforcers) == (set() if few else {"e2"})
        assert set(*amendment.joined.values()) == {21, 22}
    whole = {id(amendment.peers.get(22)) for amendment in told.values()}
    assert len(whole) == 1


@pytest.mark.parametrize("apart", [0, 1, 8])
def test_networks_are_told_alike_to_few_and_to_many(apart: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By each selector through which a document names them, from its own namespace."""
    monkeypatch.setattr(subscriptions, "APART", apart)
    following = Following(world(rulesets={}))
    named = [rule("Allow", [["net=1"]], "tcp/1"), rule("Allow", [["net=*"]], "tcp/2")]
    following.put("networks", "n", network("n", "/shop", "10.0.0.0/8", tags=("net=1",), identity_required=True))
    following.put("rulesets", "a", ruleset("a", "/shop", [["app=web"], ["app=db"]], out=named[:1]))
    following.put("rulesets", "b", ruleset("b", "/shop", [["app=web"]], out=named[1:]))
    following.put("rulesets", "c", ruleset("c", "/", [["app=web"]], out=named, propagate=True))  # does not see it
    assert [len(following.documents[key].networks["n"].selectors) for key in ("e1", "e2", "e3")] == [3, 2, 1]
    following.put("rulesets", "b", None)
    both = network("n", "/shop", "10.0.0.0/8", tags=("net=1",), identity_required=True, names=("*.a.example",))
    following.put("networks", "n", both)
    assert following.documents["e1"].networks["n"].entries == ("10.0.0.0/8", "*.a.example")
    assert [len(following.documents[key].networks["n"].selectors) for key in ("e1", "e2", "e3")] == [2, 2, 1]
    following.put("networks", "n", network("n", "/shop", "10.0.0.0/8", tags=("net=1",)))
    assert [len(document.networks) for document in following.documents.values()] == [1, 1, 0]
    following.put("rulesets", "a", None)
    assert [len(document.networks) for document in following.documents.values()] == [0, 0, 0]


def test_a_network_is_told_only_where_its_entry_may_be_another() -> None:
    following = Following(world(rulesets={}))
    following.put("networks", "n", network("n", "/shop", "10.0.0.0/8", tags=("net=1",)))
    following.put("rulesets", "a", ruleset("a", "/shop", [["app=web"]], out=[rule("Allow", [["net=1"]], "tcp/1")]))
    again = ruleset("b", "/shop", [["app=job"]], out=[rule("Allow", [["net=1"]], "tcp/1")])
    assert set(following.put("rulesets", "b", again)) == {"e3"}
