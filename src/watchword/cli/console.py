"""``watchword console``: run a Console on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from watchword.cli.failure import ExitCode, Failure
from watchword.cli.options import Json

if TYPE_CHECKING:
    from watchword.console.settings import FirstStart, Ready

app = typer.Typer(no_args_is_help=True, help="Run a Console on this machine.")

Listen = Annotated[
    list[str] | None,
    typer.Option("--listen", metavar="ADDRESS:PORT", help="Where to listen; may be repeated. [::]:7443 for IPv6."),
]
Names = Annotated[
    list[str] | None,
    typer.Option(
        "--name",
        metavar="NAME",
        help="Name or address in its certificate; may be repeated. The first is what tokens say.",
    ),
]


@app.command("start")
def start(
    data_dir: Annotated[Path, typer.Option("--data-dir", metavar="DIRECTORY", help="Everything it keeps.")] = Path(
        "/var/lib/watchword-console"
    ),
    listen: Listen = None,
    name: Names = None,
    url: Annotated[
        str,
        typer.Option(
            "--url", metavar="URL", help="What install tokens say, if not the first name.", show_default=False
        ),
    ] = "",
    profile: Annotated[
        str,
        typer.Option(
            "--profile",
            metavar="NAME",
            help="At the first start, add the administrator as this profile.",
            show_default=False,
        ),
    ] = "",
    credential_file: Annotated[
        Path | None,
        typer.Option(
            "--credential-file",
            metavar="FILE",
            help="At the first start, write the credential there (mode 0600) and do not show it.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Run a Console until Ctrl-C. Its first start prints the administrator's credential, once.

    Another database than the SQLite file in the data directory is named by WATCHWORD_DATABASE_URL, because such
    an address holds a password. With --json, the events first-start and ready are one line each.
    """
    import asyncio
    import contextlib
    import os

    try:
        from watchword.console import logs
        from watchword.console.server import serve
        from watchword.console.settings import Settings, SettingsError
    except ModuleNotFoundError as error:
        raise Failure(
            f"the Console is not installed here ({error.name} is missing)",
            "pip install 'watchword[console,cli]'",
            ExitCode.USAGE,
        ) from None

    settings = Settings(
        data_dir=data_dir,
        listen=tuple(listen or _everywhere()),
        names=tuple(name or ()),
        url=url,
        database_url=os.environ.pop("WATCHWORD_DATABASE_URL", ""),
    )

    def on_first_start(event: FirstStart) -> None:
        _keep(event, profile, credential_file, as_json=json)

    def on_ready(event: Ready) -> None:
        _ready(event, as_json=json)

    logs.configure(json=json)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve(settings, on_first_start=on_first_start, on_ready=on_ready))
    except SettingsError as error:
        raise Failure(str(error), code=ExitCode.USAGE) from None
    except OSError as error:
        raise Failure(
            f"the Console cannot start: {error}", "another one may be running here; see --listen and --data-dir"
        ) from None


def _everywhere() -> tuple[str, ...]:
    """Every address of this host, of the families it has."""
    return ("0.0.0.0:7443", "[::]:7443") if Path("/proc/net/if_inet6").exists() else ("0.0.0.0:7443",)


def _keep(event: FirstStart, profile: str, file: Path | None, *, as_json: bool) -> None:
    """Hand the administrator's credential to whom the command line says; show it only if to nobody."""
    from watchword.cli import output
    from watchword.cli.profiles import Profile, default_path, load, save, write_private

    kept = []
    if profile:
        path = default_path()
        save(path, load(path).with_profile(Profile(profile, event.url, event.ca_pem, event.credential), activate=True))
        kept.append(f"profile {profile} in {path}")
    if file:
        write_private(file, event.credential + "\n")
        kept.append(str(file))
    if as_json:
        shown = {"event": "first-start", "url": event.url, "console": event.console_id, "ca_sha256": event.ca_sha256}
        output.json_line({**shown, "kept": kept} if kept else {**shown, "credential": event.credential})
        return
    output.say(
        f"First start. The administrator's credential is in {' and '.join(kept)}."
        if kept
        else "First start. The administrator's credential, shown only now:"
    )
    if not kept:
        output.say(event.credential, style="bold")


def _ready(event: Ready, *, as_json: bool) -> None:
    from watchword.cli import output

    if as_json:
        output.json_line(
            {"event": "ready", "url": event.url, "addresses": event.addresses, "ca_sha256": event.ca_sha256}
        )
    else:
        output.say(f"Console at {event.url} (listening on {', '.join(event.addresses)}); Ctrl-C stops it")


@app.command("unit")
def unit(listen: Listen = None, name: Names = None) -> None:
    """Print a systemd unit for this installation, with these options."""
    from watchword.cli.systemd import console_unit

    pairs = [("--listen", each) for each in listen or ()] + [("--name", each) for each in name or ()]
    print(console_unit(" ".join(f"{option} {value}" for option, value in pairs)), end="")
