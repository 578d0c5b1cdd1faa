"""Run inside a simulated host: one attempt of a unit, or one look for a handshake, each told as a line of JSON.

``attempt`` holds its connection until its standard input ends, as the agent does while the other end is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from testbed.host import Host
from testbed.process import command_inside
from watchword.enforcer.attempt import Attempted, Call, attempt
from watchword.enforcer.datapath.ebpf.handshakes import Handshake, Handshakes, give_up


async def _attempt(call: Call, pins: Path) -> None:
    async with attempt(call, pins) as made:
        print(json.dumps(msgspec.to_builtins(made)), flush=True)
        await asyncio.to_thread(sys.stdin.read)


def _sight(pins: Path, nonce: int, ending: bool) -> None:
    with Handshakes(pins) as records:
        found = records.announced(nonce)
    ended = bool(found and ending and give_up(found))
    print(json.dumps([msgspec.to_builtins(found), ended]))


def _here(command: str, pins: str, what: str) -> None:
    if command == "attempt":
        asyncio.run(_attempt(msgspec.json.decode(what, type=Call), Path(pins)))
    else:
        nonce, ending = json.loads(what)
        _sight(Path(pins), nonce, ending)


# --- from outside -----------------------------------------------------------------------------------

_COMMAND = [sys.executable, "-m", "tests.datapath.pinging"]
_SOURCE = Path(__file__).parents[2]


@contextlib.contextmanager
def attempted(host: Host, call: Call) -> Iterator[Attempted]:
    """What an attempt of a unit of ``host`` comes to; it stands for the body of the ``with``."""
    what = msgspec.json.encode(call).decode()
    inside = command_inside(
        host.net, host.subgroup("agent"), [*_COMMAND, "attempt", str(host.pins / "watchword"), what]
    )
    with subprocess.Popen(inside, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=_SOURCE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the attempt ended without an outcome"
        yield msgspec.json.decode(line, type=Attempted)
    assert process.returncode == 0


def sighted(host: Host, nonce: int, ending: bool = False) -> tuple[Handshake | None, bool]:
    """What ``host`` knows of the handshake with this nonce; with ``ending`` it is given up, if it was there."""
    what = json.dumps([nonce, ending])
    done = host.run([*_COMMAND, "sight", str(host.pins / "watchword"), what], cgroup="agent", cwd=_SOURCE)
    return msgspec.json.decode(done.stdout, type=tuple[Handshake | None, bool])


if __name__ == "__main__":
    _here(*sys.argv[1:])
