"""Shares: parties and ports divided among the rules that win, best first."""

from __future__ import annotations

from typing import Any

import pytest
from pyroaring import FrozenBitMap

from tests.unit.policy.shop import rule, ruleset
from watchword.policy.landscape import End, Reach
from watchword.policy.portsets import EVERYTHING, PortSet
from watchword.policy.selection import PlacedRule
from watchword.policy.shares import Decided, concerned, divided, segments

PLACED = PlacedRule("", ruleset("s", "/", [["a=1"]]), rule("Allow", [["a=1"]], "any"))


def some(*numbers: int) -> FrozenBitMap:
    return FrozenBitMap(numbers)


def reach(key: str, parties: FrozenBitMap, *ports: tuple[int, int], action: Any = "Allow") -> Reach:
    return Reach(key, action, parties, ports, PLACED)


@pytest.mark.parametrize(
    ("ports", "takers", "expected"),
    [
        (((10, 30),), [((20, 25),)], {(): ((10, 19), (26, 30)), (0,): ((20, 25),)}),
        (((10, 30),), [((10, 30),)], {(0,): ((10, 30),)}),
        (((10, 30),), [EVERYTHING, ((1, 10),)], {(0, 1): ((10, 10),), (0,): ((11, 30),)}),
        (((10, 20), (40, 50)), [((15, 45),)], {(): ((10, 14), (46, 50)), (0,): ((15, 20), (40, 45))}),
        (((10, 30),), [((5, 12), (28, 99)), ((12, 28),)],
         {(0,): ((10, 11), (29, 30)), (0, 1): ((12, 12), (28, 28)), (1,): ((13, 27),)}),
        (((0, 5), (9, 9)), [], {(): ((0, 5), (9, 9))}),
        (EVERYTHING, [((0, 0), EVERYTHING[0])], {(0, 0): ((0, 0),), (0,): ((1, EVERYTHING[0][1]),)}),
    ],
)  # fmt: skip
def test_ports_are_cut_where_the_set_of_rules_changes(
    ports: PortSet, takers: list[PortSet], expected: dict[tuple[int, ...], PortSet]
) -> None:
    reaches = [Reach(str(index), "Allow", some(1), taken, PLACED) for index, taken in enumerate(takers)]
    assert segments(ports, reaches) == expected


def test_the_first_rule_that_takes_a_party_has_it_and_the_default_has_the_rest() -> None:
    end = End(
        (
            reach("no", some(1), (10, 10), action="Reject"),
            reach("a", some(1, 2), (5, 20)),
            reach("b", some(1, 2, 3), (5, 30)),
        ),
        "Reject",
    )
    found = {(share.decided, share.parties): share.ports for share in divided(end, some(1, 2, 3, 4), ((5, 40),))}
    assert found == {
        (Decided("Reject", "no"), some(1)): ((10, 10),),
        (Decided("Allow", "a"), some(1, 2)): ((5, 9), (11, 20)),
        (Decided("Allow", "a"), some(2)): ((10, 10),),
        (Decided("Allow", "b"), some(3)): ((5, 20),),
        (Decided("Allow", "b"), some(1, 2, 3)): ((21, 30),),
        (Decided("Reject", ""), some(4)): ((5, 30),),
        (Decided("Reject", ""), some(1, 2, 3, 4)): ((31, 40),),
    }


def test_without_rules_the_default_decides_all() -> None:
    (share,) = divided(End((), "Allow"), some(1, 2), ((5, 9),))
    assert share == (some(1, 2), ((5, 9),), Decided("Allow", ""))


def test_concerned_are_the_rules_that_share_a_party_and_a_port() -> None:
    reaches = [
        reach("both", some(1), (10, 20)),
        reach("parties", some(1), (30, 40)),
        reach("ports", some(9), (10, 20)),
        reach("edge", some(1, 9), (20, 25)),
    ]
    assert [each.key for each in concerned(reaches, some(1, 2), ((12, 20),))] == ["both", "edge"]
