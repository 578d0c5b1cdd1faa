"""The entry point ``watchword``: hands over to the command, and ends it when it fails."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from watchword.cli.failure import ExitCode, Failure


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in (given[: given.index("--")] if "--" in given else given)
    try:
        _dispatch(given)
    except Failure as failure:
        from watchword.cli import output

        output.failure(failure, as_json=as_json)
        sys.exit(failure.code)


def _dispatch(given: list[str]) -> None:
    completing = "_WATCHWORD_COMPLETE" in os.environ
    if given[:1] == ["run"] and not completing:
        from watchword.cli import run

        run.main(given[1:])
    if given[:2] == ["enforcer", "start"] and not completing:
        from watchword.cli import agent

        agent.main(given[2:])
        return
    try:
        from typer.main import get_command
    except ModuleNotFoundError as error:
        missing = f"only `run` and `enforcer start` are installed here ({error.name} is missing)"
        raise Failure(missing, "pip install 'watchword[cli]'", ExitCode.USAGE) from None

    from watchword.cli.application import COMMANDS, application

    only = given[0] if given and given[0] in COMMANDS and not completing else ""
    get_command(application(only, completing=completing))(given, prog_name="watchword")
