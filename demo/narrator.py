"""What a run says while it goes on. There are two narrators: one for people, one for logs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from demo.checks import Claim

Row = Sequence[object]


class Narrator(Protocol):
    """Tells the story. Decides nothing."""

    def opening(self, addresses: dict[str, str]) -> None:
        """Who plays, and where."""

    def act(self, number: int, title: str, words: str) -> None:
        """An act begins."""

    def say(self, words: str) -> None:
        """A short sentence."""

    def command(self, line: str, output: str = "") -> None:
        """A command that was run, and what it printed."""

    def working(self, words: str) -> AbstractContextManager[None]:
        """Something takes a moment."""

    def progress(self, words: str, total: int) -> AbstractContextManager[Callable[[], None]]:
        """Something takes ``total`` steps; the callable says that one is done."""

    def claim(self, claim: Claim) -> None:
        """A claim was checked."""

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Something to look at."""

    def closing(self, failed: Sequence[Claim], total: int) -> None:
        """How it ended."""


class PlainNarrator:
    """One line for each act, step and claim, with the time: for logs."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def opening(self, addresses: dict[str, str]) -> None:
        """Nothing: a log needs no introduction."""

    def act(self, number: int, title: str, words: str) -> None:
        """Number and title."""
        self._print(f"act {number}: {title}")

    def say(self, words: str) -> None:
        """Nothing: the claims say it."""

    def command(self, line: str, output: str = "") -> None:
        """The command line only."""
        self._print(f"  $ {line}")

    @contextmanager
    def working(self, words: str) -> Iterator[None]:
        """Its name, when it begins."""
        self._print(f"  … {words}")
        yield

    @contextmanager
    def progress(self, words: str, total: int) -> Iterator[Callable[[], None]]:
        """Its name, when it begins."""
        self._print(f"  … {words}")
        yield lambda: None

    def claim(self, claim: Claim) -> None:
        """Whether it held, with the evidence."""
        found = f" ({claim.found})" if claim.found else ""
        self._print(f"  {'ok    ' if claim.holds else 'FAILED'} {claim.text}{found}")

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Nothing: the claims say it."""

    def closing(self, failed: Sequence[Claim], total: int) -> None:
        """Every failed claim by name."""
        self._print(f"{total - len(failed)} of {total} claims held")
        for claim in failed:
            print(f"FAILED: {claim.text}: {claim.found or 'it is not so'}", flush=True)

    def _print(self, text: str) -> None:
        print(f"{time.monotonic() - self._began:6.1f} {text}", flush=True)
