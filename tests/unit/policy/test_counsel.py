"""What is advised, in which order and words. tests/property shows that every remedy turns the verdict round."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.policy.shop import keyed, network, rule, ruleset, unit, world
from watchword.policy import nearly
from watchword.policy.counsel import LIMIT, counsel, expressed, naming
from watchword.policy.decide import decide, party
from watchword.policy.remedies import (
    AddNetwork,
    AddRule,
    AddRuleset,
    Change,
    CountRuleset,
    EnableRuleset,
    EnforceRule,
    PropagateNetwork,
    PropagateRuleset,
    Remedy,
    RemoveRule,
    SetDefault,
    TrustNetwork,
    WidenObject,
    WidenPorts,
)
from watchword.policy.world import Namespace, World

WEB, DB = [["app=web"]], [["app=db"]]
ALLOW, REJECT = rule("Allow", DB, "tcp/5432"), rule("Reject", DB, "tcp/5432")
OTHERS = rule("Allow", [["app=other"]], "tcp/5432")
OPEN = {"/": Namespace("/", "Allow", "Allow"), "/shop": Namespace("/shop")}


def advised(
    made: World, peer: str = "db", *, at: str = "web", way: Any = "out", flow: tuple[int, int] = (6, 5432)
) -> list[Remedy]:
    who = party(made, peer, "peer")
    end = decide(made, made.units[at], who, way, *flow)
    return list(counsel(made, end, who, nearly.missed(made, end, who, *flow), *flow))


def changes(*asked: Any, **how: Any) -> list[tuple[Change, ...]]:
    return [remedy.changes for remedy in advised(*asked, **how)]


def texts(*asked: Any, **how: Any) -> list[str]:
    return [remedy.text for remedy in advised(*asked, **how)]


def about_web(*rules: Any, key: str = "s", **traits: Any) -> Any:
    return ruleset(key, "/shop", WEB, out=rules, **traits)


def test_nothing_is_advised_against_talking_to_oneself() -> None:
    made = world()
    end = decide(made, made.units["web"], made.units["web"], "out", 6, 1)
    assert counsel(made, end, made.units["web"], [], 6, 1) == ()


def test_a_flow_that_nothing_allows() -> None:
    made = world(rulesets=keyed(about_web(OTHERS)))
    words = "add an outgoing Allow rule for db on tcp/5432"
    entries = ("tcp/5432",)
    assert advised(made) == [
        Remedy(
            f"{words} to 'the s' in /shop, which is about web",
            (AddRule("s", "outgoing", "Allow", (("app=db",),), entries),),
        ),
        Remedy(
            f"{words} to a new ruleset in /shop whose subject is app=web",
            (AddRuleset("/shop", (("app=web",),), "outgoing", "Allow", (("app=db",),), entries),),
        ),
        Remedy("add db to the object of rule 0 of 'the s' in /shop", (WidenObject("s/out/0", (("app=db",),)),)),
    ]


def test_the_other_direction_has_its_own_words() -> None:
    asked = advised(world(rulesets=keyed(ruleset("s", "/shop", DB))), "web", at="db", way="in")
    assert asked[0].text == "add an incoming Allow rule for web on tcp/5432 to 'the s' in /shop, which is about db"
    assert asked[0].changes == (AddRule("s", "incoming", "Allow", (("app=web",),), ("tcp/5432",)),)


def test_a_default_that_allows_is_set_to_reject() -> None:
    made = world(namespaces=OPEN, rulesets={})
    (added, closed) = advised(made)
    assert added.changes == (AddRuleset("/shop", (("app=web",),), "outgoing", "Reject", (("app=db",),), ("tcp/5432",)),)
    assert closed == Remedy("set the outgoing default of / to Reject", (SetDefault("/", "outgoing", "Reject"),))
    incoming = advised(made, at="db", peer="web", way="in")[-1]
    assert incoming == Remedy("set the incoming default of / to Reject", (SetDefault("/", "incoming", "Reject"),))


def test_what_allows_goes_too_before_the_default_rejects() -> None:
    made = world(namespaces=OPEN, rulesets=keyed(about_web(ALLOW)))
    last = advised(made)[-1]
    assert last.changes == (RemoveRule("s/out/0"), SetDefault("/", "outgoing", "Reject"))
    assert last.text == (
        "remove rule 0 of 'the s' in /shop, or narrow it to leave out this peer or tcp/5432; and set the outgoing "
        "default of / to Reject"
    )
    closed = {path: dataclasses.replace(each, default_outgoing="Reject") for path, each in OPEN.items()}
    assert not any(
        isinstance(each, SetDefault)
        for remedy in changes(dataclasses.replace(made, namespaces=closed))
        for each in remedy
    )


def test_what_rejects_goes_before_anything_else_allows() -> None:
    made = world(rulesets=keyed(about_web(REJECT), about_web(ALLOW, key="off", disabled=True)))
    first = advised(made)[0]
    assert first.changes == (RemoveRule("s/out/0"), EnableRuleset("off"))
    assert first.text == (
        "remove rule 0 of 'the s' in /shop, or narrow it to leave out this peer or tcp/5432; and make rule 0 of "
        "'the off' in /shop match: its ruleset is disabled"
    )
    # where the rest allows, no more is said
    assert changes(world(namespaces=OPEN, rulesets=keyed(about_web(REJECT)))) == [(RemoveRule("s/out/0"),)]


def test_what_would_reject_is_one_step() -> None:
    """A Reject wins: what allows may stay."""
    rulesets = keyed(
        about_web(ALLOW, rule("Reject", DB, "tcp/80"), rule("Reject", DB, "any", observed=True)),
        about_web(REJECT, key="off", disabled=True),
        about_web(REJECT, key="spare", fallback=True),
        ruleset("above", "/", WEB, out=[REJECT]),
    )
    assert changes(world(rulesets=rulesets)) == [
        (RemoveRule("s/out/0"),),
        (EnableRuleset("off"),),
        (CountRuleset("spare"),),
        (PropagateRuleset("above"),),
        (WidenPorts("s/out/1", ("tcp/5432",)),),
        (EnforceRule("s/out/2"),),
        (AddRule("s", "outgoing", "Reject", (("app=db",),), ("tcp/5432",)),),
        (AddRuleset("/shop", (("app=web",),), "outgoing", "Reject", (("app=db",),), ("tcp/5432",)),),
    ]
    assert texts(world(rulesets=rulesets))[5] == "turn observation off for rule 2 of 'the s' in /shop"


def test_the_same_change_is_advised_once() -> None:
    made = world(rulesets=keyed(about_web(ALLOW, rule("Allow", DB, "any"), key="off", disabled=True)))
    assert changes(made).count((EnableRuleset("off"),)) == 1


def test_rules_that_would_not_help_are_left_alone() -> None:
    """Of the wrong action, or in observation: neither completed nor widened."""
    rules = [
        rule("Reject", DB, "tcp/1"),
        rule("Allow", DB, "tcp/1", observed=True),
        rule("Reject", [["x=1"]], "tcp/5432"),
        rule("Allow", [["x=1"]], "tcp/5432", observed=True),
        rule("Reject", DB, "tcp/5432", observed=True),
    ]
    made = world(rulesets=keyed(about_web(*rules)))
    assert [type(each) for (each,) in changes(made)] == [AddRule, AddRuleset]


def test_a_few_of_each_kind_are_considered() -> None:
    narrow = [rule("Allow", DB, f"tcp/{port}") for port in range(1, 6)]
    assert [key for (key,) in changes(world(rulesets=keyed(about_web(*narrow))))][:3] == [
        WidenPorts(f"s/out/{index}", ("tcp/5432",)) for index in range(3)
    ]
    useless = [rule("Reject", DB, "tcp/9"), rule("Allow", DB, "tcp/9", observed=True)]
    made = world(rulesets=keyed(about_web(*useless, *narrow)))
    assert [type(each) for (each,) in changes(made)] == [WidenPorts] * 3 + [AddRule, AddRuleset]
    others = [rule("Allow", [[f"x={number}"]], "tcp/5432") for number in range(5)]
    useless = [rule("Reject", [["x=9"]], "tcp/5432"), rule("Allow", [["x=9"]], "tcp/5432", observed=True)]
    made = world(rulesets=keyed(about_web(*useless, *others)))
    assert changes(made)[2:] == [(WidenObject(f"s/out/{index}", (("app=db",),)),) for index in (2, 3, 4)]
    both = world(rulesets=keyed(about_web(*narrow), *(about_web(ALLOW, key=f"o{n}", disabled=True) for n in range(5)),
                                *(ruleset(f"a{n}", "/", WEB, out=[ALLOW]) for n in range(5))))  # fmt: skip
    assert len(advised(both)) == LIMIT == 8


NETWORKS = keyed(
    network("n", "/shop", "192.0.2.0/24", tags=("net=n", "$identity=externalnetwork")),
    network("m", "/", "192.0.2.0/25", tags=("net=m",)),
)


def test_addresses_are_named_by_their_networks() -> None:
    made = world(rulesets=keyed(about_web(rule("Allow", [["net=x"]], "tcp/5432"))), networks=NETWORKS)
    told = texts(made, "192.0.2.1")
    words = "add an outgoing Allow rule for external network the n on tcp/5432"
    assert told == [
        f"{words} to 'the s' in /shop, which is about web",
        f"{words} to a new ruleset in /shop whose subject is app=web",
        "add external network the n to the object of rule 0 of 'the s' in /shop",
    ]
    assert changes(made, "192.0.2.1")[0] == (AddRule("s", "outgoing", "Allow", (("net=n",),), ("tcp/5432",)),)
    both = {key: dataclasses.replace(each, propagate=True) for key, each in NETWORKS.items()}
    assert "external network the m or the n" in texts(dataclasses.replace(made, networks=both), "192.0.2.1")[0]


def test_a_network_that_is_not_visible_is_handed_down() -> None:
    made = world(rulesets=keyed(about_web(rule("Allow", [["net=m"]], "tcp/5432"))), networks=NETWORKS)
    first = advised(made, "192.0.2.1")[0]
    assert first.changes == (PropagateNetwork("m"),)
    assert first.text == "make rule 0 of 'the s' in /shop match: external network the m is not visible from /shop"


def test_an_address_without_a_network_gets_one() -> None:
    made = world(rulesets=keyed(about_web(ALLOW)))
    assert advised(made, "192.0.2.1") == [
        Remedy(
            "add an outgoing Allow rule for a new external network that contains 192.0.2.1 on tcp/5432 to a new "
            "ruleset in /shop whose subject is app=web (the network has to be made too)",
            (
                AddNetwork("/shop", ("192.0.2.1",), ("externalnetwork:name=192.0.2.1",)),
                AddRuleset(
                    "/shop",
                    (("app=web",),),
                    "outgoing",
                    "Allow",
                    (("externalnetwork:name=192.0.2.1",),),
                    ("tcp/5432",),
                ),
            ),
        )
    ]
    for prefixes, number in ((("app=",), 0), (("app=", "externalnetwork:"), 1)):
        spaces = {"/": Namespace("/"), "/shop": Namespace("/shop", tag_prefixes=prefixes)}
        assert len(advised(dataclasses.replace(made, namespaces=spaces), "192.0.2.1")) == number


def test_a_peer_that_no_tag_may_name_gets_no_rule() -> None:
    """Prefixes that leave nothing to say of the peer, or of the unit."""
    made = world(rulesets=keyed(about_web(OTHERS)))
    for prefixes in (("zone=",), ("app=w",)):
        spaces = {"/": Namespace("/"), "/shop": Namespace("/shop", tag_prefixes=prefixes)}
        assert advised(dataclasses.replace(made, namespaces=spaces)) == []
    spaces = {"/": Namespace("/"), "/shop": Namespace("/shop", tag_prefixes=("app=d",))}
    named = changes(dataclasses.replace(made, namespaces=spaces))
    assert [type(each) for (each,) in named] == [AddRule, WidenObject]


def test_rules_are_added_to_own_rulesets_of_the_namespace() -> None:
    """Not to one of a namespace above, and not to an intent, whose rules are not its own."""
    rulesets = keyed(
        ruleset("a-above", "/", WEB, out=[OTHERS], propagate=True),
        about_web(OTHERS, key="b-intent", origin="i"),
        about_web(OTHERS, key="c-own"),
        about_web(OTHERS, key="d-own"),
    )
    added = [each for (each,) in changes(world(rulesets=rulesets)) if isinstance(each, AddRule)]
    assert [each.ruleset for each in added] == ["c-own"]


def test_a_required_identity_is_shown_or_no_longer_required() -> None:
    wanted = dataclasses.replace(NETWORKS["n"], identity_required=True)
    made = world(namespaces=OPEN, rulesets={}, networks=keyed(wanted))
    assert advised(made, "192.0.2.1") == [
        Remedy(
            "let the peer prove an identity, or no longer require one in external network 'the n'",
            (TrustNetwork("n"),),
        )
    ]


@pytest.mark.parametrize(
    ("flow", "entry"),
    [((6, 80), "tcp/80"), ((17, 53), "udp/53"), ((1, 8 << 8), "icmp/8/0"), ((58, 128 << 8 | 3), "icmp6/128/3"),
     ((47, 0), "gre"), ((0, 0), "hopopt")],
)  # fmt: skip
def test_flows_are_named_as_narrowly_as_can_be(flow: tuple[int, int], entry: str) -> None:
    (first, *_) = changes(world(rulesets=keyed(about_web())), flow=flow)
    assert first == (AddRule("s", "outgoing", "Allow", (("app=db",),), (entry,)),)


def test_a_protocol_that_no_entry_can_name_gets_no_rule() -> None:
    made = world(rulesets=keyed(about_web(rule("Allow", DB, "tcp/1"))))
    assert advised(made, flow=(200, 0)) == []


@pytest.mark.parametrize(
    ("tags", "prefixes", "expression"),
    [
        ({"b=2", "a=1", "@org:x=1", "$name=x"}, (), "a=1 and b=2"),
        ({"@org:x=1", "@cloud:y=2", "$name=x", "$namespace=/", "$id=7", "$type=a"}, (), "$name=x and $namespace=/"),
        ({"@org:x=1", "@cloud:y=2", "$id=7"}, (), "@cloud:y=2 and @org:x=1"),
        ({"$type=a", "$id=7"}, (), "$id=7"),
        ({"!a=1", "b=*", "c=3"}, (), "c=3"),
        ({"a=1", "b=2", "c=3", "d=4", "e=5"}, (), "a=1 and b=2 and c=3 and d=4"),
        ({"a=1", "b=2"}, ("b=", "c="), "b=2"),
        ({"a=1", "b=2"}, ("c=",), ""),
        (set(), (), ""),
    ],
)
def test_the_most_telling_tags_name_something(tags: set[str], prefixes: tuple[str, ...], expression: str) -> None:
    found = naming(frozenset(tags), prefixes)
    assert expressed(found) == expression
    assert isinstance(found, tuple)
    assert expressed((("a", "b"), ("c",))) == "a and b or c"


def test_units_are_named_as_narrowly_as_their_tags_allow() -> None:
    units = keyed(unit("web", 1, "e1", "app=web", "tier=front"), unit("db", 2, "e2", "app=db", "tier=back"))
    (added, _) = changes(world(units=units, rulesets=keyed(about_web())))
    assert added == (AddRule("s", "outgoing", "Allow", (("app=db", "tier=back"),), ("tcp/5432",)),)
