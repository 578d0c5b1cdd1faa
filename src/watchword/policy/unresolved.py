"""Host names in external networks, as far as they explain a verdict: nothing resolves them, so they match nothing.

A rule whose object selects a network of host names looks as if it were about the peer in question. These
notes say that it is not, yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from watchword.policy import selection
from watchword.policy.decide import Decision
from watchword.policy.world import Network, World

#: At most this many names of one network are listed.
LISTED = 3


def notes(world: World, networks: Iterable[Network], ends: Iterable[Decision]) -> Iterator[str]:
    """One note for each of ``networks`` that has names and that a rule of one of ``ends`` selects.

    ``world`` has at least the rulesets about the ends' units.
    """
    named = [network for network in networks if network.names]
    if not named:
        return
    rules = [
        placed
        for end in ends
        for placed in selection.rules_of(selection.about(end.unit, world.rulesets.values()), end.direction)
    ]
    for network in sorted(named, key=lambda network: (network.namespace, network.name, network.id)):
        placed = next((placed for placed in rules if selection.object_matches(placed, network)), None)
        if placed is not None:
            listed = ", ".join(network.names[:LISTED]) + (", …" if len(network.names) > LISTED else "")
            yield (
                f"{placed.ruleset.name} selects external network {network.name}, whose host names ({listed}) match no "
                "address yet: names are not resolved"
            )
