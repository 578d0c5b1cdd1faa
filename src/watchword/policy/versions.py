"""Worlds that follow one another, sharing what did not change.

The parts of a world made here are persistent maps: the world before stays as it was for whoever still
looks at it, and the next one costs a few nodes for each entry that differs, however many there are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from rpds import HashTrieMap

from watchword.policy.world import PARTS, Alteration, World

#: The world before the first revision.
EMPTY = World(0, **{part: HashTrieMap() for part in PARTS})


def altered(world: World, revision: int, alterations: Iterable[Alteration]) -> World:
    """The next world. ``world`` itself is left alone; what is gone already may go again."""
    parts: dict[str, HashTrieMap[str, Any]] = {}
    for part, key, entry in alterations:
        if part not in parts:
            parts[part] = persistent(getattr(world, part))
        parts[part] = parts[part].discard(key) if entry is None else parts[part].insert(key, entry)
    return dataclasses.replace(world, revision=revision, **parts)


def alterations(before: World, after: World) -> list[Alteration]:
    """What leads from one world to another; a part that is the same object is not looked at."""
    found = []
    for part in PARTS:
        old, new = getattr(before, part), getattr(after, part)
        if old is not new:
            found += [Alteration(part, key, None) for key in old if key not in new]
            found += [Alteration(part, key, entry) for key, entry in new.items() if old.get(key) != entry]
    return found


def persistent(part: Mapping[str, Any]) -> HashTrieMap[str, Any]:
    """A part of a world as what a change of it costs little of; it may be that already."""
    return part if isinstance(part, HashTrieMap) else HashTrieMap(part)
