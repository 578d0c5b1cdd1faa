"""``watchword apply``: make the Console hold what files say. The same file again changes nothing."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from watchword.cli.failure import ExitCode, Failure
from watchword.cli.options import Json, Namespace, ProfileName, connect, seconds


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("apply")(apply)


def apply(
    file: Annotated[
        list[str],
        typer.Option("--file", "-f", metavar="FILE", help="YAML or JSON; - is standard input. May be repeated."),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
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
    """Create, update and delete what the files say, each document in one transaction.

    A document has `data:` (lists of resources by plural name) and usually a `label:`, which then owns what the
    document creates: what a later version of the document no longer names is deleted.
    """
    from watchword.cli import output
    from watchword.cli import wait as waiting

    patience = seconds(wait, "--wait") if wait else 0
    imports = [(source, document) for source in file for document in _documents(source)]
    answers: list[dict[str, Any]] = []
    with connect(profile, namespace) as client:
        for source, document in imports:
            try:
                answer = client.request(
                    "POST", "/v1/imports", params={"dryRun": str(dry_run).lower()}, body=document, timeout=120
                )
            except Failure as failure:
                raise _located(failure, source, answers) from None
            answers.append(answer.body)
        if not json:
            _show(answers, dry_run)
        enforcement = None
        if patience and not dry_run:
            enforcement = waiting.until_enforced(client, str(answers[-1]["revision"]), patience)
    if json:
        output.json_document({"imports": answers, **({"enforcement": enforcement} if enforcement else {})})
    if enforcement is not None:
        waiting.conclude(enforcement, quiet=json)


def _documents(source: str) -> list[dict[str, Any]]:
    from watchword.cli import documents

    found = documents.read(source)
    if not found:
        raise Failure(
            f"{source}: there is nothing in it",
            "empty never means: delete everything; use mode: Remove",
            ExitCode.USAGE,
        )
    for number, document in enumerate(found, 1):
        if not isinstance(document, dict):
            raise Failure(f"{source}: document {number} is no mapping", "write label: and data:", ExitCode.USAGE)
    return found


def _located(failure: Failure, source: str, done: list[dict[str, Any]]) -> Failure:
    """``failure`` with the file it is about, and what had been applied before it."""
    before = f" ({len(done)} document(s) before it are applied)" if done else ""
    return Failure(
        f"{source}: {failure.message}{before}", failure.remedy, failure.code, failure.fields, failure.problem
    )


def _show(answers: list[dict[str, Any]], dry_run: bool) -> None:
    from watchword.cli import output

    rows: list[tuple[object, ...]] = []
    counts = dict.fromkeys(("created", "updated", "deleted", "unchanged"), 0)
    for answer in answers:
        for outcome in counts:
            counts[outcome] += len(answer[outcome])
            rows += [
                (outcome, each["kind"], each["namespace"], each["name"], list(each.get("diff", {})))
                for each in answer[outcome]
            ]
    output.table(["", "kind", "namespace", "name", "fields"], rows)
    summary = ", ".join(f"{number} {outcome}" for outcome, number in counts.items() if number) or "nothing to do"
    ending = "nothing was changed: dry run" if dry_run else f"revision {answers[-1]['revision']}"
    output.say(f"{summary} ({ending})")
