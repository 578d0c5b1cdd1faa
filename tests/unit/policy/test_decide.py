"""Decisions straight from a world: what went into them, for explanations, and both ends of a flow."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.policy.shop import keyed, network, rule, ruleset, world
from watchword.model.problems import Invalid
from watchword.policy.decide import Decision, FlowDecision, Stranger, decide, decide_flow, party, stranger, takes
from watchword.policy.tables import Direction, Verdict
from watchword.policy.world import Namespace

NETWORKS = keyed(
    network("wide", "/shop", "10.0.0.0/8", "!10.2.0.0/16", tags=("net=wide",)),
    network("narrow", "/shop", "10.1.0.0/16", tags=("net=narrow",)),
    network("inside", "/", "10.1.2.0/24", tags=("net=in",), propagate=True, identity_required=True),
    network("beside", "/other", "10.1.0.0/16", tags=("net=wide",), propagate=True, identity_required=True),
)


def test_a_stranger_belongs_to_every_network_that_covers_it_by_id() -> None:
    made = world(networks=NETWORKS)
    found = {
        address: [network.id for network in stranger(made, address).networks]
        for address in ("10.9.0.1", "10.1.0.1", "10.1.2.3", "10.2.0.1", "192.0.2.1")
    }
    assert found == {
        "10.9.0.1": ["wide"],
        "10.1.0.1": ["beside", "narrow", "wide"],
        "10.1.2.3": ["beside", "inside", "narrow", "wide"],
        "10.2.0.1": [],
        "192.0.2.1": [],
    }
    assert stranger(made, "::ffff:10.9.0.1").address == "10.9.0.1"


def test_a_party_is_a_unit_or_an_address() -> None:
    made = world()
    assert party(made, "web", "source") is made.units["web"]
    assert party(made, "192.0.2.1", "source") == Stranger("192.0.2.1", ())
    with pytest.raises(Invalid, match=r"^peer: 'nobody' is no processing unit's ID and no address"):
        party(made, "nobody", "peer")


def test_both_ends_have_a_say_and_an_end_without_enforcer_has_none() -> None:
    made = world()
    web, db, address = made.units["web"], made.units["db"], stranger(made, "192.0.2.1")
    both = decide_flow(made, web, db, 6, 5432)
    assert both.action == "Allow"
    assert both.outgoing is not None
    assert both.incoming is not None
    assert (both.outgoing.unit, both.outgoing.direction, both.outgoing.verdict.rule) == (web, "out", "web-out/out/0")
    assert (both.incoming.unit, both.incoming.direction, both.incoming.verdict.rule) == (db, "in", "db-in/in/0")
    assert decide_flow(made, db, web, 6, 5432).action == "Reject"
    leaving, coming = decide_flow(made, web, address, 6, 80), decide_flow(made, address, web, 6, 80)
    assert (leaving.incoming, coming.outgoing) == (None, None)
    assert (leaving.action, coming.action) == ("Reject", "Reject")
    assert leaving.outgoing == decide(made, web, address, "out", 6, 80)
    assert coming.incoming == decide(made, web, address, "in", 6, 80)
    with pytest.raises(Invalid, match="neither end is a processing unit"):
        decide_flow(made, address, address, 6, 80)


@pytest.mark.parametrize(
    ("outgoing", "incoming", "action"),
    [
        ("Allow", "Allow", "Allow"), ("Allow", "Reject", "Reject"), ("Reject", "Allow", "Reject"),
        ("Allow", "", "Allow"), ("", "Allow", "Allow"), ("", "Reject", "Reject"), ("Reject", "", "Reject"),
    ],
)  # fmt: skip
def test_a_flow_is_allowed_when_every_end_that_decides_allows(outgoing: Any, incoming: Any, action: str) -> None:
    unit = world().units["web"]
    ends = [Decision(unit, "out", Verdict(end), (), "Reject", "") if end else None for end in (outgoing, incoming)]
    assert FlowDecision(*ends).action == action


def test_a_unit_with_itself_is_allowed_and_says_so() -> None:
    made = world()
    web = made.units["web"]
    itself = decide(made, web, web, "out", 6, 1)
    assert itself == Decision(web, "out", Verdict("Allow"), (), "Reject", "/", itself=True)
    other = decide(made, web, made.units["api"], "out", 6, 1)
    assert other == Decision(web, "out", Verdict("Reject"), (), "Reject", "/", itself=False)
    assert not other.itself


def test_what_matched_is_listed_by_key_and_nothing_else_is() -> None:
    out = [
        rule("Allow", [["app=db"]], "any"),
        rule("Allow", [["app=job"]], "any"),
        rule("Reject", [["app=*"]], "udp/443"),
    ]
    rulesets = keyed(
        ruleset("b", "/shop", [["app=web"]], out=out, inc=[rule("Allow", [["app=*"]], "any")]),
        ruleset("a", "/shop", [["app=web"]], out=[rule("Allow", [["app=db"]], "tcp/80", "tcp/443")]),
        ruleset("c", "/shop", [["app=api"]], out=out),
    )
    made = world(rulesets=rulesets)
    web, db = made.units["web"], made.units["db"]
    found = {
        flow: [placed.key for placed in decide(made, web, db, "out", *flow).matching]
        for flow in ((6, 443), (6, 444), (17, 443))
    }
    assert found == {
        (6, 443): ["a/out/0", "b/out/0"], (6, 444): ["b/out/0"], (17, 443): ["b/out/0", "b/out/2"],
    }  # fmt: skip
    assert decide(made, web, db, "out", 17, 443).verdict == Verdict("Reject", "b/out/2", explicit=True)
    assert [placed.key for placed in decide(made, web, db, "in", 6, 1).matching] == ["b/in/0"]


def matching(address: str, direction: Direction = "in") -> list[str]:
    rules = [rule("Allow", [["net=wide"]], "any"), rule("Allow", [["net=narrow"]], "tcp/80")]
    made = world(networks=NETWORKS, rulesets=keyed(ruleset("s", "/shop", [["app=web"]], inc=rules)))
    decided = decide(made, made.units["web"], stranger(made, address), direction, 6, 80)
    return [placed.key for placed in decided.matching]


def test_addresses_are_named_by_the_networks_that_the_ruleset_sees() -> None:
    assert matching("10.9.0.1") == ["s/in/0"]
    assert matching("10.1.0.1") == ["s/in/0", "s/in/1"]
    assert matching("10.2.0.1") == []


def test_a_network_that_requires_identity_adds_a_rule_where_it_is_seen() -> None:
    assert matching("10.1.2.3") == ["inside/in/0", "s/in/0", "s/in/1"]
    assert matching("10.1.2.3", "out") == ["inside/out/0"]
    made = world(networks=NETWORKS)
    unit, address = made.units["api"], stranger(made, "10.1.2.3")
    assert decide(made, unit, address, "in", 17, 1).verdict.rule == "inside/in/0"
    assert decide(made, unit, made.units["web"], "in", 17, 1).verdict.rule == ""


def test_the_default_and_where_it_comes_from() -> None:
    made = world(namespaces={"/": Namespace("/", "Allow"), "/shop": Namespace("/shop", "Inherit", "Reject")})
    unit, address = made.units["api"], stranger(made, "192.0.2.1")
    incoming, outgoing = (decide(made, unit, address, way, 6, 80) for way in ("in", "out"))
    assert (incoming.default, incoming.default_namespace, incoming.verdict) == ("Allow", "/", Verdict("Allow"))
    assert (outgoing.default, outgoing.default_namespace, outgoing.verdict) == ("Reject", "/shop", Verdict("Reject"))
    nowhere = decide(world(namespaces={}), unit, address, "in", 6, 80)
    assert (nowhere.default, nowhere.default_namespace) == ("Reject", "")


def test_a_rule_takes_what_some_of_its_ranges_cover() -> None:
    several = rule("Allow", [["app=db"]], "tcp/80", "udp/53")
    assert [takes(several, *flow) for flow in ((6, 80), (17, 53), (6, 53), (17, 80))] == [True, True, False, False]
