"""Policy tests in words: who is counted, who is shown, and what is said of it. tests/property decides who is right."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.policy.shop import keyed, network, rule, ruleset, unit, world
from watchword.model.ports import parse
from watchword.model.resources import AssertionResult, PolicyAssertion, PolicyTest
from watchword.policy.assertions import Assertion, Outcome, Test, describe, evaluate, parsed, results, run, touches
from watchword.policy.decide import Stranger, stranger
from watchword.policy.sides import Situation
from watchword.policy.world import Namespace, World

WEB, DB, API, NOBODY = (((f"app={name}",),) for name in ("web", "db", "api", "nobody"))


def assertion(source: Any = WEB, destination: Any = DB, ports: str = "tcp/5432", **traits: Any) -> Assertion:
    given: dict[str, Any] = {
        "name": "",
        "source_blocks": (),
        "destination_blocks": (),
        "expect": "Allow",
        "quantifier": "All",
    }
    given |= {"end": "Both", "allow_empty": False, **traits}
    return Assertion(source=source, destination=destination, ports=parse([ports]), **given)


def outcome(made: World, claim: Assertion, namespace: str = "/shop") -> Outcome:
    return evaluate(claim, namespace, Situation.of(made))


def shown(made: World, claim: Assertion, namespace: str = "/shop") -> AssertionResult:
    """The one result of a test with one assertion."""
    test = Test("t", "t", namespace, True, (claim,))
    (result,) = results(test, run(test, Situation.of(made)))
    return result


def test_what_a_resource_says_is_what_is_tried() -> None:
    claim = {"from_": [["app=web"]], "to_addresses": ["192.0.2.0/24"], "protocol_ports": ["tcp/80", "udp/53"]}
    traits = {"expect": "Reject", "quantifier": "Some", "end": "Source", "allow_empty": True}
    other = {"from_addresses": ["192.0.2.1"], "to": [["app=db"]], "protocol_ports": ["any"]}
    assertions = [PolicyAssertion(name="one", **claim, **traits), PolicyAssertion(**other)]  # type: ignore[arg-type]
    fields = {"id": "t1", "name": "t", "namespace": "/shop", "assertions": assertions}
    test = parsed(PolicyTest(**fields, mode="enforce"))  # type: ignore[arg-type]
    assert test == Test(
        "t1",
        "t",
        "/shop",
        True,
        (
            Assertion(
                "one", WEB, (), (), ("192.0.2.0/24",), parse(["tcp/80", "udp/53"]), "Reject", "Some", "Source", True
            ),
            Assertion("", (), ("192.0.2.1",), DB, (), parse(["any"]), "Allow", "All", "Both", False),
        ),
    )
    assert not parsed(PolicyTest(**fields)).enforced  # type: ignore[arg-type]
    assert not parsed(PolicyTest(**fields, mode="enforce", disabled=True)).enforced  # type: ignore[arg-type]


def test_results_stand_in_the_order_of_the_assertions() -> None:
    holding, failing = assertion(name="first"), assertion(name="second", expect="Reject")
    test = Test("t", "t", "/shop", True, (holding, failing))
    assert results(test, run(test, Situation.of(world()))) == [
        AssertionResult(index=0, name="first", passed=True, message="holds for all 1 pairs", pairs=1),
        AssertionResult(
            index=1,
            name="second",
            passed=False,
            message="/shop/web → /shop/db tcp/5432 gets Allow; every pair has to get Reject",
            pairs=1,
            source="/shop/web",
            destination="/shop/db",
            flow="tcp/5432",
            decided_by="outgoing: the web-out/query in /shop (Allow); incoming: the db-in in /shop (Allow)",
        ),
    ]
    with pytest.raises(ValueError, match="zip"):
        results(test, run(test, Situation.of(world()))[:1])


@pytest.mark.parametrize(
    ("traits", "passed", "message"),
    [
        ({"quantifier": "Some"}, True, "holds"),
        ({"quantifier": "Some", "expect": "Reject"}, False, "none of 1 pairs gets Reject"),
        ({"quantifier": "None"}, False, "/shop/web → /shop/db tcp/5432 gets Allow; no pair may get Allow"),
        ({"quantifier": "None", "expect": "Reject"}, True, "holds for all 1 pairs"),
        ({"ports": "tcp/1"}, False, "/shop/web → /shop/db tcp/1 gets Reject; every pair has to get Allow"),
        ({"ports": "tcp/1", "quantifier": "None", "expect": "Reject"}, False, "/shop/web → /shop/db tcp/1 gets Reject; "
         "no pair may get Reject"),
        ({"source": NOBODY}, False, "from selects no unit and no network here"),
        ({"destination": NOBODY}, False, "to selects no unit and no network here"),
        ({"source": WEB, "destination": WEB}, False, "there is no pair whose end could decide: name units at the end "
         "that is asked about"),
        ({"source": NOBODY, "allow_empty": True}, True, "from selects no unit and no network here"),
    ],
)  # fmt: skip
def test_what_is_said(traits: dict[str, Any], passed: bool, message: str) -> None:
    found = outcome(world(), assertion(**traits))
    assert (found.passed, found.message) == (passed, message)
    assert (found.witness is None) == (not found.decisions)


def test_an_end_that_is_not_asked_about_decides_nothing() -> None:
    one_sided = world(rulesets=keyed(world().rulesets["web-out"]))
    assert shown(one_sided, assertion(end="Source")).passed
    both, destination = (shown(one_sided, assertion(end=end)) for end in ("Both", "Destination"))
    assert both.message == destination.message
    assert destination.decided_by == "incoming: default of / (Reject)"
    assert both.decided_by == f"outgoing: the web-out/query in /shop (Allow); {destination.decided_by}"
    source = shown(one_sided, assertion(end="Source", expect="Reject"))
    assert source.decided_by == "outgoing: the web-out/query in /shop (Allow)"


def test_who_decided_is_named_as_people_know_it() -> None:
    """An intent's rule has the intent's name: once is enough. Where nothing sets a default, no namespace did."""
    intent = ruleset("i", "/shop", [["app=web"]], out=[rule("Allow", [["app=db"]], "tcp/1", name="the i")])
    made = world(rulesets=keyed(intent), namespaces={"/": Namespace("/")})
    found = shown(made, assertion(ports="tcp/1"))
    assert found.decided_by == "outgoing: the i in /shop (Allow); incoming: default of no namespace (Reject)"
    out = [rule("Allow", [["app=db"]], "any"), rule("Reject", [["app=db"]], "tcp/1", name="not this")]
    refused = shown(world(rulesets=keyed(ruleset("s", "/shop", [["app=web"]], out=out))), assertion(ports="tcp/1"))
    assert refused.decided_by.startswith("outgoing: the s/not this in /shop (Reject); ")


def network_world() -> World:
    """web may talk to anybody; n is half of m, far stands beside, above is not handed down."""
    return world(
        networks=keyed(
            network("n", "/shop", "192.0.2.0/25", tags=("net=n",)),
            network("m", "/", "192.0.2.0/24", tags=("net=m",), propagate=True),
            network("far", "/far", "192.0.2.96/27", "192.0.2.160/27", tags=("net=n",)),
            network("above", "/", "192.0.2.0/26", "203.0.113.0/24", tags=("net=n",)),
        ),
        namespaces={"/": Namespace("/", "Reject", "Allow"), "/shop": Namespace("/shop"), "/far": Namespace("/far")},
    )


def test_networks_are_counted_by_regions_and_named_as_far_as_they_may_be_known() -> None:
    """What stands above and is not handed down cuts the addresses all the same; it is not told of."""
    for claim in (assertion(WEB, (("net=n",),)), assertion((("net=n",),), WEB)):
        assert outcome(network_world(), claim).pairs == 2
    assert outcome(network_world(), assertion(WEB, (("net=m",),))).pairs == 3
    failing = shown(network_world(), assertion(WEB, (("net=n",),), "tcp/1", expect="Reject"))
    assert (failing.source, failing.destination) == ("/shop/web", "192.0.2.64 (the m, the n)")
    assert failing.decided_by == "outgoing: default of / (Allow)"
    coming = shown(network_world(), assertion((("net=n",),), WEB, "tcp/1"))
    assert (coming.source, coming.destination) == ("192.0.2.64 (the m, the n)", "/shop/web")
    assert coming.decided_by == "incoming: default of / (Reject)"
    here = stranger(network_world(), "192.0.2.0")
    assert describe(here, "/shop") == "192.0.2.0 (the m, the n)"
    assert describe(here, "/") == "192.0.2.0 (the above, the m, the n)"
    assert describe(here, "/far") == "192.0.2.0 (the m)"


def test_blocks_are_peers_without_identity() -> None:
    claim = assertion((), WEB, "tcp/1", source_blocks=("10.0.0.0/8",))
    found = outcome(network_world(), claim)
    assert found.pairs == 1
    assert found.witness is not None
    assert found.witness.source == Stranger("10.0.0.0", ())
    assert shown(network_world(), claim).source == "10.0.0.0 (somewhere)"
    both = assertion(WEB, DB, "tcp/1", source_blocks=("10.0.0.0/8",), destination_blocks=("10.1.0.0/16",))
    assert [outcome(network_world(), assertion(WEB, DB, **pairs)).pairs for pairs in (
        {"source_blocks": both.source_blocks},
        {"source_blocks": both.source_blocks, "end": "Source"},
        {"source_blocks": both.source_blocks, "end": "Destination"},
        {"destination_blocks": both.destination_blocks},
        {"destination_blocks": both.destination_blocks, "end": "Source"},
        {"destination_blocks": both.destination_blocks, "end": "Destination"},
    )] == [2, 1, 2, 2, 2, 1]  # fmt: skip
    strangers = assertion((), (), source_blocks=("10.0.0.0/8",), destination_blocks=("10.1.0.0/16",))
    assert "no pair whose end could decide" in outcome(network_world(), strangers).message


def test_units_are_pairs_with_everybody_but_themselves() -> None:
    crowd = keyed(*(unit(f"w{number}", number, "e1", "app=web") for number in range(1, 5)))
    made = world(units={**crowd, **keyed(unit("db", 9, "e2", "app=db"))})
    assert outcome(made, assertion(WEB, WEB)).pairs == 12
    assert outcome(made, assertion(WEB, (*WEB, *DB))).pairs == 16
    witness = outcome(made, assertion(WEB, WEB)).witness
    assert witness is not None
    assert witness.source != witness.destination


def test_an_assertion_is_about_the_units_of_its_namespace() -> None:
    web, claim = world().units["web"], assertion()
    assert touches(claim, "/", web)
    assert touches(claim, "/shop", web)
    assert touches(claim, "/shop", world().units["db"])
    assert not touches(claim, "/shop", world().units["job"])
    assert not touches(claim, "/shop/deep", web)
    assert not touches(claim, "/far", web)
    assert outcome(world(), claim, "/far").pairs == 0
