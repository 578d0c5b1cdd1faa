"""Policy tests decide exactly: the same as trying every pair, every boundary address and every boundary port."""

from __future__ import annotations

import ipaddress
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.property import oracle, worlds
from watchword.model.ports import ANY_PROTOCOL, PortRange
from watchword.policy import assertions
from watchword.policy.assertions import Assertion, Outcome
from watchword.policy.decide import Stranger
from watchword.policy.sides import Situation
from watchword.policy.world import Namespace, Network, Rule, Ruleset, Unit, World

PATHS = ("/", "/a", "/a/b", "/ab")
#: Prefixes that contain, share an end with, and fill each other.
PREFIXES = (
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.0.0/17",
    "10.1.128.0/17",
    "10.1.2.3/32",
    "fd00::/8",
    "fd00::/9",
)

BLOCKS = ("10.1.2.3/32", "10.1.0.0/16", "0.0.0.0/0", "fd00::/8", "192.0.2.0/24")


def edges() -> list[str]:
    """Both ends of every prefix that occurs, and the addresses just outside: every region has one of them."""
    found = set()
    for text in (*PREFIXES, *BLOCKS):
        prefix = ipaddress.ip_network(text)
        if prefix.version == 6 and (mapped := prefix.network_address.ipv4_mapped):
            prefix = ipaddress.ip_network(f"{mapped}/{prefix.prefixlen - 96}")
        first, last = int(prefix.network_address), int(prefix.broadcast_address)
        limit = (1 << prefix.max_prefixlen) - 1
        kind = type(prefix.network_address)
        found |= {str(kind(number)) for number in (first - 1, first, last, last + 1) if 0 <= number <= limit}
    return sorted(found)


ADDRESSES = edges()

#: Every boundary of every range, and one protocol that no rule names.
POINTS = sorted(
    {
        (piece.protocol, port)
        for piece in worlds.RANGES
        if piece.protocol != ANY_PROTOCOL
        for port in (0, piece.first - 1, piece.first, piece.last, piece.last + 1, 65535)
        if 0 <= port <= 65535
    }
    | {(200, 0)}
)


EXPRESSIONS = ((("all=1",),), (("x=1",),), (("y=2*",), ("z=1",)), (("x=*", "!y=1"),))


class Dice:
    """Worlds and claims in which much is decided, drawn evenly: strategies that can shrink prefer the trivial."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.namespace = self.one("/", "/", "/", "/a")
        self.world = World(
            revision=1,
            namespaces={path: Namespace(path, self._inherited(), self._inherited()) for path in PATHS},
            units={f"u{number}": self._unit(number) for number in range(self._random.randint(2, 5))},
            networks={f"n{number}": self._network(number) for number in range(self._random.randint(0, 3))},
            rulesets={f"s{number}": self._ruleset(number) for number in range(self._random.randint(1, 5))},
        )
        self.claim = self._claim()

    def one(self, *choices: Any) -> Any:
        return self._random.choice(choices)

    def _inherited(self) -> Any:
        return self.one("Inherit", "Inherit", "Allow", "Reject")

    def _tags(self) -> frozenset[str]:
        return frozenset({"all=1", *self._random.sample(worlds.TAGS, self._random.randint(0, 3))})

    def _unit(self, number: int) -> Unit:
        return Unit(f"u{number}", f"native-{number}", f"unit {number}", self.one(*PATHS), "e", number + 1, self._tags())

    def _network(self, number: int) -> Network:
        carved = [f"!{prefix}" for prefix in self._random.sample(PREFIXES, self._random.randint(0, 1))]
        return Network(
            id=f"n{number}",
            name=f"network {number}",
            namespace=self.one(*PATHS),
            propagate=self.one(True, True, False),
            entries=(*self._random.sample(PREFIXES, self._random.randint(1, 2)), *carved),
            tags=self._tags(),
            identity_required=self.one(True, False, False, False),
        )

    def _ports(self) -> tuple[PortRange, ...]:
        return tuple(self._random.sample(worlds.RANGES[:6], self._random.randint(1, 2)))

    def _rules(self) -> tuple[Rule, ...]:
        return tuple(
            Rule(
                "",
                self.one("Allow", "Allow", "Reject"),
                self.one(*EXPRESSIONS),
                self._ports(),
                self.one(True, False, False),
            )
            for _ in range(self._random.randint(0, 2))
        )

    def _ruleset(self, number: int) -> Ruleset:
        return Ruleset(
            id=f"s{number}",
            name=f"ruleset {number}",
            namespace=self.one("/", *PATHS),
            subject=self.one(*EXPRESSIONS),
            incoming=self._rules(),
            outgoing=self._rules(),
            propagate=self.one(True, True, False),
            fallback=self.one(True, False, False),
            disabled=self.one(True, *[False] * 6),
        )

    def _side(self) -> tuple[Any, tuple[str, ...]]:
        blocks = (self.one(*BLOCKS),) if self.one(True, False, False) else ()
        return (self.one(*EXPRESSIONS) if not blocks or self.one(True, False) else ()), blocks

    def _claim(self) -> Assertion:
        source, destination = self._side(), self._side()
        return Assertion(
            name="",
            source=source[0],
            source_blocks=source[1],
            destination=destination[0],
            destination_blocks=destination[1],
            ports=(self.one(*worlds.RANGES[:9], *worlds.RANGES[:4]),),
            expect=self.one("Allow", "Reject"),
            quantifier=self.one("All", "Some", "None"),
            end=self.one("Both", "Both", "Source", "Destination"),
            allow_empty=self.one(True, False),
        )


def parties(
    world: World, namespace: str, expression: tuple[tuple[str, ...], ...], blocks: tuple[str, ...]
) -> list[Unit | str]:
    """Everybody one side is about, one by one."""
    units = [
        unit
        for unit in world.units.values()
        if namespace in oracle.lineage(unit.namespace) and oracle.selected(expression, unit.tags)
    ]
    networks = [
        network
        for network in world.networks.values()
        if (
            namespace in oracle.lineage(network.namespace)
            or oracle.applies(network.namespace, network.propagate, namespace)
        )
        and oracle.selected(expression, network.tags)
    ]
    addresses = [
        address
        for address in ADDRESSES
        if any(oracle.contains(network, address) for network in networks)
        or any(oracle.lies_in(address, block) for block in blocks)
    ]
    return [*units, *addresses]


def verdicts(world: World, claim: Assertion, namespace: str) -> Iterator[str]:
    """The verdict of every pair on every port."""
    points = [point for point in POINTS if any(on(piece, point) for piece in claim.ports)]
    for source in parties(world, namespace, claim.source, claim.source_blocks):
        for destination in parties(world, namespace, claim.destination, claim.destination_blocks):
            if source == destination:
                continue
            for protocol, port in points:
                ends = []
                if isinstance(source, Unit) and claim.end != "Destination":
                    ends.append(oracle.judge(world, source, destination, "out", protocol, port).action)
                if isinstance(destination, Unit) and claim.end != "Source":
                    ends.append(oracle.judge(world, destination, source, "in", protocol, port).action)
                if ends:
                    yield "Reject" if "Reject" in ends else "Allow"


def on(piece: PortRange, point: tuple[int, int]) -> bool:
    return piece.protocol in (point[0], ANY_PROTOCOL) and piece.first <= point[1] <= piece.last


def holds(world: World, claim: Assertion, namespace: str) -> bool:
    found = set(verdicts(world, claim, namespace))
    if not found:
        return claim.allow_empty
    if claim.quantifier == "All":
        return found == {claim.expect}
    return (claim.expect in found) == (claim.quantifier == "Some")


@pytest.mark.parametrize("hundred", range(30))
def test_an_assertion_holds_when_every_pair_says_so(hundred: int) -> None:
    for seed in range(hundred * 100, hundred * 100 + 100):
        dice = Dice(seed)
        outcome = assertions.evaluate(dice.claim, dice.namespace, Situation.of(dice.world))
        assert outcome.passed == holds(dice.world, dice.claim, dice.namespace), (seed, outcome.message)
        if outcome.witness is not None:
            check_witness(dice, outcome)


def check_witness(dice: Dice, outcome: Outcome) -> None:
    """Whoever is named is one of the parties, and the flow really gets the verdict that breaks the assertion."""
    world, claim, witness = dice.world, dice.claim, outcome.witness
    assert witness is not None
    assert not outcome.passed
    ends = []
    source = witness.source.address if isinstance(witness.source, Stranger) else witness.source
    destination = witness.destination.address if isinstance(witness.destination, Stranger) else witness.destination
    flow = (witness.protocol, witness.port)
    assert any(on(piece, flow) for piece in claim.ports)
    assert source != destination
    if isinstance(source, Unit):
        assert dice.namespace in oracle.lineage(source.namespace)
        if claim.end != "Destination":
            ends.append(oracle.judge(world, source, destination, "out", *flow).action)
    if isinstance(destination, Unit):
        assert dice.namespace in oracle.lineage(destination.namespace)
        if claim.end != "Source":
            ends.append(oracle.judge(world, destination, source, "in", *flow).action)
    verdict = "Reject" if "Reject" in ends else "Allow"
    assert (verdict == claim.expect) == (claim.quantifier == "None")
    assert [decision.verdict.action for decision in outcome.decisions] == ends


def test_the_cases_are_worth_trying() -> None:
    """Both answers, for every quantifier and end, and seldom because there was nobody."""
    seen: Counter[Any] = Counter()
    for seed in range(1200):
        dice = Dice(seed)
        outcome = assertions.evaluate(dice.claim, dice.namespace, Situation.of(dice.world))
        seen["empty"] += not outcome.pairs
        seen[dice.claim.quantifier, dice.claim.end, outcome.passed] += 1
    assert seen["empty"] < 500
    for quantifier in ("All", "Some", "None"):
        for end in ("Both", "Source", "Destination"):
            assert min(seen[quantifier, end, True], seen[quantifier, end, False]) >= 10, seen
