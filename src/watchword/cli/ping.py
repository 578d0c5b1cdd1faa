"""``watchword ping``: call an address as a unit, through the real datapath, and hear what both ends say about it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchword.cli.failure import ExitCode, Failure
from watchword.cli.options import EnforcerSettings, Json, Namespace, ProfileName, connect

if TYPE_CHECKING:
    from watchword.enforcer.settings import Settings

#: Seconds for the Console to answer, beyond the patience for the attempt itself.
_SLACK = 15.0


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("ping")(ping)


def ping(
    unit: Annotated[str, typer.Argument(metavar="UNIT", help="Who calls: ID, name, or a tag that only it has.")],
    target: Annotated[
        str,
        typer.Argument(
            metavar="ADDRESS[:PORT]", help="Such as 10.2.0.5:5432 or [fd00::5]:5432; without a port an echo request."
        ),
    ],
    complete: Annotated[
        bool, typer.Option("--complete", help="Go on to a connection, which is accepted and reset at once.")
    ] = False,
    udp: Annotated[bool, typer.Option("--udp", help="An empty UDP datagram instead of TCP.")] = False,
    patience: Annotated[
        float, typer.Option("--patience", min=0.1, max=10.0, help="Seconds to wait for an answer.")
    ] = 3.0,
    local: Annotated[
        bool,
        typer.Option("--local", help="Ask this host's Enforcer, without the Console: the near end alone. For root."),
    ] = False,
    settings: EnforcerSettings = "",
    profile: ProfileName = "",
    namespace: Namespace = "",
    json: Json = False,
) -> None:
    """Call an address as a unit would, through the real datapath, and show what both ends decided, by which rules.

    The call goes as far as the answer: whoever listens notices nothing, and no flow is recorded where it is allowed.
    Needs the role namespace.administrator where the unit is; every ping is an activity. Exit code 1 if the call
    would not have come to a connection.
    """
    from watchword.cli import output

    address, port = endpoint(target, port_needed=udp or complete)
    protocol = "icmp" if not port else "udp" if udp else "tcp"
    if udp and complete:
        raise Failure("--complete: a datagram makes no connection", "leave out one of the two", ExitCode.USAGE)
    if local:
        from watchword.cli.enforcer_settings import located

        answer = _nearby(located(settings), unit, protocol, address, port, patience, complete)
    else:
        body = {"unit": unit, "protocol": protocol, "address": address, "port": port, "patience": patience}
        body["complete"] = complete
        if not json:
            output.note(f"{unit} calls {target} …")
        with connect(profile, namespace) as client:
            answer = client.request("POST", "/v1/pings", body=body, timeout=patience + _SLACK).body
    if json:
        output.json_document(answer)
    else:
        _show(answer)
    if answer["outcome"] != "opened":
        raise typer.Exit(ExitCode.FAILED)


def endpoint(text: str, *, port_needed: bool = True) -> tuple[str, int]:
    """Address and port out of ``ADDRESS:PORT``, IPv6 in brackets; an address alone has port 0. Raises Failure."""
    from watchword.model.prefixes import parse_address
    from watchword.model.problems import Invalid

    if not port_needed:
        with contextlib.suppress(Invalid):
            return str(parse_address(text)), 0
    address, colon, port = text.rpartition(":")
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    elif ":" in address:
        colon = ""
    if not colon or not port.isdecimal() or not 0 < int(port) < 65536:
        raise Failure(
            f"{text!r} is no address and port", "write 10.2.0.5:5432, or [fd00::5]:5432 for IPv6", ExitCode.USAGE
        )
    try:
        return str(parse_address(address)), int(port)
    except Invalid as error:
        raise Failure(f"{address!r} is no IP address: {error.message}", error.remedy, ExitCode.USAGE) from None


def _nearby(
    settings: Settings, unit: str, protocol: str, address: str, port: int, patience: float, complete: bool
) -> dict[str, Any]:
    """What this host's agent finds."""
    from watchword.cli.netstat import chosen
    from watchword.enforcer import directory, run
    from watchword.enforcer.errors import EnforcerError

    number = {"tcp": 6, "udp": 17, "icmp": 58 if ":" in address else 1}[protocol]
    try:
        names = directory.stored(settings)
        known = names.unit(chosen(names, unit)[0])
        assert known is not None  # noqa: S101 - a badge of this host has a unit
        found = run.ping(settings, known["id"], number, address, port, patience, complete=complete)
    except EnforcerError as error:
        raise Failure(str(error)) from None
    near = found["near"]
    return {
        "unit": {"id": known["id"], "name": known["name"], "namespace": known["namespace"]},
        "address": address,
        "port": port,
        "protocol": protocol,
        "outcome": found["outcome"],
        "complete": complete,
        "near": _near(near, names) if near else None,
        "far": None,
        "path": found["path"],
        "findings": [],
    }


def _near(end: Mapping[str, Any], names: Any) -> dict[str, Any]:
    rule = names.rule(end["rule"]) if end["rule"] else None
    return {
        **{key: end[key] for key in ("stage", "action", "reason", "proved", "local", "remote", "revision")},
        "visible": True,
        "unit": None,
        "peer": names.unit(end["peer_badge"]),
        "policyName": rule["ruleset"] if rule else "",
        "ruleName": rule["name"] if rule else "",
        "policyID": rule["key"] if rule else "default",
        "localPort": end["local_port"],
        "remotePort": end["remote_port"],
    }


_OUTCOMES = {
    "opened": "answered",
    "refused": "refused",
    "reset": "nobody listens",
    "silent": "no answer",
    "unreachable": "unreachable",
}


def _show(answer: Mapping[str, Any]) -> None:
    from watchword.cli import output
    from watchword.cli.netstat import end

    way = answer["path"]
    good = answer["outcome"] == "opened"
    rtt = f", {way['rttUs'] / 1000:.2f} ms" if way["rttUs"] else ""
    to = end(answer["address"], answer["port"]) if answer["port"] else answer["address"]
    head = f"{answer['unit']['name']} → {to}/{answer['protocol']}: {_OUTCOMES[answer['outcome']]}"
    output.say(head + rtt, style="green" if good else "bold red")
    for found in answer["findings"]:
        output.say(f"  {found['code']}: {found['text']}")
        if found["remedy"]:
            output.say(f"    → {found['remedy']}")
    rows = [_row(which, answer[which]) for which in ("near", "far") if answer[which]]
    if rows:
        output.table(("end", "unit", "took the other for", "verdict", "decided by", "rev", "local", "remote"), rows)
    output.say(_path(answer))


def _row(which: str, end: Mapping[str, Any]) -> tuple[object, ...]:
    if not end["visible"]:
        return which, (end["unit"] or {}).get("name", ""), "", "not yours to read", "", "", "", ""
    peer = end["peer"]["name"] if end["peer"] else "nobody: by address"
    proved = " (proved)" if end["proved"] else " (announced)" if end["peer"] else ""
    decided = "/".join(filter(None, (end["policyName"], end["ruleName"]))) or end["policyID"]
    verdict = end["action"] if end["reason"] == "policy" else f"{end['action']} ({end['reason']})"
    here, there = _text(end["local"], end["localPort"]), _text(end["remote"], end["remotePort"])
    unit = (end["unit"] or {}).get("name", "")
    return which, unit, peer + proved, verdict, decided, end["revision"] or "", here, there


def _text(address: str, port: int) -> str:
    from watchword.cli.netstat import end

    return end(address, port) if address and port else address


def _path(answer: Mapping[str, Any]) -> str:
    way = answer["path"]
    words = {True: "yes", False: "no", None: "not known"}
    if answer["protocol"] != "tcp":
        return f"path: listens: {words[answer.get('listens')]}, MTU: {way['mtu']}"
    told = [
        f"identity left: {words[way['identityLeft']]}",
        f"arrived: {words[way['identityArrived']]}",
        f"answered with identity: {words[way['answerIdentified']]}",
        f"listens: {words[answer.get('listens')]}",
        f"sent: {way['sent']}",
    ]
    told += [f"{name}: {way[key]}" for name, key in (("MTU", "mtu"), ("MSS", "mss"), ("TTL", "ttl")) if way[key]]
    return "path: " + ", ".join(told)
