"""Blocks of addresses: only those that have an address, each with a true example."""

from __future__ import annotations

import ipaddress

from tests.unit.policy.shop import keyed, network
from watchword.model import prefixes
from watchword.policy.blocks import FIRST_BLOCK, blocks
from watchword.policy.world import Network


def members(*networks: Network) -> dict[frozenset[str], str]:
    found = blocks([keyed(*networks)])
    assert [block.number for block in found] == list(range(FIRST_BLOCK, FIRST_BLOCK + len(found)))
    for block in found:
        address = prefixes.parse_address(block.example)
        holding = {each.id for each in networks if prefixes.covers(prefixes.parse(each.entries), address)}
        assert holding == block.networks[0]
    return {block.networks[0]: block.example for block in found}


def test_numbers_of_blocks_leave_room_for_kinds_and_stay_within_32_bits() -> None:
    assert 10**9 < FIRST_BLOCK < (1 << 32) - 10**9


def test_without_networks_there_is_somewhere_alone() -> None:
    assert list(members()) == [frozenset()]


def test_what_overlaps_is_a_block_of_its_own() -> None:
    found = members(
        network("wide", "/", "10.0.0.0/8", tags=()), network("narrow", "/", "10.1.0.0/16", "192.0.2.1", tags=())
    )
    assert found == {
        frozenset(): "0.0.0.1",
        frozenset({"wide"}): "10.0.0.1",
        frozenset({"wide", "narrow"}): "10.1.0.1",
        frozenset({"narrow"}): "192.0.2.1",
    }


def test_carved_out_and_covered_over() -> None:
    halves = network("halves", "/", "10.0.0.0/9", "10.128.0.0/9", tags=())
    whole = network("whole", "/", "10.0.0.0/8", "!10.9.0.0/16", tags=())
    assert set(members(halves, whole)) == {frozenset(), frozenset({"halves"}), frozenset({"halves", "whole"})}


def test_where_nothing_is_left_there_is_no_somewhere() -> None:
    assert set(members(network("all", "/", "0.0.0.0/0", "::/0", tags=()))) == {frozenset({"all"})}


def test_ipv4_in_ipv6_clothes_is_no_address_of_ipv6() -> None:
    around = network("around", "/", "::fffe:0:0/95", tags=())
    half = network("half", "/", "::fffe:0:0/96", tags=())  # what it leaves of the other is ::ffff:0:0/96
    assert set(members(around, half)) == {frozenset(), frozenset({"around", "half"})}
    beyond = network("beyond", "/", "::fffe:0:0/94", tags=())
    assert frozenset({"beyond"}) in members(around, half, beyond)
    below = ipaddress.summarize_address_range(ipaddress.IPv6Address(0), ipaddress.IPv6Address("::fffe:ffff:ffff"))
    found = members(network("low", "/", "0.0.0.0/0", *map(str, below), tags=()))
    assert found[frozenset()] == "::1:0:0:1"  # what follows ::ffff:0:0/96, and not an address in it


def test_two_worlds_are_cut_by_both() -> None:
    one, other = (keyed(network("n", "/", entry, tags=())) for entry in ("10.0.0.0/8", "10.0.0.0/9"))
    found = {block.networks for block in blocks([one, other])}
    assert found == {
        (frozenset(), frozenset()), (frozenset({"n"}), frozenset({"n"})), (frozenset({"n"}), frozenset()),
    }  # fmt: skip
