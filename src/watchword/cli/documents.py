"""YAML as files of this product mean it: YAML 1.2's plain types, and a key at most once.

PyYAML's own rules are those of YAML 1.1, by which ``no`` is false, ``22:30`` is 1350 and the second of two
equal keys wins in silence. A policy file must not mean something its author cannot see.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from watchword.cli.failure import ExitCode, Failure


class _Loader(yaml.SafeLoader):
    """SafeLoader with the core schema of YAML 1.2 and without repeated keys."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _value in node.value:
            name = self.construct_object(key, deep=True)
            if not isinstance(name, str):
                raise yaml.MarkedYAMLError(None, None, f"the key {name!r} is not text", key.start_mark)
            if name in seen:
                raise yaml.MarkedYAMLError(None, None, f"the key {name!r} is there twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep=deep)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}",
        re.compile(f"(?:{_pattern})$"),
        [*_first.replace("\0", ""), *([""] if "\0" in _first else [])],
    )


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))  # decimal, also with a leading zero


_Loader.add_constructor("tag:yaml.org,2002:int", _construct_int)


def parse(text: str, source: str) -> list[Any]:
    """All documents in ``text``; empty ones are left out. ``source`` names it in errors."""
    try:
        documents = [document for document in yaml.load_all(text, _Loader) if document is not None]
        json.dumps(documents, allow_nan=False)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise Failure(f"{source}{where}: {error.problem}", "correct the file", ExitCode.USAGE) from None
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:  # also what YAML can say and JSON cannot
        raise Failure(f"{source}: {error}", "correct the file", ExitCode.USAGE) from None
    return documents


def read(file: str) -> list[Any]:
    """All documents of a file, or of standard input if it is ``-``."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"cannot read {file}: {error}", "give a YAML or JSON file", ExitCode.USAGE) from None
    return parse(text, "standard input" if file == "-" else file)


def read_mapping(file: str) -> dict[str, Any]:
    """The one document of a file, which has to be a mapping."""
    documents = read(file)
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise Failure(f"{file}: exactly one mapping is wanted", "write field: value, one a line", ExitCode.USAGE)
    return documents[0]


def dump(value: Any) -> str:
    """``value`` as YAML, in the order it has."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
