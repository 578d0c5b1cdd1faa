"""``watchword lint``: what is doubtful about policy, in files alone or on the Console."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from watchword.cli.failure import ExitCode, Failure
from watchword.cli.options import Json, Namespace, ProfileName, TemplateFiles, TemplateValues, connect

if TYPE_CHECKING:
    from watchword.policy.files import Loaded

_SEVERITIES = ("error", "warning", "info")

#: Findings that are asked for at once.
_LIMIT = "10000"


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("lint")(lint)


def lint(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE]...", help="What `watchword apply` takes: files, folders or -.")
    ] = None,
    fail_on: Annotated[
        Literal["error", "warning", "info"],
        typer.Option("--fail-on", help="Exit code 1 if there is a finding that matters so much."),
    ] = "error",
    code: Annotated[
        list[str] | None,
        typer.Option("--code", metavar="CODE", help="Only findings of this code; may be repeated.", show_default=False),
    ] = None,
    draft: Annotated[
        str, typer.Option("--draft", metavar="NAME", help="Of the Console's draft.", show_default=False)
    ] = "",
    revision: Annotated[
        str, typer.Option("--revision", metavar="NUMBER", help="Of an older revision.", show_default=False)
    ] = "",
    set_: TemplateValues = None,
    values: TemplateFiles = None,
    profile: ProfileName = "",
    namespace: Namespace = "",
    json: Json = False,
) -> None:
    """Find rules that do nothing, fight each other or open too much: of FILEs alone, or of the Console's policy.

    The codes and exactly when each is given are in docs/policy.md. "Present" units are those of the Console, or those
    that the files list as `processingunits`. Exit code 1 if a finding is as bad as --fail-on says.
    """
    from watchword.cli import output, policyfiles

    if files and (draft or revision):
        raise Failure("--draft and --revision are about the Console", "leave them out, or the files", ExitCode.USAGE)
    if not files and (set_ or values):
        raise Failure("--set and --values are about files", "name the files", ExitCode.USAGE)
    codes = _known(code or [])
    if files:
        found = _offline(policyfiles.load(files, namespace or "/", set_ or (), values or ()), codes)
    else:
        found = _online({"draft": draft, "revision": revision, "code": ",".join(codes)}, profile, namespace)
    if json:
        output.json_document(found)
    else:
        _show(found)
    worst = _SEVERITIES[: _SEVERITIES.index(fail_on) + 1]
    if any(found["counts"][severity] for severity in worst):
        raise typer.Exit(ExitCode.FAILED)


def _known(codes: Sequence[str]) -> Sequence[str]:
    from watchword.policy.lint.codes import CODES

    for each in codes:
        if each not in CODES:
            raise Failure(f"--code: {each!r} is unknown", f"use {', '.join(CODES)}", ExitCode.USAGE)
    return codes


def _offline(loaded: Loaded, codes: Sequence[str]) -> dict[str, Any]:
    import msgspec

    from watchword.policy import lint as linting

    findings = linting.findings(loaded.world)
    chosen = [finding for finding in findings if not codes or finding.code in codes]
    return {
        "counts": {severity: sum(finding.severity == severity for finding in chosen) for severity in _SEVERITIES},
        "total": len(chosen),
        "findings": msgspec.to_builtins(chosen),
    }


def _online(asked: dict[str, str], profile: str, namespace: str) -> dict[str, Any]:
    params = {"limit": _LIMIT, **{name: value for name, value in asked.items() if value}}
    with connect(profile, namespace) as client:
        answer: dict[str, Any] = client.request("GET", "/v1/findings", params=params, timeout=300).body
    return answer


def _show(found: dict[str, Any]) -> None:
    from watchword.cli import output

    for finding in found["findings"]:
        output.say(f"{finding['severity']}: {finding['code']}: {finding['text']}", style=_STYLES[finding["severity"]])
        output.say(f"  → {finding['remedy']}")
        if shown := finding["witness"]:
            output.say(f"  such as {shown['source']} → {shown['destination']} {shown['flow']}")
    counts = ", ".join(f"{found['counts'][severity]} {severity}" for severity in _SEVERITIES)
    left_out = found["total"] - len(found["findings"])
    output.say(f"{found['total']} findings ({counts})" + (f"; {left_out} are not listed" if left_out else ""))


_STYLES = {"error": "bold red", "warning": "yellow", "info": ""}
