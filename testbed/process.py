"""Processes of a simulated host: started inside its network namespace and its cgroup.

A small shell line moves itself into the cgroup and then becomes the program, so the PID is the
program's own and its first packet already leaves from the right place. No ``preexec_fn``: it is
unsafe in a process that has threads.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from testbed import namespace

_MOVE = 'echo 0 > "$1/cgroup.procs" || exit 125; shift; '
_BECOME = _MOVE + 'exec "$@"'
# Standard input is the writing end of a pipe at first: so the owner hears of the move, and nothing of
# the pipe remains open in the program.
_TELL_AND_BECOME = _MOVE + 'echo moved >&0; exec "$@" < /dev/null'


def command_inside(
    net: str, group: Path, command: Sequence[str], user: str | None = None, script: str = _BECOME
) -> list[str]:
    """The command line that runs ``command`` in namespace ``net`` and cgroup ``group``."""
    become = ["setpriv", "--reuid", user, "--regid", user, "--init-groups", "--"] if user else []
    enter = ["nsenter", f"--net={namespace.NAMED / net}", "--"]
    return [*enter, "/bin/sh", "-c", script, "sh", str(group), *become, *command]


class Process:
    """One running program of a host. Its output goes to ``log``."""

    def __init__(
        self,
        net: str,
        group: Path,
        command: Sequence[str],
        *,
        log: Path,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.command = list(command)
        self.log = log
        self.group = group
        log.parent.mkdir(parents=True, exist_ok=True)
        heard, told = os.pipe()
        try:
            with log.open("ab") as output:
                self._popen = subprocess.Popen(
                    command_inside(net, group, command, user, _TELL_AND_BECOME),
                    stdin=told,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **env} if env else None,
                    cwd=cwd,
                    start_new_session=True,  # Ctrl-C is for the owner, which then cleans up in order
                )
        finally:
            os.close(told)
        with os.fdopen(heard, "rb") as answer:
            if not answer.readline():
                self._popen.wait()
                raise RuntimeError(f"{self.command} could not enter {net} and {group}: {self.output()}")

    @property
    def pid(self) -> int:
        """PID of the program itself."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """Exit status (negative: signal), None while it runs."""
        return self._popen.poll()

    def running(self) -> bool:
        """Whether it still runs."""
        return self.returncode is None

    def output(self) -> str:
        """What it has written so far, both streams."""
        return self.log.read_text(errors="replace")

    def wait(self, timeout: float = 60.0) -> int:
        """Wait for its end; returns the exit status."""
        return self._popen.wait(timeout)

    def signal(self, number: signal.Signals) -> None:
        """Send one signal."""
        self._popen.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, then reap."""
        self._popen.kill()
        self._popen.wait()

    def stop(self, grace: float = 10.0) -> int:
        """SIGTERM, SIGKILL if it has not ended after ``grace`` seconds; returns the exit status."""
        if self.running():
            self._popen.terminate()
            try:
                self._popen.wait(grace)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._popen.wait()

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
