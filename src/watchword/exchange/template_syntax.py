"""Reading Go templates: text to a tree. What the tree means is :mod:`watchword.exchange.templates`.

Actions stand in ``{{ }}``; ``{{-`` and ``-}}`` take the white space before and after them away. Known are
pipelines, ``if``/``else if``/``else``, ``range``, ``with``, variables and comments. Everything else that Go has
(``define``, ``template``, ``block``, ``break``, ``continue``) and Helm adds (``include``, ``tpl``) is refused by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from watchword.exchange.notes import Unreadable

T = TypeVar("T")

#: Blocks and parentheses nest at most so deep.
DEPTH_LIMIT = 40

_REFUSED = {"define", "template", "block", "break", "continue", "include", "tpl", "lookup"}
_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<string>"(?:[^"\\\n]|\\.)*")
      | (?P<raw>`[^`]*`)
      | (?P<number>[-+]?(?:0[xX][0-9a-fA-F]+|[0-9]+(?:\.[0-9]+)?)(?![\w.]))
      | (?P<field>\.[A-Za-z_]\w*)
      | (?P<dot>\.(?![\w]))
      | (?P<variable>\$\w*)
      | (?P<word>[A-Za-z_]\w*)
      | (?P<mark>:=|=|\||\(|\)|,)""",
    re.VERBOSE,
)


class Token(NamedTuple):
    """One token of an action; ``spaced`` when white space stands before it."""

    kind: str
    text: str
    spaced: bool


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant."""

    value: Any


@dataclass(frozen=True, slots=True)
class Reference:
    """``.a.b``, ``$x.a``: ``root`` is ".", "$" or a variable, or a pipeline in parentheses."""

    root: str | Pipeline
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A function with its arguments."""

    name: str
    arguments: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands, each given the result of the one before as its last argument."""

    commands: tuple[Operand, ...]
    line: int


Operand = Literal | Reference | Call


@dataclass(frozen=True, slots=True)
class Output:
    """``{{ pipeline }}``."""

    pipeline: Pipeline


@dataclass(frozen=True, slots=True)
class Assignment:
    """``{{ $x := pipeline }}`` or ``{{ $x = pipeline }}``."""

    variable: str
    declares: bool
    pipeline: Pipeline


@dataclass(slots=True)
class Branch:
    """``if`` or ``with`` and its condition; ``None`` is a bare ``else``."""

    condition: Pipeline | None
    body: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class Choice:
    """The first branch whose condition holds; ``rebinds`` when ``.`` becomes the condition (``with``)."""

    branches: list[Branch]
    rebinds: bool


@dataclass(slots=True)
class Loop:
    """``range``: its variables (none, value, or key and value), and what else is written if there is nothing."""

    variables: tuple[str, ...]
    pipeline: Pipeline
    body: list[Node] = field(default_factory=list)
    otherwise: list[Node] = field(default_factory=list)


Node = str | Output | Assignment | Choice | Loop


def parse(text: str, source: str) -> list[Node]:
    """The tree of a template. Raises :class:`Unreadable` naming ``source`` and the line."""
    return _Parser(text, source).parse()


class _Action(NamedTuple):
    line: int
    tokens: list[Token]


def has_actions(text: str) -> bool:
    """Whether a text is a template at all."""
    return "{{" in text


def _pieces(text: str, source: str) -> Iterator[str | _Action]:
    """Text and actions in turn, with white space trimmed where the actions say so."""
    position, trim, line = 0, False, 1
    while True:
        start = text.find("{{", position)
        piece = text[position:] if start < 0 else text[position:start]
        line_at = line + piece.count("\n")
        shown = piece.lstrip() if trim else piece
        if start < 0:
            yield shown
            return
        inside = start + 2
        if text[inside : inside + 1] == "-" and text[inside + 1 : inside + 2].isspace():
            shown, inside = shown.rstrip(), inside + 2
        yield shown
        end, tokens = _action(text, inside, f"{source}, line {line_at}")
        trim = text[end : end + 1] == "-"
        position = end + 3 if trim else end + 2
        line = line_at + text.count("\n", start, position)
        if tokens is not None:
            yield _Action(line_at, tokens)


def _action(text: str, position: int, where: str) -> tuple[int, list[Token] | None]:
    """The tokens of the action that begins at ``position``, and where its end mark begins."""
    tokens: list[Token] = []
    comment = re.compile(r"\s*/\*").match(text, position)
    if comment:
        closing = text.find("*/", comment.end())
        end = re.compile(r"\s*-?}}").match(text, closing + 2) if closing >= 0 else None
        if end is None:
            raise Unreadable(where, "a comment does not end", "close it with */}}")
        return (end.end() - 3 if end.group().endswith("-}}") else end.end() - 2), None
    spaced = False
    while True:
        if text.startswith("}}", position):
            return position, tokens
        if text.startswith("-}}", position) and (spaced or not tokens):
            return position, tokens
        found = _TOKEN.match(text, position)
        if found is None:
            rest = text[position : position + 20].split("\n")[0]
            message = f"{rest!r} cannot be read" if rest else "an action does not end"
            raise Unreadable(where, f"{message} in an action {{{{ }}}}", "close it with }}, or quote the text")
        position = found.end()
        kind = str(found.lastgroup)
        if kind != "space":
            tokens.append(Token(kind, found.group(), spaced))
        spaced = kind == "space"


class _Parser:
    def __init__(self, text: str, source: str) -> None:
        self._source = source
        self._pieces = _pieces(text, source)
        self._line = 1
        self._tokens: list[Token] = []
        self._depth = 0

    def parse(self) -> list[Node]:
        body, ended_by = self._body()
        if ended_by:
            raise self._wrong(f"{{{{ {ended_by} }}}} closes nothing", "remove it")
        return body

    def _wrong(self, message: str, remedy: str) -> Unreadable:
        return Unreadable(f"{self._source}, line {self._line}", message, remedy)

    def _body(self) -> tuple[list[Node], str]:
        """Nodes up to the ``end`` or ``else`` that closes them; its tokens after the word are left to be read."""
        body: list[Node] = []
        for piece in self._pieces:
            if isinstance(piece, str):
                if piece:
                    body.append(piece)
                continue
            self._line, self._tokens = piece
            word = self._tokens[0].text if self._tokens and self._tokens[0].kind == "word" else ""
            if word in ("end", "else"):
                self._tokens.pop(0)
                return body, word
            body.append(self._node(word))
        return body, ""

    def _node(self, word: str) -> Node:
        if word in ("if", "with"):
            self._tokens.pop(0)
            return self._nested(lambda: self._choice(word))
        if word == "range":
            self._tokens.pop(0)
            return self._nested(self._loop)
        if len(self._tokens) > 1 and self._tokens[0].kind == "variable" and self._tokens[1].text in (":=", "="):
            variable, mark = self._tokens.pop(0).text, self._tokens.pop(0).text
            return Assignment(variable, mark == ":=", self._whole_pipeline())
        return Output(self._whole_pipeline())

    def _nested(self, read: Callable[[], T]) -> T:
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise self._wrong(f"is nested deeper than {DEPTH_LIMIT} levels", "write it flatter")
        found = read()
        self._depth -= 1
        return found

    def _choice(self, word: str) -> Choice:
        opened = self._line
        choice = Choice([Branch(self._whole_pipeline())], word == "with")
        while True:
            choice.branches[-1].body, ended_by = self._body()
            if not ended_by:
                self._line = opened
                raise self._wrong(f"{{{{ {word} }}}} is never closed", "write {{ end }}")
            if ended_by == "end":
                self._nothing_left("end")
                return choice
            if choice.branches[-1].condition is None:
                raise self._wrong("there is an {{ else }} after the last one", "remove it")
            if self._tokens and self._tokens[0].text == word:
                self._tokens.pop(0)
                choice.branches.append(Branch(self._whole_pipeline()))
            else:
                self._nothing_left("else")
                choice.branches.append(Branch(None))

    def _loop(self) -> Loop:
        opened = self._line
        loop = Loop(self._loop_variables(), self._whole_pipeline())
        loop.body, ended_by = self._body()
        if ended_by == "else":
            self._nothing_left("else")
            loop.otherwise, ended_by = self._body()
        if ended_by != "end":
            self._line = opened
            raise self._wrong("{{ range }} is never closed", "write {{ end }}")
        self._nothing_left("end")
        return loop

    def _loop_variables(self) -> tuple[str, ...]:
        texts = [token.text for token in self._tokens[:4]]
        kinds = [token.kind for token in self._tokens[:4]]
        if kinds[:1] == ["variable"] and texts[1:2] == [":="]:
            del self._tokens[:2]
            return (texts[0],)
        if kinds[:1] == ["variable"] and texts[1:2] == [","] and kinds[2:3] == ["variable"] and texts[3:4] == [":="]:
            del self._tokens[:4]
            return (texts[0], texts[2])
        return ()

    def _nothing_left(self, word: str) -> None:
        if self._tokens:
            raise self._wrong(f"{self._tokens[0].text!r} stands after {word}", "remove it")

    def _whole_pipeline(self) -> Pipeline:
        pipeline = self._pipeline()
        if self._tokens:
            raise self._wrong(f"{self._tokens[0].text!r} is not expected here", "check the parentheses")
        return pipeline

    def _pipeline(self) -> Pipeline:
        commands = [self._command()]
        while self._tokens and self._tokens[0].text == "|":
            self._tokens.pop(0)
            commands.append(self._command())
            if not isinstance(commands[-1], Call):
                raise self._wrong("a pipe leads into something that is no function", "name a function after |")
        return Pipeline(tuple(commands), self._line)

    def _command(self) -> Operand:
        if self._tokens and self._tokens[0].kind == "word" and self._tokens[0].text not in ("true", "false", "nil"):
            name = self._tokens.pop(0).text
            if name in _REFUSED:
                raise self._wrong(f"{name} is not supported in templates", "write the text out; see the import page")
            arguments = []
            while self._tokens and self._tokens[0].text not in ("|", ")"):
                arguments.append(self._operand())
            return Call(name, tuple(arguments))
        operand = self._operand()
        if self._tokens and self._tokens[0].text not in ("|", ")"):
            raise self._wrong(f"{self._tokens[0].text!r} stands after a value", "write a function before its arguments")
        return operand

    def _operand(self) -> Operand:
        if not self._tokens:
            raise self._wrong("an action {{ }} is incomplete", "name a value, such as .Values.name")
        token = self._tokens.pop(0)
        match token.kind:
            case "string":
                return Literal(self._string(token.text))
            case "raw":
                return Literal(token.text[1:-1])
            case "number":
                return Literal(
                    float(token.text) if "." in token.text else int(token.text, 0 if "x" in token.text.lower() else 10)
                )
            case "dot":
                return Reference(".", ())
            case "field":
                return Reference(".", (token.text[1:], *self._fields()))
            case "variable":
                return Reference(token.text, self._fields())
            case "word" if token.text in ("true", "false", "nil"):
                return Literal({"true": True, "false": False, "nil": None}[token.text])
            case "word":
                return Call(token.text, ())
            case "mark" if token.text == "(":
                inner = self._nested(self._pipeline)
                if not self._tokens or self._tokens.pop(0).text != ")":
                    raise self._wrong("a parenthesis is never closed", "write )")
                return Reference(inner, self._fields())
        raise self._wrong(f"{token.text!r} is not expected here", "name a value, such as .Values.name")

    def _string(self, text: str) -> str:
        try:
            value = json.loads(text)
        except ValueError:
            raise self._wrong(f"the text {text} cannot be read", "use the escapes of JSON, or `backquotes`") from None
        return str(value)

    def _fields(self) -> tuple[str, ...]:
        names = []
        while self._tokens and self._tokens[0].kind == "field" and not self._tokens[0].spaced:
            names.append(self._tokens.pop(0).text[1:])
        return tuple(names)
