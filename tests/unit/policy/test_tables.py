"""Numbers and defaults of the tables: what every datapath relies on without asking."""

from __future__ import annotations

import struct

import pytest

from watchword.policy.tables import (
    CLASS_LIMIT,
    EXCLUDED,
    FIRST_CLASS,
    NO_CLASS,
    SEGMENT_LIMIT,
    SOMEWHERE,
    Tables,
    Verdict,
)


def test_fixed_classes_are_what_they_are_in_the_kernel_and_below_all_others() -> None:
    assert (NO_CLASS, SOMEWHERE, EXCLUDED, FIRST_CLASS) == (0, 1, 2, 16)


def test_classes_take_32_bits_and_segments_16() -> None:
    assert struct.pack(">I", CLASS_LIMIT - 1) == b"\xff" * 4
    assert struct.pack(">H", SEGMENT_LIMIT - 1) == b"\xff" * 2


def test_a_verdict_is_logged_and_comes_from_a_default_unless_it_says_otherwise() -> None:
    assert Verdict("Reject") == Verdict("Reject", "", "", "", explicit=False, log=True)
    assert Verdict("Reject") != Verdict("Reject", explicit=True)
    with pytest.raises(AttributeError):
        Verdict("Allow").action = "Reject"  # type: ignore[misc]


def test_tables_of_nothing_hold_nothing() -> None:
    assert Tables(3) == Tables(3, {}, {}, {}, {}, (), {}, frozenset())
