"""Options that many commands share, declared once so that they look and work the same everywhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from watchword.cli.failure import ExitCode, Failure

if TYPE_CHECKING:
    from watchword.cli.client import Client

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
ProfileName = Annotated[
    str, typer.Option("--profile", "-p", metavar="NAME", help="Profile to use.", show_default=False)
]
EnforcerSettings = Annotated[
    str,
    typer.Option(
        "--settings", metavar="FILE", help="The Enforcer's settings, if not the usual ones.", show_default=False
    ),
]
Namespace = Annotated[
    str,
    typer.Option("--namespace", "-n", metavar="PATH", help="Namespace, if not the profile's.", show_default=False),
]
Filter = Annotated[
    str,
    typer.Option("--filter", metavar="EXPRESSION", help='Such as: name contains web and createTime > now("-1h").'),
]
TemplateValues = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A value for templates: {{ .Values.NAME }}. May be repeated."),
]
TemplateFiles = Annotated[
    list[str] | None, typer.Option("--values", metavar="FILE", help="Values for templates. May be repeated.")
]
Recursive = Annotated[bool, typer.Option("--recursive", "-r", help="Namespaces below too.")]

_DURATION = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def connect(profile: str, namespace: str) -> Client:
    """A client for the chosen profile."""
    from watchword.cli import client, profiles

    return client.Client(profiles.current(profile, namespace))


def seconds(text: str, option: str) -> int:
    """A duration such as 90s, 30m, 12h or 7d, in seconds."""
    match = _DURATION.fullmatch(text)
    if not match:
        raise Failure(f"{option}: {text!r} is no duration", "write it like 90s, 30m, 12h or 7d", ExitCode.USAGE)
    return int(match[1]) * _SECONDS[match[2]]
