"""``watchword enforcer start``: the process of the agent itself.

It has a parser of its own and bypasses Typer: this process runs for months on every host, and what a
command-line framework loads would stay in its memory.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from watchword.cli.failure import Failure

if TYPE_CHECKING:
    from watchword.enforcer.datapath.base import Datapath
    from watchword.enforcer.settings import Settings

#: Option to setting; all override the settings file.
_OPTIONS = {
    "--console": ("console", "URL", "the Console, if not the one the install token names"),
    "--name": ("name", "NAME", "name of this Enforcer and its host unit (default: the host's)"),
    "--install-token-file": (
        "install_token_file",
        "FILE",
        "file (mode 0600) with an install token; - is standard input",
    ),
    "--data-dir": ("data_dir", "DIRECTORY", "keys, credential and policy"),
    "--run-dir": ("run_dir", "DIRECTORY", "where its control socket is"),
    "--pin-dir": ("pin_dir", "DIRECTORY", "where its kernel objects are pinned, on a bpf filesystem"),
    "--cgroup-root": ("cgroup_root", "DIRECTORY", "police only what is below this cgroup (default: the whole host)"),
    "--proxy": ("proxy", "URL", "HTTP CONNECT proxy; none for no proxy"),
    "--trusted-ca": ("trusted_ca", "FILE", "further CA to accept, of a proxy that inspects TLS"),
}


def parser() -> argparse.ArgumentParser:
    """The options of ``enforcer start``."""
    options = argparse.ArgumentParser(
        prog="watchword enforcer start",
        description="Protect this host: enrol if that has not been done, then enforce the Console's policy until "
        "stopped. Stopping it changes nothing in the kernel; see `watchword enforcer uninstall`. The first start "
        "needs an install token: from --install-token-file, or from WATCHWORD_INSTALL_TOKEN.",
        epilog="Settings are read from /etc/watchword/enforcer.toml if it exists; options override it. "
        "Exit codes: 0 stopped orderly, 1 failed, 2 wrong options or settings.",
        allow_abbrev=False,
    )
    options.add_argument("--settings", default="", metavar="FILE", help="settings, if not /etc/watchword/enforcer.toml")
    for option, (field, metavar, text) in _OPTIONS.items():
        options.add_argument(option, dest=field, metavar=metavar, help=text)
    options.add_argument(
        "--tag", action="append", dest="tags", metavar="KEY=VALUE", help="a tag of the host unit; may be repeated"
    )
    options.add_argument("--json", action="store_true", help="log as JSON, one object a line")
    options.add_argument("--verbose", action="store_true", help="log more")
    return options


def main(arguments: Sequence[str]) -> None:
    """Run the agent until it is stopped. Raises :class:`Failure`."""
    import asyncio
    import logging

    from watchword.cli import agent_cgroup
    from watchword.cli.enforcer_settings import located
    from watchword.enforcer import logs, memory
    from watchword.enforcer.agent import Agent
    from watchword.enforcer.datapath.base import DatapathError
    from watchword.enforcer.errors import EnforcerError

    memory.keep_large_apart()
    given = vars(parser().parse_args(arguments))
    file, as_json, verbose = (given.pop(name) for name in ("settings", "json", "verbose"))
    settings = located(file, given)
    logs.configure(json=as_json, level=logging.DEBUG if verbose else logging.INFO)
    try:
        with agent_cgroup.entered(settings):
            asyncio.run(Agent(settings, datapath).run())
    except (EnforcerError, DatapathError) as error:
        raise Failure(str(error)) from None


def datapath(settings: Settings) -> Datapath:
    """The kernel datapath of this host."""
    from watchword.cli import agent_cgroup
    from watchword.enforcer import cgroups
    from watchword.enforcer.datapath.ebpf.datapath import EbpfDatapath

    root = cgroups.checked_root(settings.cgroup_root)
    return EbpfDatapath(root, Path(settings.pin_dir), agent_cgroup.own(root), settings.table_sizes)
