"""``watchword flows``: who talked to whom, what was decided, by which rule; also as it happens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from watchword.cli.beside import drafted, rule_told
from watchword.cli.bothends import other_ends, with_other_end
from watchword.cli.failure import ExitCode, Failure
from watchword.cli.following import following, local_time, newest
from watchword.cli.options import Filter, Json, Namespace, ProfileName, connect, seconds

PATH = "/v1/flowreports"

_COLUMNS = (
    "time",
    "verdict",
    "source",
    "destination",
    "port",
    "decided by",
    "because",
    "other end",
    "proof",
    "conns",
    "bytes",
    "latency",
)


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("flows")(flows)


def flows(
    follow: Annotated[bool, typer.Option("--follow", help="Go on with new flows until Ctrl-C.")] = False,
    since: Annotated[
        str,
        typer.Option(
            "--since", metavar="DURATION", help="Only flows seen in the last 10m, 2h, 1d …", show_default=False
        ),
    ] = "",
    filter: Filter = "",
    draft: Annotated[
        str,
        typer.Option(
            "--draft",
            metavar="NAME",
            help="Only flows that this draft has judged, with its verdict; see draft shadow.",
            show_default=False,
        ),
    ] = "",
    changed: Annotated[
        bool, typer.Option("--changed", help="With --draft: only those that it would, or may, decide otherwise.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=0, help="The newest so many; 0 for all.")] = 100,
    recursive: Annotated[bool, typer.Option("--recursive/--only-here", help="Namespaces below too.")] = True,
    profile: ProfileName = "",
    namespace: Namespace = "",
    json: Json = False,
) -> None:
    """Show flows, oldest first. Each end of a connection reports for itself.

    Where both ends' reports are in one answer, each says what the other end decided (otherEnd in JSON); not with
    --follow. Verdicts of shadowed drafts are in draftVerdicts.

    With --json and --follow, each record is one line. A lost connection to the Console is taken up where it broke.
    """
    from watchword.cli import output
    from watchword.cli.client import resource_path

    if changed and not draft:
        raise Failure("--changed: changed by which draft?", "give --draft NAME", ExitCode.USAGE)
    params = {"recursive": "true"} if recursive else {}
    conditions = [f"({filter})"] if filter else []
    if since:
        seconds(since, "--since")
        conditions.append(f'lastSeen > now("-{since}")')
    with connect(profile, namespace) as client:
        judge = client.get(resource_path("drafts", draft)).body if draft else None
        if judge:
            conditions.append(f'{"changedBy" if changed else "judgedBy"} contains "{judge["ID"]}"')
        if conditions:
            params["filter"] = " and ".join(conditions)
        if not follow:
            records = newest(client, PATH, params, limit)
            others = other_ends(records)
            told = [with_other_end(record, others.get(record["ID"])) for record in records]
            if json:
                output.json_document(told)
            else:
                columns = (*_COLUMNS, f"draft {judge['name']}") if judge else _COLUMNS
                rows = [(*_row(each), *([drafted(each, judge)] if judge else [])) for each in told]
                output.table(columns, rows)
            return
        stream = following(client, PATH, params, limit if since else 0)
        try:
            for record in stream:
                if json:
                    output.json_line(record)
                else:
                    _line(record, judge)
        except KeyboardInterrupt:
            return


def end_name(record: Mapping[str, Any], end: str) -> str:
    """One end of a flow as people call it: a unit, a network (with the address), or an address."""
    name, address = record[f"{end}Name"], record[f"{end}IP"]
    if name:
        return f"{name} ({address})" if record[f"{end}Type"] == "ExternalNetwork" and address else str(name)
    return str(address or "somewhere")


def because(record: Mapping[str, Any]) -> str:
    """Why it was decided so: the rule, the default, or the reason of a drop."""
    rule = rule_told(record)
    if record["reason"] == "policy":
        return rule
    older = str(record["reason"]).startswith("existing")  # than the Enforcer, and judged all the same
    return f"{record['reason']}: {rule}" if older else str(record["reason"])


def _row(record: Mapping[str, Any]) -> tuple[object, ...]:
    from watchword.model.ports import format_flow

    observed = f" (observed: {record['observedAction']})" if record["observed"] else ""
    return (
        local_time(record["lastSeen"]),
        record["action"],
        end_name(record, "source"),
        end_name(record, "destination"),
        format_flow(record["protocol"], record["destinationPort"]),
        record["reportedBy"].lower(),
        because(record) + observed,
        _other(record.get("otherEnd")),
        "proved" if record["proved"] else "",
        record["value"],
        record["bytesIn"] + record["bytesOut"],
        f"{record['latencyUs'] / 1000:.2f} ms" if record["latencyUs"] else "",
    )


def _other(other: Mapping[str, Any] | None) -> str:
    return f"{other['action']}: {because(other)}" if other else ""


def _line(record: Mapping[str, Any], judge: Mapping[str, Any] | None) -> None:
    """One record on one line, as it comes."""
    from rich.text import Text

    from watchword.cli import output

    when, action, source, destination, port, end, why, _other_end, proof, count, _size, latency = map(
        output.printable, _row(record)
    )
    extras = ", ".join(part for part in (proof, f"{count} conns", latency) if part)
    beside = f"  draft: {output.printable(drafted(record, judge))}" if judge else ""
    line = Text.assemble(
        (when, "dim"),
        "  ",
        (f"{action:<6}", output.STYLES[action]),
        f"  {source} → {destination} {port}",
        (f"  {end}: {why}  {extras}", "dim"),
        beside,
    )
    output.console().print(line, soft_wrap=True)
