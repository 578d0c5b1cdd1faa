"""The engine on many short walks, and what is left in it when everything is gone."""

from __future__ import annotations

import pytest

from tests.unit.policy.engine.walk import Walk
from watchword.policy.engine import state, subscriptions
from watchword.policy.world import Alteration, Namespace

#: What the engine's parts may still have when the world is empty: words on it, and room by number, used again.
KEPT = {"revision", "muted", "_badge", "_facts", "_things", "_free"}


def remains(part: object) -> dict[str, object]:
    """What is not empty in an object's attributes."""
    return {name: value for name, value in vars(part).items() if name not in KEPT and _filled(value)}


def _filled(value: object) -> bool:
    return bool(value) if hasattr(value, "__len__") or isinstance(value, int) else False


def nothing_stays(walk: Walk) -> None:
    """Whatever came has gone again, from every index too; what namespaces brought goes when one changes."""
    walk.alter([Alteration("namespaces", "/", Namespace("/"))])
    walk.alter([Alteration("namespaces", "/", None)])
    held, readers = walk.engine._state, walk.engine._subscriptions
    for part in (held, readers, held.units, held.networks, held.units.postings, held.networks.postings):
        assert remains(part) == {}, type(part).__name__
    assert len(held.units._free) == len(held.units._things)


@pytest.mark.parametrize("seed", range(60))
def test_documents_amendments_and_digests_agree_after_every_step(seed: int) -> None:
    walk = Walk(seed)
    walk.go(20)
    changes = {(change.part, change.key): change for change in (walk.dice.alteration(walk.world) for _ in range(10))}
    walk.load(list(changes.values()))
    walk.check()
    walk.go(10)
    walk.stand()
    walk.leave()
    nothing_stays(walk)


@pytest.mark.parametrize("seed", range(60, 100))
def test_so_they_do_where_enforcers_are_many(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many Enforcers are told the same at once: here as few as two are many."""
    monkeypatch.setattr(state, "ONE_BY_ONE", 1)
    monkeypatch.setattr(state, "NEIGHBOURS", 1 + seed % 2)
    monkeypatch.setattr(subscriptions, "APART", 1)
    walk = Walk(seed, 5, exact=False)
    walk.go(25)
    walk.stand()
    walk.leave()
    nothing_stays(walk)


@pytest.mark.parametrize("seed", range(100, 115))
def test_as_many_as_are_looked_at_one_by_one_are_told_nothing_twice(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "ONE_BY_ONE", 1)  # of two, one is the unit's own
    monkeypatch.setattr(subscriptions, "APART", 2)
    walk = Walk(seed, 2)
    walk.go(30)
