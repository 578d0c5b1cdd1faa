"""The command line as a whole: which command is in which module.

Only the module of the command that is called need be loaded, so that commands in scripts start quickly.
"""

from __future__ import annotations

import importlib
from typing import Annotated

import typer
from typer.core import TyperGroup

#: Command to module; the order is that of the help.
COMMANDS: dict[str, str] = {
    "console": "console",
    "enforcer": "enforcer",
    "run": "run",
    "apply": "apply",
    "export": "export",
    "allow": "allow",
    "intents": "intents",
    "draft": "drafts",
    "revisions": "revisions",
    "test": "policytest",
    "lint": "lint",
    "diff": "diff",
    "flows": "flows",
    "lookups": "lookups",
    "netstat": "netstat",
    "counters": "counters",
    "capture": "capture",
    "explain": "explain",
    "ping": "ping",
    "paths": "paths",
    "wait": "wait",
    "token": "tokens",
    "api": "api",
    "profile": "profile",
    "doctor": "doctor",
    "completion": "completion",
}

_EXIT_CODES = "Exit codes and everything else: docs/cli.md"


class _Ordered(TyperGroup):
    """Lists the commands in the order of :data:`COMMANDS`."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return [command for command in COMMANDS if command in self.commands]


def application(only: str = "", *, completing: bool = False) -> typer.Typer:
    """The command line as a whole, or with one command alone."""
    app = typer.Typer(
        name="watchword",
        cls=_Ordered,
        help="Connections authorised by who their two ends are.",
        epilog=_EXIT_CODES,
        no_args_is_help=True,
        add_completion=completing,
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    for command, module in COMMANDS.items():
        if only in ("", command):
            loaded = importlib.import_module(f"watchword.cli.{module}")
            if hasattr(loaded, "app"):
                app.add_typer(loaded.app, name=command)
            else:
                loaded.register(app)
    return app


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version as installed

        print(f"watchword {installed('watchword')}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Connections authorised by who their two ends are."""
