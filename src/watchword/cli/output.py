"""What commands print: tables and words for people, JSON for programs.

Standard output carries the answer and nothing else; everything about the command itself goes to
standard error. Text that came from elsewhere (names, reasons, addresses) is made printable first, so that
nobody's workload name can move an operator's cursor.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from watchword.cli.failure import Failure

if TYPE_CHECKING:
    from rich.console import Console

#: How a verdict looks.
STYLES = {
    **dict.fromkeys(("Allow", "pass"), "green"),
    **dict.fromkeys(("Reject", "FAIL", "fail"), "bold red"),
    **dict.fromkeys(("degraded", "stale"), "yellow"),
    "skip": "dim",
}


def printable(value: object) -> str:
    """``value`` as text that only prints: control characters become �."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(printable(each) for each in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{printable(key)}={printable(each)}" for key, each in value.items())
    return "".join(character if character.isprintable() else "\ufffd" for character in str(value))


def json_line(value: object) -> None:
    """One JSON value on one line, at once: for streams."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def json_document(value: object) -> None:
    """One JSON value, indented."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def console(*, stderr: bool = False) -> Console:
    """Rich's console for one stream. Wide when nobody's terminal limits it, so that nothing is cut."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else 240, highlight=False, markup=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """A table. A cell that is a known verdict gets its colour."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        cells = [printable(value) for value in row]
        shown.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in cells))
    console().print(shown)


def facts(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values, one a line, aligned."""
    from rich.table import Table
    from rich.text import Text

    shown = Table.grid(padding=(0, 2))
    for name, value in pairs:
        cell = printable(value)
        shown.add_row(Text(name, style="bold"), Text(cell, style=STYLES.get(cell, "")))
    console().print(shown)


def say(text: str, *, style: str = "") -> None:
    """A sentence for the person, on standard output."""
    from rich.text import Text

    console().print(Text(printable(text), style=style), soft_wrap=True)


def raw(text: str) -> None:
    """Text of the command's own making, such as YAML or a script, as it is."""
    sys.stdout.write(text)


def note(text: str) -> None:
    """A remark about the command itself, on standard error."""
    sys.stderr.write(printable(text) + "\n")


def failure(problem: Failure, *, as_json: bool) -> None:
    """Why the command failed, on standard error."""
    if as_json:
        sys.stderr.write(json.dumps(problem.document(), ensure_ascii=False) + "\n")
        return
    sys.stderr.write(f"Error: {printable(problem.message)}\n")
    for each in problem.fields:
        sys.stderr.write(f"  {printable(each.path)}: {printable(each.detail)}\n")
        if each.remedy:
            sys.stderr.write(f"    → {printable(each.remedy)}\n")
    if problem.remedy:
        sys.stderr.write(f"  → {printable(problem.remedy)}\n")


def rows_of(records: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> list[list[object]]:
    """The values of ``columns`` (wire names) of each record."""
    return [[record.get(column, "") for column in columns] for record in records]
