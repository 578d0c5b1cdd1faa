"""``watchword allow``: both ends of a connection in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from watchword.cli.failure import ExitCode, Failure
from watchword.cli.options import Json, Namespace, ProfileName, connect


def register(app: typer.Typer) -> None:
    """Add `allow` to ``app``."""
    app.command("allow")(allow)


def allow(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Who begins: tags, app=web,env=prod; ' or ' between alternatives.")
    ],
    destination: Annotated[str, typer.Argument(metavar="DESTINATION", help="Who accepts: units or external networks.")],
    ports: Annotated[list[str], typer.Argument(metavar="PROTOCOL/PORT...", help="Such as tcp/5432, udp/1:1024, any.")],
    name: Annotated[
        str, typer.Option("--name", help="Its name, if not the statement itself.", show_default=False)
    ] = "",
    reject: Annotated[bool, typer.Option("--reject", help="Reject instead; a Reject wins over every Allow.")] = False,
    propagate: Annotated[bool, typer.Option("--propagate", help="Also for units in namespaces below.")] = False,
    observe: Annotated[bool, typer.Option("--observe", help="Decide nothing; report what it would decide.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    profile: ProfileName = "",
    namespace: Namespace = "",
    json: Json = False,
) -> None:
    """Allow connections from SOURCE to DESTINATION, at both ends. The same again changes nothing.

    An end is decided where the namespace may decide about its units. A destination that is an external network
    has no Enforcer: then only the outgoing end exists.
    """
    from watchword.cli import output

    intent: dict[str, Any] = {
        "name": name or title(source, destination, ports, reject=reject),
        "source": expression(source, "SOURCE"),
        "destination": expression(destination, "DESTINATION"),
        "protocolPorts": ports,
        "action": "Reject" if reject else "Allow",
        "propagate": propagate,
        "observationEnabled": observe,
    }
    with connect(profile, namespace) as client:
        params = {"dryRun": str(dry_run).lower()}
        answer = client.request("POST", "/v1/imports", params=params, body={"data": {"intents": [intent]}}).body
    if json:
        output.json_document(answer)
        return
    outcome = next(each for each in ("created", "updated", "unchanged") if answer[each])
    item = answer[outcome][0]
    ending = "nothing was changed: dry run" if dry_run else f"revision {answer['revision']}"
    output.say(f"{outcome} intent {item['name']} in {item['namespace']} ({ending})")
    if outcome == "updated":
        for field, (before, after) in sorted(item["diff"].items()):
            output.say(f"  {field}: {before} → {after}")


def expression(text: str, path: str) -> list[list[str]]:
    """``app=web,env=prod or app=admin`` as an expression."""
    from watchword.model import expressions
    from watchword.model.problems import Invalid

    alternatives = [[clause.strip() for clause in part.split(",")] for part in text.split(" or ")]
    try:
        return [list(alternative) for alternative in expressions.parse(alternatives, path)]
    except Invalid as problem:
        raise Failure(f"{problem.path}: {problem.message}", problem.remedy, ExitCode.USAGE) from None


def title(source: str, destination: str, ports: Sequence[str], *, reject: bool = False) -> str:
    """The name of an intent that was given none: what it says."""
    verb = "not " if reject else ""
    return f"{source.strip()} {verb}to {destination.strip()} {' '.join(ports)}"[:256].strip()
