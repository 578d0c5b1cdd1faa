"""What a document holds, and what it leaves out."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.policy.shop import keyed, network, rule, ruleset, unit, world
from watchword.policy.render import render
from watchword.policy.world import Namespace
from watchword.wire.policy import TABLES, EnforcerEntry


def test_a_document_holds_what_its_enforcer_needs_and_nothing_else() -> None:
    document = render(world(), "e1")
    assert document.revision == 7
    assert set(document.units) == {"web", "api"}
    assert set(document.rules) == {"web-out/out/0"}
    assert document.units["web"].outgoing == ("web-out/out/0",)
    assert document.units["web"].incoming == document.units["api"].outgoing == ()
    assert set(document.peers) == {11, 12, 21}  # the job matches nothing here
    assert set(document.enforcers) == {"e1", "e2"}
    (selector,) = document.selectors
    assert document.selectors[selector] == (("app=db",),)
    assert document.peers[21].selectors == (selector,)
    assert document.peers[11].selectors == ()


def test_a_default_that_allows_brings_every_badge() -> None:
    open_ = world(namespaces={"/": Namespace("/", "Reject", "Allow"), "/shop": Namespace("/shop")})
    assert set(render(open_, "e1").peers) == {11, 12, 21, 31}
    elsewhere = world(namespaces={"/": Namespace("/"), "/other": Namespace("/other", "Allow", "Allow")})
    assert set(render(elsewhere, "e1").peers) == {11, 12, 21}


def test_peers_of_rejecting_and_observed_rules_are_there_to_be_named() -> None:
    rulesets = keyed(
        ruleset("no", "/shop", [["app=web"]], inc=[rule("Reject", [["app=job"]], "any")]),
        ruleset("look", "/shop", [["app=web"]], out=[rule("Allow", [["app=db"]], "any", observed=True)]),
    )
    assert set(render(world(rulesets=rulesets), "e1").peers) == {11, 12, 21, 31}


def test_a_badge_that_was_asked_for_is_brought_and_one_that_does_not_exist_is_not() -> None:
    assert set(render(world(), "e1", asked=(31, 99)).peers) == {11, 12, 21, 31}


def test_units_without_a_badge_are_governed_but_nobodys_peer() -> None:
    units = {**world().units, "db": unit("db", 0, "e2", "app=db")}
    assert set(render(world(units=units), "e1").peers) == {11, 12}
    assert render(world(units=units), "e2").units["db"].incoming == ("db-in/in/0",)


def test_an_evicted_enforcer_leaves_every_document_at_once() -> None:
    before = world()
    assert 21 in render(before, "e1").peers
    kept = {key: entry for key, entry in before.enforcers.items() if key != "e2"}
    after = render(dataclasses.replace(before, enforcers=kept), "e1")
    assert 21 not in after.peers
    assert "e2" not in after.enforcers
    with pytest.raises(LookupError, match="the world has no Enforcer 'e2'"):
        render(dataclasses.replace(before, enforcers=kept), "e2")


def test_nearest_namespace_that_does_not_inherit_sets_the_default() -> None:
    units = keyed(unit("web", 11, "e1", "app=web", namespace="/a/b"))
    cases: tuple[tuple[Any, Any, Any, str], ...] = (
        ("Allow", "Reject", "Reject", "Allow"),
        ("Inherit", "Allow", "Reject", "Allow"),
        ("Inherit", "Inherit", "Allow", "Allow"),
        ("Inherit", "Inherit", "Inherit", "Reject"),
    )
    for here, above, root, expected in cases:
        namespaces = {
            "/": Namespace("/", root, "Reject"),
            "/a": Namespace("/a", above, "Reject"),
            "/a/b": Namespace("/a/b", here, "Reject"),
        }
        entry = render(world(units=units, namespaces=namespaces), "e1").units["web"]
        assert (entry.default_incoming, entry.default_outgoing) == (expected, "Reject")


def test_which_rulesets_count() -> None:
    allow = [rule("Allow", [["app=db"]], "any")]
    subject = [["app=web"]]
    here, above = ruleset("here", "/shop", subject, out=allow), ruleset("above", "/", subject, out=allow)
    below = ruleset("below", "/shop/eu", subject, out=allow, propagate=True)
    beside = ruleset("beside", "/sho", subject, out=allow, propagate=True)
    spare = ruleset("spare", "/shop", subject, out=allow, fallback=True)
    off = dataclasses.replace(here, id="off", disabled=True)
    from_above = dataclasses.replace(above, id="from-above", propagate=True)
    mute = ruleset("mute", "/shop", subject)

    def counting(*rulesets: object) -> tuple[str, ...]:
        return render(world(rulesets=keyed(*rulesets)), "e1").units["web"].outgoing

    assert counting(here, above, below, beside, off) == ("here/out/0",)
    assert counting(from_above) == ("from-above/out/0",)
    assert counting(spare) == counting(spare, above, below, off) == ("spare/out/0",)
    assert counting(spare, here) == ("here/out/0",)
    assert counting(spare, mute) == ()  # an ordinary ruleset without rules still selects the unit


def test_networks_are_seen_from_the_rulesets_namespace_only() -> None:
    out = [rule("Allow", [["net=x"]], "any")]
    networks = keyed(
        network("same", "/shop", "10.1.0.0/16", tags=("net=x",)),
        network("root", "/", "10.2.0.0/16", tags=("net=x",)),
        network("root-down", "/", "10.3.0.0/16", tags=("net=x",), propagate=True),
        network("beside", "/other", "10.4.0.0/16", tags=("net=x",), propagate=True),
        network("below", "/shop/eu", "10.5.0.0/16", tags=("net=x",), propagate=True),
        network("untagged", "/shop", "10.6.0.0/16", tags=("net=y",)),
    )
    networks["same"] = dataclasses.replace(networks["same"], names=("a.example", "*.b.example"))
    local = world(networks=networks, rulesets=keyed(ruleset("s", "/shop", [["app=web"]], out=out)))
    assert set(render(local, "e1").networks) == {"same", "root-down"}
    assert render(local, "e1").networks["same"].entries == ("10.1.0.0/16", "a.example", "*.b.example")
    inherited = world(networks=networks, rulesets=keyed(ruleset("s", "/", [["app=web"]], out=out, propagate=True)))
    assert set(render(inherited, "e1").networks) == {"root", "root-down"}


def test_one_expression_in_two_namespaces_sees_two_sets_of_networks() -> None:
    rulesets = keyed(
        ruleset("s", "/shop", [["app=web"]], out=[rule("Allow", [["net=x"]], "any")]),
        ruleset("r", "/", [["app=web"]], out=[rule("Reject", [["net=x"]], "any")], propagate=True),
    )
    networks = keyed(
        network("shops", "/shop", "10.1.0.0/16", tags=("net=x",)), network("roots", "/", "10.2.0.0/16", tags=("net=x",))
    )
    document = render(world(networks=networks, rulesets=rulesets), "e1")
    allow, reject = document.rules["s/out/0"].selector, document.rules["r/out/0"].selector
    assert document.networks["shops"].selectors == (allow,)
    assert document.networks["roots"].selectors == (reject,)


def test_a_network_that_requires_identity_rejects_by_a_rule_of_its_own_where_it_is_seen() -> None:
    networks = keyed(
        network("inside", "/", "10.0.0.0/8", tags=("net=in",), propagate=True, identity_required=True),
        network("beside", "/other", "10.0.0.0/8", tags=("net=in",), propagate=True, identity_required=True),
    )
    document = render(world(networks=networks), "e1")
    assert set(document.rules) == {"web-out/out/0", "inside/in/0", "inside/out/0"}
    assert document.units["api"].incoming == ("inside/in/0",)
    assert document.units["web"].outgoing == ("inside/out/0", "web-out/out/0")
    demand = document.rules["inside/in/0"]
    assert demand.action == "Reject"
    assert document.selectors[demand.selector] == (("$id=inside",),)
    assert set(document.networks) == {"inside"}
    assert document.networks["inside"].selectors == (demand.selector,)
    assert all(demand.selector not in peer.selectors for peer in document.peers.values())


def test_every_list_and_table_is_in_a_fixed_order_whatever_the_order_of_the_world() -> None:
    tags = tuple(f"t{number}=1" for number in range(9))
    objects = [[["app=db"]], [["app=*"]], [["!x=1", "app=db"]], [["app=d*"]]]
    rulesets = [
        ruleset(key, "/shop", [["app=web"]], out=[rule("Allow", selected, "any") for selected in objects])
        for key in ("b", "a", "c")
    ]
    rulesets.append(ruleset("z", "/shop", [["app=api"]], out=[rule("Allow", [["app=job"]], "any")]))
    networks = [network(key, "/shop", "10.0.0.0/8", tags=("app=db",)) for key in "mno"]
    units = [
        *world().units.values(),
        *(unit(f"d{n}", 30 - n, f"e{n}", "app=db") for n in range(4, 9)),
        unit("web", 11, "e1", "app=web", *tags),
        unit("job", 64, "e3", "app=job"),
    ]
    enforcers = {f"e{n}": EnforcerEntry(b"", ()) for n in range(9)}
    asked = (64, 21, 12, 11, 99, 64)
    documents = []
    for step in (1, -1):
        parts = {"units": keyed(*units[::step]), "networks": keyed(*networks[::step])}
        parts |= {"rulesets": keyed(*rulesets[::step]), "enforcers": dict([*enforcers.items()][::step])}
        parts["units"] |= keyed(*units[-2:])
        documents.append(render(world(**parts), "e1", asked))
    assert documents[0] == documents[1]
    for document in documents:
        for table in TABLES:
            keys = list(getattr(document, table))
            assert len(keys) > 1
            assert keys == sorted(keys), table
    document = documents[0]
    assert document.asked == (11, 12, 21, 64)
    assert document.units["web"].tags == ("app=web", *tags)
    assert document.units["web"].outgoing == tuple(f"{key}/out/{number}" for key in "abc" for number in range(4))
    selectors = document.peers[21].selectors
    assert selectors == tuple(sorted(selectors)) == document.networks["n"].selectors
    assert len(selectors) == 4
