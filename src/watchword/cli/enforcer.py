"""``watchword enforcer``: the agent of this host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from watchword.cli.failure import ExitCode, Failure
from watchword.cli.options import EnforcerSettings, Json

app = typer.Typer(no_args_is_help=True, help="Protect this host.")


@app.command(
    "start", add_help_option=False, context_settings={"ignore_unknown_options": True, "allow_extra_args": True}
)
def start() -> None:
    """Enrol if need be, and enforce the Console's policy until stopped."""  # what runs is watchword.cli.agent


@app.command("status")
def status(settings: EnforcerSettings = "", json: Json = False) -> None:
    """Show how the running Enforcer of this host is. Exit code 1 if none runs."""
    from watchword.cli import output
    from watchword.cli.enforcer_settings import located
    from watchword.enforcer import run
    from watchword.enforcer.errors import EnforcerError

    try:
        facts = run.status(located(settings))
    except EnforcerError as error:
        raise Failure(str(error)) from None
    if json:
        output.json_document(facts)
    else:
        _show(facts)


def _show(facts: Mapping[str, Any]) -> None:
    from watchword.cli import output

    link, revision = facts["link"], facts["revision"]
    lapsed = " (lapsed: only defaults hold)" if revision["lapsed"] else ""
    output.facts(
        [
            ("enforcer", f"{facts['name']} in {facts['namespace']}"),
            ("console", f"{facts['console']}, {link['state']}" + (f": {link['problem']}" if link["problem"] else "")),
            ("revision", f"{revision['enforced']} enforced, {revision['held']} held{lapsed}"),
            ("peers", facts["peers"]),
            ("key epochs", facts["key_epochs"]),
            ("memory", f"{facts['rss_bytes'] / (1 << 20):.0f} MiB"),
            ("processor", f"{facts['cpu_seconds']:.1f} s"),
            ("problems", facts["problems"] or "none"),
        ]
    )
    units = [(u["name"], u["type"], u["tags"], u["cgroup"], u["policed"], u["refused"]) for u in facts["units"]]
    output.table(["unit", "type", "tags", "cgroup", "policed", "refused"], units)
    counters = [(name, number) for name, number in sorted(facts["counters"].items()) if number]
    if counters:
        output.table(["counter", "so far"], counters)


@app.command("uninstall")
def uninstall(settings: EnforcerSettings = "", json: Json = False) -> None:
    """Remove the Enforcer from this host: programs, maps, cgroups, files; and tell the Console.

    From then on nothing is enforced here. Exit code 1 if something could not be removed.
    """
    import asyncio

    from watchword.cli import agent, agent_cgroup, output
    from watchword.cli.enforcer_settings import located
    from watchword.enforcer.agent import uninstall as remove
    from watchword.enforcer.datapath.base import DatapathError
    from watchword.enforcer.errors import EnforcerError

    known = located(settings)
    try:
        answer = asyncio.run(remove(known, agent.datapath))
        agent_cgroup.forget(known)
    except (EnforcerError, DatapathError) as error:
        raise Failure(str(error)) from None
    if json:
        output.json_document(answer)
    else:
        output.say(
            "the Enforcer is removed from this host" + ("" if answer["told"] else "; the Console does not know yet")
        )
        for path in answer["left"]:
            output.note(f"left: {path}")
    if answer["left"]:
        raise typer.Exit(ExitCode.FAILED)


@app.command("unit")
def unit(settings: EnforcerSettings = "") -> None:
    """Print a systemd unit for this installation."""
    from watchword.cli.systemd import enforcer_unit

    print(enforcer_unit(f"--settings {settings}" if settings else ""), end="")
