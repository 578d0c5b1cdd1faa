"""``watchword lookups``: which names units asked for, what they were told, what they learned; also as it happens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from watchword.cli.following import following, local_time, newest
from watchword.cli.options import Filter, Json, Namespace, ProfileName, connect, seconds

PATH = "/v1/dnslookupreports"

_COLUMNS = ("time", "unit", "name", "type", "result", "addresses", "learned", "resolver", "look-ups")

_TYPES = {1: "A", 28: "AAAA", 5: "CNAME", 12: "PTR", 15: "MX", 16: "TXT", 33: "SRV", 65: "HTTPS"}

#: Learned addresses in a table; JSON has all that were reported.
_SHOWN = 3


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("lookups")(lookups)


def lookups(
    follow: Annotated[bool, typer.Option("--follow", help="Go on with new look-ups until Ctrl-C.")] = False,
    since: Annotated[
        str,
        typer.Option("--since", metavar="DURATION", help="Only those of the last 10m, 2h, 1d …", show_default=False),
    ] = "",
    filter: Filter = "",
    limit: Annotated[int, typer.Option("--limit", min=0, help="The newest so many; 0 for all.")] = 100,
    recursive: Annotated[bool, typer.Option("--recursive/--only-here", help="Namespaces below too.")] = True,
    profile: ProfileName = "",
    namespace: Namespace = "",
    json: Json = False,
) -> None:
    """Show DNS look-ups of units, oldest first: name, type, result, and the addresses learned.

    Only look-ups of known resolvers over UDP are seen. Addresses are learned for names that an external network lists.

    With --json and --follow, each record is one line. A lost connection to the Console is taken up where it broke.
    """
    from watchword.cli import output

    params = {"recursive": "true"} if recursive else {}
    conditions = [f"({filter})"] if filter else []
    if since:
        seconds(since, "--since")
        conditions.append(f'lastSeen > now("-{since}")')
    if conditions:
        params["filter"] = " and ".join(conditions)
    with connect(profile, namespace) as client:
        if not follow:
            found = newest(client, PATH, params, limit)
            if json:
                output.json_document(found)
            else:
                output.table(_COLUMNS, [_row(each) for each in found])
            return
        try:
            for record in following(client, PATH, params, limit if since else 0):
                if json:
                    output.json_line(record)
                else:
                    output.console().print(_line(record), soft_wrap=True, markup=False, highlight=False)
        except KeyboardInterrupt:
            return


def _row(record: Mapping[str, Any]) -> tuple[object, ...]:
    learned = record["resolvedIPs"]
    more = f" and {len(learned) - _SHOWN} more" if len(learned) > _SHOWN else ""
    return (
        local_time(record["lastSeen"]),
        record["processingUnitName"] or record["processingUnitID"],
        record["resolvedName"],
        _TYPES.get(record["recordType"], record["recordType"]),
        record["reason"],
        record["addressCount"],
        ", ".join(learned[:_SHOWN]) + more,
        record["resolver"],
        record["value"],
    )


def _line(record: Mapping[str, Any]) -> str:
    """One record on one line, as it comes."""
    from watchword.cli import output

    when, unit, name, kind, result, count, learned, resolver, value = map(output.printable, _row(record))
    told = f"{result}, {count} addresses" if record["addressCount"] else result
    return (
        f"{when}  {unit} → {name} {kind}: {told}"
        + (f" ({learned})" if learned else "")
        + f"  {value} times, by {resolver}"
    )
