"""The filter language of lists: text to a tree, which the Console compiles to SQL.

::

    associatedTags contains "app=web" and (createTime > now("-7d") or not name matches "test-*")

Words of the language are case-insensitive. Length, depth and number of terms are bounded, so that a
filter costs no more to read than it cost to send. Nothing is evaluated here.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from watchword.model.problems import Invalid

LENGTH_LIMIT = 4096
DEPTH_LIMIT = 32
TERM_LIMIT = 128

Operator = Literal["==", "!=", "<", "<=", ">", ">=", "contains", "in", "matches", "exists"]
Scalar = str | int | float | bool | datetime.datetime


@dataclass(frozen=True, slots=True)
class Comparison:
    """``field operator value``; ``value`` is a tuple for ``in`` and empty for ``exists``."""

    field: str
    operator: Operator
    value: Scalar | tuple[Scalar, ...] = ()


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of ``term``."""

    term: Filter


@dataclass(frozen=True, slots=True)
class And:
    """All of ``terms``."""

    terms: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of ``terms``."""

    terms: tuple[Filter, ...]


Filter = Comparison | Not | And | Or


class _Token(NamedTuple):
    kind: Literal["word", "text", "symbol", "end"]
    text: str
    position: int


_LEXICON = re.compile(
    r"""\s*(?:
        (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<symbol>==|!=|<=|>=|<|>|\(|\)|\[|\]|,)
      | (?P<word>[^\s"'()\[\],=!<>]+(?:=(?!=)[^\s"'()\[\],=!<>]+)*)
    )""",
    re.VERBOSE | re.DOTALL,
)
_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,9})?")
_DURATION = re.compile(r"-?([0-9]{1,6})([smhdw])")
_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_KEYWORDS = {"and", "or", "not", "contains", "in", "matches", "exists"}


def parse(text: str, now: datetime.datetime, path: str = "filter") -> Filter:
    """The tree of ``text``; ``now`` is what ``now()`` means. Raises :class:`Invalid`."""
    if len(text) > LENGTH_LIMIT:
        raise Invalid(path, f"has {len(text)} characters", f"stay within {LENGTH_LIMIT}")
    return _Parser(text, now, path).whole()


class _Parser:
    def __init__(self, text: str, now: datetime.datetime, path: str) -> None:
        self.now = now
        self.path = path
        self.terms = 0
        self.tokens = self._split(text)
        self.index = 0

    def _split(self, text: str) -> list[_Token]:
        tokens, position, end = [], 0, len(text.rstrip())
        while position < end:
            match = _LEXICON.match(text, position)
            if match is None:
                raise self._wrong(position, f"cannot read {text[position : position + 20]!r}", "close the quotation")
            kind: Literal["word", "text", "symbol"] = (
                "text" if match["text"] else "symbol" if match["symbol"] else "word"
            )
            content = match[kind]
            if kind == "text":
                content = _ESCAPE.sub(r"\1", content[1:-1])
            tokens.append(_Token(kind, content, match.start(kind)))
            position = match.end()
        tokens.append(_Token("end", "", end))
        return tokens

    def _wrong(self, position: int, message: str, remedy: str) -> Invalid:
        return Invalid(self.path, f"{message} at character {position + 1}", remedy)

    @property
    def _next(self) -> _Token:
        return self.tokens[self.index]

    def _take(self) -> _Token:
        token = self.tokens[self.index]
        self.index = min(self.index + 1, len(self.tokens) - 1)
        return token

    def _keyword(self, word: str) -> bool:
        if self._next.kind == "word" and self._next.text.lower() == word:
            self._take()
            return True
        return False

    def _symbol(self, text: str) -> bool:
        if self._next.kind == "symbol" and self._next.text == text:
            self._take()
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._symbol(text):
            raise self._wrong(self._next.position, f"{text!r} is missing", f"write {text} here")

    def whole(self) -> Filter:
        tree = self._or(0)
        if self._next.kind != "end":
            raise self._wrong(self._next.position, f"{self._next.text!r} is unexpected", "join terms by and or or")
        return tree

    def _or(self, depth: int) -> Filter:
        terms = [self._and(depth)]
        while self._keyword("or"):
            terms.append(self._and(depth))
        return terms[0] if len(terms) == 1 else Or(tuple(terms))

    def _and(self, depth: int) -> Filter:
        terms = [self._term(depth)]
        while self._keyword("and"):
            terms.append(self._term(depth))
        return terms[0] if len(terms) == 1 else And(tuple(terms))

    def _term(self, depth: int) -> Filter:
        if depth > DEPTH_LIMIT:
            raise self._wrong(self._next.position, "is nested too deeply", f"stay within {DEPTH_LIMIT} levels")
        if self._keyword("not"):
            return Not(self._term(depth + 1))
        if self._symbol("("):
            inner = self._or(depth + 1)
            self._expect(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Filter:
        self.terms += 1
        if self.terms > TERM_LIMIT:
            raise self._wrong(self._next.position, "has too many terms", f"stay within {TERM_LIMIT}")
        field = self._take()
        if field.kind != "word" or not _FIELD.fullmatch(field.text) or field.text.lower() in _KEYWORDS:
            raise self._wrong(field.position, "a field's name is missing", "write for example: name == web")
        if self._keyword("not"):
            return Not(self._operation(field.text, negated=True))
        return self._operation(field.text, negated=False)

    def _operation(self, field: str, *, negated: bool) -> Comparison:
        token = self._take()
        word = token.text.lower()
        if token.kind == "word":
            if word == "exists":
                return Comparison(field, "exists")
            if word == "in":
                return Comparison(field, "in", self._list())
            if word == "contains":
                return Comparison(field, "contains", self._value())
            if word == "matches":
                return Comparison(field, "matches", self._value())
        if token.kind == "symbol" and not negated:
            for symbol in ("==", "!=", "<", "<=", ">", ">="):
                if token.text == symbol:
                    return Comparison(field, symbol, self._value())
        raise self._wrong(
            token.position, "an operator is missing", "write ==, !=, <, <=, >, >=, contains, in, matches or exists"
        )

    def _list(self) -> tuple[Scalar, ...]:
        self._expect("[")
        values = [self._value()]
        while self._symbol(","):
            values.append(self._value())
        self._expect("]")
        if len(values) > TERM_LIMIT:
            raise self._wrong(self._next.position, "has too long a list", f"stay within {TERM_LIMIT} values")
        return tuple(values)

    def _value(self) -> Scalar:
        token = self._take()
        if token.kind == "text":
            return token.text
        if token.kind != "word":
            raise self._wrong(token.position, "a value is missing", 'write a word, a number or "text"')
        word = token.text.lower()
        if word in ("now", "date") and self._symbol("("):
            return self._time(word, token)
        if word in ("true", "false"):
            return word == "true"
        if _NUMBER.fullmatch(token.text):
            return float(token.text) if "." in token.text else int(token.text)
        if word in _KEYWORDS:
            raise self._wrong(token.position, "a value is missing", f'quote it if you mean the text: "{token.text}"')
        return token.text

    def _time(self, word: str, token: _Token) -> datetime.datetime:
        argument = self._take().text if self._next.kind == "text" else ""
        self._expect(")")
        if word == "now":
            return self._relative(argument, token) if argument else self.now
        try:
            moment = datetime.datetime.fromisoformat(argument)
        except ValueError:
            raise self._wrong(
                token.position, f"{argument!r} is not a date", 'write date("2026-01-31T12:00:00Z")'
            ) from None
        return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)

    def _relative(self, argument: str, token: _Token) -> datetime.datetime:
        match = _DURATION.fullmatch(argument)
        if match is None:
            raise self._wrong(token.position, f"{argument!r} is not a duration", 'write now("-24h") or now("-7d")')
        seconds = int(match[1]) * _UNITS[match[2]]
        try:
            return self.now + datetime.timedelta(seconds=-seconds if argument.startswith("-") else seconds)
        except OverflowError:
            raise self._wrong(token.position, f"{argument!r} is out of range", "name a nearer time") from None
