"""Packets come out of the parser as they went into the builder, and checksums agree with the kernel's."""

from __future__ import annotations

import struct
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.packets import (
    Option,
    Segment,
    checksum,
    checksums_are_right,
    decode_options,
    encode_options,
    mss,
    parse_frame,
    parse_packet,
)

ADDRESSES = [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")]
BUILT = {"source", "destination", "sport", "dport", "flags", "seq", "ack", "window", "options", "payload", "ttl"}


def segments() -> st.SearchStrategy[Segment]:
    options = st.lists(st.builds(Option, st.integers(2, 255), st.binary(max_size=8)), max_size=4)
    port, number = st.integers(0, 65535), st.integers(0, 2**32 - 1)
    flags = st.sets(st.sampled_from("FSRPAUEC")).map(lambda chosen: "".join(x for x in "FSRPAUEC" if x in chosen))
    return st.builds(
        lambda pair, *rest: Segment(*pair, *rest),
        *(st.sampled_from(ADDRESSES), port, port, flags, number, number, port, options),
        *(st.binary(max_size=100), st.integers(1, 255)),
    )


@given(segments())
def test_parsing_undoes_building(segment: Segment) -> None:
    parsed = parse_frame(segment.frame(b"\2" * 6, b"\4" * 6))
    assert parsed is not None
    for field in fields(Segment):
        if field.name in BUILT:
            assert getattr(parsed, field.name) == getattr(segment, field.name)
    assert checksums_are_right(segment.packet())
    assert parsed.packet() == segment.packet()


@given(segments(), st.data())
def test_a_flipped_bit_is_noticed(segment: Segment, data: st.DataObject) -> None:
    packet = bytearray(segment.packet())
    at = data.draw(st.integers(20 if segment.version == 4 else 40, len(packet) - 1))
    packet[at] ^= 1 << data.draw(st.integers(0, 7))
    assert not checksums_are_right(bytes(packet))


@given(st.binary(max_size=120))
def test_no_bytes_break_the_parser(data: bytes) -> None:
    parse_packet(data)
    parse_packet(b"\x45" + data)
    parse_packet(b"\x60" + data)
    decode_options(data)


def test_the_checksum_of_the_rfc() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D
    assert checksum(b"\x01") == 0xFEFF


@pytest.mark.parametrize(("source", "destination"), ADDRESSES)
def test_everything_can_be_wrong_on_purpose(source: str, destination: str) -> None:
    wrong = Segment(source, destination, 1, 2, tcp_checksum=0xBEEF, data_offset=15, raw_options=b"\xfd\x20ab")
    packet = wrong.packet()
    at = 20 if wrong.version == 4 else 40
    assert struct.unpack_from("!H", packet, at + 16) == (0xBEEF,)
    assert packet[at + 12] >> 4 == 15
    assert packet.endswith(b"\xfd\x20ab")
    assert not checksums_are_right(packet)


def test_changing_a_segment_computes_checksums_anew() -> None:
    parsed = parse_packet(Segment("10.0.0.1", "10.0.0.2", 1, 2, options=[mss()]).packet())
    assert parsed is not None
    changed = parsed.with_(seq=7, options=[Option(253, b"x" * 18)])
    assert checksums_are_right(changed.packet())
    assert changed.option(253) == b"x" * 18
    assert changed.option(2) is None


def test_options() -> None:
    assert encode_options([mss(1460), Option(1), Option(254, b"ab", length=30)]) == bytes.fromhex(
        "020405b4" + "01" + "fe1e6162" + "000000"
    )
    assert decode_options(bytes.fromhex("0101020405b4fe3061")) == [mss(1460)]
