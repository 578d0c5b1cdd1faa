"""Notes about networks of host names that a rule selects."""

from __future__ import annotations

from tests.unit.policy.shop import keyed, network, rule, ruleset, world
from watchword.policy.decide import decide, stranger
from watchword.policy.unresolved import notes
from watchword.policy.world import Network

NAMES = ("a.example", "b.example", "c.example", "d.example")


def named(key: str, *names: str, namespace: str = "/shop", tag: str = "net=saas") -> Network:
    return network(key, namespace, tags=(tag,), names=names, propagate=True)


def told(*networks: Network) -> list[str]:
    """What is said of web's refused flow to an address."""
    out = [rule("Allow", [["net=saas"]], "tcp/443")]
    made = world(networks=keyed(*networks), rulesets=keyed(ruleset("s", "/shop", [["app=web"]], out=out)))
    ends = [decide(made, made.units["web"], stranger(made, "192.0.2.1"), "out", 6, 443)]
    return list(notes(made, networks, ends))


def sentence(name: str, listed: str) -> str:
    return (
        f"the s selects external network {name}, whose host names ({listed}) stand for whatever addresses the "
        "unit has learned under them, which is not looked at here"
    )


def test_a_rule_that_selects_names_is_told_with_the_first_of_them() -> None:
    assert told(named("one", "a.example")) == [sentence("the one", "a.example")]
    assert told(named("three", *NAMES[:3])) == [sentence("the three", "a.example, b.example, c.example")]
    assert told(named("four", *NAMES)) == [sentence("the four", "a.example, b.example, c.example, …")]


def test_networks_that_have_no_names_or_that_no_rule_selects_are_not_told() -> None:
    addresses = network("plain", "/shop", "192.0.2.0/24", tags=("net=saas",))
    elsewhere = named("elsewhere", "a.example", namespace="/other")
    other = named("other", "a.example", tag="net=other")
    assert told(addresses, elsewhere, other) == []
    assert told(addresses, other, named("one", "a.example")) == [sentence("the one", "a.example")]
    assert told() == []


def test_notes_come_by_namespace_and_name() -> None:
    above = named("z", "z.example", namespace="/")
    assert told(named("b", "b.example"), named("a", "a.example"), above) == [
        sentence("the z", "z.example"), sentence("the a", "a.example"), sentence("the b", "b.example"),
    ]  # fmt: skip


def test_a_rule_about_who_comes_is_told_to_be_none_of_names() -> None:
    came = [rule("Allow", [["net=saas"]], "tcp/443")]
    made = world(
        networks=keyed(named("one", "a.example")), rulesets=keyed(ruleset("s", "/shop", [["app=web"]], inc=came))
    )
    ends = [decide(made, made.units["web"], stranger(made, "192.0.2.1"), "in", 6, 443)]
    (note,) = notes(made, made.networks.values(), ends)
    assert note.endswith("(a.example) count for what a unit opens, and not for who comes")
