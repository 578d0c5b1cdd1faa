"""``watchword run``: start a command as a processing unit of its own.

It has a parser of its own and bypasses Typer: the command line of every workload starts here, and
loading a command-line framework takes longer than all the rest.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn, get_args

from watchword.cli.failure import ExitCode, Failure

if TYPE_CHECKING:
    import typer

_NOT_FOUND, _NOT_EXECUTABLE = 127, 126  # as shells have it


def parser() -> argparse.ArgumentParser:
    """The options before ``--``."""
    from watchword.enforcer.settings import UnitType

    options = argparse.ArgumentParser(
        prog="watchword run",
        usage="watchword run [--tag KEY=VALUE]... [--name NAME] -- COMMAND [ARGUMENT]...",
        description="Start a command as a processing unit: with an identity and a policy of its own, from its "
        "first packet on. The running Enforcer of this host makes the unit; the command then takes this "
        "process's place, with its own exit code.",
        epilog="Exit codes: those of the command; 2 for a wrong command line, 1 when the Enforcer refuses or does "
        "not answer, 127 when there is no such command, 126 when it cannot be executed.",
        allow_abbrev=False,
    )
    options.add_argument(
        "--tag", action="append", default=[], metavar="KEY=VALUE", help="a tag of the unit; may be repeated"
    )
    options.add_argument("--name", default="", help="its name; made up from the command if not given")
    options.add_argument(
        "--type", default="Process", choices=get_args(UnitType), help="kind of workload (default: Process)"
    )
    options.add_argument(
        "--settings", default="", metavar="FILE", help="the Enforcer's settings, if not the usual ones"
    )
    options.add_argument("--json", action="store_true", help="print errors as JSON")
    return options


def main(arguments: Sequence[str]) -> NoReturn:
    """Become the command. Raises :class:`Failure` when that does not work."""
    from watchword.cli.enforcer_settings import located
    from watchword.enforcer.errors import EnforcerError
    from watchword.enforcer.run import start_as_unit

    given = list(arguments)
    split = given.index("--") if "--" in given else len(given)
    options = parser().parse_args(given[:split])
    command = given[split + 1 :]
    if not command:
        raise Failure(
            "there is no command to run", "write it after --: watchword run --tag app=web -- nginx", ExitCode.USAGE
        )
    try:
        start_as_unit(located(options.settings).socket_path, options.name, options.tag, command, type=options.type)
    except EnforcerError as error:
        raise Failure(str(error)) from None
    except OSError as error:
        code = _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE
        raise Failure(f"{command[0]}: {error.strerror}", "", code) from None


def register(app: typer.Typer) -> None:
    """Add the command to ``app``, for help and completion; :func:`main` is what runs."""
    settings = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
    app.command("run", context_settings=settings, add_help_option=False)(run)


def run() -> None:
    """Start a command as a processing unit: watchword run --tag app=web -- COMMAND."""
