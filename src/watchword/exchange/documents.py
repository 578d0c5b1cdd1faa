"""YAML as files of this product mean it, with the line of every value.

YAML 1.2's plain types, and a key at most once: by the rules of YAML 1.1 ``no`` is false, ``22:30`` is 1350
and the second of two equal keys wins in silence. A policy file must not mean something its author cannot see.

Built from the parser's events, without recursion and with limits, because files come from anywhere:

| limit | why |
|---|---|
| :data:`TEXT_LIMIT` characters of text | what a Console accepts in one import |
| :data:`DEPTH_LIMIT` levels | nothing here nests deeper than ten |
| :data:`SIZE_LIMIT` characters with all aliases written out | an alias of an alias of an alias doubles each time |
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from watchword.exchange.notes import Unreadable

TEXT_LIMIT = 16 << 20
DEPTH_LIMIT = 64
SIZE_LIMIT = 32 << 20

_CORE = "tag:yaml.org,2002:"
_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, ten times as fast, where it is there
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


@dataclass(slots=True)
class Mark:
    """Where a value begins, and the marks of what is in it."""

    line: int  # from 1
    fields: dict[str, Mark] = field(default_factory=dict)
    items: list[Mark] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a text."""

    source: str
    number: int  # from 1, empty ones counted
    value: Any
    mark: Mark

    def line(self, path: str = "") -> int:
        """The line of the value at ``path`` (``data.externalnetworks[0].entries``), or of what it is in."""
        mark = self.mark
        for name, index in _STEP.findall(path):
            inner = mark.fields.get(name) if name else mark.items[int(index)] if int(index) < len(mark.items) else None
            if inner is None:
                break
            mark = inner
        return mark.line

    def place(self, path: str = "") -> str:
        """File, document and line of the value at ``path``."""
        several = f", document {self.number}" if self.number > 1 else ""
        return f"{self.source}{several}, line {self.line(path)}"


def read(text: str, source: str) -> list[Document]:
    """All documents in ``text``; empty ones are left out. Raises :class:`Unreadable` naming ``source``."""
    if len(text) > TEXT_LIMIT:
        raise Unreadable(source, f"has {len(text)} characters", f"stay within {TEXT_LIMIT}, or split the file")
    try:
        found = list(_documents(text, source))
    except yaml.MarkedYAMLError as error:
        known = _json(text, source)
        if known is not None:
            return known
        mark = error.problem_mark
        where = f"{source}, line {mark.line + 1}, column {mark.column + 1}" if mark else source
        raise Unreadable(where, str(error.problem or error.context), "correct the file") from None
    except (yaml.YAMLError, UnicodeEncodeError) as error:  # the latter: half a character
        raise Unreadable(source, " ".join(str(error).split()), "correct the file") from None
    return [document for document in found if document.value is not None]


def _json(text: str, source: str) -> list[Document] | None:
    """A text that is JSON but not YAML (its escapes of characters beyond 16 bits); without lines."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse_constant)
        json.dumps(value).encode()
    except (ValueError, RecursionError):
        return None
    return [Document(source, 1, value, Mark(1))]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key is there twice")
    return dict(pairs)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


@dataclass(slots=True)
class _Open:
    """A container being read."""

    value: dict[str, Any] | list[Any]
    mark: Mark
    anchor: str | None
    size: int = 1
    key: str | None = None
    key_line: int = 0


@dataclass(slots=True)
class _Anchored:
    value: Any
    mark: Mark
    size: int


class _Builder:
    """Builds one document from its events."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._open: list[_Open] = []
        self._anchors: dict[str, _Anchored | None] = {}  # None while it is being read
        self.value: Any = None
        self.mark = Mark(1)
        self.size = 0

    def take(self, event: Any) -> None:
        """The next event."""
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            self._add(*self._alias(event.anchor, line), line)
        elif isinstance(event, yaml.ScalarEvent):
            if self._wants_key():
                self._key(event, line)
                return
            self._finish(_scalar(event, self._at(line)), Mark(line), event.anchor, 1 + len(event.value), line)
        elif isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent)):
            self._begin(event, line)
        elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            done = self._open.pop()
            self._finish(done.value, done.mark, done.anchor, done.size, line)

    def _at(self, line: int) -> str:
        return f"{self._source}, line {line}"

    def _wants_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].value, dict) and self._open[-1].key is None

    def _key(self, event: Any, line: int) -> None:
        key = _scalar(event, self._at(line))
        here = self._open[-1]
        if not isinstance(key, str):
            raise self._wrong(event, f"the key {key!r} is not text")
        if key in here.value:
            raise self._wrong(event, f"the key {key!r} is there twice")
        here.key, here.key_line = key, line
        here.size += len(key)
        if event.anchor:
            self._anchors[event.anchor] = _Anchored(key, Mark(line), 1 + len(key))

    def _wrong(self, event: Any, message: str) -> Unreadable:
        mark = event.start_mark
        return Unreadable(
            f"{self._source}, line {mark.line + 1}, column {mark.column + 1}", message, "correct the file"
        )

    def _begin(self, event: Any, line: int) -> None:
        if self._wants_key():
            raise self._wrong(event, "the key of a mapping is no text")
        mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", _CORE + ("map" if mapping else "seq")):
            raise self._wrong(event, f"could not determine a constructor for the tag {event.tag!r}")
        if len(self._open) >= DEPTH_LIMIT:
            raise Unreadable(self._at(line), f"is nested deeper than {DEPTH_LIMIT} levels", "write it flatter")
        if event.anchor:
            self._anchors[event.anchor] = None
        self._open.append(_Open({} if mapping else [], Mark(line), event.anchor))

    def _alias(self, name: str | None, line: int) -> tuple[Any, Mark, int]:
        if name is None or name not in self._anchors:
            raise Unreadable(self._at(line), f"the alias *{name} names no anchor before it", "correct the file")
        known = self._anchors[name]
        if known is None:
            raise Unreadable(self._at(line), f"Circular: the alias *{name} is inside what it names", "correct the file")
        return known.value, known.mark, known.size

    def _finish(self, value: Any, mark: Mark, anchor: str | None, size: int, line: int) -> None:
        if anchor:
            self._anchors[anchor] = _Anchored(value, mark, size)
        self._add(value, mark, size, line)

    def _add(self, value: Any, mark: Mark, size: int, line: int) -> None:
        if not self._open:
            self.value, self.mark = value, mark
            return
        here = self._open[-1]
        here.size += size
        if here.size > SIZE_LIMIT:
            raise Unreadable(
                self._at(line),
                f"has more than {SIZE_LIMIT} characters when its aliases are written out",
                "write less, or split the file",
            )
        if isinstance(here.value, list):
            here.value.append(value)
            here.mark.items.append(mark)
            return
        if here.key is None:  # an alias where a key should be
            raise Unreadable(self._at(line), "an alias stands where a key should be", "write the key out")
        here.value[here.key] = value
        here.mark.fields[here.key] = Mark(here.key_line, mark.fields, mark.items)
        here.key = None


def _documents(text: str, source: str) -> Iterator[Document]:
    number = 0
    builder = _Builder(source)
    for event in yaml.parse(text, Loader=_PARSER):
        if isinstance(event, yaml.DocumentStartEvent):
            number += 1
            builder = _Builder(source)
        elif isinstance(event, yaml.DocumentEndEvent):
            yield Document(source, number, builder.value, builder.mark)
        elif not isinstance(event, (yaml.StreamStartEvent, yaml.StreamEndEvent)):
            builder.take(event)


_NULL = re.compile(r"(?:~|null|Null|NULL|)\Z")
_BOOL = re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")
_INT = re.compile(r"[-+]?[0-9]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")


def plain(text: str) -> Any:
    """What an unquoted scalar means: null, a truth, a number, or its text. Raises :class:`ValueError`."""
    if _NULL.match(text):
        return None
    if _BOOL.match(text):
        return text[0] in "tT"
    if _INT.match(text):
        return int(text)  # decimal, also with a leading zero
    if _FLOAT.match(text):
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(f"the number {text} is too large")
        return number
    return text


class Writer(yaml.SafeDumper):
    """Writes what :func:`read` reads back: a text that would be a number or a truth to it stands in quotes."""


def _represent(writer: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    try:
        quoted = not isinstance(plain(text), str)
    except ValueError:
        quoted = True
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style="'" if quoted else None)


Writer.add_representer(str, _represent)


def written(value: Any) -> str:
    """``value`` as YAML, in the order it has."""
    text: str = yaml.dump(value, Dumper=Writer, sort_keys=False, allow_unicode=True)
    return text


def _scalar(event: Any, where: str) -> Any:
    if event.tag in (None, "!") and not event.implicit[0]:
        return event.value
    try:
        value = plain(event.value)
    except ValueError as error:
        raise Unreadable(where, str(error)[:100], "write a smaller number, or quote it") from None
    if event.tag is None:
        return value
    kinds = {"str": str, "null": type(None), "bool": bool, "int": int, "float": float}
    wanted = kinds.get(event.tag.removeprefix(_CORE)) if event.tag.startswith(_CORE) else None
    if wanted is str:
        return event.value
    if wanted is None or type(value) is not wanted:
        raise Unreadable(where, f"could not determine a constructor for the tag {event.tag!r}", "leave the tag out")
    return value
