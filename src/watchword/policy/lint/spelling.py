"""What can be said of each ruleset and rule alone: what it selects, how broad it is, what repeats it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping

from watchword.model import prefixes
from watchword.model.expressions import Expression, normalised
from watchword.model.protocols import TCP
from watchword.policy import portsets, selection
from watchword.policy.counsel import expressed, title
from watchword.policy.landscape import Landscape
from watchword.policy.lint.findings import Finding, of_rule, of_ruleset, standing
from watchword.policy.namespaces import tag_prefixes
from watchword.policy.selection import PlacedRule
from watchword.policy.tables import Direction
from watchword.policy.world import Network, Ruleset

_DIRECTIONS: tuple[Direction, Direction] = ("in", "out")
_ALL_TCP = ((portsets.point(TCP, 1), portsets.point(TCP, 65535)),)

#: How long a ruleset may be disabled before that is said.
LONG = datetime.timedelta(days=30)


def rules(ruleset: Ruleset) -> Iterator[PlacedRule]:
    """All rules of a ruleset."""
    for direction in _DIRECTIONS:
        yield from selection.rules_of([ruleset], direction)


def outside_prefixes(landscape: Landscape, ruleset: Ruleset) -> Iterator[Finding]:
    """Clauses that the namespace does not let anybody write."""
    allowed = tag_prefixes(landscape.world.namespaces, ruleset.namespace)
    remedy = f"use tags beginning with {', '.join(allowed)}, or extend tagPrefixes"
    if wrong := _outside(ruleset.subject, allowed):
        yield of_ruleset("tag-outside-prefixes", ruleset, f"names {wrong} in its subject, outside tagPrefixes", remedy)
    for placed in rules(ruleset):
        if wrong := _outside(placed.rule.object, allowed):
            yield of_rule("tag-outside-prefixes", placed, f"names {wrong} in its object, outside tagPrefixes", remedy)


def _outside(expression: Expression, allowed: tuple[str, ...]) -> str:
    texts = sorted({text for alternative in expression for text in alternative})
    return ", ".join(text for text in texts if allowed and not text.removeprefix("!").startswith(allowed))


def long_disabled(
    ruleset: Ruleset, changed: Mapping[str, datetime.datetime], now: datetime.datetime | None
) -> Iterator[Finding]:
    """A ruleset that nobody seems to need; ``changed`` is when rulesets last changed, by ID."""
    since = changed.get(ruleset.resource)
    if ruleset.disabled and since is not None and now is not None and now - since >= LONG:
        text = f"has been disabled and unchanged since {since.date().isoformat()}"
        yield of_ruleset("long-disabled", ruleset, text, "enable it, or delete it")


def subject(landscape: Landscape, ruleset: Ruleset) -> Iterator[Finding]:
    """What an enabled ruleset's subject selects."""
    found = landscape.selected(ruleset.subject) & landscape.present
    scope = landscape.reach(ruleset.namespace, ruleset.propagate)
    words = expressed(ruleset.subject)
    if not found:
        text = f"is about nothing: no unit is {words}"
        yield of_ruleset("subject-matches-nothing", ruleset, text, "correct the subject, or delete the ruleset")
    elif not found & scope:
        below = found & landscape.reach(ruleset.namespace, True)
        number, where = (landscape.count(below), "below it") if below else (landscape.count(found), "elsewhere")
        text = f"reaches none of the {number} units that are {words}: they are {where}"
        remedy = "set propagate" if below else "move it to their namespace, or above with propagate"
        yield of_ruleset("unreachable-ruleset", ruleset, text, remedy)
    elif found & scope == scope and landscape.count(scope) > 1:
        text = f"is about all {landscape.count(scope)} units in its reach"
        yield of_ruleset("subject-matches-everything", ruleset, text, "see whether that is meant")


def names_something(landscape: Landscape, placed: PlacedRule) -> bool:
    """Whether a rule's object names a present unit or a visible network."""
    return bool(landscape.selected(placed.rule.object) & landscape.present or _networks(landscape, placed))


def objects(landscape: Landscape, ruleset: Ruleset) -> Iterator[Finding]:
    """What the objects of an enabled ruleset's rules name, and how much of it."""
    for placed in rules(ruleset):
        units = landscape.selected(placed.rule.object) & landscape.present
        networks = _networks(landscape, placed)
        if not names_something(landscape, placed):
            text = f"names nothing: no unit, and no network visible from {ruleset.namespace}, is "
            yield of_rule("object-matches-nothing", placed, text + expressed(placed.rule.object), "correct the object")
        if placed.rule.action == "Allow":
            yield from _breadth(landscape, placed, units == landscape.present, networks)


def _networks(landscape: Landscape, placed: PlacedRule) -> list[Network]:
    found = landscape.networks(placed.rule.object)
    return [network for network in found if selection.visible(network, placed.ruleset.namespace)]


def _breadth(landscape: Landscape, placed: PlacedRule, everybody: bool, networks: list[Network]) -> Iterator[Finding]:
    everybody = everybody and landscape.count(landscape.present) > 1
    internet = next((network for network in networks if _is_internet(network)), None)
    if everybody:
        yield of_rule("object-matches-everything", placed, "names every unit there is", "name only those that need it")
    whom = "every unit" if everybody else f"the whole internet ({internet.name})" if internet else ""
    ports = portsets.of(placed.rule.ports)
    if whom and portsets.common(ports, _ALL_TCP) == _ALL_TCP:
        yield of_rule("over-broad-rule", placed, f"allows {whom} on every TCP port", "name the ports that are needed")
    if internet and standing(placed)[0] == "incoming":
        text = f"lets the whole internet in ({internet.name})"
        yield of_rule("open-to-internet", placed, text, "see whether that is meant")


def _is_internet(network: Network) -> bool:
    entries = (prefixes.parse_entry(text) for text in network.entries)
    return any(entry.prefix.prefixlen == 0 and not entry.carved for entry in entries)


def duplicates(rulesets: list[Ruleset], told: Callable[[Finding], None]) -> set[str]:
    """Keys of the rules that say what an earlier one says."""
    firsts: dict[object, PlacedRule] = {}
    found = set()
    everything = (placed for ruleset in rulesets for placed in rules(ruleset))
    for placed in sorted(everything, key=lambda placed: placed.key):
        first = firsts.setdefault(_meaning(placed), placed)
        if first is not placed:
            found.add(placed.key)
            told(of_rule("duplicate-rule", placed, f"says what {title(first)} says", "remove it", others=(first.key,)))
    return found


def _meaning(placed: PlacedRule) -> object:
    ruleset, rule = placed.ruleset, placed.rule
    return (
        (ruleset.namespace, normalised(ruleset.subject), ruleset.propagate, ruleset.fallback),
        standing(placed)[0],
        (rule.action, rule.observed, normalised(rule.object), portsets.of(rule.ports)),
    )
