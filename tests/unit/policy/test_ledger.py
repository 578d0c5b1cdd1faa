"""Snapshots of a changing table stay what they were."""

from __future__ import annotations

import gc
import itertools
import pickle
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchword.policy.ledger import Keys, Ledger, Snapshot, differing, differing_members

_steps = st.lists(st.dictionaries(st.integers(0, 5), st.none() | st.integers(0, 2)), max_size=8)


@settings(deadline=None)
@given(_steps, st.sets(st.integers(0, 7)))
def test_every_snapshot_stays_what_it_was(steps: list[dict[int, int | None]], dropped: set[int]) -> None:
    ledger: Ledger[int, int] = Ledger()
    plain: dict[int, int] = {}
    taken: list[tuple[Snapshot[int, int], dict[int, int]]] = [(ledger.snapshot(), {})]
    for number, step in enumerate(steps):
        before = dict(plain)
        plain.update({key: value for key, value in step.items() if value is not None})
        for key in [key for key, value in step.items() if value is None]:
            plain.pop(key, None)
        assert set(ledger.change(step)) == {key for key in range(6) if before.get(key) != plain.get(key)}
        if number not in dropped:
            taken.append((ledger.snapshot(), dict(plain)))
    for snapshot, expected in taken:
        assert snapshot == expected
        assert dict(snapshot.items()) == dict(snapshot) == expected
        assert len(snapshot) == len(expected)
        assert {key for key in range(6) if key in snapshot} == set(expected)
        assert [snapshot.get(key, "none") for key in range(6)] == [expected.get(key, "none") for key in range(6)]
        assert {snapshot[key] for key in expected} == set(expected.values())
        for missing in set(range(6)) - set(expected):
            with pytest.raises(KeyError):
                snapshot[missing]
        assert repr(snapshot) == repr(dict(snapshot))
        assert pickle.loads(pickle.dumps(snapshot)) == expected
    for (one, plain_one), (other, plain_other) in itertools.product(taken, taken):
        assert sorted(differing(one, other)) == [key for key in range(6) if plain_one.get(key) != plain_other.get(key)]
        assert sorted(differing(one, plain_other)) == sorted(differing(one, other))
        keys = differing_members(Keys(one), Keys(other))
        assert keys >= plain_one.keys() ^ plain_other.keys()
        assert differing_members(plain_one.keys(), set(plain_other)) == plain_one.keys() ^ plain_other.keys()


class Counted(int):
    """A key that counts how often it is looked up."""

    hashed = 0

    def __hash__(self) -> int:
        Counted.hashed += 1
        return super().__hash__()


def test_the_difference_of_two_snapshots_does_not_look_at_what_is_the_same() -> None:
    ledger: Ledger[int, int] = Ledger()
    ledger.change({Counted(key): key for key in range(1000)})
    one = ledger.snapshot()
    ledger.change({Counted(1): 0, Counted(2): None, Counted(1001): 0})
    two = ledger.snapshot()
    ledger.change({Counted(1): 1})
    before = Counted.hashed
    assert sorted(differing(one, two)) == [1, 2, 1001]
    assert sorted(differing(one, ledger.snapshot())) == [2, 1001]
    assert Counted.hashed - before < 100


def test_other_mappings_and_other_ledgers_are_compared_as_a_whole() -> None:
    one, other = Ledger[str, int](), Ledger[str, int]()
    one.change({"a": 1, "b": 1})
    other.change({"a": 1, "c": 1})
    assert sorted(differing(one.snapshot(), other.snapshot())) == ["b", "c"]
    assert sorted(differing({"a": (1, 2)}, {"a": tuple(sorted((2, 1))), "b": (3,)})) == ["b"]
    keys = Keys(one.snapshot())
    assert differing_members(keys, {"a", "c"}) == differing_members({"a", "c"}, keys) == {"b", "c"}


def test_keys_are_a_set_that_knows_its_mapping() -> None:
    ledger: Ledger[str, int] = Ledger()
    ledger.change({"a": 1, "b": 2})
    keys = Keys(ledger.snapshot())
    assert set(keys) == {"a", "b"}
    assert keys == ledger.snapshot().keys()
    assert "a" in keys
    assert "c" not in keys
    assert len(keys) == 2
    assert keys.mapping is ledger.snapshot()
    assert pickle.loads(pickle.dumps(keys)) == keys


def test_snapshots_that_are_gone_leave_nothing_behind() -> None:
    ledger: Ledger[int, int] = Ledger()
    for step in range(50):
        ledger.change({step: step})
        ledger.snapshot()
    assert len(ledger._held) < 5


def test_nothing_is_copied_while_nothing_changes() -> None:
    ledger: Ledger[str, int] = Ledger()
    ledger.change({"a": 1})
    one = ledger.snapshot()
    assert ledger.change({"a": 1, "b": None}) == ()
    assert ledger.snapshot() is one
    assert ledger.change({"a": 2}) == ("a",)
    assert ledger.snapshot() is not one
    assert (one["a"], ledger.snapshot()["a"]) == (1, 2)


def test_a_snapshot_that_nobody_holds_is_forgotten() -> None:
    ledger: Ledger[str, int] = Ledger()
    gone = weakref.ref(ledger.snapshot())
    ledger.change({"a": 1})
    gc.collect()
    assert gone() is None
