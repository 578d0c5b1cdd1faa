"""What differs between two values as JSON has them, down to the element that differs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple


class Difference(NamedTuple):
    """One place with what stood and what stands there; ``None`` where nothing does."""

    path: str
    before: Any
    after: Any


def differences(before: Any, after: Any, path: str) -> Iterator[Difference]:
    """Every difference, as deep as both sides are alike."""
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from differences(before.get(key), after.get(key), f"{path}.{key}")
    elif isinstance(before, list) and isinstance(after, list) and _records([*before, *after]):
        for index in range(max(len(before), len(after))):
            sides = [side[index] if index < len(side) else None for side in (before, after)]
            yield from differences(sides[0], sides[1], f"{path}[{index}]")
    else:
        yield Difference(path, before, after)


def _records(items: list[Any]) -> bool:
    return all(isinstance(item, dict) for item in items)
