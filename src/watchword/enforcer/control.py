"""The agent's Unix socket: how ``watchword run``, ``watchword enforcer`` and ``watchword capture`` talk to it.

One request and one answer to a connection, each a line of JSON; for ``run`` the connection stays open
until the command has started, for a capture as long as it goes on, so that the agent notices a client
that is gone. Only root (and the agent's own user) may ask: the socket has mode 0600, and the kernel's
word about the peer is checked besides, because a file's mode is easily changed by mistake.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from pathlib import Path
from typing import Any, Protocol

import msgspec

from watchword.enforcer.datapath.base import DatapathError
from watchword.enforcer.errors import UNDECODABLE, EnforcerError
from watchword.enforcer.settings import UnitType

_log = logging.getLogger(__name__)

#: The longest request, in bytes.
LINE_LIMIT = 256 << 10
_REQUEST_TIMEOUT = 10.0


class StartUnit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="request", tag="start-unit"):
    """Make a unit, ready for a process to move in."""

    name: str
    tags: tuple[str, ...]
    type: UnitType = "Process"


class AskStatus(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="request", tag="status"):
    """How is the agent?"""


class AskLook(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="request", tag="look"):
    """Bring what the kernel's tables say of live connections up to date."""


class Capture(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="request", tag="capture"):
    """Let somebody put programs with a witness in place of the agent's, until this connection ends."""


class PingFrom(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="request", tag="ping"):
    """Call an address as one of this host's units, by its Console ID; ``patience`` is in seconds."""

    unit: str
    protocol: int
    address: str
    port: int
    patience: float
    quiet: bool


class Uninstall(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="request", tag="uninstall"):
    """Remove everything and stop."""


class UnitReady(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="answer", tag="unit-ready"):
    """The unit's cgroup is policed: move in."""

    native_id: str
    cgroup: str


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="answer", tag="report"):
    """Free-form facts for people and programs."""

    facts: dict[str, Any]


class Refusal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="answer", tag="refusal"):
    """It was not done, and why."""

    reason: str


Request = StartUnit | AskStatus | AskLook | Capture | PingFrom | Uninstall
Answer = UnitReady | Report | Refusal

decode_request = msgspec.json.Decoder(Request).decode
decode_answer = msgspec.json.Decoder(Answer).decode
encode = msgspec.json.encode


class Owner(Protocol):
    """What the socket asks of the agent."""

    async def start_unit(self, request: StartUnit) -> UnitReady:
        """Make a unit; raises :class:`EnforcerError`."""

    def unit_abandoned(self, native_id: str) -> None:
        """The client of a ``start_unit`` is gone; if nothing moved in, nothing will."""

    def status(self) -> dict[str, Any]:
        """Facts about the agent."""

    def look(self) -> dict[str, Any]:
        """Look at all connections now; what only the agent counts."""

    async def ping(self, request: PingFrom) -> dict[str, Any]:
        """Call as a unit; raises :class:`EnforcerError` if that cannot be tried."""

    def begin_capture(self) -> dict[str, Any]:
        """Somebody is about to capture; raises :class:`EnforcerError` if somebody else does."""

    def end_capture(self) -> None:
        """The capture is over, however it ended."""

    async def remove_everything(self) -> dict[str, Any]:
        """Uninstall; the agent stops afterwards."""


class ControlSocket:
    """The listening socket."""

    def __init__(self, path: Path, owner: Owner) -> None:
        self._path = path
        self._owner = owner
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen. A socket left by an agent that was killed is replaced; a living agent's is not."""
        self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        if self._path.exists():
            if _answers(self._path):
                raise EnforcerError(f"another Enforcer answers at {self._path}; stop it or choose another run_dir")
            self._path.unlink()
        mask = os.umask(0o177)  # from its first moment the socket is 0600
        try:
            self._server = await asyncio.start_unix_server(self._serve, self._path, limit=LINE_LIMIT)
        finally:
            os.umask(mask)

    async def close(self, *, forget: bool = False) -> None:
        """Stop listening and remove the socket; ``forget`` its directory too, if nothing else is in it."""
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)
            self._server = None
        if forget:
            with contextlib.suppress(OSError):
                self._path.parent.rmdir()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._converse(reader, writer)
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            _log.info("a client of the control socket was given up: %s", error or type(error).__name__)
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        user = _peer_user(writer.get_extra_info("socket"))
        if user not in (0, os.geteuid()):
            _log.warning("user %d tried to use the control socket", user)
            await _answer(writer, Refusal("only root may ask this"))
            return
        async with asyncio.timeout(_REQUEST_TIMEOUT):
            line = await reader.readline()
        if not line:
            return  # somebody looked whether an agent is there
        try:
            request = decode_request(line)
        except UNDECODABLE as error:
            await _answer(writer, Refusal(f"the request is not understood: {error}"))
            return
        try:
            answer = await self._do(request)
        except (EnforcerError, DatapathError) as error:
            await _answer(writer, Refusal(str(error)))
            return
        try:
            await _answer(writer, answer)
            if isinstance(request, StartUnit | Capture):
                await reader.read()  # until the command runs or the capture ends, or the client is gone
        finally:
            if isinstance(answer, UnitReady):
                self._owner.unit_abandoned(answer.native_id)
            elif isinstance(request, Capture):
                self._owner.end_capture()

    async def _do(self, request: Request) -> Answer:
        match request:
            case StartUnit():
                return await self._owner.start_unit(request)
            case AskStatus():
                return Report(self._owner.status())
            case AskLook():
                return Report(self._owner.look())
            case Capture():
                return Report(self._owner.begin_capture())
            case PingFrom():
                return Report(await self._owner.ping(request))
            case Uninstall():
                return Report(await self._owner.remove_everything())


async def _answer(writer: asyncio.StreamWriter, answer: Answer) -> None:
    writer.write(encode(answer) + b"\n")
    await writer.drain()


def _peer_user(connection: socket.socket) -> int:
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _process, user, _group = struct.unpack("3i", credentials)
    return int(user)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
