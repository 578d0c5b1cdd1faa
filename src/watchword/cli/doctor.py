"""``watchword doctor``: can this host, or a cluster, run Enforcers, and does the Console answer?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from watchword.cli.failure import ExitCode, Failure
from watchword.cli.options import EnforcerSettings, Json, ProfileName

if TYPE_CHECKING:
    from watchword.enforcer.doctor.examination import Examination
    from watchword.enforcer.doctor.findings import Finding
    from watchword.enforcer.settings import Settings

_WORDS = {
    "pass": "this host can run an Enforcer",
    "degraded": "this host can run an Enforcer, with less than is required",
    "fail": "this host cannot run an Enforcer as it is",
    "skip": "nothing could be asked",
}

_CLUSTER_WORDS = {
    "pass": "Enforcers can run in this cluster",
    "degraded": "Enforcers can run in this cluster, with less than is required",
    "fail": "Enforcers cannot run in this cluster as it is",
    "skip": "nothing could be asked",
}


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("doctor")(doctor)


def doctor(
    console: Annotated[
        bool,
        typer.Option("--console/--no-console", help="Also reach out to the Console."),
    ] = True,
    settings: EnforcerSettings = "",
    url: Annotated[str, typer.Option(help="The Console, if neither settings nor an enrolment name it.")] = "",
    proxy: Annotated[str, typer.Option(help="HTTP CONNECT proxy; none for no proxy.")] = "",
    trusted_ca: Annotated[str, typer.Option(help="File of a further CA, of a proxy that inspects TLS.")] = "",
    install_token_file: Annotated[str, typer.Option(help="Install token (mode 0600): it names Console and CA.")] = "",
    also: Annotated[
        list[str] | None, typer.Option(help="A further https:// address that has to be reachable; may be repeated.")
    ] = None,
    kubeconfig: Annotated[str, typer.Option(help="Judge the cluster of this kubeconfig file, not this host.")] = "",
    context: Annotated[str, typer.Option(help="A context of that file, if not its current one.")] = "",
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 for what is degraded, too.")] = False,
    brief: Annotated[bool, typer.Option("--brief", help="Show what does not pass alone.")] = False,
    profile: ProfileName = "",
    json: Json = False,
) -> None:
    """Hold this host against every requirement, and say what to do about what is missing.

    Run it before an Enforcer is installed, as the user it will run as. Exit code 1 if anything fails.
    With --kubeconfig, a cluster is judged by what its API says; nothing there is changed.
    """
    allow: list[dict[str, object]] = []
    if kubeconfig or context:
        if any((settings, url, proxy, trusted_ca, install_token_file, also)):
            remedy = "leave out what is about this host's way to a Console"
            raise Failure("--kubeconfig judges a cluster alone", remedy, ExitCode.USAGE)
        found, words = _of_cluster(kubeconfig, context), _CLUSTER_WORDS
    else:
        given = {"console": url, "proxy": proxy, "trusted_ca": trusted_ca, "install_token_file": install_token_file}
        found, allow = _of_host(settings, given, also or [], profile) if console else (_examined(), allow)
        words = _WORDS
    _show(found, allow, words, brief=brief, json=json)
    if found.result == "fail" or (strict and found.result == "degraded"):
        raise typer.Exit(ExitCode.FAILED)


def _examined() -> Examination:
    from watchword.enforcer.doctor.examination import examine

    return examine()


def _of_host(
    settings: str, given: dict[str, str], also: list[str], profile: str
) -> tuple[Examination, list[dict[str, object]]]:
    """This host, and its way to the Console."""
    from watchword.cli.enforcer_settings import located

    known = located(settings, {name: value for name, value in given.items() if value})
    found = _examined()
    findings, allow = _explored(known, also)
    return found.with_more([*findings, _console(profile)]), allow


def _of_cluster(file: str, context: str) -> Examination:
    """A cluster; a credential or an address that does not do is found, not an error of the command line."""
    from watchword.cli import clusterapi, kubeconfig
    from watchword.enforcer.doctor import clusters
    from watchword.enforcer.doctor.examination import Examination
    from watchword.enforcer.doctor.findings import Finding
    from watchword.enforcer.doctor.orchestrators import GROUP

    if not file:
        raise Failure("--context needs a file", "name it: --kubeconfig FILE", ExitCode.USAGE)
    access = kubeconfig.read(file, context)
    try:
        findings = clusters.judge(clusterapi.ask(access))
    except Failure as failure:
        if failure.code == ExitCode.USAGE:
            raise
        findings = [Finding(GROUP, "API", "fail", failure.message, failure.remedy)]
    return Examination("", tuple(findings))


def _show(
    found: Examination, allow: list[dict[str, object]], words: dict[str, str], *, brief: bool, json: bool
) -> None:
    from dataclasses import asdict

    from watchword.cli import output

    if json:
        findings = [asdict(finding) for finding in found.findings]
        answer = {"result": found.result, "datapath": found.datapath, "findings": findings, "allow": allow}
        output.json_document(answer)
        return
    rows = [(f.group, f.name, f.result, f.detail, f.remedy) for f in found.findings if not brief or _notable(f)]
    if rows:
        output.table(["group", "requirement", "", "found", "remedy"], rows)
    if allow:
        columns = ["purpose", "protocol", "host", "port", "addresses", "reached"]
        title = "outgoing connections that a firewall has to let through"
        output.table(columns, [[entry[column] for column in columns] for entry in allow], title=title)
    counts = {result: sum(1 for f in found.findings if f.result == result) for result in ("fail", "degraded")}
    failed = ", ".join(f"{count} {result}" for result, count in counts.items() if count)
    output.say(words[found.result] + (f" ({failed})" if failed else ""))


def _explored(settings: Settings, also: list[str]) -> tuple[list[Finding], list[dict[str, object]]]:
    """Where this host's Enforcer has to go, as far as settings, an enrolment or an install token say."""
    from watchword.enforcer import credential
    from watchword.enforcer.doctor.contact import Trust
    from watchword.enforcer.doctor.findings import Finding
    from watchword.enforcer.doctor.reachability import explore
    from watchword.enforcer.errors import EnforcerError
    from watchword.enforcer.settings import install_token
    from watchword.identity.tokens import InstallToken, TokenError

    url, authority, expected = settings.console, b"", ""
    try:
        if (known := credential.load(settings.data)) is not None:
            url, authority = url or known.enrolled.console_url, known.enrolled.authority
        elif settings.install_token_file not in ("", "-"):
            token = InstallToken.decode(install_token(settings).reveal())
            url, expected = url or token.url, token.ca_sha256.lower()
    except (EnforcerError, TokenError) as error:
        remedy = "run doctor as the user the Enforcer runs as, with a token that is whole"
        return [Finding("connectivity", "enrolment", "fail", str(error), remedy)], []
    if not url:
        why = "no Console is known here; give --url, --settings or --install-token-file"
        return [Finding("connectivity", "Console", "skip", why)], []
    return explore(url, settings.proxy, Trust(authority, settings.trusted_ca), expected=expected, also=also)


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
