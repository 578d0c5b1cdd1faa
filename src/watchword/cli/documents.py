"""Files and standard input as documents; :mod:`watchword.exchange.documents` says what they mean."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from watchword.cli.failure import ExitCode, Failure
from watchword.exchange.documents import TEXT_LIMIT, Document, written
from watchword.exchange.documents import read as documents_in
from watchword.exchange.notes import Unreadable


def text_of(file: str) -> str:
    """What is in a file, or on standard input if it is ``-``."""
    try:
        if file == "-":
            raw = sys.stdin.buffer.read(4 * TEXT_LIMIT + 1)
        else:
            with Path(file).open("rb") as opened:
                raw = opened.read(4 * TEXT_LIMIT + 1)
        return raw.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"cannot read {file}: {error}", "give a YAML or JSON file", ExitCode.USAGE) from None


def source_of(file: str) -> str:
    """What errors call a file."""
    return "standard input" if file == "-" else file


def located(text: str, source: str) -> list[Document]:
    """All documents in ``text`` with their lines; empty ones are left out."""
    try:
        return documents_in(text, source)
    except Unreadable as error:
        raise Failure(f"{error.place}: {error.message}", error.remedy, ExitCode.USAGE) from None


def parse(text: str, source: str) -> list[Any]:
    """All documents in ``text``; empty ones are left out. ``source`` names it in errors."""
    return [document.value for document in located(text, source)]


def read(file: str) -> list[Any]:
    """All documents of a file, or of standard input if it is ``-``."""
    return parse(text_of(file), source_of(file))


def read_mapping(file: str) -> dict[str, Any]:
    """The one document of a file, which has to be a mapping."""
    documents = read(file)
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise Failure(f"{file}: exactly one mapping is wanted", "write field: value, one a line", ExitCode.USAGE)
    return documents[0]


def dump(value: Any) -> str:
    """``value`` as YAML, in the order it has."""
    return written(value)
