"""Which tests a change concerns: as few as can be told without running them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.policy.shop import keyed, network, rule, ruleset, unit, world
from watchword.model import expressions, ports
from watchword.policy.assertions import Assertion, Test
from watchword.policy.entries import Placed
from watchword.policy.relevance import concerned
from watchword.policy.sides import Situation
from watchword.policy.world import Namespace
from watchword.wire.policy import EnforcerEntry

WORLD = world(
    units=keyed(
        unit("web", 11, "e1", "app=web"),
        unit("db", 21, "e2", "app=db"),
        unit("far", 31, "e3", "app=far", namespace="/other"),
        unit("below", 41, "e3", "app=below", namespace="/shop/eu"),
    ),
    networks=keyed(network("office", "/shop", "192.0.2.0/24", tags=("net=office",))),
)
SITUATION = Situation.of(WORLD)


def claim(source: str, destination: str = "app=db", **fields: Any) -> Assertion:
    """An assertion about units of one tag each; "" for none."""
    sides = [expressions.parse([[side]]) if side else () for side in (source, destination)]
    values: dict[str, Any] = {"source_blocks": (), "destination_blocks": ()} | fields
    return Assertion(
        name="", source=sides[0], destination=sides[1], ports=ports.parse(["tcp/80"]), expect="Allow",
        quantifier="All", end="Both", allow_empty=False, **values,
    )  # fmt: skip


def concerns(entry: Any, *claims: Assertion, namespace: str = "/shop") -> bool:
    test = Test("t", "t", namespace, True, claims or (claim("app=web"),))
    other = Test("o", "o", "/nowhere", True, (claim("app=none", "app=none"),))
    return test in concerned([other, test], [Placed("part", "key", entry)], SITUATION)


def test_nothing_altered_concerns_nobody_and_one_of_several_is_enough() -> None:
    test = Test("t", "t", "/shop", True, (claim("app=web"),))
    assert concerned([test], [], SITUATION) == []
    altered = [Placed("units", "x", unit("x", 1, "e1", f"app={app}")) for app in ("none", "web")]
    assert concerned([test], altered, SITUATION) == [test]


def test_units_that_some_assertion_is_about() -> None:
    assert concerns(unit("x", 1, "e1", "app=web"))
    assert concerns(unit("x", 1, "e1", "app=db", namespace="/shop/eu"))
    assert not concerns(unit("x", 1, "e1", "app=other"))
    assert not concerns(unit("x", 1, "e1", "app=web", namespace="/other"))
    assert concerns(unit("x", 1, "e1", "app=web"), claim("app=none", "app=none"), claim("app=web"))


@pytest.mark.parametrize(
    ("path", "concerned_"), [("/shop", True), ("/", True), ("/shop/eu", True), ("/other", False), ("/shopping", False)]
)
def test_namespaces_above_and_below(path: str, concerned_: bool) -> None:
    assert concerns(Namespace(path)) is concerned_


def test_an_enforcer_decides_nothing_by_itself() -> None:
    assert not concerns(EnforcerEntry(b"", ()))


def about(subject: str, namespace: str = "/shop", **traits: bool) -> Any:
    return ruleset("s", namespace, [[subject]], inc=[rule("Reject", [["app=x"]], "any")], **traits)


def test_rulesets_about_units_that_the_test_is_about() -> None:
    assert concerns(about("app=web"))
    assert concerns(about("app=db"))
    assert concerns(about("app=web"), claim("app=none", "app=none"), claim("app=web", ""))
    assert concerns(about("app=web"), claim("", "app=web", source_blocks=("192.0.2.0/24",)))
    assert not concerns(about("app=far", "/other"))
    assert not concerns(about("app=below", "/shop", propagate=True))
    assert not concerns(about("app=web", "/"))
    assert concerns(about("app=web", "/", propagate=True))
    assert not concerns(about("app=db", "/shop/eu", propagate=True))


def test_rulesets_about_units_below_the_test_only_when_its_assertions_select_them() -> None:
    eu = about("app=below", "/shop/eu")
    assert concerns(eu, claim("app=below"))
    assert not concerns(eu)
    assert not concerns(about("app=far", "/", propagate=True), claim("app=far"))
    assert concerns(about("app=far", "/", propagate=True), claim("app=far"), namespace="/")


def test_networks_where_some_assertion_speaks_of_addresses() -> None:
    lab = network("lab", "/shop", "198.51.100.0/24", tags=("net=lab",))
    assert not concerns(lab)
    assert concerns(lab, claim("net=lab"))
    assert concerns(lab, claim("net=office")), "the lab may overlap the office"
    assert concerns(lab, claim("app=web"), claim("app=web", "net=lab"))
    assert concerns(lab, claim("", source_blocks=("10.0.0.0/8",)))
    assert concerns(lab, claim("app=web", "", destination_blocks=("10.0.0.0/8",)))
    elsewhere = network("lab", "/other", "198.51.100.0/24", tags=("net=lab",), propagate=True)
    assert not concerns(elsewhere, claim("net=lab"))
