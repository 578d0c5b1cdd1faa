"""Which policy tests a change of a world can concern, so that the others need not be run.

Never too few: a test that is left out has the result it had.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pyroaring import BitMap

from watchword.model.expressions import matches
from watchword.policy import assertions
from watchword.policy.assertions import Assertion, Test
from watchword.policy.entries import Placed
from watchword.policy.namespaces import reaches
from watchword.policy.sides import Situation
from watchword.policy.world import Namespace, Network, Ruleset, Unit


def concerned(tests: Iterable[Test], altered: Iterable[Placed], situation: Situation) -> list[Test]:
    """The tests that entries which came, went or changed (both sides of a change) can make a difference to.

    ``situation`` is that after the change.
    """
    entries = [placed.entry for placed in altered]
    return [test for test in tests if any(_concerns(test, entry, situation) for entry in entries)]


def _concerns(test: Test, entry: object, situation: Situation) -> bool:
    match entry:
        case Unit():
            return any(assertions.touches(assertion, test.namespace, entry) for assertion in test.assertions)
        case Namespace():
            return _related(test.namespace, entry.path)
        case Ruleset():
            return _related(test.namespace, entry.namespace) and _selects(test, entry, situation)
        case Network():
            return _related(test.namespace, entry.namespace) and any(
                _speaks_of_addresses(assertion, entry, situation) for assertion in test.assertions
            )
    return False


def _related(one: str, other: str) -> bool:
    """Whether either namespace is the other, or below it."""
    return reaches(one, True, other) or reaches(other, True, one)


def _selects(test: Test, ruleset: Ruleset, situation: Situation) -> bool:
    """Whether a ruleset is about some unit that the test is about."""
    index = situation.index
    selected = index.matching(ruleset.subject) & index.reach(ruleset.namespace, ruleset.propagate)
    selected &= index.subtree(test.namespace)
    return any(
        selected & (index.matching(expression) if expression else BitMap())
        for assertion in test.assertions
        for expression in _expressions(assertion)
    )


def _speaks_of_addresses(assertion: Assertion, network: Network, situation: Situation) -> bool:
    if assertion.source_blocks or assertion.destination_blocks:
        return True
    networks = (network, *situation.world.networks.values())
    return any(matches(expression, each.tags) for expression in _expressions(assertion) for each in networks)


def _expressions(assertion: Assertion) -> Iterator[tuple[tuple[str, ...], ...]]:
    yield assertion.source
    yield assertion.destination
