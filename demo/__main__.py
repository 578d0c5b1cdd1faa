"""``python -m demo``: show the demonstration. ``python -m demo --check``: assert it, last line JSON."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Protocol

from demo.acts import attack, discovery, enrolment, farewell, outage, policy, revocation
from demo.checks import Checks
from demo.narrator import PlainNarrator
from demo.play import play
from demo.show import Show
from demo.stage import Stage
from demo.terminal import TerminalNarrator
from testbed import Testbed


class Act(Protocol):
    """A module of :mod:`demo.acts`."""

    TITLE: str
    WORDS: str

    def perform(self, show: Show) -> None:
        """Show it, claim what it shows."""


ACTS: tuple[Act, ...] = (enrolment, discovery, policy, attack, revocation, outage)

#: The whole run, clean-up included, takes no longer; it is a claim like the others.
LIMIT = 180.0


def main() -> int:
    """Run all of it; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--check", action="store_true", help="without a person: assert every claim, then end")
    check: bool = parser.parse_args().check
    if os.geteuid() != 0:
        print("The demonstration makes network namespaces and loads kernel programs: run it as root.", file=sys.stderr)
        return 1
    checks = Checks()
    narrator = PlainNarrator() if check else TerminalNarrator()
    began = time.monotonic()
    interrupted = False
    try:
        _run(checks, narrator)
    except KeyboardInterrupt:
        interrupted = True
    if check:
        took = time.monotonic() - began
        narrator.claim(checks.add(f"all of it took at most {LIMIT:.0f} s", took <= LIMIT, f"{took:.0f} s"))
    narrator.closing(checks.failed, len(checks.claims))
    if check:
        print(checks.last_line(), flush=True)
    if interrupted:
        return 130
    return 0 if checks.ok else 1


def _run(checks: Checks, narrator: PlainNarrator | TerminalNarrator) -> None:
    """Acts, perhaps a person's own play, and the farewell, whatever happened before."""
    with Testbed("demo") as bed:
        stage = Stage(bed)
        show = Show(stage, narrator, checks)
        try:
            narrator.opening({name: host.ipv4 for name, host in stage.hosts.items()})
            began = _perform(show, 1, ACTS[0])  # without which nothing else can be
            for number, act in enumerate(ACTS[1:], 2) if began else ():
                _perform(show, number, act)
            if began and isinstance(narrator, TerminalNarrator):
                play(show, narrator)
        finally:
            _uninterrupted(lambda: _perform(show, len(ACTS) + 1, farewell))


def _perform(show: Show, number: int, act: Act) -> bool:
    """One act; False when it broke off, which is a failed claim."""
    show.narrator.act(number, act.TITLE, act.WORDS)
    try:
        act.perform(show)
    except Exception as error:
        traceback.print_exc()
        show.expect(f"act {number} ({act.TITLE}) went through", False, f"{type(error).__name__}: {error}")
        return False
    return True


def _uninterrupted(work: Callable[[], object]) -> None:
    """Do something during which an impatient Ctrl-C has no effect."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        work()
    finally:
        signal.signal(signal.SIGINT, before)


if __name__ == "__main__":
    sys.exit(main())
