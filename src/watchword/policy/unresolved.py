"""Host names in external networks, as far as they bear on a verdict about an address.

Which addresses a name stands for, each unit learns from the DNS answers that it gets: what it opens to them is
judged by the networks that list the name too. An explanation knows addresses, and not what a unit has learned.
These notes say where that may make a difference.
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
            yield _note(placed, network, listed)


def _note(placed: selection.PlacedRule, network: Network, listed: str) -> str:
    about = f"{placed.ruleset.name} selects external network {network.name}, whose host names ({listed})"
    if placed.key.split("/")[-2] == "in":
        return f"{about} count for what a unit opens, and not for who comes"
    return f"{about} stand for whatever addresses the unit has learned under them, which is not looked at here"
