"""``watchword paths``: where something between two hosts takes the identity option away."""

from __future__ import annotations

import typer

from watchword.cli.options import Json, Namespace, ProfileName, connect


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("paths")(paths)


def paths(profile: ProfileName = "", namespace: Namespace = "", json: Json = False) -> None:
    """List the paths on which identities are lost, as pings have found them: suspected from flows, or asked for.

    A peer whose identity is lost is nobody, judged by its address: it is never let in as who it was before.
    """
    from watchword.cli import output
    from watchword.cli.netstat import end

    with connect(profile, namespace) as client:
        found = client.get("/v1/paths").body
    if json:
        output.json_document(found)
        return
    if not found:
        output.say("no path is known on which identities are lost")
        return
    columns = ("from", "unit", "namespace", "to", "lost in", "since", "checked")
    rows = [
        (
            each["enforcerName"],
            each["unitName"],
            each["namespace"],
            end(each["address"], each["port"]),
            each["codes"],
            each["since"],
            each["checked"],
        )
        for each in found
    ]
    output.table(columns, rows)
