"""Queries of the agent's own, and which answers are to them."""

from __future__ import annotations

import struct

import pytest

from watchword.enforcer import dnsquery

ASKED = dnsquery.query(0x1234, "api.example.com", dnsquery.AAAA)
QUESTION = b"\x03api\x07example\x03com\0" + struct.pack(">2H", 28, 1)


def told(number: int = 0x1234, flags: int = 0x8180, count: int = 1, question: bytes = QUESTION) -> bytes:
    return struct.pack(">6H", number, flags, count, 0, 0, 0) + question


def test_a_query_has_one_question_and_room_for_the_answer() -> None:
    assert ASKED[:12] == struct.pack(">6H", 0x1234, 0x0100, 1, 0, 0, 1)
    assert ASKED[12:].startswith(QUESTION)
    assert ASKED[12 + len(QUESTION) :] == b"\0" + struct.pack(">2HIH", 41, dnsquery.UDP_SIZE, 0, 0)


def test_an_answer_has_the_number_and_the_question_of_its_query() -> None:
    assert dnsquery.answers(ASKED, told())
    assert dnsquery.answers(ASKED, told(question=QUESTION.replace(b"api", b"ApI")))
    assert dnsquery.answers(ASKED, told() + b"more")


@pytest.mark.parametrize(
    "other",
    [
        told(number=0x1235),
        told(flags=0x0180),
        told(count=2),
        told(question=QUESTION.replace(b"api", b"apj")),
        told(question=QUESTION[:-3] + b"\x01\0\x01"),
        told()[:-1],
        told()[:5],
        b"",
    ],
)
def test_everything_else_is_none(other: bytes) -> None:
    assert not dnsquery.answers(ASKED, other)


def test_a_truncated_answer_says_so() -> None:
    assert dnsquery.truncated(told(flags=0x8380))
    assert not dnsquery.truncated(told())
