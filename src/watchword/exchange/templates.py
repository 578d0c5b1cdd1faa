"""Files with ``{{ .Values.x }}``: the part of Go's templates that policy files use.

Values come from ``--set`` and ``--values`` (``.Values``) and from the request (``.Aporeto.Namespace``,
``.Aporeto.API``, the names the product family's files have). A value that is not given prints nothing anywhere:
it is an error naming the value, unless ``default``, ``if`` or the like take care of it. What is not supported is
refused by name; :data:`watchword.exchange.template_functions.FUNCTIONS` is all there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from watchword.exchange.notes import Unreadable
from watchword.exchange.template_functions import FUNCTIONS, LAZY, Missing, Refusal, printed, shown, truth
from watchword.exchange.template_syntax import (
    Assignment,
    Call,
    Choice,
    Literal,
    Loop,
    Node,
    Operand,
    Output,
    Pipeline,
    Reference,
    parse,
)

#: Characters a template may produce.
OUTPUT_LIMIT = 16 << 20

#: Nodes and functions it may go through.
STEP_LIMIT = 500_000


def render(text: str, source: str, values: Mapping[str, Any], surroundings: Mapping[str, Any] | None = None) -> str:
    """What a template produces. ``surroundings`` is ``.Aporeto``. Raises :class:`Unreadable`."""
    root = {"Values": dict(values), "Aporeto": dict(surroundings or {})}
    run = _Run(source, root)
    run.nodes(parse(text, source), root)
    return "".join(run.produced)


class _Run:
    def __init__(self, source: str, root: Any) -> None:
        self._source = source
        self._scopes: list[dict[str, Any]] = [{"$": root}]
        self._steps = 0
        self._length = 0
        self._line = 1
        self.produced: list[str] = []

    def _wrong(self, message: str, remedy: str) -> Unreadable:
        return Unreadable(f"{self._source}, line {self._line}", message, remedy)

    def _step(self) -> None:
        self._steps += 1
        if self._steps > STEP_LIMIT:
            raise self._wrong(f"takes more than {STEP_LIMIT} steps", "loop over less")

    def _write(self, text: str) -> None:
        self._length += len(text)
        if self._length > OUTPUT_LIMIT:
            raise self._wrong(f"produces more than {OUTPUT_LIMIT} characters", "produce less, or split the file")
        self.produced.append(text)

    def nodes(self, body: list[Node], dot: Any) -> None:
        """Carry out one body in a scope of its own."""
        self._scopes.append({})
        for node in body:
            self._node(node, dot)
        self._scopes.pop()

    def _node(self, node: Node, dot: Any) -> None:
        self._step()
        match node:
            case str():
                self._write(node)
            case Output():
                value = self._pipeline(node.pipeline, dot)
                self._write(self._guarded(printed, value))
            case Assignment():
                self._assign(node, self._pipeline(node.pipeline, dot))
            case Choice():
                self._choice(node, dot)
            case Loop():
                self._loop(node, dot)

    def _assign(self, node: Assignment, value: Any) -> None:
        if node.declares:
            self._scopes[-1][node.variable] = value
            return
        for scope in reversed(self._scopes[1:]):
            if node.variable in scope:
                scope[node.variable] = value
                return
        raise self._wrong(f"the variable {node.variable} is not declared", f"write {node.variable} := …")

    def _choice(self, node: Choice, dot: Any) -> None:
        for branch in node.branches:
            value = self._pipeline(branch.condition, dot) if branch.condition is not None else True
            if truth(value):
                rebound = node.rebinds and branch.condition is not None
                self.nodes(branch.body, value if rebound else dot)
                return

    def _loop(self, node: Loop, dot: Any) -> None:
        pairs = list(self._pairs(self._pipeline(node.pipeline, dot)))
        for key, value in pairs:
            self._step()
            bound = dict(zip(node.variables, (value,) if len(node.variables) == 1 else (key, value), strict=False))
            self._scopes.append(bound)
            self.nodes(node.body, value)
            self._scopes.pop()
        if not pairs:
            self.nodes(node.otherwise, dot)

    def _pairs(self, value: Any) -> Iterator[tuple[Any, Any]]:
        if isinstance(value, Missing) or value is None:
            return
        if isinstance(value, list):
            yield from enumerate(value)
        elif isinstance(value, dict):
            yield from sorted(value.items())
        else:
            raise self._wrong(f"range wants a list or a mapping, not {shown(value)}", "give a list")

    def _pipeline(self, pipeline: Pipeline, dot: Any) -> Any:
        self._line = pipeline.line
        value = self._operand(pipeline.commands[0], dot)
        for command in pipeline.commands[1:]:
            assert isinstance(command, Call)  # noqa: S101 - the parser lets nothing else follow a pipe
            value = self._call(command, dot, (value,))
        return value

    def _operand(self, operand: Operand, dot: Any) -> Any:
        match operand:
            case Literal():
                return operand.value
            case Call():
                return self._call(operand, dot, ())
            case Reference():
                return self._reference(operand, dot)

    def _reference(self, reference: Reference, dot: Any) -> Any:
        root = reference.root
        if isinstance(root, Pipeline):
            value, name = self._pipeline(root, dot), "(…)"
        elif root == ".":
            value, name = dot, ""
        else:
            value, name = self._variable(root), root
        for step in reference.path:
            name += "." + step
            if isinstance(value, dict):
                value = value.get(step, Missing(name))
            elif isinstance(value, Missing) or value is None:
                value = Missing(name)
            else:
                raise self._wrong(f"{name}: {shown(value)} has no fields", "check the name")
        return value

    def _variable(self, name: str) -> Any:
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
        raise self._wrong(f"the variable {name} is not declared", f"write {name} := …")

    def _call(self, call: Call, dot: Any, piped: tuple[Any, ...]) -> Any:
        self._step()
        line = self._line
        if call.name in LAZY:
            value = self._lazily(call, dot, piped)
        else:
            function = FUNCTIONS.get(call.name)
            if function is None:
                known = ", ".join(sorted({*FUNCTIONS, *LAZY}))
                raise self._wrong(f"there is no function {call.name}", f"there are: {known}")
            arguments = [self._operand(argument, dot) for argument in call.arguments]
            self._line = line
            value = self._guarded(function, *arguments, *piped)
        if isinstance(value, str) and len(value) > OUTPUT_LIMIT:
            raise self._wrong(f"produces more than {OUTPUT_LIMIT} characters", "produce less")
        return value

    def _lazily(self, call: Call, dot: Any, piped: tuple[Any, ...]) -> Any:
        """``and`` and ``or``: the argument that decides, and none after it."""
        value: Any = None
        waiting = [*call.arguments, *piped]
        if not waiting:
            raise self._wrong(f"{call.name} wants arguments", "give some")
        for argument in waiting:
            value = self._operand(argument, dot) if isinstance(argument, (Literal, Call, Reference)) else argument
            if truth(value) == (call.name == "or"):
                break
        return value

    def _guarded(self, function: Any, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Refusal as refusal:
            raise self._wrong(str(refusal), refusal.remedy) from None
        except TypeError:
            name = function.__name__.strip("_")
            raise self._wrong(f"{name} does not take {len(arguments)} such arguments", "see the import page") from None
