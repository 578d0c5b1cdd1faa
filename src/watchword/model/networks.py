"""Entries of external networks, all kinds of them: ``CIDR``, ``!CIDR``, host names and ``*.domain``.

Addresses are :mod:`watchword.model.prefixes`, names :mod:`watchword.model.hostnames`. Which addresses a name
stands for each unit learns from the DNS answers that it gets; here names are only checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from watchword.model import hostnames, prefixes
from watchword.model.prefixes import Entry, Prefix
from watchword.model.problems import Invalid

#: At most this many warnings are listed one by one.
WARNING_LIMIT = 20

_CIDR_CHARACTERS = frozenset("0123456789abcdefABCDEF.:/!")


class Entries(NamedTuple):
    """Entries taken apart."""

    prefixes: tuple[Entry, ...]
    names: tuple[str, ...]


def is_name(text: str) -> bool:
    """Whether an entry is a host name and not a CIDR, right or wrong."""
    return not text.startswith("!") and "/" not in text and not _looks_like_an_address(text)


def _looks_like_an_address(text: str) -> bool:
    last = text.rstrip(".").rpartition(".")[2]
    return ":" in text or (last.isdigit() and set(text) <= _CIDR_CHARACTERS)


def parse(entries: Sequence[str], path: str = "entries") -> Entries:
    """``entries`` taken apart, each kind in its order. Raises :class:`Invalid`.

    They must name something (a carve-out alone does not), and nothing twice.
    """
    found: list[Entry] = []
    names: list[str] = []
    seen: dict[str, int] = {}
    for index, text in enumerate(entries):
        where = f"{path}[{index}]"
        if is_name(text):
            name = hostnames.canonical(text, where)
            names.append(name)
            key = name
        else:
            entry = prefixes.parse_entry(text, where)
            found.append(entry)
            key = _written(entry)
        earlier = seen.setdefault(key, index)
        if earlier != index:
            raise Invalid(where, f"{text!r} says the same as {path}[{earlier}]", "leave one of them out")
    if all(entry.carved for entry in found) and (found or not names):
        raise Invalid(path, "covers no address", "add at least one CIDR without !, such as 10.0.0.0/8")
    return Entries(tuple(found), tuple(names))


def canonical(entries: Sequence[str], path: str = "entries") -> list[str]:
    """``entries`` in their order, each in its one form. Raises :class:`Invalid` for what is no entry at all."""
    return [
        hostnames.canonical(text, f"{path}[{index}]")
        if is_name(text)
        else _written(prefixes.parse_entry(text, f"{path}[{index}]"))
        for index, text in enumerate(entries)
    ]


def _written(entry: Entry) -> str:
    return f"!{entry.prefix}" if entry.carved else str(entry.prefix)


def warnings(entries: Sequence[str], path: str = "entries") -> list[str]:
    """What of canonical entries does nothing, and why."""
    found = [text for _, text in sorted(_warnings(entries, path))]
    if len(found) > WARNING_LIMIT:
        found = [*found[:WARNING_LIMIT], f"and {len(found) - WARNING_LIMIT} more"]
    return found


def _warnings(entries: Sequence[str], path: str) -> Iterator[tuple[int, str]]:
    placed: list[tuple[Prefix, bool, int]] = []
    for index, text in enumerate(entries):
        if not is_name(text):
            prefix, carved = prefixes.parse_entry(text)
            placed.append((prefix, carved, index))
    # Prefixes are nested or apart: in this order those around one are the ones still on the stack.
    placed.sort(key=lambda each: (each[0].version, int(each[0].network_address), each[0].prefixlen, each[1]))
    around: list[tuple[Prefix, bool, int]] = []
    inside: set[int] = set()  # covered prefixes around a carve-out, or carved from the inside
    carves = []
    for prefix, carved, index in placed:
        while around and not prefixes.within(prefix, around[-1][0]):
            around.pop()
        covering = [each for each in around if not each[1]]
        carving = [each for each in around if each[1]]
        text = _written(Entry(prefix, carved))
        if not carved and carving:
            yield index, f"{path}[{index}]: {text} is carved out whole by {path}[{carving[-1][2]}]"
        elif not carved and covering:
            yield index, f"{path}[{index}]: {text} lies within {path}[{covering[-1][2]}] and adds nothing"
        elif carved and carving:
            yield index, f"{path}[{index}]: {text} lies within {path}[{carving[-1][2]}] and adds nothing"
        elif carved and not covering:
            carves.append((prefix, index))
        if not carved:
            inside.update(each[2] for each in carving)
        around.append((prefix, carved, index))
    for prefix, index in carves:
        if index not in inside:
            yield index, f"{path}[{index}]: !{prefix} carves out nothing: no other entry covers any of it"
