"""What happens in a company all day: units come, go and change tags; people edit rulesets."""

from __future__ import annotations

import dataclasses
from random import Random

from bench.company import ENVIRONMENTS, TIERS, Company, expression, rule, weighted
from watchword.policy.versions import altered
from watchword.policy.world import Alteration, Ruleset, Unit, World


class Turnover:
    """Draws one change after another; ``world`` is what has come of them."""

    def __init__(self, company: Company, world: World, seed: int) -> None:
        self.world = world
        self._company = company
        self._random = Random(seed)
        self._units = sorted(world.units)  # not in the order of hashes, which differs from run to run
        self._rulesets = sorted(world.rulesets)
        self._number = len(self._rulesets)

    def take(self, alterations: list[Alteration]) -> None:
        """These changes happened."""
        self.world = altered(self.world, self.world.revision + 1, alterations)

    def unit(self) -> tuple[str, Alteration]:
        """A unit comes, goes or changes; what kind of change it is, and the change."""
        what = self._random.random()
        if what < 1 / 3:
            unit = self._company.unit()
            self._units.append(unit.id)
            return "add", Alteration("units", unit.id, unit)
        place = self._random.randrange(len(self._units))
        if what < 2 / 3:
            self._units[place], self._units[-1] = self._units[-1], self._units[place]
            return "remove", Alteration("units", self._units.pop(), None)
        return self.relabel(self.world.units[self._units[place]])

    def relabel(self, unit: Unit) -> tuple[str, Alteration]:
        """Another version, tier or environment; the last takes it out of half of all rules and into others."""
        kind = weighted(self._random, (("version", 0.6), ("tier", 0.3), ("env", 0.1)))
        if kind == "version":
            return "version", _tagged(unit, "version", str(self._random.randrange(40)))
        if kind == "tier":
            return "tier", _tagged(unit, "tier", weighted(self._random, TIERS))
        return "env", _tagged(unit, "env", weighted(self._random, ENVIRONMENTS))

    def ruleset(self) -> tuple[str, Alteration]:
        """A ruleset is written, edited, switched or deleted; what kind of change it is, and the change."""
        kind = self._random.choice(("create", "delete", "ports", "object", "subject", "rule", "switch"))
        if kind == "create":
            made = self._company.ruleset(self._number)
            self._number += 1
            self._rulesets.append(made.id)
            return kind, Alteration("rulesets", made.id, made)
        place = self._random.randrange(len(self._rulesets))
        ruleset = self.world.rulesets[self._rulesets[place]]
        if kind == "delete":
            self._rulesets[place], self._rulesets[-1] = self._rulesets[-1], self._rulesets[place]
            return kind, Alteration("rulesets", self._rulesets.pop(), None)
        return kind, Alteration("rulesets", ruleset.id, self.edited(kind, ruleset))

    def edited(self, kind: str, ruleset: Ruleset) -> Ruleset:
        """A ruleset after an edit of a kind."""
        number = self._random.randrange(1024, 60000)
        if kind == "ports":
            changed = tuple(
                dataclasses.replace(each, ports=rule(each.object, f"tcp/{number}").ports) for each in ruleset.incoming
            )
            return dataclasses.replace(ruleset, incoming=changed)
        if kind == "object":
            other = self._company.application()
            wanted = expression((f"app={other.name}", f"env={other.environment}"))
            return dataclasses.replace(ruleset, outgoing=(*ruleset.outgoing[1:], rule(wanted, f"tcp/{number}")))
        if kind == "rule":
            other = self._company.application()
            wanted = expression((f"app={other.name}", f"tier={weighted(self._random, TIERS)}"))
            return dataclasses.replace(ruleset, incoming=(*ruleset.incoming, rule(wanted, f"tcp/{number}")))
        if kind == "subject":
            return dataclasses.replace(ruleset, subject=expression((*ruleset.subject[0][:2], "version=*")))
        return dataclasses.replace(ruleset, disabled=not ruleset.disabled)


def _tagged(unit: Unit, key: str, value: str) -> Alteration:
    others = {tag for tag in unit.tags if not tag.startswith(f"{key}=")}
    return Alteration("units", unit.id, dataclasses.replace(unit, tags=frozenset(others | {f"{key}={value}"})))
