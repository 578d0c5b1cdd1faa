"""``watchword draft``: collect changes of policy, look at them, and put them in force as one revision."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from watchword.cli.failure import ExitCode, Failure
from watchword.cli.options import Json, Namespace, ProfileName, Recursive, connect

app = typer.Typer(no_args_is_help=True, help="Prepare changes of policy that are not in force before you publish them.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name or ID of the draft.")]


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it.")],
    description: Annotated[str, typer.Option("--description", help="What it is for.")] = "",
    profile: ProfileName = "",
    namespace: Namespace = "",
    json: Json = False,
) -> None:
    """Make an empty draft for a namespace and those below it."""
    from watchword.cli import output

    with connect(profile, namespace) as client:
        body = {"name": name, "description": description}
        answer = client.request("POST", "/v1/drafts", body=body).body
    if json:
        output.json_document(answer)
    else:
        output.say(f"draft {answer['name']} in {answer['namespace']} (ID {answer['ID']}); nothing is in it yet")


@app.command("list")
def list_drafts(
    recursive: Recursive = False, profile: ProfileName = "", namespace: Namespace = "", json: Json = False
) -> None:
    """List drafts."""
    from watchword.cli import output

    with connect(profile, namespace) as client:
        found = list(client.pages("/v1/drafts", {"recursive": "true"} if recursive else {}))
    if json:
        output.json_document(found)
        return
    rows = [
        (
            each["namespace"],
            each["name"],
            "Shadowed" if each["shadowed"] else each["status"],
            len(each["changes"]),
            each["publishedRevision"] or "",
        )
        for each in found
    ]
    output.table(["namespace", "name", "status", "changes", "revision"], rows)


@app.command("add")
def add(
    name: Name,
    file: Annotated[
        list[str] | None, typer.Option("--file", "-f", metavar="FILE", help="As for `apply`; may be repeated.")
    ] = None,
    delete: Annotated[
        list[str] | None,
        typer.Option("--delete", metavar="KIND/NAME", help="Delete this object; may be repeated."),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option("--drop", metavar="KIND/NAME", help="Take what was said of this object out again."),
    ] = None,
    profile: ProfileName = "",
    namespace: Namespace = "",
    json: Json = False,
) -> None:
    """Add to a draft what files say, and deletions. Nothing comes into force.

    KIND/NAME is such as netruleset/shop, in the draft's namespace, or netruleset/shop@/below/it.
    """
    from watchword.cli import documents, output
    from watchword.cli.client import resource_path

    imports = [document for each in file or [] for document in documents.read(each)]
    body = {
        "imports": imports,
        "delete": [_named(each, "--delete") for each in delete or []],
        "drop": [_named(each, "--drop") for each in drop or []],
    }
    if not any(body.values()):
        raise Failure("nothing to add", "give --file, --delete or --drop", ExitCode.USAGE)
    with connect(profile, namespace) as client:
        path = resource_path("drafts", name)
        answer = client.request("POST", f"{path}/changes", body=body, timeout=120).body
    if json:
        output.json_document(answer)
    else:
        output.say(f"draft {answer['name']} makes {len(answer['changes'])} change(s); see: watchword draft show {name}")


def _named(text: str, option: str) -> dict[str, str]:
    kind, slash, rest = text.partition("/")
    name, at, namespace = rest.rpartition("@/")
    if not slash or not rest:
        raise Failure(f"{option}: {text!r} is not KIND/NAME", "write netruleset/shop", ExitCode.USAGE)
    return {"kind": kind, "name": name, "namespace": f"/{namespace}"} if at else {"kind": kind, "name": rest}


@app.command("show")
def show(name: Name, profile: ProfileName = "", namespace: Namespace = "", json: Json = False) -> None:
    """Show what publishing a draft would change, and what stands against it."""
    from watchword.cli import output
    from watchword.cli.client import resource_path
    from watchword.cli.revisions import show_changes

    with connect(profile, namespace) as client:
        answer = client.get(f"{resource_path('drafts', name)}/difference").body
    if json:
        output.json_document(answer)
        return
    show_changes(answer["changes"], {key: f"CONFLICT: {text}" for key, text in answer["conflicts"].items()})
    output.say(f"{answer['status']}: {len(answer['changes'])} change(s), {len(answer['conflicts'])} conflict(s)")


@app.command("shadow")
def shadow(
    name: Name,
    stop: Annotated[bool, typer.Option("--stop", help="Let it judge no longer.")] = False,
    profile: ProfileName = "",
    namespace: Namespace = "",
    json: Json = False,
) -> None:
    """Let a draft judge every reported flow beside the live policy, without effect on any.

    See what it would decide with: watchword flows --draft NAME --changed. Edit it meanwhile as you like.
    """
    from watchword.cli import output
    from watchword.cli.client import resource_path

    with connect(profile, namespace) as client:
        answer = client.request("DELETE" if stop else "POST", f"{resource_path('drafts', name)}/shadow").body
    if json:
        output.json_document(answer)
    elif stop:
        output.say(f"draft {answer['name']} judges no flow any more")
    else:
        told = f"edition {answer['edition']} of draft {answer['name']} judges flows in {answer['namespace']} and below"
        output.say(f"{told}; see: watchword flows --draft {name} --changed")


@app.command("publish")
def publish(
    name: Name,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, and change nothing.")] = False,
    profile: ProfileName = "",
    namespace: Namespace = "",
    json: Json = False,
) -> None:
    """Put a draft in force, as one revision: all of it or nothing."""
    from watchword.cli import output
    from watchword.cli.client import resource_path
    from watchword.cli.revisions import show_changes

    with connect(profile, namespace) as client:
        path, params = resource_path("drafts", name), {"dryRun": str(dry_run).lower()}
        answer: dict[str, Any] = client.request("POST", f"{path}/publication", params=params, timeout=120).body
    if json:
        output.json_document(answer)
        return
    show_changes(answer["changes"])
    ending = "nothing was changed: dry run" if dry_run else f"revision {answer['revision']}"
    output.say(f"draft {answer['name']}: {ending}")


@app.command("discard")
def discard(name: Name, profile: ProfileName = "", namespace: Namespace = "", json: Json = False) -> None:
    """Delete a draft; the live policy stays as it is."""
    from watchword.cli import output
    from watchword.cli.client import resource_path

    with connect(profile, namespace) as client:
        client.request("DELETE", resource_path("drafts", name))
    if json:
        output.json_document({"deleted": name, "kind": "draft"})
    else:
        output.say(f"discarded draft {name}")
