"""The multiset hash: order and history leave no trace, content does."""

from __future__ import annotations

from watchword.wire.multiset import BITS, element, encoded


def test_order_and_history_leave_no_trace() -> None:
    one, two, three = (element("t", key, b"x") for key in ("a", "b", "c"))
    assert one + two + three == three + one + two
    assert encoded(one + two + three - two) == encoded(one + three)
    assert encoded(-one + two + one) == encoded(two)


def test_kind_key_and_content_are_told_apart() -> None:
    made = {element("t", "a", "b"), element("t", "ab", ""), element("ta", "", "b"), element("t", "a", b"b")}
    assert len(made) == 4


def test_sums_are_as_long_as_the_attack_on_them_demands() -> None:
    """Wagner's attack takes 2^(2 sqrt(BITS)) steps: at least 2^128."""
    assert 2 * BITS**0.5 >= 128
    assert len(encoded(0)) == len(encoded(-1)) == BITS // 8
    assert element("t", "a").bit_length() > BITS - 64


def test_elements_do_not_change_from_version_to_version() -> None:
    assert f"{element('rules', 'a/in/0', ('x', 1)):x}"[-24:] == "df420895975e870f057937a0"
