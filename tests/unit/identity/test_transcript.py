"""The reference of options, transcripts and proofs: against published vectors and its own page."""

from __future__ import annotations

import dataclasses

import pytest

from watchword.identity.transcript import (
    EXID,
    AckOption,
    Message,
    SynAckOption,
    SynOption,
    Transcript,
    siphash,
    transcript_of,
)

KEY = bytes(range(16))

#: SipHash-2-4 of the messages 00, 00 01, 00 01 02, … of 0 to 15 bytes under the key 00 01 … 0f, as published
#: with the reference implementation (little endian).
VECTORS = bytes.fromhex("""
310e0edd47db6f72 fd67dc93c539f874 5a4fa9d909806c0d 2d7efbd796666785 b7877127e09427cf 8da699cd64557618
cee3fe586e46c9cb 37d1018bf50002ab 6224939a79f5f593 b0e4a90bdf82009e f3b9dd94c5bb5d7a a7ad6b22462fb3f4
fbe50e86bc8f1e75 903d84c02756ea14 eef27a8e90ca23f7 e545be4961ca29a1
""")

TRANSCRIPT = Transcript(0xA0000001, 0xB0000002, 0x1122334455667788, 0x99AABBCCDDEF, 443, 7, 3)


@pytest.mark.parametrize("length", range(16))
def test_siphash_gives_the_published_results(length: int) -> None:
    assert siphash(KEY, bytes(range(length))).to_bytes(8, "little").hex() == VECTORS[8 * length :][:8].hex()


def test_siphash_gives_the_result_in_the_paper() -> None:
    assert siphash(KEY, bytes(range(15))) == 0xA129CA6149BE45E5


def test_siphash_takes_no_other_key_length() -> None:
    with pytest.raises(ValueError, match="15 bytes where SipHash takes 16"):
        siphash(KEY[:15], b"")


def test_a_transcript_is_these_32_bytes() -> None:
    assert TRANSCRIPT.encode(Message.ACK).hex() == (
        "02" "07" "01" "00"  # message, client's epoch, lowest bit of the server's, padding
        "bb01" "0000"  # dialled port, padding
        "010000a0" "020000b0"  # badges of client and server
        "8877665544332211" "efddccbbaa990000"  # nonces of client and server
    )  # fmt: skip


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Transcript)])
def test_every_field_changes_both_proofs(field: str) -> None:
    other = dataclasses.replace(TRANSCRIPT, **{field: getattr(TRANSCRIPT, field) ^ 1})
    assert other.synack_proof(KEY) != TRANSCRIPT.synack_proof(KEY)
    assert other.ack_proof(KEY) != TRANSCRIPT.ack_proof(KEY)


def test_neither_proof_can_stand_for_the_other() -> None:
    whole = siphash(KEY, TRANSCRIPT.encode(Message.SYNACK))
    assert TRANSCRIPT.synack_proof(KEY) == whole & 0xFFFFFFFFFFFF
    assert TRANSCRIPT.ack_proof(KEY) & 0xFFFFFFFFFFFF != TRANSCRIPT.synack_proof(KEY)
    assert TRANSCRIPT.ack_proof(bytes(16)) != TRANSCRIPT.ack_proof(KEY)


SYN = SynOption(0xA0000001, 7, 443, 0x1122334455667788)
SYNACK = SynAckOption(0xB0000002, 0x99AABBCCDDEF, 0x010203040506)
ACK = AckOption(0xA0000001, 7, 1, 443, 0x1122334455667788, 0x0102030405060708)


def test_options_are_these_bytes() -> None:
    assert SYN.data().hex() == "5757a0000001070101bb1122334455667788"
    assert SYNACK.data().hex() == "5757b000000299aabbccddef010203040506"
    assert ACK.data().hex() == "5757a0000001070101bb11223344556677880102030405060708"


@pytest.mark.parametrize("option", [SYN, SYNACK, ACK], ids=lambda option: type(option).__name__)
def test_options_survive_the_wire_and_nothing_else_is_taken_for_one(
    option: SynOption | SynAckOption | AckOption,
) -> None:
    data = option.data()
    assert len(data) + 2 == option.LENGTH
    assert type(option).parse(data) == option
    with pytest.raises(ValueError, match=f"where {option.LENGTH} are expected"):
        type(option).parse(data[:-1])
    with pytest.raises(ValueError, match=f"is not {EXID:04x}"):
        type(option).parse(b"WX" + data[2:])


def test_syn_and_syn_ack_make_the_transcript() -> None:
    assert transcript_of(SYN, SYNACK) == dataclasses.replace(TRANSCRIPT, server_epoch=1)
