"""Regions of address space, by example; all networks over a small tree are in tests/property."""

from __future__ import annotations

import pytest

from watchword.model.problems import Invalid
from watchword.policy.regions import Region, regions
from watchword.wire.policy import NetworkEntry


def cut(**networks: tuple[str, ...]) -> list[tuple[str, tuple[str, ...]]]:
    """Prefixes and members; each network's selector is its own name in capitals."""
    entries = {key: NetworkEntry(key, "/", found, (key.upper(),)) for key, found in networks.items()}
    made = list(regions(entries))
    for region in made:
        assert region.selectors == {member.upper() for member in region.networks}
    return [(region.prefix, region.networks) for region in made]


def test_inner_prefixes_belong_to_the_networks_around_them() -> None:
    assert cut(b=("10.1.0.0/16",), a=("10.0.0.0/8",)) == [("10.0.0.0/8", ("a",)), ("10.1.0.0/16", ("a", "b"))]


def test_siblings_do_not_inherit_from_each_other() -> None:
    assert cut(a=("10.0.0.0/9",), b=("10.128.0.0/9",), c=("11.0.0.0/8",)) == [
        ("10.0.0.0/9", ("a",)),
        ("10.128.0.0/9", ("b",)),
        ("11.0.0.0/8", ("c",)),
    ]


def test_after_a_deep_chain_the_next_prefix_finds_what_is_around_it() -> None:
    assert cut(a=("10.0.0.0/8",), b=("10.0.0.0/16", "10.0.0.0/24"), c=("10.1.0.0/16",)) == [
        ("10.0.0.0/8", ("a",)),
        ("10.0.0.0/16", ("a", "b")),
        ("10.1.0.0/16", ("a", "c")),
    ]


def test_a_carve_out_holds_for_everything_inside_it_whatever_covers_that_again() -> None:
    assert cut(a=("10.0.0.0/8", "!10.1.0.0/16", "10.1.2.0/24"), b=("10.1.2.0/24",)) == [
        ("10.0.0.0/8", ("a",)),
        ("10.1.0.0/16", ()),
        ("10.1.2.0/24", ("b",)),
    ]


def test_what_says_the_same_as_around_it_is_left_out() -> None:
    assert cut(a=("10.0.0.0/8", "10.1.0.0/16", "!192.0.2.0/24")) == [("10.0.0.0/8", ("a",))]


def test_the_same_prefix_covered_and_carved_out_is_not_covered() -> None:
    assert cut(a=("10.0.0.0/8", "!10.0.0.0/8")) == []
    assert cut(a=("10.0.0.0/8", "!10.0.0.0/8"), b=("10.0.0.0/8",)) == [("10.0.0.0/8", ("b",))]


def test_families_do_not_contain_each_other_and_mapped_prefixes_are_ipv4() -> None:
    assert cut(a=("::/0",), b=("0.0.0.0/0",), c=("::ffff:10.0.0.0/104",)) == [
        ("0.0.0.0/0", ("b",)),
        ("10.0.0.0/8", ("b", "c")),
        ("::/0", ("a",)),
    ]


def test_members_are_in_order_and_selectors_are_those_of_all() -> None:
    entries = {
        "n2": NetworkEntry("", "/", ("10.0.0.0/8",), ("x", "y")),
        "n1": NetworkEntry("", "/", ("10.0.0.0/8",), ("y", "z")),
    }
    assert list(regions(entries)) == [Region("10.0.0.0/8", ("n1", "n2"), frozenset("xyz"))]


def test_an_entry_that_is_no_prefix_is_named() -> None:
    with pytest.raises(Invalid, match=r"networks\[n\]\.entries\[1\]"):
        list(regions({"n": NetworkEntry("", "/", ("10.0.0.0/8", "ten"), ())}))


def test_host_names_cut_nothing_and_hide_nothing_behind_them() -> None:
    assert cut(a=("www.example.com", "10.0.0.0/8"), b=("*.example.com",)) == [("10.0.0.0/8", ("a",))]
