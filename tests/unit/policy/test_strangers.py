"""Strangers: one address for each region that what is asked about consists of."""

from __future__ import annotations

import pytest

from tests.unit.policy.shop import network
from watchword.model.problems import Invalid
from watchword.policy.strangers import strangers
from watchword.policy.world import Network


def found(networks: list[Network], *wanted: str, blocks: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Address to IDs of its networks."""
    result = strangers(networks, frozenset(wanted), blocks)
    assert len({one.address for one in result}) == len(result)
    return {one.address: [network.id for network in one.networks] for one in result}


def net(key: str, *entries: str) -> Network:
    return network(key, "/", *entries, tags=())


def test_a_network_alone_is_its_first_address_and_only_what_is_wanted_is_there() -> None:
    networks = [net("b", "10.0.0.0/8"), net("a", "192.0.2.0/24", "2001:db8::/32"), net("names")]
    assert found(networks, "b") == {"10.0.0.0": ["b"]}
    assert found(networks, "a") == {"192.0.2.0": ["a"], "2001:db8::": ["a"]}
    assert found(networks, "names") == found(networks) == {}


def test_overlapping_networks_are_cut_into_regions_and_each_region_has_an_address_of_its_own() -> None:
    networks = [net("wide", "10.0.0.0/8"), net("first", "10.0.0.0/16"), net("inner", "10.0.0.0/24")]
    assert found(networks, "wide") == {
        "10.1.0.0": ["wide"], "10.0.1.0": ["first", "wide"], "10.0.0.0": ["first", "inner", "wide"],
    }  # fmt: skip
    assert found(networks, "inner") == {"10.0.0.0": ["first", "inner", "wide"]}


def test_regions_inside_a_region_that_lies_inside_do_not_lead_back() -> None:
    networks = [net("wide", "10.0.0.0/8"), net("half", "10.0.0.0/9"), net("tip", "10.0.0.0/24", "10.64.0.0/24")]
    assert "10.128.0.0" in found(networks, "wide")
    assert found(networks, "wide")["10.128.0.0"] == ["wide"]
    assert found(networks, "half")["10.0.1.0"] == ["half", "wide"]


def test_a_region_that_others_cover_has_no_address_and_one_that_has_a_single_one_left_has_that() -> None:
    assert found([net("all", "10.0.0.0/31"), net("parts", "10.0.0.0/32", "10.0.0.1/32")], "all") == {
        "10.0.0.0": ["all", "parts"], "10.0.0.1": ["all", "parts"],
    }  # fmt: skip
    pair = [net("pair", "10.0.0.0/31"), net("one", "10.0.0.0/32")]
    assert found(pair, "pair") == {"10.0.0.1": ["pair"], "10.0.0.0": ["one", "pair"]}


def test_versions_do_not_meet() -> None:
    networks = [net("four", "0.0.0.0/0"), net("six", "::/0"), net("carved", "::/1", "!::/2")]
    assert found(networks, "four") == {"0.0.0.0": ["four"]}
    assert found(networks, "six") == {"::": ["six"], "8000::": ["six"], "4000::": ["carved", "six"]}


def test_ipv4_in_ipv6_clothes_is_nobody() -> None:
    around, half = net("around", "::fffe:0:0/95"), net("half", "::fffe:0:0/96")
    assert found([around, half], "around") == {"::fffe:0:0": ["around", "half"]}
    low = net("low", "::fffe:0:0/96", "::fffc:0:0/95")
    assert found([net("six", "::fffc:0:0/94"), low], "six") == {
        "::fffc:0:0": ["low", "six"], "::fffe:0:0": ["low", "six"],
    }  # fmt: skip


def test_blocks_are_wanted_by_themselves_and_belong_to_the_networks_there() -> None:
    networks = [net("wide", "10.0.0.0/8"), net("far", "192.0.2.0/24")]
    assert found(networks, blocks=("10.1.0.0/16",)) == {"10.1.0.0": ["wide"]}
    assert found(networks, blocks=("10.0.0.0/7", "198.51.100.7")) == {
        "11.0.0.0": [], "10.0.0.0": ["wide"], "198.51.100.7": [],
    }  # fmt: skip
    assert found(networks, "far", blocks=("9.0.0.0/8",)) == {"9.0.0.0": [], "192.0.2.0": ["far"]}
    with pytest.raises(Invalid):
        found(networks, blocks=("example.com",))
