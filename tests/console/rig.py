"""A real Console on loopback, and an Enforcer that speaks the protocol with real keys and no datapath."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2
from websockets.asyncio.client import ClientConnection, connect

from watchword.console.server import serve
from watchword.console.settings import FirstStart, Ready, Settings
from watchword.identity.keys import DatapathPrivateKey, SigningKey
from watchword.identity.signatures import sign_datapath_key, sign_enrolment, sign_hello, verify_revision
from watchword.identity.tokens import InstallToken
from watchword.wire import messages
from watchword.wire.policy import PolicyDocument, digest, patched

M = TypeVar("M")


@dataclass
class Running:
    """A Console that is up."""

    ready: Ready
    first: FirstStart | None
    data_dir: Path
    credential: str

    @property
    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.ready.ca_pem)

    def client(self, credential: str | None = None, namespace: str = "/") -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {credential or self.credential}", "X-Namespace": namespace}
        return httpx2.AsyncClient(base_url=self.ready.url, verify=self.tls, headers=headers, timeout=70)

    @property
    def stream_url(self) -> str:
        return self.ready.url.replace("https://", "wss://") + "/v1/stream"


@contextlib.asynccontextmanager
async def running(data_dir: Path, credential: str = "", **settings: Any) -> AsyncIterator[Running]:
    """Serve a Console from ``data_dir`` until the block ends."""
    firsts: list[FirstStart] = []
    ready: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
    asked = Settings(data_dir=data_dir, listen=("127.0.0.1:0",), names=("127.0.0.1",), **settings)
    serving = asyncio.create_task(serve(asked, firsts.append, ready.set_result, signals=False))
    waiting: list[asyncio.Future[Any]] = [serving, ready]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        ready.cancel()
        await serving
    try:
        first = firsts[0] if firsts else None
        assert len(firsts) <= 1
        yield Running(ready.result(), first, data_dir, first.credential if first else credential)
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


@dataclass
class Host:
    """An enrolled host: its keys and what the Console told it."""

    console: Running
    key: SigningKey
    datapath: DatapathPrivateKey
    enforcer_id: str
    name: str
    console_id: str
    console_key: bytes
    answer: dict[str, Any]


async def new_token(console: Running, namespace: str = "/", **fields: Any) -> str:
    async with console.client(namespace=namespace) as client:
        answer = await client.post("/v1/tokens", json={"name": f"token-{secrets.token_hex(4)}", **fields})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["token"])


def enrolment(token: str, key: SigningKey, name: str) -> dict[str, str]:
    return {
        "token": token,
        "publicKey": base64.b64encode(key.public).decode(),
        "proof": base64.b64encode(sign_enrolment(key, InstallToken.decode(token).id)).decode(),
        "name": name,
        "FQDN": f"{name}.example.com",
        "machineID": "m-1",
    }


async def enrol(console: Running, name: str, namespace: str = "/") -> Host:
    token = await new_token(console, namespace)
    key = SigningKey.generate(secrets.token_bytes)
    async with httpx2.AsyncClient(base_url=console.ready.url, verify=console.tls) as client:
        answer = await client.post("/v1/enrolments", json=enrolment(token, key, name))
    assert answer.status_code == 201, answer.text
    told = answer.json()
    return Host(
        console=console,
        key=key,
        datapath=DatapathPrivateKey.generate(1, secrets.token_bytes),
        enforcer_id=told["enforcerID"],
        name=told["name"],
        console_id=told["consoleID"],
        console_key=base64.b64decode(told["consolePublicKey"]),
        answer=told,
    )


class Peer:
    """One session of a host. Verifies everything that the Console sends."""

    def __init__(self, host: Host, document: PolicyDocument | None = None) -> None:
        self.host = host
        self.document = document
        self.snapshots = 0
        self.deltas = 0
        self.acknowledge = True
        self.welcome: messages.Welcome | None = None
        self.socket: ClientConnection = None  # type: ignore[assignment]
        self._others: list[messages.ToEnforcer] = []

    async def __aenter__(self) -> Self:
        await self.open()
        await self.greet()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.socket.close()

    async def open(self) -> messages.Challenge:
        console = self.host.console
        self.socket = await connect(console.stream_url, ssl=console.tls, max_size=messages.FRAME_LIMIT)
        challenge = await self.receive()
        assert isinstance(challenge, messages.Challenge)
        self.challenge = challenge
        return challenge

    def hello(self, **changes: Any) -> messages.Hello:
        host = self.host
        fields: dict[str, Any] = {
            "protocol": messages.PROTOCOL_VERSION,
            "enforcer": host.enforcer_id,
            "signature": sign_hello(host.key, self.challenge.console, self.challenge.nonce),
            "version": "0.1.0",
            "datapath": "ebpf",
            "kernel": "6.18",
            "keys": (sign_datapath_key(host.key, host.enforcer_id, 1, host.datapath.public),),
        }
        if self.document is not None:
            fields |= {"revision": self.document.revision, "digest": digest(self.document)}
        return messages.Hello(**{**fields, **changes})

    async def greet(self, **changes: Any) -> messages.Welcome:
        await self.send(self.hello(**changes))
        welcome = await self.receive()
        assert isinstance(welcome, messages.Welcome), welcome
        self.welcome = welcome
        return welcome

    async def send(self, message: messages.ToConsole) -> None:
        await self.socket.send(messages.encode(message))

    async def receive(self, seconds: float = 10) -> messages.ToEnforcer:
        async with asyncio.timeout(seconds):
            frame = await self.socket.recv()
        assert isinstance(frame, bytes)
        return messages.decode_to_enforcer(frame)  # type: ignore[no-any-return]

    async def policy(self, seconds: float = 10) -> PolicyDocument:
        """Take the next document, snapshot or delta; verify it; acknowledge it."""
        while True:
            message = await self.receive(seconds)
            if isinstance(message, messages.Snapshot | messages.Delta):
                return await self._take(message)
            self._others.append(message)

    async def answer(self, kind: type[M], seconds: float = 10) -> M:
        """The next message of ``kind``; policy on the way is taken in."""
        for message in self._others:
            if isinstance(message, kind):
                self._others.remove(message)
                return message
        while True:
            message = await self.receive(seconds)
            if isinstance(message, kind):
                return message
            if isinstance(message, messages.Snapshot | messages.Delta):
                await self._take(message)
            else:
                self._others.append(message)

    async def _take(self, message: messages.Snapshot | messages.Delta) -> PolicyDocument:
        if isinstance(message, messages.Snapshot):
            self.snapshots += 1
            document = message.document
        else:
            self.deltas += 1
            assert self.document is not None, "a delta without a base"
            document = patched(self.document, message.delta)
        verify_revision(
            self.host.console_key, self.host.enforcer_id, document.revision, digest(document), message.signature
        )
        self.document = document
        if self.acknowledge:
            await self.send(messages.RevisionEnforced(revision=document.revision))
        return document

    async def until(self, condition: Any, seconds: float = 10) -> PolicyDocument:
        """Take documents until one satisfies ``condition``."""
        async with asyncio.timeout(seconds):
            while self.document is None or not condition(self.document):
                await self.policy()
        return self.document

    async def register(self, *units: messages.UnitRegistration, complete: bool = False) -> messages.UnitsAccepted:
        await self.send(messages.RegisterUnits(units=units, complete=complete))
        return await self.answer(messages.UnitsAccepted)


def unit(native_id: str, *tags: str, name: str = "", **fields: Any) -> messages.UnitRegistration:
    return messages.UnitRegistration(
        native_id=native_id, type=fields.pop("type", "Process"), name=name or native_id, tags=tags, **fields
    )


def ruleset(name: str, subject: str, incoming: Sequence[str] = (), outgoing: Sequence[str] = ()) -> dict[str, Any]:
    def rules(objects: Sequence[str]) -> list[dict[str, Any]]:
        return [{"object": [[each]], "protocolPorts": ["tcp/5432"], "action": "Allow"} for each in objects]

    return {
        "name": name,
        "subject": [[subject]],
        "incomingRules": rules(incoming),
        "outgoingRules": rules(outgoing),
    }
