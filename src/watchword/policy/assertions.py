"""Policy tests: whether an assertion about many connections holds, exactly.

1. ``from`` and ``to`` select the units at or below the test's namespace, and the external networks that stand
   there or are visible there. Whoever may write a test in a namespace learns nothing by it of what stands
   above or beside.
2. The pairs are all of ``from`` with all of ``to``. A unit with itself is none (it may always), nor are two
   peers without identity (nobody would decide), nor is a pair without the end that is asked about.
3. ``All``, ``Some`` and ``None`` are about every pair and every port; no sampling. Parties that policy cannot
   tell apart are looked at once (:mod:`watchword.policy.sides`, :mod:`watchword.policy.strangers`).
4. No pair at all is a failure, unless the assertion says ``allowEmpty``: a test that tests nothing must not pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import msgspec
from pyroaring import AbstractBitMap, BitMap

from watchword.model import expressions, ports
from watchword.model.expressions import Expression, matches
from watchword.model.ports import PortRange, format_flow
from watchword.model.resources import AssertionResult, PolicyAssertion, PolicyTest
from watchword.policy import portpieces, selection
from watchword.policy.decide import Decision, Party, Stranger, decide
from watchword.policy.namespaces import reaches
from watchword.policy.sides import Side, Situation, locals_
from watchword.policy.strangers import strangers
from watchword.policy.world import Network, Unit
from watchword.wire.policy import Action


@dataclass(frozen=True, slots=True)
class Assertion:
    """An assertion, ready to be evaluated."""

    name: str
    source: Expression
    source_blocks: tuple[str, ...]
    destination: Expression
    destination_blocks: tuple[str, ...]
    ports: tuple[PortRange, ...]
    expect: Action
    quantifier: Literal["All", "Some", "None"]
    end: Literal["Both", "Source", "Destination"]
    allow_empty: bool


@dataclass(frozen=True, slots=True)
class Test:
    """A policy test, ready to be evaluated."""

    __test__ = False  # it is none of pytest's

    id: str
    name: str
    namespace: str
    enforced: bool
    assertions: tuple[Assertion, ...]


def parsed(test: PolicyTest) -> Test:
    """``test`` ready to be evaluated. Raises :class:`watchword.model.problems.Invalid`."""
    return Test(
        id=test.id,
        name=test.name,
        namespace=test.namespace,
        enforced=test.mode == "enforce" and not test.disabled,
        assertions=tuple(map(_assertion, test.assertions)),
    )


def _assertion(assertion: PolicyAssertion) -> Assertion:
    return Assertion(
        name=assertion.name,
        source=expressions.parse(assertion.from_) if assertion.from_ else (),
        source_blocks=tuple(assertion.from_addresses),
        destination=expressions.parse(assertion.to) if assertion.to else (),
        destination_blocks=tuple(assertion.to_addresses),
        ports=ports.parse(assertion.protocol_ports),
        expect=assertion.expect,
        quantifier=assertion.quantifier,
        end=assertion.end,
        allow_empty=assertion.allow_empty,
    )


class Parties(NamedTuple):
    """One side of the pairs."""

    units: AbstractBitMap
    strangers: Sequence[Stranger]


@dataclass(frozen=True, slots=True)
class Witness:
    """One pair and one flow that show why an assertion does not hold."""

    source: Party
    destination: Party
    protocol: int
    port: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one assertion. ``pairs`` counts a network once for each of its regions."""

    passed: bool
    message: str
    pairs: int
    witness: Witness | None = None
    decisions: tuple[Decision, ...] = field(default_factory=tuple)


def run(test: Test, situation: Situation) -> list[Outcome]:
    """All assertions of one test."""
    return [evaluate(assertion, test.namespace, situation) for assertion in test.assertions]


def results(test: Test, outcomes: Sequence[Outcome]) -> list[AssertionResult]:
    """Outcomes as the API shows them."""
    pairs = zip(test.assertions, outcomes, strict=True)
    return [_result(index, test, assertion, outcome) for index, (assertion, outcome) in enumerate(pairs)]


def _result(index: int, test: Test, assertion: Assertion, outcome: Outcome) -> AssertionResult:
    shown = AssertionResult(
        index=index, name=assertion.name, passed=outcome.passed, message=outcome.message, pairs=outcome.pairs
    )
    witness = outcome.witness
    if witness is None:
        return shown
    return msgspec.structs.replace(
        shown,
        source=describe(witness.source, test.namespace),
        destination=describe(witness.destination, test.namespace),
        flow=format_flow(witness.protocol, witness.port),
        decided_by="; ".join(map(_decision, outcome.decisions)),
    )


def evaluate(assertion: Assertion, namespace: str, situation: Situation) -> Outcome:
    """Whether one assertion of a test in ``namespace`` holds."""
    return _Evaluation(assertion, namespace, situation).outcome()


def touches(assertion: Assertion, namespace: str, unit: Unit) -> bool:
    """Whether the assertion is about a unit, with the tags it has."""
    return reaches(namespace, True, unit.namespace) and (
        matches(assertion.source, unit.tags) or matches(assertion.destination, unit.tags)
    )


class _Evaluation:
    """One assertion at work."""

    def __init__(self, assertion: Assertion, namespace: str, situation: Situation) -> None:
        self._assertion = assertion
        self._situation = situation
        self._namespace = namespace
        scope = situation.index.subtree(namespace)
        networks = [network for network in situation.world.networks.values() if _counts(network, namespace)]
        self._from = self._parties(scope, networks, assertion.source, assertion.source_blocks)
        self._to = self._parties(scope, networks, assertion.destination, assertion.destination_blocks)
        self._out = Side(situation, "out", locals_(situation, self._from.units, "out"))
        self._in = Side(situation, "in", locals_(situation, self._to.units, "in"))
        sides = (self._out, self._in)
        self._pieces = portpieces.cut(assertion.ports, [piece for side in sides for piece in side.ports()])
        self._whole = self._pieces.whole

    def _parties(
        self, scope: AbstractBitMap, networks: Sequence[Network], expression: Expression, blocks: tuple[str, ...]
    ) -> Parties:
        units = self._situation.index.matching(expression) & scope if expression else BitMap()
        wanted = frozenset(
            network.id for network in networks if _known(network, self._namespace) and matches(expression, network.tags)
        )
        return Parties(units, strangers(networks, wanted, blocks) if wanted or blocks else ())

    def outcome(self) -> Outcome:
        assertion = self._assertion
        pairs = self._pairs()
        if not pairs:
            return Outcome(assertion.allow_empty, self._emptiness(), 0)
        if assertion.quantifier == "All":
            found = self._find("Reject" if assertion.expect == "Allow" else "Allow")
            return self._judged(found is None, pairs, found)
        found = self._find(assertion.expect)
        return self._judged((found is not None) == (assertion.quantifier == "Some"), pairs, found)

    def _judged(self, passed: bool, pairs: int, found: Witness | None) -> Outcome:
        if passed:
            return Outcome(True, f"holds for all {pairs} pairs" if found is None else "holds", pairs)
        action, assertion = self._assertion.expect, self._assertion
        if found is None:
            return Outcome(False, f"none of {pairs} pairs gets {action}", pairs, None)
        decisions = tuple(self._decisions(found))
        verdict = "Allow" if all(decision.verdict.action == "Allow" for decision in decisions) else "Reject"
        wanted = f"every pair has to get {action}" if assertion.quantifier == "All" else f"no pair may get {action}"
        flow = format_flow(found.protocol, found.port)
        ends = " → ".join(describe(party, self._namespace) for party in (found.source, found.destination))
        message = f"{ends} {flow} gets {verdict}; {wanted}"
        return Outcome(False, message, pairs, found, decisions)

    def _emptiness(self) -> str:
        for parties, name in ((self._from, "from"), (self._to, "to")):
            if not parties.units and not parties.strangers:
                return f"{name} selects no unit and no network here"
        return "there is no pair whose end could decide: name units at the end that is asked about"

    def _pairs(self) -> int:
        end, strange = self._assertion.end, 0
        sources, destinations = self._from.units, self._to.units
        if end in ("Both", "Source"):
            strange += len(sources) * len(self._to.strangers)
        if end in ("Both", "Destination"):
            strange += len(destinations) * len(self._from.strangers)
        return len(sources) * len(destinations) - len(sources & destinations) + strange

    def _find(self, action: Action) -> Witness | None:
        """Some pair, and a port, for which the verdict is ``action``."""
        return next(self._with_strangers(action), None) or next(
            self._between(action) if self._assertion.end == "Both" else self._at_one_end(action), None
        )

    def _with_strangers(self, action: Action) -> Iterator[Witness]:
        thing = self._situation.index.thing
        if self._assertion.end != "Source":
            for stranger in self._from.strangers:
                for units, allowed in self._in.with_stranger(stranger, self._pieces):
                    bits = self._having(action, allowed)
                    if bits:
                        yield self._witness(stranger, thing(units.min()), bits)
        if self._assertion.end != "Destination":
            for stranger in self._to.strangers:
                for units, allowed in self._out.with_stranger(stranger, self._pieces):
                    bits = self._having(action, allowed)
                    if bits:
                        yield self._witness(thing(units.min()), stranger, bits)

    def _at_one_end(self, action: Action) -> Iterator[Witness]:
        outgoing = self._assertion.end == "Source"
        side, peers = (self._out, self._to.units) if outgoing else (self._in, self._from.units)
        for meeting in side.meetings(peers, self._pieces):
            bits = self._having(action, meeting.allowed)
            if bits and (pair := _pair(meeting.units, meeting.peers)):
                yield self._units(*(pair if outgoing else pair[::-1]), bits)

    def _between(self, action: Action) -> Iterator[Witness]:
        return self._rejected() if action == "Reject" else self._allowed()

    def _rejected(self) -> Iterator[Witness]:
        """Pairs that one of both ends rejects on some port: either end's word is enough."""
        for meeting in self._out.meetings(self._to.units, self._pieces):
            bits = self._whole & ~meeting.allowed
            if bits and (pair := _pair(meeting.units, meeting.peers)):
                yield self._units(*pair, bits)
        for meeting in self._in.meetings(self._from.units, self._pieces):
            bits = self._whole & ~meeting.allowed
            if bits and (pair := _pair(meeting.peers, meeting.units)):
                yield self._units(*pair, bits)

    def _allowed(self) -> Iterator[Witness]:
        """Pairs that both ends allow on one and the same port."""
        accepting = [each for each in self._in.meetings(self._from.units, self._pieces) if each.allowed]
        for leaving in self._out.meetings(self._to.units, self._pieces):
            for entering in accepting if leaving.allowed else ():
                bits = leaving.allowed & entering.allowed
                if bits:
                    sources, destinations = leaving.units & entering.peers, leaving.peers & entering.units
                    if sources and destinations and (pair := _pair(sources, destinations)):
                        yield self._units(*pair, bits)

    def _having(self, action: Action, allowed: int) -> int:
        return allowed if action == "Allow" else self._whole & ~allowed

    def _units(self, source: int, destination: int, bits: int) -> Witness:
        thing = self._situation.index.thing
        return self._witness(thing(source), thing(destination), bits)

    def _witness(self, source: Party, destination: Party, bits: int) -> Witness:
        piece = self._pieces.lowest(bits)
        return Witness(source, destination, piece.protocol, piece.first)

    def _decisions(self, witness: Witness) -> Iterator[Decision]:
        world, end = self._situation.world, self._assertion.end
        source, destination, flow = witness.source, witness.destination, (witness.protocol, witness.port)
        if end != "Destination" and isinstance(source, Unit):
            yield decide(world, source, destination, "out", *flow)
        if end != "Source" and isinstance(destination, Unit):
            yield decide(world, destination, source, "in", *flow)


def _known(network: Network, namespace: str) -> bool:
    """Whether a test in ``namespace`` may speak of ``network``."""
    return selection.visible(network, namespace) or reaches(namespace, True, network.namespace)


def _counts(network: Network, namespace: str) -> bool:
    """Whether a ruleset about units in or below ``namespace`` can name ``network``."""
    return reaches(network.namespace, True, namespace) or reaches(namespace, True, network.namespace)


def _pair(sources: AbstractBitMap, destinations: AbstractBitMap) -> tuple[int, int] | None:
    """One of each, not the same; ``None`` when there is no such pair."""
    source = sources.min()
    for destination in destinations:
        if destination != source:
            return source, destination
    return next(
        ((other, destination) for other in sources for destination in destinations if other != destination), None
    )


def describe(party: Party, namespace: str) -> str:
    """A party as the readers of ``namespace`` know it."""
    if isinstance(party, Unit):
        return f"{party.namespace.rstrip('/')}/{party.name}"
    names = ", ".join(network.name for network in party.networks if _known(network, namespace))
    return f"{party.address} ({names or 'somewhere'})"


def _decision(decision: Decision) -> str:
    end = "outgoing" if decision.direction == "out" else "incoming"
    if not decision.verdict.rule:
        return f"{end}: default of {decision.default_namespace or 'no namespace'} ({decision.verdict.action})"
    placed = next(each for each in decision.matching if each.key == decision.verdict.rule)
    rule = f"/{placed.rule.name}" if placed.rule.name and placed.rule.name != placed.ruleset.name else ""
    return f"{end}: {placed.ruleset.name}{rule} in {placed.ruleset.namespace} ({decision.verdict.action})"
