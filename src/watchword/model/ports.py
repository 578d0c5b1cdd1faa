"""The ``protocolPorts`` grammar: text to :class:`PortRange` and back.

| text | meaning |
|---|---|
| ``any`` | every protocol and port; stands alone |
| ``tcp/80``, ``udp/1:65535`` | a port or a range of ports |
| ``icmp``, ``icmp/8``, ``icmp/3/1,4:7`` (also ``icmp6``) | all types, one type, some codes of a type |
| any IANA protocol keyword | that protocol |

Case does not matter. An empty list is refused, as is anything that would have to be guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from watchword.model import protocols
from watchword.model.problems import Invalid

#: IANA protocol number for "every protocol" in a :class:`PortRange`; no real protocol uses it here.
ANY_PROTOCOL = 255

_LAST_PORT = 65535
_NUMBER = re.compile(r"[0-9]{1,5}")
_WITH_PORTS = {protocols.TCP: "tcp", protocols.UDP: "udp"}
_WITH_TYPES = {protocols.ICMP: "icmp", protocols.ICMP6: "icmp6"}


class PortRange(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A contiguous piece of one protocol's port space; ``first``..``last`` inclusive.

    ``protocol`` is an IANA number or :data:`ANY_PROTOCOL`, in which case the range is 0..65535.
    Protocols without ports use 0..65535. ICMP type/code pairs are ``type << 8 | code``.
    """

    protocol: int
    first: int
    last: int

    def covers(self, protocol: int, port: int) -> bool:
        """Whether a flow of ``protocol`` to ``port`` lies in this range."""
        return self.protocol in (protocol, ANY_PROTOCOL) and self.first <= port <= self.last


ANYTHING = PortRange(ANY_PROTOCOL, 0, _LAST_PORT)


def parse(entries: Sequence[str], path: str = "protocolPorts") -> tuple[PortRange, ...]:
    """The ranges that ``entries`` name, in their order. Raises :class:`Invalid`."""
    if not entries:
        raise Invalid(path, "is empty", "name protocols and ports, or write any")
    ranges: list[PortRange] = []
    seen: dict[tuple[PortRange, ...], str] = {}
    for index, entry in enumerate(entries):
        where = f"{path}[{index}]"
        parsed = _parse_entry(entry, where)
        if parsed == (ANYTHING,) and len(entries) > 1:
            raise Invalid(where, "any stands beside other entries", "leave any alone in the list, or leave it out")
        if parsed in seen:
            raise Invalid(where, f"{entry!r} repeats {seen[parsed]!r}", "leave one of them out")
        seen[parsed] = entry
        ranges.extend(parsed)
    return tuple(ranges)


def format_ports(ranges: Sequence[PortRange]) -> tuple[str, ...]:
    """The shortest entries that :func:`parse` reads as ``ranges``. Raises :class:`Invalid`."""
    entries: list[str] = []
    codes_of: tuple[int, int] | None = None  # protocol and ICMP type of the last entry, if it lists codes
    for piece in ranges:
        text, listed = _format_range(piece)
        if listed is not None and listed == codes_of:
            entries[-1] += "," + text.rpartition("/")[2]
        else:
            entries.append(text)
        codes_of = listed
    return tuple(entries)


def parse_flow(text: str, path: str = "protocol") -> tuple[int, int]:
    """Protocol number and port of one flow: ``tcp/5432``, ``icmp/8``, ``icmp/3/1``, ``gre``.

    A flow is one point: ranges and ``any`` are refused. ``icmp/8`` means code 0.
    """
    ranges = _parse_entry(text, path)
    piece = ranges[0]
    if piece.protocol in _WITH_TYPES and text.count("/") == 1:
        return piece.protocol, piece.first
    if piece.protocol not in _WITH_PORTS and piece.protocol not in _WITH_TYPES and piece.protocol != ANY_PROTOCOL:
        return piece.protocol, 0
    if len(ranges) > 1 or piece.first != piece.last:
        raise Invalid(path, f"{text!r} is more than one port", "name one flow, such as tcp/5432 or icmp/8")
    return piece.protocol, piece.first


def format_flow(protocol: int, port: int) -> str:
    """One flow as people write it, the reverse of :func:`parse_flow`."""
    if protocol in _WITH_PORTS:
        return f"{_WITH_PORTS[protocol]}/{port}"
    if protocol in _WITH_TYPES:
        return f"{_WITH_TYPES[protocol]}/{port >> 8}/{port & 255}"
    return protocols.KEYWORDS.get(protocol, f"protocol {protocol}")


def _parse_entry(entry: str, path: str) -> tuple[PortRange, ...]:
    folded = entry.lower()
    if folded == "any":
        return (ANYTHING,)
    if protocols.number(folded) is None:
        keyword, separator, rest = folded.partition("/")
    else:  # some keyword contains a slash
        keyword, separator, rest = folded, "", ""
    protocol = protocols.number(keyword)
    if protocol is None:
        raise Invalid(path, f"{keyword!r} is no IANA protocol name", "write any, tcp/PORT, udp/PORT, icmp, esp, …")
    if protocol in _WITH_PORTS:
        if not separator:
            raise Invalid(path, f"{entry!r} has no port", f"write {keyword}/80 or {keyword}/1:65535")
        return (PortRange(protocol, *_range(rest, _LAST_PORT, path)),)
    if not separator:
        return (PortRange(protocol, 0, _LAST_PORT),)
    if protocol not in _WITH_TYPES:
        raise Invalid(path, f"{keyword} has no ports", f"write {keyword} alone")
    return _icmp(protocol, rest, path)


def _icmp(protocol: int, rest: str, path: str) -> tuple[PortRange, ...]:
    type_text, separator, codes = rest.partition("/")
    kind = _number(type_text, 255, path)
    if not separator:
        return (PortRange(protocol, kind << 8, kind << 8 | 255),)
    ranges = []
    for item in codes.split(","):
        first, last = _range(item, 255, path)
        ranges.append(PortRange(protocol, kind << 8 | first, kind << 8 | last))
    if len(set(ranges)) < len(ranges):
        raise Invalid(path, f"{codes!r} lists a code twice", "leave one of them out")
    return tuple(ranges)


def _range(text: str, limit: int, path: str) -> tuple[int, int]:
    left, separator, right = text.partition(":")
    first = _number(left, limit, path)
    if not separator:
        return first, first
    last = _number(right, limit, path)
    if first >= last:
        raise Invalid(path, f"{text!r} does not ascend", "write the smaller number first")
    return first, last


def _number(text: str, limit: int, path: str) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > limit:
        raise Invalid(path, f"{text!r} is not a number from 0 to {limit}", "see protocolPorts in the documentation")
    return int(text)


def _format_range(piece: PortRange) -> tuple[str, tuple[int, int] | None]:
    """The text of one range, and protocol and type when it ends in a list of ICMP codes."""
    if piece == ANYTHING:
        return "any", None
    if piece.protocol in _WITH_PORTS:
        return f"{_WITH_PORTS[piece.protocol]}/{_span(piece.first, piece.last)}", None
    whole = (piece.first, piece.last) == (0, _LAST_PORT)
    if piece.protocol in _WITH_TYPES and not whole:
        kind, name = piece.first >> 8, _WITH_TYPES[piece.protocol]
        if piece.last >> 8 == kind:
            if piece.last - piece.first == 255:
                return f"{name}/{kind}", None
            return f"{name}/{kind}/{_span(piece.first & 255, piece.last & 255)}", (piece.protocol, kind)
    elif whole and piece.protocol in protocols.KEYWORDS:
        return _WITH_TYPES.get(piece.protocol, protocols.KEYWORDS[piece.protocol]), None
    raise Invalid("protocolPorts", f"{piece} cannot be written", "build it with parse()")


def _span(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first}:{last}"
