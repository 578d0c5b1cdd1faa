"""The protocolPorts grammar, there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.model import ports
from watchword.model.ports import PortRange
from watchword.model.problems import Invalid
from watchword.model.protocols import KEYWORDS, NUMBERS


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (["any"], [(255, 0, 65535)]),
        (["ANY"], [(255, 0, 65535)]),
        (["tcp/80"], [(6, 80, 80)]),
        (["Tcp/0", "UDP/1:65535"], [(6, 0, 0), (17, 1, 65535)]),
        (["icmp"], [(1, 0, 65535)]),
        (["icmp/8"], [(1, 0x800, 0x8FF)]),
        (["icmp/3/1,4:7"], [(1, 0x301, 0x301), (1, 0x304, 0x307)]),
        (["icmp6/128/0"], [(58, 0x8000, 0x8000)]),
        (["ipv6-icmp"], [(58, 0, 65535)]),
        (["ESP", "gre", "a/n", "sctp"], [(50, 0, 65535), (47, 0, 65535), (107, 0, 65535), (132, 0, 65535)]),
    ],
)
def test_parsing(entries: list[str], expected: list[tuple[int, int, int]]) -> None:
    assert ports.parse(entries) == tuple(PortRange(*item) for item in expected)


@pytest.mark.parametrize(
    ("entries", "index"),
    [
        (["tcp"], 0),
        (["udp/"], 0),
        (["tcp/65536"], 0),
        (["tcp/-1"], 0),
        (["tcp/+1"], 0),
        (["tcp/٣"], 0),
        (["tcp/80,443"], 0),
        (["tcp/443:80"], 0),
        (["tcp/80:80"], 0),
        (["tcp/80:"], 0),
        (["tcp/80/1"], 0),
        (["icmp/"], 0),
        (["icmp/256"], 0),
        (["icmp/3/"], 0),
        (["icmp/3/1,,2"], 0),
        (["icmp/3/1,1"], 0),
        (["icmp/3/256"], 0),
        (["gre/1"], 0),
        (["47"], 0),
        ([""], 0),
        (["nonsense"], 0),
        (["tcp/80", "any"], 1),
        (["any", "tcp/80"], 0),
        (["tcp/80", "TCP/80"], 1),
        (["icmp6", "ipv6-icmp"], 1),
    ],
)
def test_refused_with_the_field(entries: list[str], index: int) -> None:
    with pytest.raises(Invalid) as caught:
        ports.parse(entries, "incomingRules[0].protocolPorts")
    assert caught.value.path == f"incomingRules[0].protocolPorts[{index}]"


def test_empty_is_not_any() -> None:
    with pytest.raises(Invalid):
        ports.parse([])


def test_every_protocol_has_one_number_and_one_name() -> None:
    assert len(NUMBERS) == len(KEYWORDS)
    assert all(
        ports.parse([name])[0].protocol == number for name, number in NUMBERS.items() if name not in ("tcp", "udp")
    )
    assert ports.ANY_PROTOCOL not in KEYWORDS


def _spans(limit: int) -> st.SearchStrategy[str]:
    pair = st.tuples(st.integers(0, limit), st.integers(0, limit)).map(sorted)
    return pair.map(lambda two: f"{two[0]}" if two[0] == two[1] else f"{two[0]}:{two[1]}")


_entries = st.one_of(
    st.builds("{}/{}".format, st.sampled_from(("tcp", "udp")), _spans(65535)),
    st.builds("{}/{}".format, st.sampled_from(("icmp", "icmp6")), st.integers(0, 255)),
    st.builds("{}/{}/{}".format, st.sampled_from(("icmp", "icmp6")), st.integers(0, 3), _spans(255)),
    st.sampled_from(("icmp", "icmp6", "gre", "esp")),
)


@given(st.lists(_entries, min_size=1, max_size=6, unique=True))
def test_text_survives_the_way_through_ranges(entries: list[str]) -> None:
    try:
        parsed = ports.parse(entries)
    except Invalid:  # icmp/1 and icmp/1/0:255 are the same
        return
    assert ports.parse(ports.format_ports(parsed)) == parsed


def test_codes_of_one_type_are_written_together() -> None:
    assert ports.format_ports(ports.parse(["icmp/3/1", "icmp/3/4:7", "icmp/5/1"])) == ("icmp/3/1,4:7", "icmp/5/1")


def test_ranges_that_no_text_means_are_refused() -> None:
    for odd in (PortRange(1, 5, 1000), PortRange(47, 0, 1), PortRange(200, 0, 65535)):
        with pytest.raises(Invalid):
            ports.format_ports([odd])


@pytest.mark.parametrize(
    ("text", "flow", "back"),
    [
        ("tcp/5432", (6, 5432), "tcp/5432"),
        ("ICMP/8", (1, 0x800), "icmp/8/0"),
        ("icmp/3/1", (1, 0x301), "icmp/3/1"),
        ("gre", (47, 0), "gre"),
    ],
)
def test_one_flow(text: str, flow: tuple[int, int], back: str) -> None:
    assert ports.parse_flow(text) == flow
    assert ports.format_flow(*flow) == back


@pytest.mark.parametrize("text", ["tcp", "tcp/1:2", "any", "icmp", "icmp/3/1,2", "icmp/3/1:2", "nope/1"])
def test_more_than_one_flow_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        ports.parse_flow(text)
