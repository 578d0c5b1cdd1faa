"""What lint's findings are good for: what is superfluous can go, numbers and witnesses are true, nothing leaks."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property import oracle
from tests.property.lint_oracle import Flow, Naive, Place, place_of
from tests.property.worlds import PATHS, worlds
from watchword.model.ports import parse_flow
from watchword.policy.lint import findings
from watchword.policy.views import view
from watchword.policy.world import Rule, Ruleset, Unit, World


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_what_is_superfluous_can_go_all_at_once_and_nothing_else_can(world: World) -> None:
    naive = Naive(world)
    codes = ("duplicate-rule", "shadowed-rule", "rejected-allow")
    superfluous = {place_of(world, finding) for finding in findings(world) if finding.code in codes}
    kept = {place: flows for place, flows in naive.met.items() if place not in superfluous}
    after = Naive(without(world, superfluous))
    for unit in world.units.values():
        for direction, peer, point in itertools.product(("in", "out"), naive.peers(unit), naive.points):
            opinions = [oracle.judge(each.world, unit, peer, direction, *point).action for each in (naive, after)]
            assert opinions[0] == opinions[1]
    for place, flows in kept.items():
        others = set(naive.rejected[place[1]]) if naive.rules[place][1].action == "Allow" else set()
        if naive.rules[place][1].action == "Reject":
            demanded = (hit for hit in demands(naive, place[1]))
            others |= set(demanded)
        for other, met in kept.items():
            if (
                other != place
                and other[1] == place[1]
                and naive.rules[other][1].action in ("Reject", naive.rules[place][1].action)
            ):
                others |= met
        assert not flows or flows - others, place


def demands(naive: Naive, direction: str) -> Iterator[Flow]:
    """Flows that a network's demand for identity meets."""
    for unit in naive.world.units.values():
        for peer, point in itertools.product(naive.peers(unit), naive.points):
            hits = oracle.hits(naive.world, unit, peer, direction, *point)
            if any(hit.ruleset in naive.world.networks for hit in hits):
                yield (unit.id, peer, *point)


def without(world: World, places: set[Place]) -> World:
    def kept(ruleset: Ruleset, direction: str, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        return tuple(rule for index, rule in enumerate(rules) if (ruleset.id, direction, index) not in places)

    return dataclasses.replace(
        world,
        rulesets={
            key: dataclasses.replace(
                each, incoming=kept(each, "in", each.incoming), outgoing=kept(each, "out", each.outgoing)
            )
            for key, each in world.rulesets.items()
        },
    )


@settings(max_examples=50, deadline=None)
@given(worlds())
def test_witnesses_and_numbers_are_true(world: World) -> None:
    naive = Naive(world)
    pairs = {place: refused for place, refused, _ in naive.one_sided()}
    for finding in findings(world):
        if finding.code in ("rejected-allow", "partly-rejected-allow"):
            place = place_of(world, finding)
            dead = naive.met[place] & naive.rejected[place[1]]
            assert finding.pairs == len({(unit, peer.id) for unit, peer, *_ in dead if isinstance(peer, Unit)})
        elif finding.code in ("one-sided-rule", "partly-one-sided-rule"):
            assert finding.pairs == len(pairs[place_of(world, finding)])
        else:
            continue
        assert finding.witness is not None
        sides = [world.units.get(side, side) for side in (finding.witness.source, finding.witness.destination)]
        flow = (200, 0) if "protocol" in finding.witness.flow else parse_flow(finding.witness.flow)
        near = 0 if finding.direction == "outgoing" else 1
        opinions = []
        for end in (near, 1 - near):
            here = sides[end]
            opinions.append(
                oracle.judge(world, here, sides[1 - end], ("out", "in")[end], *flow).action
                if isinstance(here, Unit)
                else ""
            )
        if "one-sided" in finding.code:
            assert opinions == ["Allow", "Reject"]
        else:
            assert opinions[0] == "Reject"


@settings(max_examples=40, deadline=None)
@given(worlds(), st.sampled_from(PATHS), st.lists(st.sampled_from(("x=", "y=1", "z=")), min_size=1, max_size=2))
def test_tags_outside_the_prefixes(world: World, path: str, prefixes: list[str]) -> None:
    spaces = {**world.namespaces, path: dataclasses.replace(world.namespaces[path], tag_prefixes=tuple(prefixes))}
    restricted = dataclasses.replace(world, namespaces=spaces)
    expected = set()
    for ruleset in world.rulesets.values():
        if path not in oracle.lineage(ruleset.namespace):
            continue

        def outside(expression: tuple[tuple[str, ...], ...]) -> bool:
            clauses = (clause.lstrip("!") for alternative in expression for clause in alternative)
            return any(not any(clause.startswith(prefix) for prefix in prefixes) for clause in clauses)

        if outside(ruleset.subject):
            expected.add((ruleset.id, "", -1))
        for direction, each in (("in", ruleset.incoming), ("out", ruleset.outgoing)):
            expected |= {(ruleset.id, direction, index) for index, rule in enumerate(each) if outside(rule.object)}
    told = (finding for finding in findings(restricted) if finding.code == "tag-outside-prefixes")
    assert {place_of(world, finding) for finding in told} == expected
    assert not any(finding.code == "tag-outside-prefixes" for finding in findings(world))


@settings(max_examples=60, deadline=None)
@given(worlds(), worlds(), st.sampled_from(PATHS))
def test_a_reader_learns_nothing_of_what_is_not_theirs(world: World, other: World, reader: str) -> None:
    """Whatever is beside the reader is swapped for something else; what the reader is told stays the same."""
    assert findings(view(world, reader), within=reader) == findings(
        view(mixed(world, other, reader), reader), within=reader
    )
    for finding in findings(view(world, reader), within=reader):
        assert finding.namespace == reader or reader == "/" or finding.namespace.startswith(reader + "/")


def mixed(world: World, other: World, reader: str) -> World:
    """``world`` as ``reader`` may know it, with everything else taken from ``other``."""

    def known(namespace: str, propagate: bool) -> bool:
        return reader in oracle.lineage(namespace) or (propagate and namespace in oracle.lineage(reader))

    def part(name: str) -> dict[str, object]:
        ours = {
            key: each
            for key, each in getattr(world, name).items()
            if known(each.namespace, getattr(each, "propagate", False))
        }
        strange = {f"z{key}": dataclasses.replace(each, id=f"z{key}") for key, each in getattr(other, name).items()}
        return {
            **ours,
            **{
                key: each
                for key, each in strange.items()
                if not known(each.namespace, getattr(each, "propagate", False))
            },
        }

    return dataclasses.replace(world, units=part("units"), networks=part("networks"), rulesets=part("rulesets"))  # type: ignore[arg-type]
