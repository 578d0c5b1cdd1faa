"""The connection to the Console, over real TLS on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.unit.enforcer.signing_side import CONSOLE, ENFORCER, SigningSide, document
from tests.unit.enforcer.stream_side import Talk, server_context, streaming
from watchword.enforcer import transport
from watchword.enforcer.errors import SettingsError
from watchword.enforcer.link import Backoff, Link, Route
from watchword.enforcer.session import Adopt, Command, Established, Evict, Facts, Session
from watchword.identity.keys import SigningKey
from watchword.wire import messages
from watchword.wire.policy import PolicyDocument

SIDE = SigningSide()
KEY = SigningKey.generate(secrets.token_bytes)
AUTHORITY = SIDE.enrolled(KEY).enrolled.authority


class Office:
    """Whoever owns the link: keeps what it hears."""

    def __init__(self, url: str, *, authority: bytes = AUTHORITY, proxy: str | None = None) -> None:
        self.heard: list[Command] = []
        self.held: PolicyDocument | None = None
        self.sessions_over = 0
        route = Route(url, transport.trusting(authority), proxy)
        self.link = Link(route, self._session, self._handle, self._over, Backoff(lambda: 0.0))
        self._changed = asyncio.Event()

    def _session(self) -> Session:
        return Session(Facts(ENFORCER, CONSOLE, SIDE.key.public, KEY, "1", "6.1", "ebpf", ()), self.held)

    def _handle(self, command: Command) -> None:
        self.heard.append(command)
        if isinstance(command, Adopt):
            self.held = command.signed.document
        self._changed.set()

    def _over(self) -> None:
        self.sessions_over += 1
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), 0.05)

    def kinds(self) -> list[type]:
        return [type(command) for command in self.heard]


@asynccontextmanager
async def running(office: Office) -> AsyncIterator[Office]:
    task = asyncio.create_task(office.link.run())
    try:
        yield office
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def stay(talk: Talk) -> None:
    await talk.welcome()
    await talk.connection.wait_closed()


async def test_policy_arrives_and_answers_go_back(tmp_path: Path) -> None:
    heard: list[object] = []

    async def script(talk: Talk) -> None:
        assert (await talk.welcome()).revision == 0
        signed = SIDE.sign(document(3))
        await talk.say(messages.Snapshot(signed.document, signed.signature))
        heard.append(await talk.hear())
        await talk.connection.wait_closed()

    async with streaming(server_context(SIDE, tmp_path), KEY.public, script) as url, running(Office(url)) as office:
        await office.until(lambda: office.held is not None)
        assert office.link.established
        assert office.link.submit(messages.RevisionEnforced(3))
        await office.until(lambda: bool(heard))
    assert office.kinds() == [Established, Adopt]
    assert heard == [messages.RevisionEnforced(3)]
    assert office.sessions_over == 1
    assert not office.link.established


async def test_a_lost_session_comes_back_with_what_is_held(tmp_path: Path) -> None:
    hellos: list[messages.Hello] = []

    async def first(talk: Talk) -> None:
        hellos.append(await talk.welcome())
        signed = SIDE.sign(document(3))
        await talk.say(messages.Snapshot(signed.document, signed.signature))
        await talk.connection.close(1001)

    async def second(talk: Talk) -> None:
        hellos.append(await talk.welcome())
        talk.connection.transport.abort()

    async def third(talk: Talk) -> None:
        hellos.append(await talk.welcome())
        await talk.connection.wait_closed()

    async with (
        streaming(server_context(SIDE, tmp_path), KEY.public, first, second, third) as url,
        running(Office(url)) as office,
    ):
        await office.until(lambda: office.kinds().count(Established) == 3)
    assert [hello.revision for hello in hellos] == [0, 3, 3]


async def test_a_gap_makes_it_connect_again(tmp_path: Path) -> None:
    async def gap(talk: Talk) -> None:
        await talk.welcome()
        from watchword.wire.policy import difference

        new = document(9)
        await talk.say(messages.Delta(difference(document(8), new), SIDE.sign(new).signature))
        await talk.connection.wait_closed()

    async with streaming(server_context(SIDE, tmp_path), KEY.public, gap, stay) as url, running(Office(url)) as office:
        await office.until(lambda: office.sessions_over == 1)
        assert "does not fit" in office.link.problem
        await office.until(lambda: office.kinds().count(Established) == 2)
    assert office.held is None


async def test_eviction_is_for_good(tmp_path: Path) -> None:
    async def evict(talk: Talk) -> None:
        await talk.greet()
        await talk.say(messages.Evicted("deleted by an operator"))
        await talk.connection.close(4410)

    async with streaming(server_context(SIDE, tmp_path), KEY.public, evict, stay) as url:
        office = Office(url)
        async with asyncio.timeout(60):
            await office.link.run()
    assert office.heard == [Evict("deleted by an operator")]
    assert office.link.state == "evicted"
    assert not office.link.submit(messages.BadgeQuery(1))


async def test_eviction_by_close_code_alone_is_believed(tmp_path: Path) -> None:
    async def evict(talk: Talk) -> None:
        await talk.welcome()
        await talk.connection.close(4410, "gone")

    async with streaming(server_context(SIDE, tmp_path), KEY.public, evict) as url:
        office = Office(url)
        async with asyncio.timeout(60):
            await office.link.run()
    assert office.heard[-1] == Evict("gone")


async def no_session(url: str, office: Office) -> None:
    """Nothing of a session happens, and the problem is in words."""
    async with running(office):
        await office.until(lambda: bool(office.link.problem))
        await asyncio.sleep(0.1)
    assert office.heard == []
    assert office.sessions_over == 0


async def test_an_impostor_with_a_ca_of_its_own_is_not_spoken_to(tmp_path: Path) -> None:
    greeted: list[Talk] = []

    async def trap(talk: Talk) -> None:
        greeted.append(talk)

    async with streaming(server_context(SigningSide(), tmp_path), KEY.public, trap) as url:
        office = Office(url)
        await no_session(url, office)
    assert "certificate is not accepted" in office.link.problem
    assert greeted == []


async def test_another_host_of_the_same_ca_is_not_the_console(tmp_path: Path) -> None:
    async with streaming(server_context(SIDE, tmp_path, "elsewhere.example"), KEY.public, stay) as url:
        office = Office(url)
        await no_session(url, office)
    assert "certificate is not accepted" in office.link.problem


async def test_a_frame_beyond_the_limit_ends_the_session_and_not_the_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watchword.enforcer.link.FRAME_LIMIT", 1 << 16)

    async def flood(talk: Talk) -> None:
        await talk.welcome()
        await talk.connection.send(bytes(1 << 17))
        await talk.connection.wait_closed()

    async with (
        streaming(server_context(SIDE, tmp_path), KEY.public, flood, stay) as url,
        running(Office(url)) as office,
    ):
        await office.until(lambda: office.kinds().count(Established) == 2)


async def test_a_farewell_is_heard_before_the_end(tmp_path: Path) -> None:
    heard: list[object] = []

    async def script(talk: Talk) -> None:
        await talk.welcome()
        heard.append(await talk.hear())
        await talk.connection.close(1000, "goodbye")

    async with streaming(server_context(SIDE, tmp_path), KEY.public, script) as url, running(Office(url)) as office:
        await office.until(lambda: office.link.established)
        assert await office.link.farewell(messages.Goodbye(uninstalled=True))
    assert heard == [messages.Goodbye(uninstalled=True)]


async def test_a_farewell_that_is_not_answered_takes_a_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watchword.enforcer.link._FAREWELL_TIMEOUT", 0.3)
    async with streaming(server_context(SIDE, tmp_path), KEY.public, stay) as url, running(Office(url)) as office:
        await office.until(lambda: office.link.established)
        async with asyncio.timeout(30):
            assert not await office.link.farewell(messages.Goodbye())
        await office.until(lambda: office.sessions_over == 1)


async def test_a_farewell_without_a_session_is_no_delay() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        office = Office(f"https://localhost:{closed.getsockname()[1]}")
    async with asyncio.timeout(30):
        assert not await office.link.farewell(messages.Goodbye())


# --- proxies -------------------------------------------------------------------------------------


@asynccontextmanager
async def connect_proxy(requests: list[str]) -> AsyncIterator[str]:
    """A CONNECT proxy on loopback."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        requests.append(head)
        _method, _, port = head.split()[1].rpartition(":")
        there = await asyncio.open_connection("127.0.0.1", int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_session_through_a_connect_proxy_is_still_pinned(tmp_path: Path) -> None:
    requests: list[str] = []
    async with (
        connect_proxy(requests) as proxy,
        streaming(server_context(SIDE, tmp_path), KEY.public, stay) as url,
        running(Office(url, proxy=proxy)) as office,
    ):
        await office.until(lambda: office.link.established)
    assert requests
    assert requests[0].startswith("CONNECT localhost:")


@pytest.mark.parametrize(
    ("setting", "environment", "url", "expected"),
    [
        ("", {}, "https://console:1", None),
        ("", {"https_proxy": "http://p:3128"}, "https://console:1", "http://p:3128"),
        ("", {"HTTPS_PROXY": "http://p:3128"}, "https://console:1", "http://p:3128"),
        ("", {"https_proxy": "http://p:3128", "no_proxy": "console"}, "https://console:1", None),
        ("", {"https_proxy": "http://p:3128"}, "https://127.0.0.1:1", None),
        ("", {"https_proxy": "http://p:3128"}, "https://localhost:1", None),
        ("none", {"https_proxy": "http://p:3128"}, "https://console:1", None),
        ("http://q:1", {"https_proxy": "http://p:3128"}, "https://console:1", "http://q:1"),
    ],
)
def test_which_proxy(
    monkeypatch: pytest.MonkeyPatch, setting: str, environment: dict[str, str], url: str, expected: str | None
) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert transport.proxy(setting, url) == expected


def test_a_proxy_of_the_environment_that_is_not_http_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "socks5://user:secret@p:1080")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(SettingsError) as error:
        transport.proxy("", "https://console:1")
    assert "secret" not in str(error.value)


# --- patience ------------------------------------------------------------------------------------


def test_patience_grows_to_a_limit_and_begins_anew() -> None:
    backoff = Backoff(lambda: 1.0)
    delays = [backoff.delay() for _ in range(10)]
    assert delays[:4] == [0.5, 1.0, 2.0, 4.0]
    assert max(delays) == Backoff.LAST
    backoff.succeeded()
    assert backoff.delay() == 0.5


def test_attempts_are_spread() -> None:
    assert Backoff(lambda: 0.0).delay() < Backoff(lambda: 0.9).delay()


def test_after_being_turned_away_it_waits_long() -> None:
    assert Backoff(lambda: 0.0).delay(slow=True) >= 15.0
