"""``watchword token``: install tokens, what a new host shows in order to enrol."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated

import typer

from watchword.cli.options import Json, Namespace, ProfileName, connect, seconds

app = typer.Typer(no_args_is_help=True, help="Make the tokens with which new hosts enrol.")


@app.command("create")
def create(
    uses: Annotated[int, typer.Option("--uses", min=1, help="How many hosts may enrol with it.")] = 1,
    expires: Annotated[str, typer.Option("--expires", metavar="DURATION", help="How long it may be used.")] = "30m",
    name: Annotated[str, typer.Option("--name", help="Name of its record; made up if not given.")] = "",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it there (mode 0600) and do not show it."),
    ] = None,
    profile: ProfileName = "",
    namespace: Namespace = "",
    json: Json = False,
) -> None:
    """Make an install token and print it once. Hosts that enrol with it belong to the namespace."""
    from watchword.cli import output as show
    from watchword.cli.profiles import write_private

    seconds(expires, "--expires")
    body = {
        "name": name or f"install-{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%S.%f}",
        "uses": uses,
        "validity": expires,
    }
    with connect(profile, namespace) as client:
        record = client.request("POST", "/v1/tokens", body=body).body
    text = record["token"]
    if output:
        write_private(output, text + "\n")
        record = {key: value for key, value in record.items() if key != "token"} | {"file": str(output)}
    if json:
        show.json_document(record)
        return
    if not output:
        print(text)
    show.note(
        f"{uses} host(s) may enrol into {record['namespace']} until {record['expirationTime']}"
        + (f"; written to {output}" if output else "")
    )
