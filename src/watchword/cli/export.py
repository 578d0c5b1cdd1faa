"""``watchword export``: policy as files, of this product or for others."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from watchword.cli.failure import ExitCode, Failure, FieldProblem
from watchword.cli.options import Json, Namespace, ProfileName, connect

if TYPE_CHECKING:
    from watchword.exchange.notes import Note
    from watchword.policy.files import Loaded

#: What besides policy shapes a world.
_UNITS = "processingunits"


class Target(StrEnum):
    """What can be written."""

    watchword = "watchword"
    family = "family"
    networkpolicy = "networkpolicy"
    nftables = "nftables"


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("export")(export)


def export(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]...", help="Translate these files, as `apply` takes them, and ask no Console."),
    ] = None,
    target: Annotated[Target, typer.Option("--format", help="What to write.")] = Target.watchword,
    label: Annotated[str, typer.Option("--label", metavar="LABEL", help="Only what this label owns.")] = "",
    unit: Annotated[
        str, typer.Option("--unit", metavar="UNIT", help="nftables: the unit that the host is, by ID or name.")
    ] = "",
    addresses: Annotated[
        str,
        typer.Option(
            "--addresses", metavar="FILE", help="nftables: units' addresses, as a mapping of ID or name to a list."
        ),
    ] = "",
    out: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to write.", show_default=False)
    ] = "",
    strict: Annotated[bool, typer.Option("--strict", help="Refuse what is not exact.")] = False,
    profile: ProfileName = "",
    namespace: Namespace = "",
    json: Json = False,
) -> None:
    """Write the policy of a namespace, and of those below it, as files.

    In this product's form and imported into an empty Console it makes the same world. For others it is translated, and
    what is not exact is listed on standard error. Never in it: credentials, tokens, and whatever else gives access.
    """
    from watchword.cli import documents, output

    bodies = _from_files(files, namespace) if files else _from_console(label, profile, namespace, target)
    text: str
    value: Any
    notes: Sequence[Note] = ()
    if target is Target.watchword:
        value = [{name: part for name, part in body.items() if name != _UNITS and part} for body in bodies]
        text = "---\n".join(documents.dump(body) for body in value)
    elif target is Target.nftables:
        value, notes = _nftables(bodies, namespace, unit, addresses)
        text = value
    else:
        value, notes = _translated(target, bodies, namespace)
        text = "---\n".join(documents.dump(each) for each in value)
    _say(notes, strict)
    if json:
        told = [{"place": note.place, "message": note.message, "lost": note.lost} for note in notes]
        output.json_document({"documents" if isinstance(value, list) else "text": value, "notes": told})
    elif out:
        _write(out, text)
    else:
        output.raw(text)


def _from_files(files: Sequence[str], namespace: str) -> list[dict[str, Any]]:
    from watchword.cli import translating

    translation = translating.translated(files, translating.Wishes(namespace=namespace))
    _say(translation.notes, strict=False)
    return [prepared.body for prepared in translation.imports]


def _from_console(label: str, profile: str, namespace: str, target: Target) -> list[dict[str, Any]]:
    """The export of the Console; with the units where a world is needed."""
    with connect(profile, namespace) as client:
        body: dict[str, Any] = client.get("/v1/exports", **({"label": label} if label else {})).body
        if target in (Target.networkpolicy, Target.nftables):
            if label or not any(each["name"] == "/" for each in body["data"].get("namespaces", ())):
                message = "what decides in a namespace stands above it too, and only the root sees all of it"
                raise Failure(message, "ask as the root, with -n / and without --label", ExitCode.USAGE)
            units = list(client.pages("/v1/processingunits", {"recursive": "true"}))
            body["data"][_UNITS] = [each for each in units if each["operationalStatus"] == "Running"]
    return [body]


def _say(notes: Sequence[Note], strict: bool) -> None:
    from watchword.cli import output

    lost = [note for note in notes if note.lost]
    if strict and lost:
        problems = tuple(FieldProblem(note.place, note.message) for note in lost)
        raise Failure(f"{len(lost)} thing(s) cannot be said exactly", "leave --strict out", ExitCode.FAILED, problems)
    for note in notes:
        output.note(f"{'not exact' if note.lost else 'note'}: {note}")


def _loaded(bodies: Sequence[dict[str, Any]], namespace: str) -> Loaded:
    from watchword.policy import files

    documents = []
    for number, body in enumerate(bodies, 1):
        data = {plural: items for plural, items in body.get("data", {}).items() if plural in files.PLURALS}
        documents.append(files.Document("export", number, {"data": data}))
    try:
        return files.load(documents, namespace or "/")
    except files.FilesInvalid as error:
        problems = tuple(
            FieldProblem(f"{each.path} ({each.name})", each.message, each.remedy) for each in error.problems
        )
        raise Failure("the policy cannot be read", "correct the files", ExitCode.USAGE, problems) from None


def _translated(target: Target, bodies: Sequence[dict[str, Any]], namespace: str) -> tuple[list[Any], list[Note]]:
    from watchword.exchange.family_export import to_family
    from watchword.exchange.kubernetes.export import export as to_kubernetes
    from watchword.exchange.notes import Unreadable
    from watchword.model.resources import Namespace as NamespaceResource

    try:
        if target is Target.family:
            found = [to_family(body, namespace or "/") for body in bodies]
            return [each.document for each in found], [note for each in found for note in each.notes]
        loaded = _loaded(bodies, namespace)
        spaces = [
            each.name for each in loaded.resources if isinstance(each, NamespaceResource) and each.type == "Kubernetes"
        ]
        if not spaces:
            remedy = "give namespaces that are a Kubernetes namespace each the type Kubernetes"
            raise Failure("no namespace is of type Kubernetes", remedy, ExitCode.USAGE)
        exported = to_kubernetes(loaded.world, spaces)
    except Unreadable as error:
        raise Failure(f"{error.place}: {error.message}", error.remedy, ExitCode.FAILED) from None
    return list(exported.manifests), exported.notes


def _nftables(bodies: Sequence[dict[str, Any]], namespace: str, name: str, addresses: str) -> tuple[str, list[Note]]:
    from watchword.cli import documents
    from watchword.exchange import nftables
    from watchword.exchange.notes import Unreadable

    if not name or not addresses:
        raise Failure(
            "nftables wants --unit and --addresses", "name the host's unit, and a file of addresses", ExitCode.USAGE
        )
    given = documents.read_mapping(addresses)
    for each, texts in given.items():
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise Failure(f"{addresses}: {each} has no list of addresses", f"write {each}: [192.0.2.1]", ExitCode.USAGE)
    world = _loaded(bodies, namespace).world
    units = [unit for unit in world.units.values() if name in (unit.id, unit.name)]
    if len(units) != 1:
        raise Failure(f"--unit {name}: {len(units)} units are called so", "name one by its ID", ExitCode.NOT_FOUND)
    try:
        return nftables.export(world, units[0], given)
    except Unreadable as error:
        raise Failure(f"{error.place}: {error.message}", error.remedy, ExitCode.FAILED) from None


def _write(out: str, text: str) -> None:
    try:
        Path(out).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(f"cannot write {out}: {error}", "name another file", ExitCode.USAGE) from None
