"""What of a world a reader may know whose rights begin at one namespace.

1. Units of that namespace and below it.
2. Rulesets and external networks of that namespace and below it, and those above that propagate: they
   are in force here, or may be named here.
3. The namespaces on the way up, because their defaults hold here; none beside them.

Whatever is computed from a view alone cannot tell its reader of anything else. A statement about a view
is a statement about what its reader may see: "selects nothing" may be untrue of the whole.
"""

from __future__ import annotations

import dataclasses

from watchword.policy.namespaces import ROOT, reaches, upwards
from watchword.policy.world import Network, Ruleset, World


def view(world: World, namespace: str) -> World:
    """The part of ``world`` that a reader of ``namespace`` may know; the whole world for the root's."""
    if namespace == ROOT:
        return world
    above = set(upwards(namespace))
    return dataclasses.replace(
        world,
        namespaces={
            path: entry for path, entry in world.namespaces.items() if path in above or reaches(namespace, True, path)
        },
        units={key: unit for key, unit in world.units.items() if reaches(namespace, True, unit.namespace)},
        networks={key: network for key, network in world.networks.items() if readable(network, namespace)},
        rulesets={key: ruleset for key, ruleset in world.rulesets.items() if readable(ruleset, namespace)},
        enforcers={},
    )


def readable(entry: Network | Ruleset, namespace: str) -> bool:
    """Whether a reader of ``namespace`` may know a ruleset or network."""
    return reaches(namespace, True, entry.namespace) or reaches(entry.namespace, entry.propagate, namespace)
