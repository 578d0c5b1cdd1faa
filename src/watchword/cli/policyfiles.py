"""Policy files for the commands that work without a Console: read, checked as the Console would, as a world."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from watchword.cli.failure import ExitCode, Failure, FieldProblem

if TYPE_CHECKING:
    from watchword.policy.files import Loaded

_SUFFIXES = (".yaml", ".yml", ".json")


def load(files: Sequence[str], namespace: str = "/") -> Loaded:
    """What ``files`` (YAML or JSON, folders of them, ``-``) say, applied in ``namespace``."""
    from watchword.cli import documents
    from watchword.exchange.documents import Document
    from watchword.policy import files as policy_files

    located: dict[tuple[str, int], Document] = {}
    for name in expanded(files):
        for document in documents.located(documents.text_of(name), documents.source_of(name)):
            located[document.source, document.number] = document
    if not located:
        raise Failure("there is nothing in these files", "give files with data:", ExitCode.USAGE)
    read = [policy_files.Document(each.source, each.number, each.value) for each in located.values()]
    try:
        return policy_files.load(read, namespace)
    except policy_files.FilesInvalid as wrong:
        problems = tuple(
            FieldProblem(
                f"{located[each.source, each.document].place(each.path)}: {each.path}"
                + (f" ({each.name})" if each.name else ""),
                each.message,
                each.remedy,
            )
            for each in wrong.problems
        )
        raise Failure(f"{len(problems)} problem(s) in these files", "", ExitCode.USAGE, problems) from None


def expanded(files: Sequence[str]) -> list[str]:
    """Each file once; a folder stands for every YAML and JSON file in it and below."""
    found: dict[str, None] = {}
    for name in files:
        if name != "-" and Path(name).is_dir():
            inside = sorted(str(path) for path in Path(name).rglob("*") if path.suffix in _SUFFIXES and path.is_file())
            if not inside:
                raise Failure(f"{name}: no {', '.join(_SUFFIXES)} file in it", "name a file", ExitCode.USAGE)
            found |= dict.fromkeys(inside)
        else:
            found[name] = None
    return list(found)
