"""Kinds that decide alike, and what meets whom at their ends."""

from __future__ import annotations

import dataclasses

from pyroaring import FrozenBitMap

from tests.unit.policy.lint.told import with_rulesets
from tests.unit.policy.shop import keyed, network, rule, ruleset, unit
from watchword.policy import portsets
from watchword.policy.landscape import Landscape, Survey
from watchword.policy.lint.classes import Class, classes, pieces, union
from watchword.policy.world import Namespace, World

WEB, DB = [["app=web"]], [["app=db"]]
#: w1 and w2 are of one kind, w3 is not, but decides as they do.
UNITS = keyed(
    unit("w1", 1, "e1", "app=web"),
    unit("w2", 2, "e1", "app=web"),
    unit("w3", 3, "e1", "app=web", "n=3"),
    unit("d1", 4, "e1", "app=db"),
)
RULES = [
    rule("Allow", [["app=web"], ["app=db"]], "tcp/1:9"),
    rule("Reject", DB, "tcp/5"),
    rule("Allow", [["n=3"]], "any"),
]


def surveyed(made: World) -> Landscape:
    (landscape,) = Survey().landscapes(made)
    return landscape


def units_of(landscape: Landscape, kinds: FrozenBitMap) -> set[str]:
    return {name for kind in kinds for name in landscape.kinds[kind].units}


def described(landscape: Landscape, found: list[Class]) -> list[tuple[set[str], str, list[str], set[str]]]:
    return [
        (
            units_of(landscape, each.members),
            each.direction,
            [reach.key for reach in each.reaches],
            units_of(landscape, each.itself),
        )
        for each in found
    ]


def test_a_class_has_the_kinds_that_decide_alike_and_its_rules_best_first() -> None:
    """Kinds without a rule are in none; a class that is a single unit never meets itself."""
    on_web, on_db = ruleset("w", "/shop", WEB, out=RULES), ruleset("d", "/shop", DB, inc=RULES[1:2], out=RULES[:1])
    landscape = surveyed(with_rulesets(on_web, on_db, units=UNITS))
    assert described(landscape, classes(landscape)) == [
        ({"d1"}, "in", ["d/in/0"], {"d1"}),
        ({"w1", "w2", "w3"}, "out", ["w/out/1", "w/out/0", "w/out/2"], set()),
        ({"d1"}, "out", ["d/out/0"], {"d1"}),
    ]


def test_other_rulesets_make_another_class() -> None:
    more = ruleset("m", "/shop", [["n=3"]], out=[])
    landscape = surveyed(with_rulesets(ruleset("w", "/shop", WEB, out=RULES), more, units=UNITS))
    assert [each[0] for each in described(landscape, classes(landscape))] == [{"w1", "w2"}, {"w3"}]
    (twins, single) = classes(landscape)
    assert (units_of(landscape, twins.itself), units_of(landscape, single.itself)) == (set(), {"w3"})


def test_pieces_are_ports_on_which_the_same_rules_stand_against_each_other() -> None:
    landscape = surveyed(with_rulesets(ruleset("w", "/shop", WEB, out=RULES), units=UNITS))
    (each,) = classes(landscape)
    found = {portsets.words(piece.ports): piece for piece in pieces(each, each.reaches)}
    assert set(found) == {("tcp/1:4", "tcp/6:9"), ("tcp/5",), ("any but tcp/1:9",)}
    clash = found["tcp/5",]
    assert [reach.key for reach in clash.reaches] == ["w/out/1", "w/out/0", "w/out/2"]
    assert [units_of(landscape, met) for met in clash.parties] == [{"d1"}, {"d1", "w1", "w2", "w3"}, {"w3"}]
    assert units_of(landscape, clash.rejected) == {"d1"}
    assert units_of(landscape, found["tcp/1:4", "tcp/6:9"].rejected) == set()
    assert [len(piece.reaches) for piece in pieces(each, each.reaches[:1])] == [1]


def test_a_single_unit_is_left_out_of_what_it_meets() -> None:
    single = {"d1": UNITS["d1"], "w1": UNITS["w1"]}
    landscape = surveyed(with_rulesets(ruleset("d", "/shop", DB, inc=RULES), units=single))
    (each,) = classes(landscape)
    for piece in pieces(each, each.reaches):
        assert all("d1" not in units_of(landscape, met) for met in (*piece.parties, piece.rejected))


def test_a_network_that_requires_identity_rejects_at_every_end_that_sees_it() -> None:
    networks = keyed(network("n", "/shop", "192.0.2.0/24", tags=("net=n",), identity_required=True))
    made = with_rulesets(units=UNITS | keyed(unit("far", 9, "e1", "app=web", namespace="/far")), networks=networks)
    landscape = surveyed(dataclasses.replace(made, namespaces={**made.namespaces, "/far": Namespace("/far")}))
    assert [(each[0], each[1], each[2]) for each in described(landscape, classes(landscape))] == [
        ({"w1", "w2", "w3", "d1"}, "in", ["n/in/0"]),
        ({"w1", "w2", "w3", "d1"}, "out", ["n/out/0"]),
    ]


def test_a_union_has_what_is_in_some() -> None:
    one, other = FrozenBitMap((1, 2)), FrozenBitMap((2, 3))
    assert union([]) == FrozenBitMap()
    assert union([one]) == one
    assert union([one, other]) == FrozenBitMap((1, 2, 3))
