"""``watchword profile``: add, list, choose and remove the profiles of this user."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from watchword.cli.failure import ExitCode, Failure
from watchword.cli.options import Json
from watchword.cli.profiles import Profile, Profiles, default_path, load, save

app = typer.Typer(no_args_is_help=True, help="Which Console to talk to, and as whom.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the profile.")]


@app.command("add")
def add(
    name: Name,
    url: Annotated[str, typer.Option("--url", metavar="URL", help="Such as https://console.example.com:7443.")],
    ca: Annotated[Path, typer.Option("--ca", metavar="FILE", help="The Console's CA certificate (ca.pem).")],
    credential_file: Annotated[
        str,
        typer.Option(
            "--credential-file",
            metavar="FILE",
            help="File with the credential; - is standard input.",
            show_default=False,
        ),
    ] = "",
    namespace: Annotated[str, typer.Option("--namespace", "-n", metavar="PATH", help="Namespace it works in.")] = "/",
    use: Annotated[bool, typer.Option("--use/--keep", help="Make it the active profile.")] = True,
    json: Json = False,
) -> None:
    """Add a profile, or replace one.

    The credential comes from --credential-file, else from WATCHWORD_CREDENTIAL, else it is asked for without being
    shown. It is never an argument: other users of this machine can see those.
    """
    from watchword.cli import output

    try:
        certificate = ca.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"--ca: cannot read {ca}: {error}", "give the Console's ca.pem", ExitCode.USAGE) from None
    profile = Profile(name, url, certificate, _credential(credential_file), namespace)
    path = default_path()
    save(path, load(path).with_profile(profile, activate=use))
    if json:
        output.json_document({"added": name, "file": str(path)})
    else:
        output.say(f"profile {name} is in {path}" + (" and active" if use else ""))


def _credential(file: str) -> str:
    from watchword.identity.tokens import Credential, TokenError

    text = _credential_text(file).strip()
    try:
        Credential.decode(text)
    except TokenError as error:
        raise Failure(str(error), "copy it as the Console printed it", ExitCode.USAGE) from None
    return text


def _credential_text(file: str) -> str:
    if file == "-":
        return sys.stdin.readline()
    if file:
        try:
            return Path(file).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise Failure(f"--credential-file: cannot read {file}: {error}", "check the path", ExitCode.USAGE) from None
    if text := os.environ.get("WATCHWORD_CREDENTIAL"):
        return text
    if sys.stdin.isatty():
        import getpass

        return getpass.getpass("Credential (not shown): ")
    raise Failure("no credential was given", "use --credential-file FILE, or - and standard input", ExitCode.USAGE)


@app.command("list")
def list_profiles(json: Json = False) -> None:
    """List the profiles. Credentials are not shown."""
    from watchword.cli import output

    profiles = load(default_path())
    rows = [
        (name == profiles.active, name, each.url, each.namespace) for name, each in sorted(profiles.profiles.items())
    ]
    if json:
        output.json_document([dict(zip(("active", "name", "url", "namespace"), row, strict=True)) for row in rows])
    else:
        output.table(["", "profile", "console", "namespace"], [("*" if row[0] else "", *row[1:]) for row in rows])


@app.command("use")
def use(name: Name, json: Json = False) -> None:
    """Make a profile the active one."""
    from watchword.cli import output

    path = default_path()
    save(path, load(path).with_active(name))
    if json:
        output.json_document({"active": name})
    else:
        output.say(f"{name} is active")


@app.command("remove")
def remove(name: Name, json: Json = False) -> None:
    """Forget a profile and its credential. The credential itself stays valid at the Console."""
    from watchword.cli import output

    path = default_path()
    profiles = load(path)
    profiles.chosen(name)
    rest = {key: each for key, each in profiles.profiles.items() if key != name}
    save(path, Profiles("" if profiles.active == name else profiles.active, rest))
    if json:
        output.json_document({"removed": name})
    else:
        output.say(f"{name} is removed")
