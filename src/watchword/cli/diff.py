"""``watchword diff``: which flows two policies decide differently, in files or as revisions and drafts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchword.cli.failure import ExitCode, Failure
from watchword.cli.options import Json, Namespace, ProfileName, TemplateFiles, TemplateValues, connect

if TYPE_CHECKING:
    from watchword.policy.files import Loaded

_DRAFT = "draft:"
_SIDE_HELP = "A file or folder; or, of the Console, a revision's number, `latest` or `draft:NAME`."


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("diff")(diff)


def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help=_SIDE_HELP)],
    new: Annotated[str, typer.Argument(metavar="NEW", help=_SIDE_HELP)],
    limit: Annotated[int, typer.Option("--limit", metavar="NUMBER", min=1, max=10_000, help="Entries to list.")] = 200,
    then: Annotated[
        bool, typer.Option("--units-then", help="With the units of each revision, not those of now.")
    ] = False,
    set_: TemplateValues = None,
    values: TemplateFiles = None,
    profile: ProfileName = "",
    namespace: Namespace = "",
    json: Json = False,
) -> None:
    """Say exactly which flows become allowed or denied between two policies.

    Not what was written differently, but what is decided differently: for which units and addresses, on which ports,
    at which end, by which rules. Files have to list their `processingunits`. Exit code 0 if nothing differs, 1 if
    something does.
    """
    from watchword.cli import output, policyfiles

    sides = [_is_of_console(old), _is_of_console(new)]
    if sides[0] != sides[1]:
        raise Failure("OLD and NEW are a file and a revision", "name two of the same sort", ExitCode.USAGE)
    if all(sides):
        if set_ or values:
            raise Failure("--set and --values are about files", "leave them out, or name files", ExitCode.USAGE)
        found = _online(old, new, limit, then, profile, namespace)
    elif then:
        raise Failure("--units-then is about revisions", "leave it out", ExitCode.USAGE)
    else:
        loaded = [policyfiles.load([side], namespace or "/", set_ or (), values or ()) for side in (old, new)]
        found = _offline(loaded[0], loaded[1], limit)
    if json:
        output.json_document(found)
    else:
        _show(found)
    if found["flowsTotal"]:
        raise typer.Exit(ExitCode.FAILED)


def _is_of_console(side: str) -> bool:
    return side.isdecimal() or side == "latest" or side.startswith(_DRAFT)


def _offline(old: Loaded, new: Loaded, limit: int) -> dict[str, Any]:
    import msgspec

    from watchword.policy.difference import difference

    found: dict[str, Any] = msgspec.to_builtins(difference(old.world, new.world, limit=limit))
    return found


def _online(old: str, new: str, limit: int, then: bool, profile: str, namespace: str) -> dict[str, Any]:
    if old.startswith(_DRAFT):
        raise Failure(
            f"OLD is {old}", "compare a revision with a draft: watchword diff latest draft:NAME", ExitCode.USAGE
        )
    params = {"from": old, "limit": str(limit), "units": "then" if then else "now"}
    params |= {"draft": new.removeprefix(_DRAFT)} if new.startswith(_DRAFT) else {"to": new}
    with connect(profile, namespace) as client:
        found: dict[str, Any] = client.request("GET", "/v1/differences", params=params, timeout=300).body
    return found


def _show(found: dict[str, Any]) -> None:
    from watchword.cli import output

    for field, word in (("unitsNew", "new"), ("unitsGone", "gone"), ("unitsChanged", "with other tags or namespace")):
        if count := found[field]["count"]:
            names = ", ".join(unit["name"] for unit in found[field]["units"])
            output.say(f"{count} units {word}: {names}{', …' if count > len(found[field]['units']) else ''}")
    for flows in found["flows"]:
        output.say(f"{_SIGNS[flows['effect']]} {flows['text']}", style=_STYLES[flows["effect"]])
    if left_out := found["flowsTotal"] - len(found["flows"]):
        output.say(f"and {left_out} more entries (--limit)")
    if found["flowsTotal"]:
        output.say(
            f"{found['pairsAllowed']} pairs become allowed, {found['pairsDenied']} denied "
            "(a pair counts in each entry that it is in)"
        )
    else:
        output.say("nothing is decided differently")


_SIGNS = {"denied": "-", "allowed": "+", "oneEnd": "~"}
_STYLES = {"denied": "red", "allowed": "green", "oneEnd": ""}
