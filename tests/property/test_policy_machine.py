"""Whatever operators and workloads do, in whatever order: the chain says what starting anew and the oracle say."""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.property.chain import Console, Enforcer
from tests.property.worlds import (
    ADDRESSES,
    ENFORCERS,
    FLOWS,
    PATHS,
    TAGS,
    enforcers,
    namespaces,
    networks,
    rules,
    rulesets,
    units,
    worlds,
)
from watchword.policy.world import Namespace, Network, Rule, Ruleset, Unit, World

_numbers = st.integers(0, 4)
_tags = st.frozensets(st.sampled_from(TAGS), max_size=4)
_paths = st.sampled_from(PATHS)


class Operations(RuleBasedStateMachine):
    """One Console and its Enforcers over a sequence of operations, checked after each one."""

    def __init__(self) -> None:
        super().__init__()
        self.console = Console()
        self.enforcers = {enforcer: Enforcer() for enforcer in ENFORCERS}
        self.asked: dict[str, set[int]] = {enforcer: set() for enforcer in ENFORCERS}
        self.offline: set[str] = set()
        self.busy: set[str] = set()
        self.flows = FLOWS[::4]
        self.world = World(0, {}, {}, {}, {}, {})

    def put(self, part: str, key: str, entry: Any) -> None:
        """Create or update one record, or delete it (None)."""
        table = dict(getattr(self.world, part))
        if entry is None:
            table.pop(key, None)
        else:
            table[key] = entry
        self.become(**{part: table})

    def become(self, **parts: Any) -> None:
        """The next published state."""
        self.world = dataclasses.replace(self.world, revision=self.world.revision + 1, **parts)

    @initialize(world=worlds(), start=st.integers(0, 3))
    def begin(self, world: World, start: int) -> None:
        self.world = dataclasses.replace(world, revision=1)
        self.flows = FLOWS[start::4]

    @rule(unit=_numbers.flatmap(units))
    def create_or_replace_a_unit(self, unit: Unit) -> None:
        self.put("units", unit.id, unit)

    @rule(number=_numbers, tags=_tags)
    def relabel(self, number: int, tags: frozenset[str]) -> None:
        unit = self.world.units.get(f"u{number}")
        if unit is not None:
            self.put("units", unit.id, dataclasses.replace(unit, tags=tags | {"all=1"}))

    @rule(number=_numbers, path=_paths, enforcer=st.sampled_from(ENFORCERS))
    def move(self, number: int, path: str, enforcer: str) -> None:
        unit = self.world.units.get(f"u{number}")
        if unit is not None:
            self.put("units", unit.id, dataclasses.replace(unit, namespace=path, enforcer=enforcer))

    @rule(number=_numbers)
    def delete_a_unit(self, number: int) -> None:
        self.put("units", f"u{number}", None)

    @rule(network=_numbers.flatmap(networks))
    def create_or_replace_a_network(self, network: Network) -> None:
        self.put("networks", network.id, network)

    @rule(number=_numbers, path=_paths, propagate=st.booleans(), required=st.booleans())
    def move_a_network(self, number: int, path: str, propagate: bool, required: bool) -> None:
        network = self.world.networks.get(f"n{number}")
        if network is not None:
            moved = dataclasses.replace(network, namespace=path, propagate=propagate, identity_required=required)
            self.put("networks", network.id, moved)

    @rule(number=_numbers)
    def delete_a_network(self, number: int) -> None:
        self.put("networks", f"n{number}", None)

    @rule(ruleset=_numbers.flatmap(rulesets))
    def create_or_replace_a_ruleset(self, ruleset: Ruleset) -> None:
        self.put("rulesets", ruleset.id, ruleset)

    @rule(number=_numbers, added=rules(), incoming=st.booleans(), first=st.booleans())
    def add_a_rule(self, number: int, added: Rule, incoming: bool, first: bool) -> None:
        """In front of the others, every rule behind it gets another key."""
        ruleset = self.world.rulesets.get(f"s{number}")
        if ruleset is not None:
            side = "incoming" if incoming else "outgoing"
            present: tuple[Rule, ...] = getattr(ruleset, side)
            changed: Any = {side: (added, *present) if first else (*present, added)}
            self.put("rulesets", ruleset.id, dataclasses.replace(ruleset, **changed))

    @rule(number=_numbers, changed=rules(), incoming=st.booleans(), index=st.integers(0, 2))
    def edit_a_rule(self, number: int, changed: Rule, incoming: bool, index: int) -> None:
        """The rule keeps its key, and units keep their list of rules."""
        ruleset = self.world.rulesets.get(f"s{number}")
        side = "incoming" if incoming else "outgoing"
        if ruleset is not None and index < len(getattr(ruleset, side)):
            present = list(getattr(ruleset, side))
            present[index] = changed
            edited: Any = {side: tuple(present)}
            self.put("rulesets", ruleset.id, dataclasses.replace(ruleset, **edited))

    @rule(
        number=_numbers,
        traits=st.fixed_dictionaries({}, optional={t: st.booleans() for t in ("propagate", "fallback", "disabled")}),
    )
    def switch_a_ruleset(self, number: int, traits: dict[str, Any]) -> None:
        ruleset = self.world.rulesets.get(f"s{number}")
        if ruleset is not None:
            self.put("rulesets", ruleset.id, dataclasses.replace(ruleset, **traits))

    @rule(number=_numbers)
    def delete_a_ruleset(self, number: int) -> None:
        self.put("rulesets", f"s{number}", None)

    @rule(paths=namespaces())
    def change_defaults(self, paths: dict[str, Namespace]) -> None:
        self.become(namespaces=paths)

    @rule(victim=st.sampled_from(ENFORCERS))
    def evict(self, victim: str) -> None:
        self.become(enforcers={key: entry for key, entry in self.world.enforcers.items() if key != victim})
        self.console.forget(victim)

    @rule()
    def admit_all(self) -> None:
        self.become(enforcers=enforcers())

    @rule(enforcer=st.sampled_from(ENFORCERS), number=_numbers)
    def ask_for_a_badge(self, enforcer: str, number: int) -> None:
        self.asked[enforcer].add(100 + number)
        self.become()

    @rule(enforcer=st.sampled_from(ENFORCERS))
    def put_off_compiling(self, enforcer: str) -> None:
        self.busy.add(enforcer)

    @rule()
    def compile_what_was_put_off(self) -> None:
        self.busy.clear()

    @rule(enforcer=st.sampled_from(ENFORCERS))
    def lose_the_session(self, enforcer: str) -> None:
        self.offline.add(enforcer)

    @rule(enforcer=st.sampled_from(ENFORCERS), known=st.booleans())
    def resume_the_session(self, enforcer: str, known: bool) -> None:
        """By one delta over all that was missed, or by a snapshot."""
        self.offline.discard(enforcer)
        if not known:
            self.console.forget(enforcer)

    @rule(enforcer=st.sampled_from(ENFORCERS))
    def restart(self, enforcer: str) -> None:
        self.enforcers[enforcer].restart()

    @precondition(lambda self: self.world.revision > 0)
    @invariant()
    def everybody_decides_as_anew(self) -> None:
        for key, enforcer in self.enforcers.items():
            if key in self.world.enforcers and key not in self.offline:
                enforcer.take(self.console.frame(self.world, key, self.asked[key]), busy=key in self.busy)
            if key in self.world.enforcers and key not in self.offline | self.busy:
                enforcer.check(self.world, key, self.flows, ADDRESSES[::2], self.asked[key])


TestOperations = Operations.TestCase
TestOperations.settings = settings(
    max_examples=30, stateful_step_count=15, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
