"""``watchword wait``: until every Enforcer that a revision concerns has it in its kernel."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchword.cli.failure import ExitCode
from watchword.cli.options import Json, Namespace, ProfileName, connect, seconds

if TYPE_CHECKING:
    from watchword.cli.client import Client

#: The longest the Console holds one request, in seconds.
_HOLD = 60


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("wait")(wait)


def wait(
    revision: Annotated[str, typer.Option("--revision", metavar="NUMBER", help="Revision, or latest.")] = "latest",
    timeout: Annotated[str, typer.Option("--timeout", metavar="DURATION", help="How long to wait.")] = "60s",
    profile: ProfileName = "",
    namespace: Namespace = "",
    json: Json = False,
) -> None:
    """Wait until a revision is enforced everywhere; list who does not enforce it yet."""
    from watchword.cli import output

    patience = seconds(timeout, "--timeout")
    with connect(profile, namespace) as client:
        answer = until_enforced(client, revision, patience)
    if json:
        output.json_document(answer)
    conclude(answer, quiet=json)


def until_enforced(client: Client, revision: str, patience: float) -> dict[str, Any]:
    """What the Console last said about ``revision``: without stragglers, or when patience has ended."""
    deadline = time.monotonic() + patience
    while True:
        hold = max(0, min(_HOLD, int(deadline - time.monotonic() + 0.5)))
        path = f"/v1/revisions/{revision}/enforcement"
        answer: dict[str, Any] = client.request("GET", path, params={"wait": str(hold)}, timeout=hold + 15).body
        if not answer["stragglers"] or time.monotonic() >= deadline:
            return answer
        revision = str(answer["revision"])  # "latest" is the latest of when the waiting began


def conclude(answer: dict[str, Any], *, quiet: bool) -> None:
    """Say how the waiting ended; exit code 8 if somebody is missing."""
    from watchword.cli import output

    enforced, affected = answer["enforced"], answer["affected"]
    if not answer["stragglers"]:
        if not quiet:
            output.say(f"revision {answer['revision']} is enforced by all {affected} Enforcers it concerns")
        return
    if not quiet:
        output.note(f"revision {answer['revision']} is enforced by {enforced} of {affected} Enforcers; missing:")
        rows = [
            (each["namespace"], each["name"], each["operationalStatus"], each["enforcedRevision"], each["reason"])
            for each in answer["details"]
        ]
        output.table(["namespace", "enforcer", "status", "enforces", "why"], rows)
    raise typer.Exit(ExitCode.TIMEOUT)
