"""``watchword doctor``: can this host run an Enforcer, and does the Console answer?"""

from __future__ import annotations

from typing import Annotated

import typer

from watchword.cli.failure import ExitCode, Failure
from watchword.cli.options import Json, ProfileName
from watchword.cli.probes import PROBES, Finding


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("doctor")(doctor)


def doctor(
    console: Annotated[bool, typer.Option("--console/--no-console", help="Also ask the profile's Console.")] = True,
    profile: ProfileName = "",
    json: Json = False,
) -> None:
    """Try everything the kernel datapath needs, and say what to do about what is missing.

    Exit code 1 if anything fails.
    """
    from watchword.cli import output

    findings = [probe() for probe in PROBES]
    if console:
        findings.append(_console(profile))
    failed = [finding for finding in findings if finding.result == "FAIL"]
    if json:
        output.json_document({"ok": not failed, "findings": [vars(finding) for finding in findings]})
    else:
        output.table(["probe", "", "found", "remedy"], [tuple(vars(finding).values()) for finding in findings])
        output.say(f"{len(failed)} of {len(findings)} probes failed" if failed else "this host can run an Enforcer")
    if failed:
        raise typer.Exit(ExitCode.FAILED)


def _console(name: str) -> Finding:
    """Whether the Console of the profile answers, and takes its credential."""
    from watchword.cli import profiles
    from watchword.cli.client import Client

    if not name and not profiles.load(profiles.default_path()).profiles:
        return Finding("Console", "skip", "no profile on this host")
    try:
        profile = profiles.current(name)
        with Client(profile, timeout=10) as client:
            health = client.get("/v1/health").body
            who = client.get("/v1/me").body
    except Failure as failure:
        return Finding("Console", "FAIL", failure.message, failure.remedy)
    return Finding(
        "Console", "pass", f"{profile.url}, version {health['version']}, as {who['name']} in {who['namespace']}"
    )
