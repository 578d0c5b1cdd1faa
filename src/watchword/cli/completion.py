"""``watchword completion``: the script by which a shell completes commands and options."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Shell(StrEnum):
    """Shells that can complete."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("completion")(completion)


def completion(shell: Annotated[Shell, typer.Argument(help="The shell.")]) -> None:
    """Print the completion script: source <(watchword completion bash)."""
    from typer._completion_shared import get_completion_script

    print(get_completion_script(prog_name="watchword", complete_var="_WATCHWORD_COMPLETE", shell=shell.value))
