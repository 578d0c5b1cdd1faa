"""Loading without the garbage collector, and what it is left to."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from watchword.policy.engine.loading import YOUNG, undisturbed


@pytest.fixture(autouse=True)
def _the_collector_as_it_was() -> Iterator[None]:
    thresholds, enabled = gc.get_threshold(), gc.isenabled()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    (gc.enable if enabled else gc.disable)()


def test_no_collection_within_and_rarer_ones_afterwards() -> None:
    gc.enable()
    gc.set_threshold(700, 11, 12)
    with undisturbed():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_threshold() == (YOUNG, 11, 12)


def test_what_is_there_then_counts_as_permanent_and_what_was_garbage_is_gone() -> None:
    class Ring:
        gone = False

        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            Ring.gone = True

    before = gc.get_freeze_count()
    with undisturbed():
        Ring()
        assert not Ring.gone
        kept = [[number] for number in range(5000)]
    assert Ring.gone
    assert gc.get_freeze_count() > before + len(kept)


def test_a_collector_that_was_off_stays_off_and_failing_ends_it_too() -> None:
    gc.disable()
    with pytest.raises(KeyError), undisturbed():
        raise KeyError
    assert not gc.isenabled()
    gc.enable()
    with pytest.raises(KeyError), undisturbed():
        raise KeyError
    assert gc.isenabled()
