"""``python -m watchword.enforcer``: the agent alone, without the command line's libraries in memory.

Exit status: 0 after an orderly stop, 1 after a failure that starting anew may cure, 2 for settings and
credentials that somebody has to correct first.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys

from watchword.enforcer import kernel, logs
from watchword.enforcer.agent import Agent
from watchword.enforcer.datapath.base import DatapathError
from watchword.enforcer.errors import CredentialError, EnforcerError, EnrolmentError, SettingsError
from watchword.enforcer.settings import load

_log = logging.getLogger("watchword.enforcer")


def main(arguments: list[str] | None = None) -> int:
    """Run the agent until it is told to stop."""
    parser = argparse.ArgumentParser(prog="watchword-enforcer", description="The Watchword Enforcer's agent.")
    parser.add_argument("--settings", help="TOML file with the settings")
    parser.add_argument("--console", help="address of the Console, if not the one in the install token")
    parser.add_argument("--name", help="name of this host at the Console")
    parser.add_argument("--install-token-file", help="file with an install token (mode 0600), - for standard input")
    parser.add_argument("--data-dir", help="directory of keys, credential and policy")
    parser.add_argument("--run-dir", help="directory of the control socket")
    parser.add_argument("--pin-dir", help="directory of the pinned kernel objects, on a bpffs")
    parser.add_argument("--cgroup-root", help="cgroup v2 directory to police")
    parser.add_argument("--log-json", action="store_true", help="log for programs")
    given = vars(parser.parse_args(arguments))
    path, json = given.pop("settings"), given.pop("log_json")
    logs.configure(json=json)
    try:
        asyncio.run(Agent(load(path, given), kernel.datapath).run())
    except (SettingsError, CredentialError, EnrolmentError) as error:
        _log.error("%s", error)
        return 2
    except (EnforcerError, DatapathError) as error:
        _log.error("%s", error)
        return 1
    except ExceptionGroup as group:
        foreseen = group.subgroup((EnforcerError, DatapathError))
        _log.error(
            "%s", foreseen.exceptions[0] if foreseen else "the agent failed", exc_info=None if foreseen else group
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
