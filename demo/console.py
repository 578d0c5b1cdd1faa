"""The Console on its simulated host, and how this machine's terminals reach it."""

from __future__ import annotations

import re
from pathlib import Path

from demo.operator import WATCHWORD, await_that
from demo.relay import Relay
from testbed import Host, Process

_PORT = 7443


class Console:
    """``watchword console start`` on a host, with its own data directory, and a relay to it."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._made = host.directory / "first-profiles.toml"
        self.profiles = host.directory / "profiles.toml"
        command = [WATCHWORD, "console", "start", "--data-dir", str(host.directory / "data")]
        command += ["--listen", f"{host.ipv4}:{_PORT}", "--name", host.ipv4, "--name", "127.0.0.1"]
        command += ["--profile", "demo"]
        self.process: Process = host.start(command, env={"WATCHWORD_PROFILES": str(self._made)})
        self.relay = Relay(host, host.ipv4, _PORT)
        self._await_first_start()
        self._write_profiles()

    @property
    def url(self) -> str:
        """Its address for terminals of this machine."""
        return f"https://127.0.0.1:{self.relay.port}"

    def close(self) -> None:
        """Stop relaying; the process ends with its host."""
        self.relay.close()

    def _await_first_start(self) -> None:
        def ready() -> bool:
            if not self.process.running():
                raise RuntimeError(f"the Console failed: {self.process.output()}")
            return self._made.exists() and "Console at" in self.process.output()

        if not await_that(ready, 60):
            raise RuntimeError(f"the Console does not get ready: {self.process.output()}")

    def _write_profiles(self) -> None:
        """The administrator's profile, with the relay's address in place of the Console's own."""
        text, count = re.subn(r'(?m)^url = ".*"$', f'url = "{self.url}"', self._made.read_text())
        if count != 1:
            raise RuntimeError(f"{self._made} does not hold one profile")
        _write_private(self.profiles, text)
        self._made.unlink()


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
