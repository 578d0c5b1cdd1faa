"""The narrator for people: a terminal that is pleasant to read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from demo.cast import WORKLOADS
from demo.checks import Claim
from demo.narrator import Row

#: Words that have a colour wherever they stand in a table.
_STYLES = {
    "Allow": "green", "allowed": "green", "works": "green", "proved": "green", "yes": "green",
    "Reject": "bold red", "refused": "bold red", "cut": "bold red", "wiki": "red", "intruder": "red",
}  # fmt: skip

_MAP = """\
  customers, attackers                        operators
       ┌─────────┐                           ┌─────────┐
       │ outside │                           │ Console │
       └────┬────┘                           └────┬────┘
    ════════╧═══════════════ router ══════════════╧════════
        │          │          │          │           │
    ┌───┴──┐   ┌───┴──┐   ┌───┴──┐   ┌───┴───┐   ┌───┴────┐
    │ edge │   │ shop │   │  db  │   │ batch │   │intruder│
    └──────┘   └──────┘   └──────┘   └───────┘   └────────┘"""


class TerminalNarrator:
    """Colour, tables and progress; waits a little where there is something to read."""

    def __init__(self, pause: float = 1.5) -> None:
        self.console = Console(highlight=False)
        self._pause = pause

    def opening(self, addresses: dict[str, str]) -> None:
        """The map, and who runs where."""
        cast = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in ("host", "address", "workload", "tags", "what it does"):
            cast.add_column(column)
        for workload in WORKLOADS.values():
            cells = (workload.host, addresses[workload.host], workload.name, " ".join(workload.tags), workload.does)
            cast.add_row(*(_styled(cell) for cell in cells))
        words = Text(
            "A small shop on five hosts. Every connection between them is to be allowed by who its two ends are, "
            "not by their addresses: in the TCP handshake, by the kernels of both hosts."
        )
        self.console.print()
        title = "[bold cyan] Watchword: who is there? [/]"
        content = Group(words, Text(""), Text(_MAP, style="cyan"), Text(""), cast)
        self.console.print(Panel(content, title=title, border_style="cyan", padding=(1, 2), width=self._width()))

    def act(self, number: int, title: str, words: str) -> None:
        """A line across, and what this is about."""
        if number > 1:
            time.sleep(self._pause)
        self.console.print()
        self.console.print(Rule(f"[bold]Act {number}[/] · [bold cyan]{title}[/]", align="left", style="cyan"))
        self.console.print(Padding(Text(words, style="italic"), (0, 2, 1, 2)), width=self._width())

    def say(self, words: str) -> None:
        """A sentence."""
        self.console.print(Padding(Text(words), (0, 2)), width=self._width())

    def command(self, line: str, output: str = "") -> None:
        """As it would look if a person had typed it."""
        self.console.print(Text.assemble(("  $ ", "dim"), (line, "bold")), soft_wrap=True)
        for printed in output.strip("\n").splitlines():
            if printed.strip():
                self.console.print(Text("    " + printed.rstrip(), style="dim"), soft_wrap=True)

    @contextmanager
    def working(self, words: str) -> Iterator[None]:
        """A spinner."""
        with self.console.status(f"[dim]{words} …[/]", spinner="dots"):
            yield

    @contextmanager
    def progress(self, words: str, total: int) -> Iterator[Callable[[], None]]:
        """A bar."""
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeElapsedColumn(), console=self.console, transient=True) as bars:
            task = bars.add_task(words, total=total)
            yield lambda: bars.advance(task)

    def claim(self, claim: Claim) -> None:
        """A tick or a cross."""
        mark = ("  ✓ ", "bold green") if claim.holds else ("  ✗ ", "bold red")
        found = (f"  {claim.found}", "dim" if claim.holds else "red") if claim.found else ("", "")
        self.console.print(Text.assemble(mark, claim.text, found), soft_wrap=False)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """A table with the colours of verdicts."""
        shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in columns:
            shown.add_column(column)
        for row in rows:
            shown.add_row(*(_styled(cell) for cell in row))
        self.console.print(Padding(Text(title, style="bold"), (1, 2, 0, 2)))
        self.console.print(Padding(shown, (0, 2, 0, 2)))

    def panel(self, title: str, lines: Sequence[str]) -> None:
        """A frame with rich markup, for what is to stay in view."""
        text = "\n".join(lines)
        self.console.print()
        self.console.print(
            Panel(text, title=f"[bold cyan] {title} [/]", border_style="cyan", padding=(1, 2), width=self._width())
        )

    def closing(self, failed: Sequence[Claim], total: int) -> None:
        """The result; failed claims by name."""
        self.console.print()
        if not failed:
            self.console.print(Text(f"  All {total} claims held.", style="bold green"))
        for claim in failed:
            self.console.print(Text(f"  ✗ {claim.text}: {claim.found or 'it is not so'}", style="bold red"))

    def _width(self) -> int:
        return min(self.console.width, 118)


def _styled(cell: object) -> Text:
    text = str(cell)
    return Text(text, style=_STYLES.get(text, ""))
