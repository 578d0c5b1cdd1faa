"""How a command fails: one exception, a closed list of exit codes, and what people and programs get to see.

Never put a secret into a message: it ends in terminals, logs and bug reports.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """Exit codes of every command. Programs may rely on them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    UNAUTHORISED = 4
    NOT_FOUND = 5
    CONFLICT = 6
    UNREACHABLE = 7
    TIMEOUT = 8
    INTERRUPTED = 130


#: What each exit code means, for help and documentation.
MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "failed, or the answer is no (doctor, explain --expect, test, lint, diff); the message says why",
    ExitCode.USAGE: "the command line, a file or a profile is wrong",
    ExitCode.REFUSED: "the Console refused the request; the message names the field",
    ExitCode.UNAUTHORISED: "no credential, or one that may not do this",
    ExitCode.NOT_FOUND: "there is no such resource",
    ExitCode.CONFLICT: "somebody changed the resource meanwhile, or the name is taken",
    ExitCode.UNREACHABLE: "no answer from the Console, or it is not the one the profile names",
    ExitCode.TIMEOUT: "not done within the given time (wait)",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C",
}


@dataclass(frozen=True)
class FieldProblem:
    """One field the Console does not accept."""

    path: str
    detail: str
    remedy: str = ""


@dataclass(eq=False)
class Failure(Exception):  # noqa: N818 - it is what ended the command, and read as that
    """Ends a command. ``remedy`` is what the user can do about it."""

    message: str
    remedy: str = ""
    code: int = ExitCode.FAILED
    fields: tuple[FieldProblem, ...] = ()
    problem: dict[str, Any] = field(default_factory=dict)  # the Console's problem document, if there is one

    def __str__(self) -> str:
        return self.message

    def document(self) -> dict[str, Any]:
        """What ``--json`` prints on standard error."""
        return {
            "error": self.message,
            "remedy": self.remedy,
            "code": int(self.code),
            "fields": [vars(problem) for problem in self.fields],
            **({"problem": self.problem} if self.problem else {}),
        }
