"""The functions of templates: Go's own and the part of Sprig that policy files use, by their names there.

None reads a file, a clock or the environment, none is random, and none makes much out of little.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import yaml

from watchword.exchange.documents import Writer

#: ``indent`` by at most so much.
INDENT_LIMIT = 200

#: Characters one function may produce.
SIZE_LIMIT = 16 << 20

#: Characters and values that ``toYaml`` and ``toJson`` write out.
NODE_LIMIT = 1 << 20


class Refusal(ValueError):  # noqa: N818 - it refuses an argument
    """An argument that a function does not take."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


class Missing:
    """A value that is not given; knows its name."""

    def __init__(self, name: str) -> None:
        self.name = name


def truth(value: Any) -> bool:
    """Whether a condition holds: not false, zero, empty or missing."""
    return bool(value) and not isinstance(value, Missing)


def printed(value: Any) -> str:
    """A value as text in the output. Raises :class:`Refusal` for what has no text."""
    if isinstance(value, Missing):
        example = value.name.removeprefix(".Values.")
        raise Refusal(
            f"{value.name} is not given", f"give it with --set {example}=… or --values FILE, or write default"
        )
    if value is None:
        raise Refusal("a value is null", "give it a value, or write default")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, dict)):
        raise Refusal("a list or mapping is printed as it is", "write toYaml, toJson or join")
    return str(value)


def shown(value: Any) -> str:
    """A value in an error, short however large it is."""
    return repr(value)[:60] if isinstance(value, (str, int, float)) else f"a {type(value).__name__}"


def _known(value: Any) -> Any:
    if isinstance(value, Missing):
        printed(value)
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(_known(value), list):
        raise Refusal(f"{shown(value)} is no list", "give a list")
    return list(value)


def _integer(value: Any) -> int:
    try:
        return int(printed(value))
    except ValueError:
        raise Refusal(f"{shown(value)} is no whole number", "give a number") from None


def _default(fallback: Any, value: Any = None) -> Any:
    return value if truth(value) else fallback


def _coalesce(*values: Any) -> Any:
    return next((value for value in values if truth(value)), None)


def _required(message: Any, value: Any) -> Any:
    if isinstance(value, Missing) or value is None or value == "":
        raise Refusal(printed(message), "give the value with --set or --values")
    return value


def _quote(*values: Any) -> str:
    return " ".join(json.dumps(printed(value), ensure_ascii=False) for value in values)


def _squote(*values: Any) -> str:
    return " ".join("'" + printed(value).replace("'", "''") + "'" for value in values)


def _equal(first: Any, *others: Any) -> bool:
    if not others:
        raise Refusal("eq wants two values", "write eq A B")
    plain = [None if isinstance(value, Missing) else value for value in (first, *others)]
    if any(isinstance(value, (list, dict)) for value in plain):
        raise Refusal("lists and mappings are not compared", "compare texts, numbers or truths")
    return any(type(plain[0]) is type(other) and plain[0] == other for other in plain[1:])


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compared(first: Any, second: Any) -> bool:
        numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (first, second))
        if not numbers and not (isinstance(first, str) and isinstance(second, str)):
            raise Refusal("two values of different kinds are compared", "compare numbers with numbers")
        return compare(first, second)

    return compared


def _printf(form: Any, *arguments: Any) -> str:
    parts, waiting = [], list(arguments)
    text = printed(form)
    position = 0
    while (mark := text.find("%", position)) >= 0:
        parts.append(text[position:mark])
        verb = text[mark + 1 : mark + 2]
        position = mark + 2
        if verb == "%":
            parts.append("%")
        elif verb in ("s", "d", "v", "q", "t") and waiting:
            value = printed(waiting.pop(0))
            parts.append(json.dumps(value, ensure_ascii=False) if verb == "q" else value)
        else:
            raise Refusal(f"printf does not take %{verb} here", "use %s, %d, %v, %q, %t or %% and as many values")
    if waiting:
        raise Refusal("printf has more values than places", "remove some")
    return "".join(parts) + text[position:]


def _indent(width: Any, text: Any) -> str:
    count, shown = _integer(width), printed(text)
    if not 0 <= count <= INDENT_LIMIT:
        raise Refusal(f"indent by {count}", f"indent by 0 to {INDENT_LIMIT}")
    _small(len(shown) + count * (shown.count("\n") + 1))
    return "\n".join(" " * count + line for line in shown.split("\n"))


def _replace(old: Any, new: Any, text: Any) -> str:
    before, after, shown = printed(old), printed(new), printed(text)
    _small(len(shown) + len(after) * ((shown.count(before) if before else len(shown)) + 1))
    return shown.replace(before, after)


def _join(separator: Any, values: Any) -> str:
    between, texts = printed(separator), [printed(value) for value in _list(values)]
    _small(sum(map(len, texts)) + len(between) * len(texts))
    return between.join(texts)


def _small(size: int) -> None:
    if size > SIZE_LIMIT:
        raise Refusal(f"a function would produce {size} characters", "produce less")


def _dict(*pairs: Any) -> dict[str, Any]:
    if len(pairs) % 2:
        raise Refusal("dict wants keys and values in turn", "give a value for each key")
    return {printed(key): value for key, value in zip(pairs[::2], pairs[1::2], strict=True)}


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key, Missing(f"index {key!r}"))
        elif isinstance(value, list):
            number = _integer(key)
            if not 0 <= number < len(value):
                raise Refusal(f"index {number} of a list of {len(value)}", "count from 0")
            value = value[number]
        else:
            raise Refusal("index wants a list or mapping", "check the value")
    return value


def _length(value: Any) -> int:
    if not isinstance(_known(value), (str, list, dict)):
        raise Refusal(f"{shown(value)} has no length", "give a list, mapping or text")
    return len(value)


class _Plain(Writer):
    """Writes a value out wherever it stands, without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _written_out(value: Any) -> Any:
    """``value`` if it is not enormous with everything that is in it twice written twice."""
    waiting, size = [_known(value)], 0
    while waiting:
        item = waiting.pop()
        size += len(item) if isinstance(item, str) else 1
        if size > NODE_LIMIT:
            raise Refusal("a value is too large to be written out", "write out less")
        if isinstance(item, dict):
            waiting += [*item, *item.values()]
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, Missing):
            printed(item)
    return value


def _to_yaml(value: Any) -> str:
    text = yaml.dump(_written_out(value), Dumper=_Plain, sort_keys=False, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _to_json(value: Any) -> str:
    return json.dumps(_written_out(value), ensure_ascii=False)


def _has(value: Any, values: Any) -> bool:
    return any(_equal(value, item) for item in _list(values))


def _has_key(mapping: Any, key: Any) -> bool:
    return isinstance(mapping, dict) and key in mapping


#: Evaluated by the interpreter, argument by argument.
LAZY = frozenset({"and", "or"})

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "default": _default,
    "coalesce": _coalesce,
    "required": _required,
    "empty": lambda value: not truth(value),
    "ternary": lambda yes, no, condition: yes if truth(condition) else no,
    "not": lambda value: not truth(value),
    "eq": _equal,
    "ne": lambda first, second: not _equal(first, second),
    "lt": _ordered(lambda first, second: first < second),
    "le": _ordered(lambda first, second: first <= second),
    "gt": _ordered(lambda first, second: first > second),
    "ge": _ordered(lambda first, second: first >= second),
    "quote": _quote,
    "squote": _squote,
    "print": lambda *values: "".join(map(printed, values)),
    "printf": _printf,
    "toString": printed,
    "int": _integer,
    "upper": lambda text: printed(text).upper(),
    "lower": lambda text: printed(text).lower(),
    "trim": lambda text: printed(text).strip(),
    "trimPrefix": lambda prefix, text: printed(text).removeprefix(printed(prefix)),
    "trimSuffix": lambda suffix, text: printed(text).removesuffix(printed(suffix)),
    "hasPrefix": lambda prefix, text: printed(text).startswith(printed(prefix)),
    "hasSuffix": lambda suffix, text: printed(text).endswith(printed(suffix)),
    "contains": lambda part, text: printed(part) in printed(text),
    "replace": _replace,
    "indent": _indent,
    "nindent": lambda width, text: "\n" + _indent(width, text),
    "toYaml": _to_yaml,
    "toJson": _to_json,
    "list": lambda *values: [_known(value) for value in values],
    "dict": _dict,
    "hasKey": _has_key,
    "has": _has,
    "index": _index,
    "len": _length,
    "first": lambda values: _index(_list(values), 0),
    "last": lambda values: _index(_list(values), max(0, len(_list(values)) - 1)),
    "join": _join,
    "splitList": lambda separator, text: printed(text).split(printed(separator) or "\0"),
}
