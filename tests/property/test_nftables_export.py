"""Exported nftables rulesets decide what the world decides, read by an interpreter of the few forms they use."""

from __future__ import annotations

import ipaddress
import re

import pytest
from hypothesis import given, settings

from tests.property import oracle
from tests.property.worlds import ADDRESSES, FLOWS, worlds
from watchword.exchange.nftables import export
from watchword.exchange.notes import Unreadable
from watchword.model.protocols import ICMP, ICMP6, TCP, UDP
from watchword.policy.world import Unit, World

WORDS = {"tcp": TCP, "udp": UDP, "icmp": ICMP, "icmpv6": ICMP6}


def inside(text: str, value: int) -> bool:
    for span in text.strip("{} ").split(","):
        first, _, last = span.strip().partition("-")
        if int(first) <= value <= int(last or first):
            return True
    return False


def chain(text: str, name: str) -> list[str]:
    found = re.search(rf"chain {name} {{\n(.*?)\n  }}", text, re.DOTALL)
    assert found, name
    return [line.strip() for line in found[1].splitlines()]


def target(text: str, hook: str, address: str) -> str:
    ip = ipaddress.ip_address(address)
    ip = getattr(ip, "ipv4_mapped", None) or ip  # on the wire such packets are IPv4
    word = "ip" if ip.version == 4 else "ip6"
    found = re.search(rf"chain {hook} {{.*?\n    {word} [sd]addr vmap {{(.*?)\n    }}", text, re.DOTALL)
    assert found
    hits = []
    for element in found[1].split(","):
        span, _, goto = element.strip().rpartition(" : goto ")
        first, _, last = span.partition("-")
        if int(ipaddress.ip_address(first)) <= int(ip) <= int(ipaddress.ip_address(last or first)):
            hits.append(goto)
    assert len(hits) == 1, "ranges overlap or leave a gap"
    return hits[0]


def verdict(lines: list[str], protocol: int, port: int) -> bool:
    for line in lines:
        said = line.endswith("accept")
        if found := re.match(r"meta l4proto (\d+) ", line):
            if int(found[1]) == protocol:
                return said
        elif found := re.match(r"(tcp|udp) dport ({.*?}) accept", line):
            if WORDS[found[1]] == protocol and inside(found[2], port):
                return True
        elif found := re.match(r"(icmp|icmpv6) type (\d+)(?: icmp(?:v6)? code (\S+))? accept", line):
            if (
                WORDS[found[1]] == protocol
                and port >> 8 == int(found[2])
                and (found[3] is None or inside(found[3], port & 255))
            ):
                return True
        else:
            assert line in ("accept", "drop", "reject with icmpx admin-prohibited"), line
            return said
    raise AssertionError("a chain ends without a verdict")


def addresses(world: World) -> dict[str, list[str]]:
    return {
        unit.id: [f"10.1.2.{50 + number}", f"fd00:1::{50 + number:x}"]
        for number, unit in enumerate(world.units.values())
    }


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_every_flow_of_every_unit_is_decided_as_by_the_world(world: World) -> None:
    given_addresses = addresses(world)
    for unit in world.units.values():
        text = export(world, unit, given_addresses).text
        peers: list[tuple[Unit | str, str]] = [(address, address) for address in ADDRESSES]
        peers += [
            (peer, each) for peer in world.units.values() if peer is not unit for each in given_addresses[peer.id]
        ]
        for direction, hook in (("in", "input"), ("out", "output")):
            for peer, address in peers:
                lines = chain(text, target(text, hook, address))
                for protocol, port in FLOWS:
                    says = oracle.judge(world, unit, peer, direction, protocol, port).action == "Allow"
                    assert verdict(lines, protocol, port) == says, (unit, peer, direction, protocol, port)


@settings(max_examples=80, deadline=None)
@given(worlds())
def test_a_peer_to_be_refused_is_never_let_through_for_want_of_an_address(world: World) -> None:
    """Without any address, either the export is refused or no unit's Reject is in it."""
    for unit in world.units.values():
        peers = [peer for peer in world.units.values() if peer is not unit]
        rejected = any(
            hit.action == "Reject" and not hit.observed
            for peer in peers
            for direction in ("in", "out")
            for protocol, port in FLOWS
            for hit in oracle.hits(world, unit, peer, direction, protocol, port)
        )
        if rejected:
            with pytest.raises(Unreadable, match="whose addresses are not given"):
                export(world, unit, {})


@pytest.mark.parametrize(
    ("given_addresses", "complaint"),
    [
        ({"nobody": ["10.0.0.1"]}, "names no unit"),
        ({"u0": ["10.0.0.1"], "u1": ["10.0.0.1"]}, "nobody can tell them apart"),
        ({"u0": ["10.0.0.0/8"]}, "no IP address"),
        ({"twin": ["10.0.0.1"]}, "names 2 units"),
    ],
)
def test_addresses_that_cannot_be_meant(given_addresses: dict[str, list[str]], complaint: str) -> None:
    units = {
        f"u{number}": Unit(f"u{number}", "n", "twin", f"/{number}", "e1", number, frozenset({"x=1"}))
        for number in (0, 1)
    }
    world = World(1, {}, units, {}, {})
    with pytest.raises(Unreadable, match=complaint):
        export(world, units["u0"], given_addresses)
