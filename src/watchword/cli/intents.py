"""``watchword intents``: the statements that hold at both ends, listed and removed as one."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from watchword.cli.options import Json, Namespace, ProfileName, Recursive, connect

app = typer.Typer(no_args_is_help=True, help="Statements that hold at both ends of a connection.")


@app.command("list")
def list_intents(
    recursive: Recursive = False, profile: ProfileName = "", namespace: Namespace = "", json: Json = False
) -> None:
    """List the intents of a namespace."""
    from watchword.cli import output

    with connect(profile, namespace) as client:
        found = list(client.pages("/v1/intents", {"recursive": "true"} if recursive else {}))
    if json:
        output.json_document(found)
        return
    rows = [
        (
            each["namespace"],
            each["name"],
            each["action"],
            _words(each["source"]),
            _words(each["destination"]),
            each["protocolPorts"],
            _state(each),
        )
        for each in found
    ]
    output.table(["namespace", "name", "action", "from", "to", "ports", ""], rows)


@app.command("remove")
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name or ID.")],
    profile: ProfileName = "",
    namespace: Namespace = "",
    json: Json = False,
) -> None:
    """Remove an intent: both of its ends at once."""
    from watchword.cli import output
    from watchword.cli.client import resource_path

    with connect(profile, namespace) as client:
        answer = client.request("DELETE", resource_path("intents", name))
    if json:
        output.json_document({"deleted": name, "kind": "intent", "revision": answer.revision})
    else:
        output.say(f"removed intent {name}, both ends (revision {answer.revision})")


def _words(alternatives: list[list[str]]) -> str:
    return " or ".join(",".join(alternative) for alternative in alternatives)


def _state(intent: dict[str, Any]) -> str:
    words = {"disabled": "disabled", "observationEnabled": "observed only", "propagate": "also below"}
    return ", ".join(text for field, text in words.items() if intent[field])
