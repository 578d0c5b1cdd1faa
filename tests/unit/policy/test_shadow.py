"""A draft's verdict beside the live one: the same as deciding, and unknown where a report does not say enough."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest

from tests.unit.policy.shop import keyed, network, rule, ruleset, unit, world
from watchword.model.expressions import Expression, matches
from watchword.policy import decide, shadow, versions
from watchword.policy.shadow import Meeting, Opinion, Overlay, View
from watchword.policy.tables import Direction
from watchword.policy.world import Alteration, Namespace, Network, World

SQL = 5432
OFFICE = network("office", "/shop", "192.0.2.0/24", "!192.0.2.128/25", tags=("net=office",))


def populated(expression: Expression) -> bool:
    return any(matches(expression, each.tags) for each in world().units.values())


def view(of: World) -> View:
    made = View(populated)
    made.follow(of)
    return made


def over(live: View, draft: World) -> Overlay:
    """``draft`` as what it alters in ``live``."""
    return Overlay(live, altering(live.world, draft))


def altering(live: World, draft: World) -> list[Alteration]:
    found = versions.alterations(live, draft)
    return [each for each in found if each.part in ("rulesets", "networks")]


def beside(live: World, draft: World, **meeting: Any) -> Opinion | None:
    given = {"unit": live.units["web"], "peer": live.units["db"], "direction": "out", "protocol": 6, "port": SQL}
    return over(view(live), draft).otherwise(Meeting(**{**given, **meeting}))


def with_rules(*out: Any, inc: Any = (), networks: tuple[Network, ...] = (OFFICE,), **changes: Any) -> World:
    """The shop, but for web: these rules, and no others."""
    rulesets = {**world().rulesets, "web-out": ruleset("web-out", "/shop", [["app=web"]], out=out, inc=inc)}
    return world(rulesets=rulesets, networks=keyed(*networks), **changes)


LIVE = with_rules(rule("Allow", [["app=db"]], "tcp/5432"))
NOTHING = with_rules()


def test_what_a_draft_takes_away_and_what_it_adds() -> None:
    assert beside(LIVE, LIVE) is None
    assert beside(LIVE, NOTHING) == Opinion("Reject")
    assert beside(NOTHING, LIVE) == Opinion("Allow", "web-out/out/0")
    rejecting = with_rules(rule("Reject", [["app=db"]], "any"))
    assert beside(LIVE, rejecting) == Opinion("Reject", "web-out/out/0")
    assert beside(NOTHING, rejecting) == Opinion("Reject", "web-out/out/0"), "refused by something else"
    assert beside(LIVE, NOTHING, port=80) is None
    assert beside(LIVE, NOTHING, direction="in") is None
    assert beside(NOTHING, LIVE, peer=LIVE.units["job"]) is None


def test_a_unit_always_talks_to_itself() -> None:
    strict = with_rules(rule("Reject", [["app=web"]], "any"))
    assert beside(LIVE, strict, peer=LIVE.units["web"]) is None
    assert view(strict).opinion(*_asked(strict, "web")) == Opinion("Allow")


def _asked(of: World, peer: str, **more: Any) -> Any:
    meeting = Meeting(of.units["web"], of.units.get(peer, peer), "out", 6, SQL, **more)
    return meeting, view(of).grounds(meeting)


WORLDS = [
    LIVE,
    NOTHING,
    world(),
    with_rules(rule("Allow", [["net=office"]], "any"), rule("Reject", [["app=db"], ["net=in"]], "tcp/1:6000")),
    with_rules(rule("Allow", [["app=*"], ["net=*"]], "any", observed=True), inc=[rule("Allow", [["app=db"]], "any")]),
    with_rules(
        rule("Allow", [["net=office"]], "tcp/5432", "udp/53"),
        networks=(OFFICE, dataclasses.replace(OFFICE, id="strict", identity_required=True, entries=("192.0.2.64/26",))),
        namespaces={"/": Namespace("/", "Allow", "Allow")},
    ),
    with_rules(networks=(dataclasses.replace(OFFICE, identity_required=True),)),
]


@pytest.mark.parametrize(("live", "draft"), [*itertools.permutations(range(len(WORLDS)), 2)])
def test_who_is_known_is_decided_as_the_world_decides(live: int, draft: int) -> None:
    before, after = WORLDS[live], WORLDS[draft]
    after = versions.altered(before, before.revision, altering(before, after))
    overlay = over(view(before), after)
    directions: tuple[Direction, Direction] = ("in", "out")
    peers: list[Any] = [
        *before.units.values(),
        "192.0.2.1",
        "192.0.2.70",
        "192.0.2.200",
        "::ffff:192.0.2.1",
        "2001:db8::1",
    ]
    flows = ((6, SQL), (6, 6001), (17, 53), (1, 0))
    for mine, peer, direction, (protocol, port) in itertools.product(before.units.values(), peers, directions, flows):
        meeting = Meeting(mine, peer, direction, protocol, port)
        found = overlay.otherwise(meeting)
        was, now = (_decided(each, meeting) for each in (before, after))
        assert (was if found is None else found) == now, meeting


def _decided(of: World, meeting: Meeting) -> Opinion:
    peer = meeting.peer if not isinstance(meeting.peer, str) else decide.stranger(of, meeting.peer)
    found = decide.decide(of, meeting.unit, peer, meeting.direction, meeting.protocol, meeting.port).verdict
    return Opinion(found.action, found.rule)


# --- refused before the peer could say who it is ------------------------------------------------


def unheard(live: World, draft: World, peer: str = "198.51.100.9", **more: Any) -> Opinion | None:
    return beside(live, draft, peer=peer, heard=False, **more)


def test_a_peer_that_was_not_heard_may_be_one_that_the_draft_allows() -> None:
    assert unheard(NOTHING, LIVE) == Opinion("Unknown", doubt="identity")
    assert beside(NOTHING, LIVE, peer="198.51.100.9") is None, "one that has no identity is refused all the same"
    nobody = with_rules(rule("Allow", [["app=nobody"]], "any"))
    assert unheard(NOTHING, nobody) is None, "no unit is like that"
    assert unheard(NOTHING, with_rules(rule("Allow", [["app=db"]], "any", observed=True))) is None
    assert unheard(NOTHING, with_rules(rule("Reject", [["app=db"]], "any"))) is None
    assert unheard(NOTHING, LIVE, port=80) is None


def test_an_address_that_the_draft_allows_is_let_through_unless_a_unit_is_there() -> None:
    office = with_rules(rule("Allow", [["net=office"]], "any"))
    assert unheard(NOTHING, office, "192.0.2.1") == Opinion("Allow", "web-out/out/0", "no identity")
    assert unheard(NOTHING, office, "192.0.2.200") is None, "carved out"
    assert beside(NOTHING, office, peer="192.0.2.1") == Opinion("Allow", "web-out/out/0")
    open_: Any = {"namespaces": {"/": Namespace("/", "Reject", "Allow")}}
    closed = with_rules(rule("Reject", [["net=office"]], "any"), **open_)
    assert unheard(closed, with_rules(**open_), "192.0.2.1") == Opinion("Allow")
    cases: list[tuple[str, str, Any, Any]] = [
        ("Reject", "app=db", {}, "no identity"),
        ("Reject", "app=nobody", {}, ""),
        ("Reject", "app=db", {"observed": True}, ""),
        ("Allow", "app=db", {}, ""),
    ]
    for action, object_, traits, doubt in cases:
        rules = rule(action, [["app=nobody"]], "any"), rule(action, [[object_]], "any", **traits)
        assert unheard(closed, with_rules(*rules, **open_), "192.0.2.1") == Opinion("Allow", "", doubt)
    refused = with_rules(rule("Reject", [["net=office"]], "any"), rule("Allow", [["app=api"]], "any"), **open_)
    assert unheard(with_rules(**open_), refused, "192.0.2.1") == Opinion("Unknown", doubt="identity")
    by_default = with_rules(rule("Reject", [["net=office"]], "tcp/1:65535"), **open_)
    assert unheard(with_rules(**open_), by_default, "192.0.2.1") == Opinion("Unknown", doubt="identity")


def test_what_is_unknown_stays_so_unless_nothing_that_matters_differs() -> None:
    both = with_rules(rule("Allow", [["app=db"]], "tcp/5432"), rule("Allow", [["app=db"]], "tcp/80"))
    assert unheard(LIVE, LIVE) is None
    assert unheard(LIVE, both) == Opinion("Unknown", doubt="identity")


# --- host names ---------------------------------------------------------------------------------

SITE = network("site", "/shop", tags=("net=site",), names=("example.com",))


def named(*rules: Any, **changes: Any) -> World:
    return with_rules(*rules, networks=(OFFICE, dataclasses.replace(SITE, **changes)))


SITE_ALLOWED = rule("Allow", [["net=site"]], "any")
SITE_REJECTED = rule("Reject", [["net=site"]], "any")


def test_an_address_may_be_one_of_a_host_name() -> None:
    unknown = Opinion("Unknown", doubt="names")
    assert beside(named(), named(SITE_ALLOWED), peer="198.51.100.9") == unknown
    assert beside(named(), named(SITE_REJECTED), peer="198.51.100.9") is None, "refused either way"
    assert beside(named(), named(rule("Allow", [["net=site"]], "any", observed=True)), peer="198.51.100.9") is None
    office = rule("Allow", [["net=office"]], "any")
    assert beside(named(office), named(office, SITE_REJECTED), peer="192.0.2.1") == unknown
    assert beside(named(office), named(office, SITE_ALLOWED), peer="192.0.2.1") is None
    closed = rule("Reject", [["net=office"]], "any")
    assert beside(named(closed), named(closed, SITE_ALLOWED), peer="192.0.2.1") is None, "a Reject wins"
    assert beside(named(), named(rule("Allow", [["app=db"]], "any")), peer="198.51.100.9") is None
    demanding = named(office, identity_required=True)
    assert beside(named(office), demanding, peer="192.0.2.1") == unknown
    assert beside(named(), named(SITE_ALLOWED)) is None, "a unit has no address"
    assert unheard(named(), named(SITE_ALLOWED)) == unknown
    coming = with_rules(inc=[SITE_ALLOWED], networks=(OFFICE, SITE))
    assert beside(named(), coming, peer="198.51.100.9", direction="in") is None, "who comes is known by address alone"


# --- an Enforcer's own settings -----------------------------------------------------------------


def test_what_the_enforcer_itself_refuses_no_draft_allows() -> None:
    office = with_rules(rule("Allow", [["net=office"]], "any"))
    closed = with_rules(rule("Reject", [["net=office"]], "any"))
    assert beside(closed, office, peer="192.0.2.1", barred=True) is None
    assert beside(NOTHING, LIVE, barred=True) == Opinion("Allow", "web-out/out/0"), "who proves an identity may"
    assert unheard(NOTHING, LIVE, barred=True) == Opinion("Unknown", doubt="identity")
    made = view(office)
    meeting, grounds = _asked(office, "192.0.2.1", barred=True)
    assert made.opinion(meeting, grounds) == Opinion("Reject", "@identity-required/out/0")


# --- from one world to the next -----------------------------------------------------------------


def test_what_is_altered_in_the_live_world_is_altered_beneath_a_draft() -> None:
    live = view(LIVE)
    draft = Overlay(live, [Alteration("rulesets", "more", ruleset("more", "/shop", [["app=web"]]))])
    meeting = Meeting(LIVE.units["web"], LIVE.units["job"], "out", 6, SQL)
    assert draft.otherwise(meeting) is None
    more = ruleset("more", "/shop", [["app=web"]], out=[rule("Allow", [["app=job"]], "any")])
    draft = Overlay(live, [Alteration("rulesets", "more", None), Alteration("rulesets", "more", more)])
    assert draft.otherwise(meeting) == Opinion("Allow", "more/out/0")
    assert draft.otherwise(dataclasses.replace(meeting, unit=unit("web", 11, "e1", "app=other"))) is None
    live.follow(with_rules(rule("Reject", [["app=job"]], "any")))
    assert draft.otherwise(meeting) is None
    live.follow(dataclasses.replace(live.world, rulesets={"more": ruleset("more", "/", [["app=web"]], fallback=True)}))
    assert draft.otherwise(meeting) == Opinion("Allow", "more/out/0")
    live.follow(dataclasses.replace(live.world, rulesets={"more": more}))
    assert draft.otherwise(meeting) is None
    closed = Overlay(live, [Alteration("rulesets", "more", None)])
    assert closed.otherwise(meeting) == Opinion("Reject")
    live.follow(dataclasses.replace(live.world, namespaces={"/": Namespace("/", "Allow", "Allow")}))
    assert closed.otherwise(meeting) == Opinion("Allow")
    assert closed.world is live.world


def test_networks_of_both_worlds_are_looked_at() -> None:
    live = view(named(SITE_ALLOWED))
    address = Meeting(LIVE.units["web"], "198.51.100.9", "out", 6, SQL)
    assert Overlay(live, []).otherwise(address) is None
    gone = Overlay(live, [Alteration("networks", "site", None)])
    assert gone.otherwise(address) == Opinion("Reject"), "the live verdict is not known, the draft's is"
    live.follow(named(SITE_ALLOWED, entries=("198.51.100.0/24",)))
    assert gone.otherwise(address) == Opinion("Reject")
    more = dataclasses.replace(SITE, id="a", names=("example.org",), tags=frozenset({"net=more"}))
    both = Overlay(live, [Alteration("networks", "a", more)])
    assert both.otherwise(address) is None
    both.catch_up()
    assert [each.id for each in both.named] == ["site", "a"]
    wide = dataclasses.replace(OFFICE, id="a", entries=("198.51.0.0/16",))
    assert [each.id for each in Overlay(live, [Alteration("networks", "a", wide)]).containing("198.51.100.9")] == [
        "a",
        "site",
    ]


def test_what_was_found_is_kept_while_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "REMEMBERED", 2)
    live = view(LIVE)
    draft = over(live, NOTHING)
    meetings = [Meeting(LIVE.units["web"], LIVE.units["db"], "out", 6, port) for port in (SQL, 1, 2, SQL, 1)]
    found = []
    for meeting in meetings:
        assert (
            draft.otherwise(meeting) == draft.otherwise(meeting) == (Opinion("Reject") if meeting.port == SQL else None)
        )
        found.append(len(draft._opinions))
    assert found == [1, 2, 1, 2, 1]
    live.follow(dataclasses.replace(LIVE, rulesets={}))
    assert draft.otherwise(meetings[0]) is None
    assert draft._opinions == {}, "what was found is found anew, and there is nothing to find"
    assert live.rules(LIVE.units["web"], "out") == ()
    known = [draft.rules(LIVE.units["db"], "in") for _ in range(2)]
    assert known[0] is known[1]


def test_only_so_many_units_are_remembered_and_each_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "REMEMBERED", 3)
    made = view(LIVE)
    for number in range(9):
        assert len(made.rules(unit(f"u{number}", number, "e1", "app=web"), "out")) == 1
        assert len(made._rules) == number % 3 + 1
    web = LIVE.units["web"]
    assert made.rules(web, "out") is made.rules(web, "out")
    assert made.rules(web, "in") == ()
    assert made.rules(unit("web", 11, "e1", "app=other"), "out") == ()
    made.follow(dataclasses.replace(LIVE, units={}))
    assert len(made._rules) > 0, "units alone change no rules"
    made.follow(dataclasses.replace(LIVE, networks={}))
    assert len(made._rules) == 0
