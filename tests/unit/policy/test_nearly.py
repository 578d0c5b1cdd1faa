"""Rules that nearly matched: exactly one thing is missing, and it is named."""

from __future__ import annotations

from typing import Any

from tests.unit.policy.shop import keyed, network, rule, ruleset, world
from watchword.policy.decide import decide, party
from watchword.policy.nearly import Missed, missed
from watchword.policy.selection import rules_of
from watchword.policy.world import Ruleset, World

WEB = [["app=web"]]
ALLOW, NARROW = rule("Allow", [["app=db"]], "tcp/5432"), rule("Allow", [["app=db"]], "tcp/80", "udp/53")


def near(made: World, peer: str = "db", at: str = "web") -> list[Missed]:
    who = party(made, peer, "peer")
    return missed(made, decide(made, made.units[at], who, "out", 6, 5432), who, 6, 5432)


def lacking(lack: Any, why: str, *rulesets: Ruleset, network: str = "") -> list[Missed]:
    return [Missed(placed, lack, why, network) for placed in rules_of(rulesets, "out")]


def test_each_thing_that_can_be_missing_nearest_first() -> None:
    """A rule that matches lacks nothing; one that lacks two things is not near."""
    ports = ruleset("a", "/shop", WEB, out=[NARROW, ALLOW])
    elsewhere = ruleset(
        "b", "/shop", WEB, out=[rule("Allow", [["app=x"]], "tcp/5432"), rule("Allow", [["app=x"]], "tcp/1")]
    )
    off = ruleset("c", "/shop", WEB, out=[ALLOW, NARROW], disabled=True)
    above = ruleset("d", "/", WEB, out=[ALLOW, NARROW])
    spare = ruleset("e", "/shop", WEB, out=[ALLOW, NARROW], fallback=True)
    twice = ruleset("f", "/", WEB, out=[ALLOW], disabled=True, fallback=True)
    others = ruleset("g", "/shop", [["app=api"]], out=[NARROW])
    beside = ruleset("h", "/far", WEB, out=[ALLOW], propagate=True)
    spare_above = ruleset("i", "/", WEB, out=[ALLOW], fallback=True)
    off_spare = ruleset("j", "/shop", WEB, out=[ALLOW], fallback=True, disabled=True)
    made = world(rulesets=keyed(others, beside, ports, elsewhere, off, above, spare, twice, spare_above, off_spare))
    expected = [
        *lacking("disabled", "its ruleset is disabled", off, off_spare),
        *lacking("fallback", "its ruleset is a fallback and an ordinary ruleset selects the unit", spare),
        *lacking("scope", "its ruleset is not in force in /shop", above, spare_above),
        *lacking("ports", "its protocolPorts are tcp/80, udp/53, which leaves out tcp/5432", ports),
        *lacking("object", "its object does not select the peer", elsewhere),
    ]
    assert near(made) == [each for each in expected if each.placed.key.endswith("/0")]


def test_networks_that_the_ruleset_does_not_see() -> None:
    """Rather one above, which can be handed down; and none that the object does not name anyway."""
    named = rule("Allow", [["net=n"]], "tcp/5432")
    owner = ruleset("s", "/shop", WEB, out=[named])
    networks = {
        "a": network("a", "/far", "192.0.2.0/24", tags=("net=n",)),
        "b": network("b", "/", "192.0.2.0/24", tags=("net=other",)),
        "c": network("c", "/", "192.0.2.0/24", tags=("net=n",)),
        "d": network("d", "/", "192.0.2.0/24", tags=("net=n",)),
    }

    def missing(*keys: str) -> list[Missed]:
        return near(world(rulesets=keyed(owner), networks={key: networks[key] for key in keys}), "192.0.2.1")

    def hidden(key: str) -> list[Missed]:
        return lacking("network", f"external network the {key} is not visible from /shop", owner, network=key)

    assert missing("a", "b", "c", "d") == hidden("c")
    assert missing("a", "b") == hidden("a")
    assert missing("b") == lacking("object", "its object does not select the peer", owner)
    assert near(world(rulesets=keyed(owner), networks=networks)) == lacking(
        "object", "its object does not select the peer", owner
    )


def test_nothing_is_near_where_a_unit_meets_itself() -> None:
    assert near(world(), "web", "web") == []
