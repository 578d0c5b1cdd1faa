"""DNS queries of the agent's own (RFC 1035, RFC 6891), and whether an answer is one to it. Pure.

What an answer says is read by the datapath, which is the only parser of them.
"""

from __future__ import annotations

import struct

A, AAAA = 1, 28

#: What may come back over UDP: beyond it answers are asked for over TCP.
UDP_SIZE = 1232

_INTERNET = 1
_RECURSION = 0x0100
_RESPONSE, _TRUNCATED = 0x8000, 0x0200
_HEADER = struct.Struct(">6H")


def query(number: int, name: str, kind: int) -> bytes:
    """The query number ``number`` for records of ``kind`` of ``name`` (lower case, no dot at its end)."""
    labels = b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.split("."))
    question = labels + b"\0" + struct.pack(">2H", kind, _INTERNET)
    options = b"\0" + struct.pack(">2HIH", 41, UDP_SIZE, 0, 0)  # EDNS, no options
    return _HEADER.pack(number, _RECURSION, 1, 0, 0, 1) + question + options


def answers(asked: bytes, told: bytes) -> bool:
    """Whether ``told`` is an answer to the query ``asked``: same number and question."""
    question = asked[_HEADER.size : -11]
    if len(told) < _HEADER.size + len(question):
        return False
    number, flags, questions, *_ = _HEADER.unpack_from(told)
    echoed = told[_HEADER.size : _HEADER.size + len(question)]
    return (
        number == _HEADER.unpack_from(asked)[0]
        and bool(flags & _RESPONSE)
        and questions == 1
        and echoed.lower() == question.lower()
    )


def truncated(told: bytes) -> bool:
    """Whether an answer has to be asked for again over TCP."""
    return bool(_HEADER.unpack_from(told)[1] & _TRUNCATED)
