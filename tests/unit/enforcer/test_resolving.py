"""Whose answers are believed, and for whom the agent asks."""

from __future__ import annotations

from typing import Any

from watchword.enforcer.datapath.base import Lookup
from watchword.enforcer.resolving import idle, system_resolvers, wanting
from watchword.policy.compile import compile
from watchword.wire.policy import NetworkEntry, PolicyDocument, PortRange, RuleEntry, UnitEntry

ANY = (PortRange(255, 0, 65535),)


def unit(badge: int, incoming: tuple[str, ...] = (), outgoing: tuple[str, ...] = ()) -> UnitEntry:
    return UnitEntry(f"n{badge}", badge, "", "/", (), incoming, outgoing, "Reject", "Reject")


def rule(selector: str) -> RuleEntry:
    return RuleEntry("s", "", "/", "", "Allow", selector, ANY)


def document(**units: UnitEntry) -> PolicyDocument:
    networks: dict[str, Any] = {
        "n": NetworkEntry("", "/", ("api.example.com", "*.example.org", "10.0.0.0/8"), ("a",)),
        "m": NetworkEntry("", "/", ("api.example.com", "b.example.com"), ("b",)),
    }
    rules = {"s/out/0": rule("a"), "s/out/1": rule("b"), "s/in/0": rule("a")}
    return PolicyDocument(revision=1, units=units, rules=rules, networks=networks)


def test_the_resolvers_are_those_that_the_system_names() -> None:
    text = "# nameserver 9.9.9.9\nsearch example.com\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\n"
    text += "nameserver\nnameserver 2001:db8::53 # two\nnameserver resolver\nnameserver 127.0.0.53\n"
    assert system_resolvers(text) == ("127.0.0.53", "2001:db8::53")
    assert system_resolvers("") == ()


def test_whole_names_are_asked_for_whose_rules_name_them_on_the_way_out() -> None:
    made = document(
        u=unit(1, outgoing=("s/out/0",)),
        v=unit(2, outgoing=("s/out/1",)),
        w=unit(3, incoming=("s/in/0",)),
        x=unit(0, outgoing=("s/out/0",)),
    )
    assert wanting(made, compile(made)) == {"api.example.com": (1, 2), "b.example.com": (2,)}


def test_nobody_wants_anything_without_rules() -> None:
    made = document(u=unit(1))
    assert wanting(made, compile(made)) == {}


def looked_up(name: str, last_seen: float) -> Lookup:
    return Lookup(11, name, 1, "resolved", "192.0.2.53", 1, 1, 0.0, last_seen, 1, 0)


def test_look_ups_make_room_when_they_are_idle_and_when_there_are_many() -> None:
    found = [looked_up("b", 500.0), looked_up("a", 399.0), looked_up("c", 1000.0), looked_up("d", 400.0)]
    assert [gone.name for gone in idle(found, 1000.0, 4)] == ["a"]
    assert [gone.name for gone in idle(found, 1000.0, 2)] == ["d", "a"]
    assert idle([], 1000.0, 2) == []
