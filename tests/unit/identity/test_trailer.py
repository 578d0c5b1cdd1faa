"""The reference of datagrams' trailers: its bytes, its checksum, and what it takes for none of ours."""

from __future__ import annotations

from dataclasses import replace

import pytest

from watchword.identity.trailer import Message, Trailer, option_checksum

KEY = bytes(range(16))
CLIENT, SERVER = 0xA0000001, 0xB0000002
CALL = Trailer(
    Message.CHALLENGE, CLIENT, 53, 0x1122334455667788, 7, 1, 0x99AABBCCDDEEFF00, 0x0123456789ABCDEF, 42, bodyless=True
)


def test_every_field_has_its_place() -> None:
    assert CALL.surplus(8).hex(" ", 2) == (
        f"{option_checksum(bytes(2) + CALL.surplus(8)[2:], 44):04x} "
        "7f2a 5757 0707 0111 0035 a000 0001 0000 002a 1122 3344 5566 7788 99aa bbcc ddee ff00 0123 4567 89ab cdef"
    )


@pytest.mark.parametrize("length", [8, 9, 100, 1235])
@pytest.mark.parametrize("message", Message)
def test_what_is_written_is_read(length: int, message: Message) -> None:
    made = replace(CALL, message=message, bodyless=False)
    surplus = made.surplus(length)
    assert len(surplus) == 44 + length % 2
    assert Trailer.parse(surplus, length) == made


@pytest.mark.parametrize("at", range(45))
def test_any_byte_that_changes_is_noticed(at: int) -> None:
    surplus = bytearray(CALL.surplus(9))
    surplus[at] ^= 0x10
    if at:
        with pytest.raises(ValueError, match="trailer"):
            Trailer.parse(bytes(surplus), 9)
    else:
        assert Trailer.parse(bytes(surplus), 9) == CALL  # the pad is nobody's


@pytest.mark.parametrize("data", [b"", bytes(44), bytes(43), bytes(45)])
def test_what_is_no_trailer_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="trailer"):
        Trailer.parse(data, 8)


@pytest.mark.parametrize("length", [8, 9])
def test_the_surplus_and_its_length_sum_up_to_nothing(length: int) -> None:
    """So that a sum over the whole packet is that over the datagram (RFC 9868, section 9)."""
    surplus = CALL.surplus(length)[length % 2 :]
    total = sum(int.from_bytes(surplus[at : at + 2], "big") for at in range(0, 44, 2)) + 44 + length % 2
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF


def test_every_field_but_ticket_and_flags_is_under_the_proof() -> None:
    proof = CALL.expected_proof(KEY, CLIENT, SERVER)
    changed = [
        replace(CALL, message=Message.SESSION),
        replace(CALL, dialled=54),
        replace(CALL, nonce=1),
        replace(CALL, epoch=8),
        replace(CALL, server_epoch=0),
        replace(CALL, server_nonce=1),
    ]
    proofs = {each.expected_proof(KEY, CLIENT, SERVER) for each in changed}
    proofs |= {CALL.expected_proof(KEY, SERVER, CLIENT), CALL.expected_proof(bytes(16), CLIENT, SERVER)}
    assert len(proofs) == 8
    assert proof not in proofs
    assert replace(CALL, ticket=1, bodyless=False).expected_proof(KEY, CLIENT, SERVER) == proof
    assert CALL.proved(KEY, CLIENT, SERVER).proof == proof
