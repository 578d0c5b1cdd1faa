"""One unit's policy as an nftables ruleset for the host it is, where addresses stand for identities.

Exact for a host that is one unit and peers whose addresses are given, with two differences in kind: whoever has an
address is taken for the unit, and connections that exist go on when the ruleset changes. Everything else that is
not the same is listed, and where leaving it out would allow more, the export is refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from watchword.exchange.addressing import Piece, addresses_of, pieces
from watchword.exchange.notes import Note, Unreadable
from watchword.model.ports import ANY_PROTOCOL
from watchword.model.protocols import ICMP, ICMP6, TCP, UDP
from watchword.policy import selection
from watchword.policy.decide import Party, identity_rules, names
from watchword.policy.namespaces import default_action
from watchword.policy.selection import PlacedRule
from watchword.policy.tables import Direction
from watchword.policy.verdicts import settle
from watchword.policy.world import Unit, World
from watchword.wire.policy import Action

TABLE = "watchword"

#: Neighbour and router discovery and listener reports: always allowed, by no rule.
_ALWAYS = "133, 134, 135, 136, 141, 142, 143"

_LAST_PORT = 65535

Span = tuple[int, int]


class Exported(NamedTuple):
    """A ruleset for ``nft -f``, and what is different about it."""

    text: str
    notes: list[Note]


class _Allowed(NamedTuple):
    """What one direction allows one group of peers: spans of protocols that rules name, and all the others."""

    spans: tuple[tuple[int, tuple[Span, ...]], ...]
    others: Action


def export(world: World, unit: Unit, addresses: Mapping[str, Sequence[str]]) -> Exported:
    """The ruleset of the host that is ``unit``. ``addresses`` lead from units (ID or name) to their addresses.

    Raises :class:`Unreadable` for addresses that cannot be meant, and where a peer that is to be refused has none.
    """
    known = addresses_of(world.units, addresses)
    others = {address: peer for address, peer in known.items() if peer.id != unit.id}
    notes = [
        Note(unit.name, "addresses stand for identities: whoever has one is taken for its unit", lost=False),
        Note(unit.name, "connections that exist go on when this is loaded", lost=False),
    ]
    lines = [
        f"# {unit.namespace} {unit.name}: revision {world.revision}",
        f"table inet {TABLE}",
        f"delete table inet {TABLE}",
        "",
    ]
    lines.append(f"table inet {TABLE} {{")
    for direction in ("in", "out"):
        rules = _rules(world, unit, direction)
        notes += _remarks(world, unit, direction, rules, {peer.id for peer in others.values()})
        lines += _direction(world, unit, direction, rules, list(pieces(world.networks.values(), others)))
    lines.append("}")
    return Exported("\n".join(lines) + "\n", notes)


def _rules(world: World, unit: Unit, direction: Direction) -> list[PlacedRule]:
    return list(selection.rules_of(selection.about(unit, world.rulesets.values()), direction))


def _remarks(
    world: World, unit: Unit, direction: Direction, rules: Sequence[PlacedRule], addressed: set[str]
) -> Iterator[Note]:
    for placed in rules:
        title = f"{placed.ruleset.namespace} {placed.ruleset.name} {placed.rule.name or placed.key.rpartition('/')[2]}"
        if placed.rule.observed:
            yield Note(title, "is in observation: it decides nothing, and nobody reports what it would", lost=False)
            continue
        unknown = [
            peer.name
            for peer in world.units.values()
            if peer.id not in addressed and peer.id != unit.id and names(placed, peer)
        ]
        if not unknown:
            continue
        listed = ", ".join(sorted(unknown)[:10]) + (f" and {len(unknown) - 10} more" if len(unknown) > 10 else "")
        if placed.rule.action == "Reject":
            remedy = "give their addresses"
            raise Unreadable(
                title, f"rejects {listed}, whose addresses are not given: they would be let through", remedy
            )
        yield Note(title, f"allows {listed}, whose addresses are not given: they are decided as strangers")


def _direction(
    world: World, unit: Unit, direction: Direction, rules: Sequence[PlacedRule], space: Sequence[Piece]
) -> list[str]:
    """The chain at one hook, and one chain for each group of peers."""
    groups: dict[_Allowed, str] = {}
    maps: dict[int, list[str]] = {4: [], 6: []}
    by_rules: dict[tuple[str, ...], str] = {}
    for piece in _merged(unit, direction, rules, space):
        naming = _naming(unit, direction, rules, piece.party)
        key = tuple(placed.key for placed in naming)
        if key not in by_rules:
            allowed = _allowed(world, unit, direction, naming)
            by_rules[key] = groups.setdefault(allowed, f"{direction}_{len(groups) + 1}")
        maps[piece.version].append(f"{piece.text()} : goto {by_rules[key]}")
    lines: list[str] = []
    for allowed, name in groups.items():
        lines += [f"  chain {name} {{", *(f"    {line}" for line in _verdicts(allowed, direction)), "  }"]
    hook, side, interface = ("input", "saddr", "iif") if direction == "in" else ("output", "daddr", "oif")
    lines += [f"  chain {hook} {{", f"    type filter hook {hook} priority filter; policy drop;"]
    lines += [f"    {interface} lo accept", "    ct state established,related accept"]
    lines.append(f"    icmpv6 type {{ {_ALWAYS} }} accept")
    for version, word in ((4, "ip"), (6, "ip6")):
        elements = ",\n      ".join(maps[version])
        lines.append(f"    {word} {side} vmap {{\n      {elements}\n    }}")
    return [*lines, "  }"]


def _merged(unit: Unit, direction: Direction, rules: Sequence[PlacedRule], space: Sequence[Piece]) -> Iterator[Piece]:
    """Neighbouring pieces that the same rules name, as one."""
    pending: Piece | None = None
    pending_keys: tuple[str, ...] = ()
    for piece in space:
        keys = tuple(placed.key for placed in _naming(unit, direction, rules, piece.party))
        if pending is not None and pending.version == piece.version and keys == pending_keys:
            pending = pending._replace(last=piece.last)
            continue
        if pending is not None:
            yield pending
        pending, pending_keys = piece, keys
    if pending is not None:
        yield pending


def _naming(unit: Unit, direction: Direction, rules: Sequence[PlacedRule], party: Party) -> list[PlacedRule]:
    """The rules that decide about a peer."""
    found = [placed for placed in rules if not placed.rule.observed and names(placed, party)]
    return sorted([*found, *identity_rules(unit, party, direction)], key=lambda placed: placed.key)


def _allowed(world: World, unit: Unit, direction: Direction, naming: Sequence[PlacedRule]) -> _Allowed:
    default = default_action(world.namespaces, unit.namespace, direction)[0]
    named = sorted({piece.protocol for placed in naming for piece in placed.rule.ports} - {ANY_PROTOCOL})

    def decided(protocol: int, port: int) -> Action:
        matching = [placed for placed in naming if any(piece.covers(protocol, port) for piece in placed.rule.ports)]
        return settle(((placed.key, placed.rule) for placed in matching), default).action

    unnamed = next(number for number in range(254, 0, -1) if number not in named)
    spans = []
    for protocol in named:
        cuts = {0, _LAST_PORT + 1}
        for placed in naming:
            for piece in placed.rule.ports:
                if piece.protocol == protocol:
                    cuts |= {piece.first, piece.last + 1}
        edges = sorted(cuts)
        found: list[Span] = []
        for first, beyond in itertools.pairwise(edges):
            if decided(protocol, first) != "Allow":
                continue
            if found and found[-1][1] == first - 1:
                found[-1] = (found[-1][0], beyond - 1)
            else:
                found.append((first, beyond - 1))
        spans.append((protocol, tuple(found)))
    return _Allowed(tuple(spans), decided(unnamed, 0))


def _verdicts(allowed: _Allowed, direction: Direction) -> Iterator[str]:
    refuse = "drop" if direction == "in" else "reject with icmpx admin-prohibited"
    for protocol, spans in allowed.spans:
        if spans == ((0, _LAST_PORT),):
            yield f"meta l4proto {protocol} accept"
            continue
        if protocol in (TCP, UDP) and spans:
            word = "tcp" if protocol == TCP else "udp"
            yield f"{word} dport {{ {', '.join(_span(*span) for span in spans)} }} accept"
        elif protocol in (ICMP, ICMP6):
            yield from _icmp("icmp" if protocol == ICMP else "icmpv6", spans)
        if allowed.others == "Allow":
            yield f"meta l4proto {protocol} {refuse}"
    yield "accept" if allowed.others == "Allow" else refuse


def _icmp(word: str, spans: Sequence[Span]) -> Iterator[str]:
    """Types, and codes of a type: a span is of ``type << 8 | code``."""
    for first, last in spans:
        for kind in range(first >> 8, (last >> 8) + 1):
            codes = max(first, kind << 8) & 255, min(last, kind << 8 | 255) & 255
            only = "" if codes == (0, 255) else f" {word} code {_span(*codes)}"
            yield f"{word} type {kind}{only} accept"


def _span(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first}-{last}"
