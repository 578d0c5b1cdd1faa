"""Sets of protocols and ports: algebra against Python's own sets, and how they are written."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchword.model import ports
from watchword.model.ports import PortRange
from watchword.policy import portsets
from watchword.policy.portsets import EVERYTHING, NOTHING, PortSet

LAST = EVERYTHING[0][1]


def members(numbers: set[int]) -> PortSet:
    return portsets.joined((number, number) for number in numbers)


small = st.frozensets(st.integers(0, 20)).map(set)


@settings(deadline=None)
@given(small, small)
def test_algebra(one: set[int], other: set[int]) -> None:
    a, b = members(one), members(other)
    assert portsets.common(a, b) == members(one & other)
    assert portsets.union(a, b) == members(one | other)
    assert portsets.without(a, b) == members(one - other)
    assert portsets.size(a) == len(one)
    assert portsets.complement(portsets.complement(a)) == a
    assert portsets.size(portsets.complement(a)) == LAST + 1 - len(one)
    for number in range(22):
        assert portsets.covers(a, 0, number) == (number in one)


def test_edges() -> None:
    assert EVERYTHING == ((0, 254 << 16 | 65535),)
    assert portsets.complement(NOTHING) == EVERYTHING
    assert portsets.complement(EVERYTHING) == NOTHING
    assert portsets.complement(((0, LAST - 1),)) == ((LAST, LAST),)
    assert portsets.common(EVERYTHING, ((3, 5),)) == ((3, 5),) == portsets.common(((3, 5),), EVERYTHING)
    assert portsets.of((PortRange(6, 1, 80), PortRange(6, 81, 90))) == portsets.of((PortRange(6, 1, 90),))
    assert portsets.of((PortRange(6, 1, 1), ports.ANYTHING)) == EVERYTHING
    assert portsets.ranges(EVERYTHING) == (ports.ANYTHING,)
    assert portsets.ranges(((6 << 16, (8 << 16) + 9),)) == (
        PortRange(6, 0, 65535), PortRange(7, 0, 65535), PortRange(8, 0, 9),
    )  # fmt: skip
    assert portsets.ranges((((6 << 16) + 5, (7 << 16) + 9),)) == (PortRange(6, 5, 65535), PortRange(7, 0, 9))
    assert portsets.covers(EVERYTHING, 254, 65535)
    assert not portsets.covers(((5, 6), (9, 9)), 0, 7)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (["any"], ["any"]),
        (["tcp/80", "tcp/81:90", "udp/53"], ["tcp/80:90", "udp/53"]),
        (["icmp/8", "icmp/3/1,4:7"], ["icmp/3/1", "icmp/3/4:7", "icmp/8"]),
        (["icmp/3", "icmp/4", "icmp/5/0"], ["icmp/3", "icmp/4", "icmp/5/0"]),
        (["gre", "icmp6"], ["gre", "icmp6"]),
    ],
)
def test_words(entries: list[str], words: list[str]) -> None:
    assert list(portsets.words(portsets.of(ports.parse(entries)))) == words


def test_what_is_almost_everything_is_told_by_what_is_missing() -> None:
    closed = portsets.of(ports.parse(["tcp/22", "udp/53"]))
    assert portsets.words(portsets.complement(closed)) == ("any but tcp/22, udp/53",)
    assert portsets.words(((200 << 16, (200 << 16) + 65535),)) == ("protocol 200",)


def test_as_many_protocols_as_can_be_listed_are_and_one_more_is_told_by_the_others() -> None:
    assert len(portsets.words(((0, (128 << 16) - 1),))) == 128
    (words,) = portsets.words(((0, (129 << 16) - 1),))
    assert words.startswith("any but iplt, ")
    assert words.endswith(", protocol 254")


def test_examples_are_of_tcp_where_there_is_one() -> None:
    assert portsets.example(EVERYTHING) == (6, 1)
    assert portsets.example(portsets.of(ports.parse(["udp/53", "icmp/8"]))) == (1, 8 << 8)
    assert portsets.example(portsets.of(ports.parse(["udp/53", "tcp/5432"]))) == (6, 5432)
    assert portsets.example(portsets.of(ports.parse(["icmp/8", "tcp/65535"]))) == (6, 65535)
    assert portsets.example(portsets.of((PortRange(1, 8 << 8, 8 << 8), PortRange(7, 0, 65535)))) == (1, 8 << 8)
