"""``watchword apply``: make the Console hold what files say, in whatever form. The same again changes nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchword.cli.failure import ExitCode, Failure, FieldProblem
from watchword.cli.options import Json, Namespace, ProfileName, TemplateFiles, TemplateValues, seconds

if TYPE_CHECKING:
    from watchword.cli.translating import Prepared, Translation

_OF_DOCUMENT = re.compile(r"\[(\d+)\]\.?(.*)", re.DOTALL)


class FileForm(StrEnum):
    """What files may be written in."""

    watchword = "watchword"
    family = "family"
    networkpolicy = "networkpolicy"


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("apply")(apply)


def apply(
    files: Annotated[list[str] | None, typer.Argument(metavar="[FILE]...", help="More files, as with -f.")] = None,
    file: Annotated[
        list[str] | None,
        typer.Option(
            "--file", "-f", metavar="FILE", help="YAML or JSON, a directory of them, or - for standard input."
        ),
    ] = None,
    label: Annotated[
        str, typer.Option("--label", metavar="LABEL", help="The label that owns it all, instead of the files' own.")
    ] = "",
    set_: TemplateValues = None,
    values: TemplateFiles = None,
    form: Annotated[
        FileForm | None, typer.Option("--format", help="What the files are written in, where they do not show it.")
    ] = None,
    pod_network: Annotated[
        list[str] | None,
        typer.Option("--pod-network", metavar="CIDR", help="Addresses of the cluster's pods, for ipBlocks."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse files of which something would be lost.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    render: Annotated[
        bool, typer.Option("--render", help="Print what the files mean as YAML of this product, and ask no Console.")
    ] = False,
    wait: Annotated[
        str,
        typer.Option(
            "--wait",
            metavar="DURATION",
            help="Wait until the change is enforced everywhere, at most so long.",
            show_default=False,
        ),
    ] = "",
    profile: ProfileName = "",
    namespace: Namespace = "",
    json: Json = False,
) -> None:
    """Create, update and delete what the files say, all of them as one change: everything happens, or nothing.

    A document has `data:` (lists of resources by plural name) and usually a `label:`, which then owns what the
    document creates: what a later version of the document no longer names is deleted.

    Files of the product family (`APIVersion: 1`) and Kubernetes NetworkPolicies are taken as they are. What cannot be
    carried over is listed on standard error. `docs/import-export.md` has the details.
    """
    from watchword.cli import translating

    given = [*(file or ()), *(files or ())]
    if not given:
        raise Failure("no file is named", "write watchword apply -f FILE", ExitCode.USAGE)
    patience = seconds(wait, "--wait") if wait else 0
    wishes = translating.Wishes(
        form=form.value if form else None,
        label=label,
        assignments=set_ or (),
        value_files=values or (),
        namespace=namespace,
        pod_networks=pod_network or (),
    )
    if render:
        _render(_taken(given, wishes, strict), json)
        return
    _send(given, wishes, strict, dry_run, patience, profile, json)


def _taken(given: Sequence[str], wishes: Any, strict: bool) -> Translation:
    """What the files say; what is lost of them is said, or refused."""
    from watchword.cli import translating

    translation = translating.translated(given, wishes)
    lost = [note for note in translation.notes if note.lost]
    if strict and lost:
        problems = tuple(FieldProblem(note.place, note.message) for note in lost)
        remedy = "remove it from the files, or leave --strict out"
        raise Failure(f"{len(lost)} thing(s) in the files cannot be carried over", remedy, ExitCode.USAGE, problems)
    translating.say_notes(translation)
    return translation


def _render(translation: Translation, json: bool) -> None:
    from watchword.cli import documents, output

    bodies = [prepared.body for prepared in translation.imports]
    if json:
        output.json_document({"documents": bodies, "notes": _notes(translation)})
    else:
        output.raw("---\n".join(documents.dump(body) for body in bodies))


def _send(
    given: Sequence[str], wishes: Any, strict: bool, dry_run: bool, patience: int, profile: str, json: bool
) -> None:
    import dataclasses

    from watchword.cli import client as clients
    from watchword.cli import output, profiles
    from watchword.cli import wait as waiting

    chosen = profiles.current(profile, wishes.namespace)
    known = dataclasses.replace(wishes, namespace=chosen.namespace, console=chosen.url)
    translation = _taken(given, known, strict)
    bodies = [prepared.body for prepared in translation.imports]
    with clients.Client(chosen) as client:
        try:
            parameters = {"dryRun": str(dry_run).lower()}
            answers = client.request("POST", "/v1/imports", params=parameters, body=bodies, timeout=300).body
        except Failure as failure:
            raise _located(failure, translation.imports) from None
        if not json:
            _show(answers, dry_run)
        enforcement = None
        if patience and not dry_run:
            enforcement = waiting.until_enforced(client, str(answers[-1]["revision"]), patience)
    if json:
        shown = {"imports": answers, "notes": _notes(translation)}
        output.json_document({**shown, **({"enforcement": enforcement} if enforcement else {})})
    if enforcement is not None:
        waiting.conclude(enforcement, quiet=json)


def _notes(translation: Translation) -> list[dict[str, Any]]:
    return [{"place": note.place, "message": note.message, "lost": note.lost} for note in translation.notes]


def _located(failure: Failure, imports: Sequence[Prepared]) -> Failure:
    """``failure`` with the file, document and line of each field. Nothing has been applied."""
    fields = tuple(
        FieldProblem(_place(problem.path, imports), problem.detail, problem.remedy) for problem in failure.fields
    )
    message = failure.message
    named = _OF_DOCUMENT.match(str(failure.problem.get("detail", "")))
    if not fields and named and int(named[1]) < len(imports):
        message = f"{_place(failure.problem['detail'].split(' (')[0], imports)}: {message}"
    return Failure(f"{message} (nothing was changed)", failure.remedy, failure.code, fields, failure.problem)


def _place(path: str, imports: Sequence[Prepared]) -> str:
    found = _OF_DOCUMENT.match(path)
    if found is None or int(found[1]) >= len(imports):
        return path
    return f"{imports[int(found[1])].place(found[2])}: {found[2]}"


def _show(answers: list[dict[str, Any]], dry_run: bool) -> None:
    from watchword.cli import output

    rows: list[tuple[object, ...]] = []
    counts = dict.fromkeys(("created", "updated", "deleted", "unchanged"), 0)
    for answer in answers:
        for outcome in counts:
            counts[outcome] += len(answer[outcome])
            rows += [
                (
                    outcome,
                    each["kind"],
                    each["namespace"],
                    each["name"],
                    list(each["diff"]) if outcome == "updated" else "",
                )
                for each in answer[outcome]
            ]
    if dry_run:
        for answer in answers:
            _show_differences(answer)
    else:
        output.table(["", "kind", "namespace", "name", "fields"], rows)
    summary = ", ".join(f"{number} {outcome}" for outcome, number in counts.items() if number) or "nothing to do"
    ending = "nothing was changed: dry run" if dry_run else f"revision {answers[-1]['revision']}"
    output.say(f"{summary} ({ending})")


def _show_differences(answer: dict[str, Any]) -> None:
    """Each resource, and each field of it down to what differs."""
    from json import dumps, loads

    from watchword.cli import output
    from watchword.exchange.differences import differences

    for outcome, sign, style in (("created", "+", "green"), ("updated", "~", "yellow"), ("deleted", "-", "red")):
        for each in answer[outcome]:
            output.say(f"{sign} {each['kind']} {each['namespace']} {each['name']}", style=style)
            for field, (before, after) in each["diff"].items():
                for found in differences(loads(before), loads(after), field):
                    sides = [dumps(side, ensure_ascii=False) for side in (found.before, found.after)]
                    change = {"created": sides[1], "deleted": sides[0]}.get(outcome, " → ".join(sides))
                    output.say(f"    {found.path}: {change}")
