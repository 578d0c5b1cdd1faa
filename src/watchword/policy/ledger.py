"""A large table that changes a little at a time, and immutable snapshots of it that cost nothing to take.

The ledger holds one dictionary, the table as it is now. A snapshot reads that dictionary; when the ledger
changes under it, what stood there before is noted in every snapshot that somebody still holds. So a step
costs what it changes, the newest snapshot is as quick as the dictionary, and an older one stays right for
as long as it is held - at the price of one note for each entry changed since. Not thread-safe.
"""

from __future__ import annotations

import weakref
from collections.abc import Hashable, ItemsView, Iterable, Iterator, KeysView, Mapping, Set
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Snapshot(Mapping[Key, Value]):
    """A ledger as it was when :meth:`Ledger.snapshot` was called."""

    __slots__ = ("__weakref__", "_before", "_entries")

    def __init__(self, entries: dict[Key, Value]) -> None:
        self._entries = entries
        self._before: dict[Key, Value | None] = {}  # what stood here, None for nothing, where it differs by now

    def note(self, before: Mapping[Key, Value | None]) -> None:
        """Entries that are about to change, as they are; the first note about an entry counts."""
        for key, value in before.items():
            self._before.setdefault(key, value)

    def since(self, other: Snapshot[Key, Value]) -> Set[Key] | None:
        """Keys of all entries that may differ from another snapshot of this ledger; None for any other."""
        return {*self._before, *other._before} if self._entries is other._entries else None

    def __getitem__(self, key: Key) -> Value:
        found: Value | None = self.get(key)
        if found is None:
            raise KeyError(key)
        return found

    def get(self, key: Any, default: Any = None) -> Any:
        """The entry, or ``default``."""
        found = self._before[key] if key in self._before else self._entries.get(key)
        return default if found is None else found

    def __contains__(self, key: object) -> bool:
        return self.get(key) is not None

    def __iter__(self) -> Iterator[Key]:
        if not self._before:
            return iter(self._entries)
        return iter([key for key in {**self._entries, **self._before} if key in self])

    def __len__(self) -> int:
        if not self._before:
            return len(self._entries)
        return sum(1 for _ in self)

    def items(self) -> ItemsView[Key, Value]:
        """All pairs; the dictionary's own while nothing has changed."""
        return super().items() if self._before else self._entries.items()

    def __repr__(self) -> str:
        return repr(dict(self))

    def __reduce__(self) -> tuple[type[dict[Key, Value]], tuple[dict[Key, Value]]]:
        """Pickled as a dictionary: elsewhere it has no ledger."""
        return dict, (dict(self),)


class Keys(KeysView[Key]):
    """The keys of a mapping, as a set that knows its mapping."""

    def __init__(self, mapping: Mapping[Key, Any]) -> None:
        super().__init__(mapping)
        self.mapping = mapping


def differing(old: Mapping[Key, Value], new: Mapping[Key, Value]) -> list[Key]:
    """Keys of the entries that are not the same. Costs what differs for two snapshots of one ledger."""
    if old is new:
        return []
    keys = new.since(old) if isinstance(old, Snapshot) and isinstance(new, Snapshot) else None
    if keys is None:
        keys = {**old, **new}.keys()
    return [key for key in keys if (before := old.get(key)) is not (after := new.get(key)) and before != after]


def differing_members(old: Set[Key], new: Set[Key]) -> Set[Key]:
    """What is in one of two sets only. Costs what differs for keys of two snapshots of one ledger."""
    if isinstance(old, Keys) and isinstance(new, Keys):
        return set(differing(old.mapping, new.mapping))
    return old ^ new


class Ledger(Generic[Key, Value]):
    """The table and its snapshots. No value is None."""

    def __init__(self) -> None:
        self._entries: dict[Key, Value] = {}
        self._held: list[weakref.ref[Snapshot[Key, Value]]] = []
        self._newest: Snapshot[Key, Value] | None = None

    def change(self, wanted: Mapping[Key, Value | None]) -> tuple[Key, ...]:
        """Put entries, and remove those that are None; returns the keys whose entries differ from before."""
        entries = self._entries
        changed = tuple(key for key, value in wanted.items() if entries.get(key) != value)
        if not changed:
            return ()
        self._newest = None
        self._note(changed)
        for key in changed:
            value = wanted[key]
            if value is None:
                del entries[key]
            else:
                entries[key] = value
        return changed

    def _note(self, changed: Iterable[Key]) -> None:
        """Tell the snapshots that somebody holds what stands where something is about to change."""
        held = [(reference, snapshot) for reference in self._held if (snapshot := reference()) is not None]
        self._held = [reference for reference, _ in held]
        if held:
            before = {key: self._entries.get(key) for key in changed}
            for _, snapshot in held:
                snapshot.note(before)

    def snapshot(self) -> Snapshot[Key, Value]:
        """The table as it is now; the same object until it changes."""
        if self._newest is None:
            self._newest = Snapshot(self._entries)
            self._held.append(weakref.ref(self._newest))
        return self._newest
