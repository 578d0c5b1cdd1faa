"""Numbers that stay with their things, and do not come back too soon."""

from __future__ import annotations

import pytest

from watchword.policy.numbers import Numbering


def test_numbers_are_given_in_turn_and_kept_while_somebody_holds_the_thing() -> None:
    numbering: Numbering[str] = Numbering(16, 1000)
    assert numbering.change([], ["a", "b", "a"]) == ([], {"a": 16, "b": 17})
    assert (numbering["a"], numbering["b"]) == (16, 17)
    assert numbering.change(["a"], []) == ([], {})
    assert numbering.change(["a"], []) == (["a"], {})
    with pytest.raises(KeyError):
        numbering["a"]
    assert numbering.change([], ["a", "b"]) == ([], {"a": 18})
    assert numbering.change(["b", "b", "a"], []) == (["b", "a"], {})


def test_what_leaves_and_joins_in_one_step_stays() -> None:
    numbering: Numbering[str] = Numbering(1, 9)
    numbering.change([], ["a"])
    assert numbering.change(["a"], ["a"]) == ([], {})
    assert numbering.change(["b"], ["b"]) == ([], {})
    assert numbering.change([], ["b"]) == ([], {"b": 2})


def test_a_free_number_comes_back_last_and_never_at_once() -> None:
    numbering: Numbering[str] = Numbering(1, 5)
    assert numbering.change([], "abc").fresh == {"a": 1, "b": 2, "c": 3}
    assert numbering.change("bc", "d").fresh == {"d": 4}
    assert numbering.change("d", "e").fresh == {"e": 2}
    assert numbering.change("e", "f").fresh == {"f": 3}
    assert numbering.change("f", "g").fresh == {"g": 4}
    before, last = "g", 4
    for thing in "hijklmnop":
        number = numbering.change(before, thing).fresh[thing]
        assert number in {2, 3, 4} - {last}
        before, last = thing, number


def test_more_things_than_numbers_are_refused_and_nothing_changes() -> None:
    numbering: Numbering[str] = Numbering(1, 4)
    numbering.change([], "ab")
    with pytest.raises(ValueError, match="4 classes or segments, and numbers up to 3"):
        numbering.change("ab", "cd")
    assert (numbering["a"], numbering["b"]) == (1, 2)
    assert numbering.change("b", "c") == (["b"], {"c": 3})
    assert numbering.change([], "d") == ([], {"d": 2})


def test_what_comes_back_after_a_new_beginning_finds_its_number() -> None:
    numbering: Numbering[str] = Numbering(1, 4)
    numbering.change([], "ab")
    numbering.begin_again()
    assert numbering.change([], "cbb") == ([], {"c": 3, "b": 2})  # b is known; a's number is not free yet
    with pytest.raises(KeyError):
        numbering["a"]
    assert numbering.change("b", "d") == ([], {"d": 1})
    assert numbering.change("b", []) == (["b"], {})


def test_what_has_a_fixed_number_has_it_always_and_takes_no_room() -> None:
    numbering: Numbering[str] = Numbering(16, 18, {"fixed": 2})
    assert numbering.change([], ["a", "fixed", "b"]) == ([], {"a": 16, "fixed": 2, "b": 17})
    assert numbering.change(["fixed"], []) == (["fixed"], {})
    numbering.begin_again()
    assert numbering.change([], ["fixed", "b"]) == ([], {"fixed": 2, "b": 17})
    assert numbering.change(["fixed"], []) == (["fixed"], {})
    assert numbering.change([], ["fixed"]) == ([], {"fixed": 2})
