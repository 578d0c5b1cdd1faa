"""Pieces of port space: cut where ranges begin and end, sets of them as bits."""

from __future__ import annotations

import pytest

from watchword.model import ports
from watchword.model.ports import ANYTHING, PortRange
from watchword.policy.portpieces import Piece, Pieces, cut


def parsed(*texts: str) -> tuple[PortRange, ...]:
    return ports.parse(texts)


def listed(pieces: Pieces) -> list[Piece]:
    """All pieces, lowest first."""
    found, bits = [], pieces.whole
    while bits:
        found.append(pieces.lowest(bits))
        bits &= bits - 1
    return found


def test_what_is_wanted_is_cut_where_ranges_begin_and_end() -> None:
    pieces = cut(parsed("tcp/10:30", "udp/53"), parsed("tcp/20:25", "tcp/1:12", "tcp/40", "udp/1:100", "icmp"))
    assert listed(pieces) == [
        (6, 10, 12), (6, 13, 19), (6, 20, 25), (6, 26, 30), (17, 53, 53),
    ]  # fmt: skip
    assert listed(cut(parsed("tcp/80", "tcp/79:81"), ())) == [(6, 79, 79), (6, 80, 80), (6, 81, 81)]
    assert listed(cut(parsed("tcp/10", "tcp/20"), ())) == [(6, 10, 10), (6, 20, 20)]
    assert listed(cut((), parsed("tcp/80"))) == []


def test_the_ends_of_port_space_are_pieces_like_others() -> None:
    assert listed(cut(parsed("tcp/1:65535"), parsed("tcp/65535"))) == [(6, 1, 65534), (6, 65535, 65535)]
    assert listed(cut(parsed("icmp"), parsed("icmp/0/0"))) == [(1, 0, 0), (1, 1, 65535)]


def test_all_protocols_that_nobody_names_are_one_piece_of_the_greatest_number() -> None:
    assert listed(cut((ANYTHING,), ())) == [(254, 0, 65535)]
    assert listed(cut((ANYTHING, *parsed("udp/53")), (*parsed("tcp/80"), ANYTHING))) == [
        (6, 0, 79), (6, 80, 80), (6, 81, 65535), (17, 0, 52), (17, 53, 53), (17, 54, 65535), (254, 0, 65535),
    ]  # fmt: skip
    assert listed(cut((ANYTHING,), (PortRange(254, 0, 65535),))) == [(253, 0, 65535), (254, 0, 65535)]
    every = [PortRange(number, 0, 65535) for number in range(255)]
    assert [piece.protocol for piece in listed(cut((ANYTHING,), every))] == list(range(255))
    assert [piece.protocol for piece in listed(cut((ANYTHING,), every[1:]))] == list(range(255))


@pytest.mark.parametrize(
    ("ranges", "taken"),
    [
        (("tcp/80",), [(6, 80, 80)]),
        (("tcp/80:90",), [(6, 80, 80), (6, 81, 90)]),
        (("tcp/80", "udp/53"), [(6, 80, 80), (17, 53, 53)]),
        (("icmp",), []),
        (("any",), [(6, 70, 79), (6, 80, 80), (6, 81, 90), (17, 53, 53)]),
    ],
)
def test_what_ranges_take(ranges: tuple[str, ...], taken: list[tuple[int, int, int]]) -> None:
    pieces = cut(parsed("tcp/70:90", "udp/53"), parsed("tcp/80", "icmp"))
    bits = pieces.taken(parsed(*ranges))
    assert [piece for number, piece in enumerate(listed(pieces)) if bits >> number & 1] == taken
    assert bits & ~pieces.whole == 0
    assert pieces.taken(parsed(*ranges)) == bits


def test_pieces_stand_in_their_order_whatever_order_they_come_in() -> None:
    pieces = Pieces([Piece(17, 53, 53), Piece(6, 80, 90), Piece(6, 70, 79)])
    assert listed(pieces) == [(6, 70, 79), (6, 80, 90), (17, 53, 53)]
    assert (pieces.taken(parsed("tcp/70:79")), pieces.taken(parsed("udp/53")), pieces.whole) == (0b1, 0b100, 0b111)
    assert pieces.lowest(0b110) == (6, 80, 90)
