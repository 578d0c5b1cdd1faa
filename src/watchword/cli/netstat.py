"""``watchword netstat``: the connections that live on this host, with who is at both ends and why they may."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchword.cli.failure import ExitCode, Failure
from watchword.cli.options import EnforcerSettings, Json

if TYPE_CHECKING:
    from watchword.enforcer.directory import Directory
    from watchword.enforcer.settings import Settings

_COLUMNS = (
    "unit",
    "dir",
    "local",
    "remote",
    "peer",
    "state",
    "verdict",
    "decided by",
    "rev",
    "in",
    "out",
    "rtt",
    "age",
)


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("netstat")(netstat)


def netstat(
    unit: Annotated[
        str,
        typer.Argument(metavar="[UNIT]", help="A unit of this host, by name or ID; all without.", show_default=False),
    ] = "",
    settings: EnforcerSettings = "",
    json: Json = False,
) -> None:
    """Show the live connections of this host's units. For root, on the host itself.

    A connection is *proved* (both ends proved who they are when it was opened), decided *by address* (the peer has no
    identity), or *existing*: older than the Enforcer, so that nobody has proved anything in it. Bytes are those of
    applications, over the connection's whole life.
    """
    from watchword.cli import output
    from watchword.cli.enforcer_settings import located
    from watchword.enforcer import connections, directory
    from watchword.enforcer.datapath.base import DatapathError
    from watchword.enforcer.datapath.ebpf.glance import Glance
    from watchword.enforcer.errors import EnforcerError

    known = located(settings)
    try:
        names = directory.stored(known)
        badges = chosen(names, unit) if unit else []
        look(known)
        from pathlib import Path

        with Glance(Path(known.pin_dir)) as glance:
            found = connections.of_units(glance.connections(), badges)
    except (EnforcerError, DatapathError) as error:
        raise Failure(str(error)) from None
    now = time.time()
    rows = [connections.described(connection, names, now) for connection in found]
    if json:
        output.json_document(rows)
    else:
        output.table(_COLUMNS, [_row(row) for row in rows])


def chosen(names: Directory, unit: str) -> list[int]:
    """The badges of a unit that was named. Raises :class:`Failure` when this host has no such unit."""
    badges = names.own_badges(unit)
    if not badges:
        known = ", ".join(names.unit_names()) or "none, as long as no revision is in force"
        raise Failure(f"this host has no unit {unit!r}", f"its units are: {known}", ExitCode.NOT_FOUND)
    return badges


def look(settings: Settings) -> Mapping[str, Any]:
    """Let the agent bring the kernel's records up to date; what it counts itself. Says so when none runs."""
    from watchword.cli import output
    from watchword.enforcer import run
    from watchword.enforcer.errors import EnforcerError

    try:
        return run.look(settings)
    except EnforcerError as error:
        output.note(f"{error}; what follows is as of the last look")
        return {}


def _row(row: Mapping[str, Any]) -> tuple[object, ...]:
    from watchword.enforcer.directory import identity_text

    local, remote, rule = row["local"], row["remote"], row["rule"]
    decided = "/".join(part for part in (rule["ruleset"], rule["name"]) if part) or rule["key"] if rule else "default"
    return (
        identity_text(local["unit"]),
        "in" if row["direction"] == "incoming" else "out",
        end(local["address"], local["port"]),
        end(remote["address"], remote["port"]),
        identity_text(remote["unit"]) or remote["network"] or "somewhere",
        row["state"],
        row["action"] + (" (refused)" if row["reason"] == "existing-refused" else ""),
        decided,
        row["revision"] or "",
        row["bytes_in"],
        row["bytes_out"],
        f"{row['latency_us'] / 1000:.2f} ms" if row["latency_us"] else "",
        _duration(row["age_seconds"]),
    )


def end(address: str, port: int) -> str:
    """A transport address as people write it."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "m"), (rest, "s")]
    shown = [f"{number}{unit}" for number, unit in parts if number]
    return " ".join(shown[:2]) or "0s"
