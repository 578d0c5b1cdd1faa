"""Entries of external networks: addresses and names, canonical forms, and what of them does nothing."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.model import networks, prefixes
from watchword.model.problems import Invalid


def test_canonical_forms() -> None:
    given_ = ["198.51.100.7/24", "198.51.100.9", "!2001:DB8::1/32", "::ffff:10.0.0.1", "WWW.Example.com."]
    assert networks.canonical(given_) == [
        "198.51.100.0/24",
        "198.51.100.9/32",
        "!2001:db8::/32",
        "10.0.0.1/32",
        "www.example.com",
    ]


@pytest.mark.parametrize(
    ("entries", "path"),
    [
        ([], "entries"),
        (["!10.0.0.0/8"], "entries"),
        (["example.com", "!10.0.0.0/8"], "entries"),
        (["10.0.0.0/8", "10.9.9.9/8"], "entries[1]"),
        (["example.com", "EXAMPLE.com."], "entries[1]"),
        (["10.0.0.0/8", "!example.com"], "entries[1]"),
        (["10.0.0.0/8", "10.0.0.300"], "entries[1]"),
        (["10.0.0.0/8", "fe80::%eth0/64"], "entries[1]"),
        (["10.0.0.0/8", "!!10.1.0.0/16"], "entries[1]"),
    ],
)
def test_refused(entries: list[str], path: str) -> None:
    with pytest.raises(Invalid) as caught:
        networks.parse(entries)
    assert caught.value.path == path
    assert caught.value.remedy


def test_taken_apart() -> None:
    found = networks.parse(["10.0.0.0/8", "example.com", "!10.1.0.0/16", "*.example.com"])
    assert [(str(entry.prefix), entry.carved) for entry in found.prefixes] == [
        ("10.0.0.0/8", False),
        ("10.1.0.0/16", True),
    ]
    assert found.names == ("example.com", "*.example.com")


def test_warnings() -> None:
    entries = [
        "10.0.0.0/8",
        "10.1.0.0/16",
        "!10.2.0.0/16",
        "10.2.3.0/24",
        "!192.0.2.0/24",
        "example.com",
        "!10.2.9.0/24",
        "2001:db8::/32",
    ]
    assert networks.warnings(entries) == [
        "entries[1]: 10.1.0.0/16 lies within entries[0] and adds nothing",
        "entries[3]: 10.2.3.0/24 is carved out whole by entries[2]",
        "entries[4]: !192.0.2.0/24 carves out nothing: no other entry covers any of it",
        "entries[6]: !10.2.9.0/24 lies within entries[2] and adds nothing",
    ]
    assert networks.warnings(["10.0.0.0/8", "!10.1.0.0/16", "192.0.2.0/24"]) == []
    assert networks.warnings(["example.com", "*.example.com"]) == []
    many = networks.warnings(["10.0.0.0/8", *(f"10.{index}.0.0/16" for index in range(100))])
    assert len(many) == networks.WARNING_LIMIT + 1
    assert many[-1] == "and 80 more"


#: A small space of addresses in which every one can be asked about.
PREFIXES = st.builds(
    lambda carved, start, length: f"{'!' if carved else ''}10.0.0.{start >> (32 - length) << (32 - length)}/{length}",
    st.booleans(),
    st.integers(0, 15),
    st.integers(28, 32),
)


@given(st.lists(PREFIXES, min_size=1, max_size=6, unique=True))
def test_a_warning_is_about_an_entry_without_which_nothing_changes(entries: list[str]) -> None:
    def covered(listed: list[str]) -> set[int]:
        parsed = prefixes.parse(listed)
        base = ipaddress.IPv4Address("10.0.0.0")
        return {number for number in range(16) if prefixes.covers(parsed, base + number)}

    for warning in networks.warnings(entries):
        index = int(warning.partition("[")[2].partition("]")[0])
        rest = [entry for position, entry in enumerate(entries) if position != index]
        assert covered(rest) == covered(entries), warning
