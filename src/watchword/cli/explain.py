"""``watchword explain``: what would be decided about a flow, by which rule, and why the others lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from watchword.cli.failure import ExitCode, Failure
from watchword.cli.options import Json, Namespace, ProfileName, connect

if TYPE_CHECKING:
    from watchword.cli.client import Client

_END_HELP = (
    "A unit (ID, name, or a tag that only it has), an IP address, or a unit that need not exist: "
    "tags:app=web,env=prod@/shop (the namespace may be left out)."
)

#: What a unit begins with that is described rather than named.
_HYPOTHETICAL = "tags:"


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("explain")(explain)


def explain(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help=_END_HELP)],
    destination: Annotated[str, typer.Argument(metavar="DESTINATION", help=_END_HELP)],
    flow: Annotated[str, typer.Argument(metavar="PROTOCOL/PORT", help="Such as tcp/5432, icmp/8, gre.")],
    expect: Annotated[
        Literal["allow", "reject"] | None,
        typer.Option(
            "--expect", help="Exit code 1 if the verdict is another one: a test of the policy.", show_default=False
        ),
    ] = None,
    draft: Annotated[
        str, typer.Option("--draft", metavar="NAME", help="As if this draft were published.", show_default=False)
    ] = "",
    revision: Annotated[
        str, typer.Option("--revision", metavar="NUMBER", help="By the policy of this revision.", show_default=False)
    ] = "",
    profile: ProfileName = "",
    namespace: Namespace = "",
    json: Json = False,
) -> None:
    """Explain what both ends would decide about a flow, and what would change it."""
    from watchword.cli import output
    from watchword.model import ports
    from watchword.model.problems import Invalid

    try:
        ports.parse_flow(flow, "PROTOCOL/PORT")
    except Invalid as problem:
        raise Failure(f"{problem.path}: {problem.message}", problem.remedy, ExitCode.USAGE) from None
    with connect(profile, namespace) as client:
        asked = {name: value for name, value in (("draft", draft), ("revision", revision)) if value}
        answer = _ask(client, source, destination, flow, asked)
    if json:
        output.json_document(answer)
    else:
        _show(answer)
    if expect and expect != answer["action"].lower():
        output.note(f"expected {expect}, but the verdict is {answer['action']}")
        raise typer.Exit(ExitCode.FAILED)


def _ask(client: Client, source: str, destination: str, flow: str, world: dict[str, str]) -> dict[str, Any]:
    """The Console's answer; a unit that is only described needs a body."""
    protocol, _, port = flow.partition("/")
    sides = {"source": source, "destination": destination}
    if not any(text.startswith(_HYPOTHETICAL) for text in sides.values()):
        query = {**sides, "protocol": protocol, **({"port": port} if port else {}), **world}
        found: dict[str, Any] = client.get("/v1/explanations", **query).body
        return found
    body: dict[str, Any] = {name: _party_asked(text) for name, text in sides.items()}
    body |= {"protocol": protocol, "port": port}
    answered: dict[str, Any] = client.request("POST", "/v1/explanations", params=world, body=body).body
    return answered


def _party_asked(text: str) -> dict[str, Any]:
    """One end as the body names it."""
    from watchword.model.prefixes import parse_address
    from watchword.model.problems import Invalid

    if text.startswith(_HYPOTHETICAL):
        listed, at, path = text.removeprefix(_HYPOTHETICAL).rpartition("@/")
        named = listed if at else path
        return {"tags": [tag for tag in named.split(",") if tag], **({"namespace": "/" + path} if at else {})}
    try:
        return {"address": str(parse_address(text))}
    except Invalid:
        return {"unit": text}


def _show(answer: Mapping[str, Any]) -> None:
    from watchword.cli import output

    style = output.STYLES[answer["action"]]
    flow = f"{_party(answer['source'])} → {_party(answer['destination'])} {answer['flow']}"
    output.say(f"{answer['action']}: {flow} (revision {answer['revision']})", style=style)
    output.say(answer["summary"])
    for note in answer.get("notes", ()):
        output.say(f"note: {note}")
    for direction in ("outgoing", "incoming"):
        if end := answer[direction]:
            _end(direction, end)


def _party(party: Mapping[str, Any]) -> str:
    if party["kind"] == "unit":
        tags = f" ({', '.join(tag for tag in party['tags'] if tag[0] not in '$@')})" if party["hypothetical"] else ""
        return f"{party['name']}{tags} in {party['namespace']}"
    if party["kind"] == "network":
        return f"{party['address']} in {', '.join(party['networks'])}"
    return f"{party['address']} (somewhere)"


def _end(direction: str, end: Mapping[str, Any]) -> None:
    from watchword.cli import output

    output.say("")
    output.say(f"{direction}: {end['action']}, {end['summary']}", style="bold")
    rules = [*end["matching"], *end["missed"]]
    if rules:
        rows = [
            (
                rule["outcome"],
                rule["action"],
                rule["namespace"],
                "/".join(filter(None, (rule["rulesetName"], rule["rule"]))),
                rule["protocolPorts"],
                rule["why"],
            )
            for rule in rules
        ]
        output.table(["", "action", "namespace", "rule", "ports", "why"], rows)
    if (left_out := end["missedTotal"] - len(end["missed"])) > 0:
        output.say(f"  and {left_out} more rules that nearly matched")
    if end["remedies"]:
        output.say(f"  to {'reject' if end['action'] == 'Allow' else 'allow'} it here, do one of these:")
    for remedy in end["remedies"]:
        output.say(f"  → {remedy['text']}")
