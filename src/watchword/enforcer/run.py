"""``watchword run`` and ``watchword enforcer status|uninstall``, the asking side of the control socket.

Runs in the command's own process: it asks the agent for a unit, moves itself into the cgroup that is
policed by then, and becomes the command. Nothing of the command runs before that.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import signal
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from watchword.enforcer.control import (
    LINE_LIMIT,
    Answer,
    AskLook,
    AskStatus,
    Capture,
    PingFrom,
    Refusal,
    Report,
    Request,
    StartUnit,
    Uninstall,
    UnitReady,
    decode_answer,
    encode,
)
from watchword.enforcer.errors import UNDECODABLE, EnforcerError, UnitError
from watchword.enforcer.settings import Settings, UnitType

_TIMEOUT = 60.0


def start_as_unit(
    socket_path: str | os.PathLike[str],
    name: str,
    tags: Sequence[str],
    argv: Sequence[str],
    *,
    type: UnitType = "Process",
) -> NoReturn:
    """Become ``argv`` as the processing unit ``name`` (empty: made up from the command) with ``tags``.

    Returns only by raising: :class:`UnitError` when the agent refused, :class:`OSError` when the command
    cannot be executed.
    """
    if not argv:
        raise UnitError("there is no command to run; write it after --")
    if shutil.which(argv[0]) is None:
        raise FileNotFoundError(errno.ENOENT, "there is no such command", argv[0])
    name = name or f"{Path(argv[0]).name}-{secrets.token_hex(3)}"
    with _connected(Path(socket_path)) as connection:  # closed by the execution of the command
        answer = _ask(connection, StartUnit(name, tuple(tags), type))
        if not isinstance(answer, UnitReady):
            raise UnitError("the Enforcer's answer is not understood; is it of another version?")
        Path(answer.cgroup, "cgroup.procs").write_text("0")
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and the command would inherit that
        os.execvp(argv[0], list(argv))  # noqa: S606 - running what the user says is the purpose


def status(settings: Settings) -> dict[str, Any]:
    """Facts about the running agent. Raises :class:`EnforcerError` when none answers."""
    return _facts(settings.socket_path, AskStatus())


def look(settings: Settings) -> dict[str, Any]:
    """Let the running agent bring the kernel's tables up to date; what it counts itself."""
    return _facts(settings.socket_path, AskLook())


def ping(
    settings: Settings, unit: str, protocol: int, address: str, port: int, patience: float, *, complete: bool
) -> dict[str, Any]:
    """Let the running agent call as one of its units, by its Console ID."""
    return _facts(settings.socket_path, PingFrom(unit, protocol, address, port, patience, not complete))


@contextlib.contextmanager
def capturing(settings: Settings) -> Iterator[socket.socket]:
    """Be allowed to put programs in place of the agent's. The socket becomes readable when the agent is gone.

    Afterwards the agent's own are back, unless it has died. Raises :class:`EnforcerError` when it does not allow it.
    """
    with _connected(settings.socket_path) as connection:
        _ask(connection, Capture())
        yield connection
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)  # its end: they are back


def ask_uninstall(settings: Settings) -> dict[str, Any]:
    """Let the running agent remove everything; says what it removed."""
    return _facts(settings.socket_path, Uninstall())


def is_running(settings: Settings) -> bool:
    """Whether an agent answers."""
    try:
        _connected(settings.socket_path).close()
    except EnforcerError:
        return False
    return True


def _facts(path: Path, request: Request) -> dict[str, Any]:
    with _connected(path) as connection:
        answer = _ask(connection, request)
    if not isinstance(answer, Report):
        raise EnforcerError("the Enforcer's answer is not understood; is it of another version?")
    return answer.facts


def _connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    connection.settimeout(_TIMEOUT)
    try:
        connection.connect(str(path))
    except PermissionError:
        connection.close()
        raise EnforcerError(f"{path} is for root only; use sudo") from None
    except OSError as error:
        connection.close()
        raise EnforcerError(f"no Enforcer answers at {path} ({error.strerror}); start one, or check run_dir") from None
    return connection


def _ask(connection: socket.socket, request: Request) -> Answer:
    try:
        connection.sendall(encode(request) + b"\n")
        received = bytearray()
        while not received.endswith(b"\n") and len(received) <= LINE_LIMIT * 16:
            chunk = connection.recv(65536)
            if not chunk:
                break
            received += chunk
    except OSError as error:
        raise EnforcerError(f"the Enforcer did not answer: {error}") from None
    try:
        answer: Answer = decode_answer(bytes(received))
    except UNDECODABLE:
        raise EnforcerError("the Enforcer ended the connection without an answer; see its log") from None
    if isinstance(answer, Refusal):
        raise UnitError(answer.reason) if isinstance(request, StartUnit) else EnforcerError(answer.reason)
    return answer
