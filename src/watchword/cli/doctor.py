"""``watchword doctor``: can this host run an Enforcer, and does the Console answer?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from watchword.cli.failure import ExitCode, Failure
from watchword.cli.options import Json, ProfileName

if TYPE_CHECKING:
    from watchword.enforcer.doctor.examination import Examination
    from watchword.enforcer.doctor.findings import Finding

_WORDS = {
    "pass": "this host can run an Enforcer",
    "degraded": "this host can run an Enforcer, with less than is required",
    "fail": "this host cannot run an Enforcer as it is",
    "skip": "nothing could be asked",
}


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("doctor")(doctor)


def doctor(
    console: Annotated[bool, typer.Option("--console/--no-console", help="Also ask the profile's Console.")] = True,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 for what is degraded, too.")] = False,
    brief: Annotated[bool, typer.Option("--brief", help="Show what does not pass alone.")] = False,
    profile: ProfileName = "",
    json: Json = False,
) -> None:
    """Hold this host against every requirement, and say what to do about what is missing.

    Run it before an Enforcer is installed, as the user it will run as. Exit code 1 if anything fails.
    """
    from watchword.enforcer.doctor.examination import examine

    found = examine()
    if console:
        found = found.with_more([_console(profile)])
    _show(found, brief=brief, json=json)
    if found.result == "fail" or (strict and found.result == "degraded"):
        raise typer.Exit(ExitCode.FAILED)


def _show(found: Examination, *, brief: bool, json: bool) -> None:
    from dataclasses import asdict

    from watchword.cli import output

    if json:
        findings = [asdict(finding) for finding in found.findings]
        output.json_document({"result": found.result, "datapath": found.datapath, "findings": findings})
        return
    rows = [(f.group, f.name, f.result, f.detail, f.remedy) for f in found.findings if not brief or _notable(f)]
    if rows:
        output.table(["group", "requirement", "", "found", "remedy"], rows)
    counts = {result: sum(1 for f in found.findings if f.result == result) for result in ("fail", "degraded")}
    failed = ", ".join(f"{count} {result}" for result, count in counts.items() if count)
    output.say(_WORDS[found.result] + (f" ({failed})" if failed else ""))


def _notable(finding: Finding) -> bool:
    return finding.result in ("fail", "degraded")


def _console(name: str) -> Finding:
    """Whether the Console of the profile answers, and takes its credential."""
    from watchword.cli import profiles
    from watchword.cli.client import Client
    from watchword.enforcer.doctor.findings import Finding

    group = "connectivity"
    if not name and not profiles.load(profiles.default_path()).profiles:
        return Finding(group, "profile", "skip", "no profile on this host")
    try:
        profile = profiles.current(name)
        with Client(profile, timeout=10) as client:
            health = client.get("/v1/health").body
            who = client.get("/v1/me").body
    except Failure as failure:
        return Finding(group, "profile", "fail", failure.message, failure.remedy)
    text = f"{profile.url}, version {health['version']}, as {who['name']} in {who['namespace']}"
    return Finding(group, "profile", "pass", text)
