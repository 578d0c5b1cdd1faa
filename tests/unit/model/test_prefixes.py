"""Entries of external networks."""

from __future__ import annotations

import pytest

from watchword.model import prefixes
from watchword.model.problems import Invalid


@pytest.mark.parametrize(
    ("text", "canonical", "carved"),
    [
        ("10.0.0.0/8", "10.0.0.0/8", False),
        ("!10.1.0.0/16", "10.1.0.0/16", True),
        ("10.1.2.3/8", "10.0.0.0/8", False),
        ("192.0.2.1", "192.0.2.1/32", False),
        ("2001:DB8::1/32", "2001:db8::/32", False),
        ("::/0", "::/0", False),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8", False),
        ("::ffff:192.0.2.1", "192.0.2.1/32", False),
    ],
)
def test_entries(text: str, canonical: str, carved: bool) -> None:
    entry = prefixes.parse_entry(text)
    assert (str(entry.prefix), entry.carved) == (canonical, carved)


@pytest.mark.parametrize(
    "text", ["", "!", "!!10.0.0.0/8", "10.0.0.0/33", "example.com", "10.0.0/8", "fe80::%eth0/64", "1"]
)
def test_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        prefixes.parse(["10.0.0.0/8", text])
    assert caught.value.path == "entries[1]"


def test_a_carve_out_is_final_in_its_network() -> None:
    entries = prefixes.parse(["10.1.2.0/24", "!10.1.0.0/16", "10.0.0.0/8"])
    covered = {
        text: prefixes.covers(entries, prefixes.parse_address(text)) for text in ("10.0.0.1", "10.1.2.3", "11.0.0.1")
    }
    assert covered == {"10.0.0.1": True, "10.1.2.3": False, "11.0.0.1": False}


def test_mapped_addresses_are_ipv4() -> None:
    assert str(prefixes.parse_address("::ffff:10.0.0.1")) == "10.0.0.1"
    with pytest.raises(Invalid):
        prefixes.parse_address("10.0.0.0/8")
