"""Live connections in words: who is at both ends, as far as anybody knows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from watchword.enforcer import connections
from watchword.enforcer.datapath.base import LiveConnection
from watchword.enforcer.directory import Directory, identity_text
from watchword.wire.policy import NetworkEntry, PeerEntry, PolicyDocument, RuleEntry, UnitEntry

WEB, DB, GONE = 0x10, 0x20, 0x30

DIRECTORY = Directory(
    PolicyDocument(
        revision=7,
        units={"u1": UnitEntry("run/web", WEB, "web", "/shop", ("app=web",), (), ("r/out/0",), "Reject", "Reject")},
        rules={"r/out/0": RuleEntry("r", "shop", "/shop", "sql", "Allow", "s", ())},
        selectors={"s": (("app=db",),)},
        peers={DB: PeerEntry("u2", "db", "/shop", "e2", ("s",)), WEB: PeerEntry("u1", "web", "/shop", "e1", ())},
        networks={
            "n1": NetworkEntry("office", "/", ("192.0.2.0/24", "!192.0.2.128/25"), ("s",)),
            "n2": NetworkEntry("lab", "/", ("192.0.2.128/25", "2001:db8::/32"), ("s",)),
        },
    )
)

CONNECTION = LiveConnection(
    protocol=6, local="10.0.0.1", local_port=40000, remote="10.0.0.2", remote_port=5432, direction="outgoing",
    unit_badge=WEB, peer_badge=DB, existing=False, action="Allow", reason="policy", rule="r/out/0", observed_action="",
    observed_rule="", revision=7, bytes_in=1, bytes_out=2, packets_in=3, packets_out=4, latency_us=120, opened=1000.0,
)  # fmt: skip


def test_both_ends_by_name() -> None:
    told = connections.described(CONNECTION, DIRECTORY, 1061.5)
    assert told["local"]["unit"] == {"badge": WEB, "id": "u1", "name": "web", "namespace": "/shop", "tags": ["app=web"]}
    assert told["remote"]["unit"] == {"badge": DB, "id": "u2", "name": "db", "namespace": "/shop", "tags": []}
    assert told["rule"] == {"key": "r/out/0", "ruleset": "shop", "namespace": "/shop", "name": "sql"}
    assert (told["state"], told["age_seconds"], told["remote"]["network"]) == ("proved", 61.5, "")


@pytest.mark.parametrize(
    ("changed", "state"),
    [({}, "proved"), ({"peer_badge": 0}, "by address"), ({"existing": True}, "existing")],
)
def test_nobody_is_proved_who_has_not_proved_it(changed: dict[str, object], state: str) -> None:
    """A connection older than the Enforcer is not, even where the kernel knows both of its sockets."""
    assert connections.state(replace(CONNECTION, **changed)) == state  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("address", "network"),
    [("192.0.2.1", "office"), ("192.0.2.200", "lab"), ("2001:db8::1", "lab"), ("198.51.100.1", "")],
)
def test_addresses_by_the_network_that_speaks_for_them(address: str, network: str) -> None:
    told = connections.described(replace(CONNECTION, peer_badge=0, remote=address), DIRECTORY, 0)
    assert (told["remote"]["unit"], told["remote"]["network"], told["age_seconds"]) == (None, network, 0.0)


def test_what_no_document_knows_keeps_its_number() -> None:
    told = connections.described(replace(CONNECTION, peer_badge=GONE, rule="old/in/3"), DIRECTORY, 0)
    assert told["remote"]["unit"]["name"] == ""
    assert identity_text(told["remote"]["unit"]) == "badge 0x00000030"
    assert told["rule"] == {"key": "old/in/3", "ruleset": "", "namespace": "", "name": ""}


def test_only_of_the_units_asked_for_and_always_in_one_order() -> None:
    others = [replace(CONNECTION, unit_badge=GONE), replace(CONNECTION, remote_port=1), CONNECTION]
    assert connections.of_units(others, [WEB]) == [others[1], others[2]]
    assert connections.of_units(reversed(others), []) == [others[1], others[2], others[0]]


@pytest.mark.parametrize("name", ["web", "run/web", "u1"])
def test_units_of_this_host_by_any_of_their_names(name: str) -> None:
    assert DIRECTORY.own_badges(name) == [WEB]


def test_a_peer_is_no_unit_of_this_host() -> None:
    assert DIRECTORY.badges("db") == [DB]
    assert DIRECTORY.own_badges("db") == []
