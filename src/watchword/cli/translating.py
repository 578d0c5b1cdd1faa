"""From files on the command line to imports: templates, forms, and what each has to say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from watchword.cli.documents import located, source_of, text_of
from watchword.cli.failure import ExitCode, Failure
from watchword.exchange import family, templates, values
from watchword.exchange.documents import Document
from watchword.exchange.kubernetes import translation
from watchword.exchange.notes import Note, Unreadable
from watchword.exchange.template_syntax import has_actions

Form = Literal["watchword", "family", "networkpolicy"]

#: What a directory is searched for.
_SUFFIXES = {".yaml", ".yml", ".json"}

#: What no translation touches.
_AS_THEY_STAND = "data.processingunits"


@dataclass
class Prepared:
    """One document to import, and where it comes from."""

    body: dict[str, Any]
    source: Document
    origins: Mapping[str, str] | None = None  # None where paths are those of the source

    def place(self, path: str) -> str:
        """File, document and line of what stands at ``path`` of the body."""
        if self.origins is None:
            return self.source.place(path)
        if path.startswith(_AS_THEY_STAND):
            return self.source.place(path)
        for cut in range(len(path), 0, -1):
            if path[:cut] in self.origins:
                return self.source.place(self.origins[path[:cut]] + path[cut:])
        return self.source.place()


@dataclass
class Translation:
    """Everything the files say."""

    imports: list[Prepared] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


@dataclass(frozen=True)
class Wishes:
    """What the command line says about the files."""

    form: Form | None = None
    label: str = ""
    assignments: Sequence[str] = ()
    value_files: Sequence[str] = ()
    namespace: str = ""  # of the request; empty where no Console is asked
    console: str = ""
    pod_networks: Sequence[str] = ()
    units: bool = False  # carry processing units, which no Console imports


def translated(files: Sequence[str], wishes: Wishes) -> Translation:
    """The imports that ``files`` (and directories, and ``-``) say. Raises :class:`Failure`."""
    result = Translation()
    cluster: list[Document] = []
    for document in read(files, wishes):
        match wishes.form or form_of(document):
            case "networkpolicy":
                cluster.append(document)
            case "family":
                _family(document, wishes, result)
            case "watchword":
                result.imports.append(Prepared(dict(_mapping(document)), document))
    if cluster:
        _kubernetes(cluster, wishes, result)
    for prepared in result.imports:
        if wishes.label:
            prepared.body["label"] = wishes.label
    return result


def say_notes(translation: Translation) -> None:
    """What a reader of the files has to know, on standard error."""
    from watchword.cli import output

    for note in translation.notes:
        output.note(f"{'not carried over' if note.lost else 'note'}: {note}")


def read(files: Sequence[str], wishes: Wishes) -> list[Document]:
    """All documents, templates filled in."""
    if files.count("-") > 1:
        raise Failure("standard input is named twice", "name - once", ExitCode.USAGE)
    given = _values(wishes)
    found = []
    for file in _expanded(files):
        text, source = text_of(file), source_of(file)
        if has_actions(text):
            try:
                text = templates.render(
                    text, source, given, {"Namespace": wishes.namespace or "/", "API": wishes.console}
                )
            except Unreadable as error:
                raise _failure(error) from None
            source += " (as the template produced it)"
        documents = located(text, source)
        if not documents:
            remedy = "empty never means: delete everything; use mode: Remove"
            raise Failure(f"{source}: there is nothing in it", remedy, ExitCode.USAGE)
        found += documents
    return found


def form_of(document: Document) -> Form:
    """Which form a document has. Raises :class:`Failure`."""
    value = _mapping(document)
    if "kind" in value and "apiVersion" in value:
        return "networkpolicy"
    if "APIVersion" in value:
        return "family"
    if "data" in value or "mode" in value:
        return "watchword"
    message = f"{document.place()}: it is neither an import (label, data) nor a Kubernetes object (apiVersion, kind)"
    raise Failure(message, "write label: and data:, or name its form with --format", ExitCode.USAGE)


def _values(wishes: Wishes) -> dict[str, Any]:
    try:
        files = []
        for file in wishes.value_files:
            documents = located(text_of(file), source_of(file))
            if len(documents) > 1:
                raise Failure(f"{file}: has several documents", "write one mapping of values", ExitCode.USAGE)
            files += [(file, document.value) for document in documents]
        return values.merged(files, wishes.assignments)
    except Unreadable as error:
        raise _failure(error) from None


def _failure(error: Unreadable) -> Failure:
    return Failure(f"{error.place}: {error.message}", error.remedy, ExitCode.USAGE)


def _expanded(files: Sequence[str]) -> list[str]:
    """Files, with those in each directory and below in its place. The same one twice is one."""
    found: list[str] = []
    for file in files:
        if file == "-" or not Path(file).is_dir():
            found.append(file)
            continue
        inside = sorted(str(path) for path in Path(file).rglob("*") if path.suffix in _SUFFIXES and path.is_file())
        if not inside:
            raise Failure(
                f"{file}: no .yaml, .yml or .json is in it", "name files, or another directory", ExitCode.USAGE
            )
        found += inside
    return list(dict.fromkeys(found))


def _mapping(document: Document) -> dict[str, Any]:
    if not isinstance(document.value, dict):
        raise Failure(
            f"{document.place()}: document {document.number} is no mapping", "write label: and data:", ExitCode.USAGE
        )
    return document.value


def _family(document: Document, wishes: Wishes, result: Translation) -> None:
    translated = family.translate(_mapping(document), wishes.namespace or "/", units=wishes.units)
    result.imports.append(Prepared(translated.document, document, translated.origins))
    result.notes += [
        Note(f"{document.place(note.place)}: {note.place}", note.message, note.lost) for note in translated.notes
    ]


def _kubernetes(cluster: list[Document], wishes: Wishes, result: Translation) -> None:
    try:
        translated = translation.translate(cluster, wishes.namespace or "/", wishes.pod_networks)
    except Unreadable as error:
        raise _failure(error) from None
    result.imports.append(Prepared(translated.document, cluster[0], {}))
    result.notes += translated.notes
