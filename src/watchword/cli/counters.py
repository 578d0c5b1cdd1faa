"""``watchword counters``: what the datapath has counted, what it lost, and how full its tables are."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchword.cli.failure import ExitCode, Failure
from watchword.cli.options import EnforcerSettings, Json, Namespace, ProfileName, connect

if TYPE_CHECKING:
    from watchword.enforcer.settings import Settings

#: Counters of observations and events that found no room: verdicts do not depend on them, answers do.
_LOSSES = ("flow-lost", "event-lost")
_DROPPED = "dropped-"


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("counters")(counters)


def counters(
    follow: Annotated[bool, typer.Option("--follow", help="Go on with what changes until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option("--interval", min=0.1, help="Seconds between looks of --follow.")] = 1.0,
    enforcer: Annotated[
        str,
        typer.Option(
            "--enforcer", metavar="NAME", help="Of that Enforcer, as the Console last heard.", show_default=False
        ),
    ] = "",
    settings: EnforcerSettings = "",
    profile: ProfileName = "",
    namespace: Namespace = "",
    json: Json = False,
) -> None:
    """Show every counter of this host's datapath. For root, on the host itself; works while no agent runs.

    Connections and packets by verdict, drops by reason, exact losses, and how full each table is; docs/reasons.md
    explains each. Of another host's Enforcer (--enforcer) the Console knows the counters, not the tables; they come
    with its health, every minute. With --json and --follow, each look is one line.
    """
    from watchword.cli import output

    if enforcer and follow:
        raise Failure("--follow is for this host's own datapath", "leave out --enforcer", ExitCode.USAGE)
    if enforcer:
        told = _told(enforcer, profile, namespace)
        if json:
            output.json_document(told)
        else:
            _show(told)
        return
    looks = _looks(settings)
    first = next(looks)
    if not follow:
        if json:
            output.json_document(first)
        else:
            _show(first)
        return
    try:
        _follow(first, looks, interval, json=json)
    except KeyboardInterrupt:
        return


def _follow(first: dict[str, Any], looks: Iterator[dict[str, Any]], interval: float, *, json: bool) -> None:
    from watchword.cli import output

    before = first
    if json:
        output.json_line(first)
    else:
        _show(first)
    while True:
        time.sleep(interval)
        now = next(looks)
        if json:
            output.json_line(now)
        else:
            was = flattened(before)
            for name, number in flattened(now).items():
                if number != was.get(name, 0):
                    output.say(f"{time.strftime('%H:%M:%S')}  {name}  {number}  ({number - was.get(name, 0):+})")
        before = now


def _looks(file: str) -> Iterator[dict[str, Any]]:
    """What is counted now, again and again."""
    from watchword.cli.enforcer_settings import located
    from watchword.enforcer.datapath.base import DatapathError
    from watchword.enforcer.datapath.ebpf.glance import Glance

    known = located(file)
    try:
        with Glance(Path(known.pin_dir)) as glance:
            while True:
                own = _agent(known)
                yield {
                    **_sorted(glance.counters()),
                    "agent": own,
                    "revision": glance.revision(),
                    "verdicts": [asdict(total) for total in glance.verdicts()],
                    "tables": [asdict(fill) for fill in glance.fills()],
                }
    except DatapathError as error:
        raise Failure(str(error)) from None


def _agent(settings: Settings) -> dict[str, int]:
    """What the agent counts, if one runs; asking it also brings live connections up to date."""
    from watchword.cli.netstat import look

    return dict(look(settings).get("counters", {}))


def _told(name: str, profile: str, namespace: str) -> dict[str, Any]:
    """What the Console has heard of an Enforcer's counters."""
    with connect(profile, namespace) as client:
        record = client.get(f"/v1/enforcers/{name}").body
    return {
        **_sorted(record["counters"]),
        "lost_reports": record["lostReports"],
        "last_sync_time": record["lastSyncTime"],
    }


def _sorted(counts: Mapping[str, int]) -> dict[str, Any]:
    """Counters by what they are about."""
    return {
        "dropped": {
            name.removeprefix(_DROPPED): number for name, number in counts.items() if name.startswith(_DROPPED)
        },
        "lost": {name: counts.get(name, 0) for name in _LOSSES},
        "counted": {
            name: number for name, number in counts.items() if name not in _LOSSES and not name.startswith(_DROPPED)
        },
    }


def flattened(look: Mapping[str, Any]) -> dict[str, int]:
    """All numbers of one look, by one name each."""
    found: dict[str, int] = {}
    for section in ("dropped", "lost", "counted", "agent"):
        found.update({f"{section} {name}": number for name, number in look.get(section, {}).items()})
    for total in look.get("verdicts", ()):
        for name in ("connections", "packets_in", "packets_out", "bytes_in", "bytes_out"):
            found[f"{total['action']} {total['reason']} {name}"] = total[name]
    found.update({f"table {fill['name']}": fill["entries"] for fill in look.get("tables", ())})
    return found


def _show(look: Mapping[str, Any]) -> None:
    from watchword.cli import output

    if "verdicts" in look:
        columns = ("action", "reason", "connections", "packets_in", "packets_out", "bytes_in", "bytes_out")
        headings = ("verdict", "reason", "connections", "packets in", "packets out", "bytes in", "bytes out")
        output.table(headings, output.rows_of(look["verdicts"], columns), title="Connections by verdict")
    output.table(("reason", "packets"), look["dropped"].items(), title="Dropped")
    output.table(("lost", "so far"), look["lost"].items(), title="Lost observations")
    counted = {**look["counted"], **look.get("agent", {})}
    output.table(("counter", "so far"), counted.items(), title="Counters")
    if "tables" in look:
        rows = [(fill["name"], fill["entries"], fill["room"], _share(fill)) for fill in look["tables"]]
        output.table(("table", "entries", "room", "full"), rows, title="Tables")


def _share(fill: Mapping[str, int]) -> str:
    return f"{100 * fill['entries'] / fill['room']:.1f} %" if fill["room"] else ""
