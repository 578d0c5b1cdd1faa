"""Enrolling with a real Console over TLS, and with somebody who only looks like one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path

import pytest

from tests.unit.enforcer.console_side import Operator, console
from tests.unit.enforcer.hosts import Host, revision, until
from watchword.enforcer.agent import Agent
from watchword.enforcer.errors import EnrolmentError


async def test_an_answer_that_was_lost_is_asked_for_again(host: Host, operator: Operator) -> None:
    """Crash after the Console enrolled us and before we knew: the token allowed one use."""
    host.give(await operator.token(uses=1))
    async with host.agent() as agent:
        assert agent.guard is not None
        first = agent.guard.credential.enrolled.enforcer
    (host.directory / "data" / "credential").unlink()
    async with host.agent() as agent:
        assert agent.guard is not None
        assert agent.guard.credential.enrolled.enforcer == first
    assert len(await operator.get("/v1/enforcers")) == 1


async def test_a_spent_token_enrols_nobody_else(tmp_path: Path, operator: Operator) -> None:
    token = await operator.token(uses=1)
    one, thief = Host(tmp_path, "one"), Host(tmp_path, "thief")
    one.give(token)
    async with one.agent():
        pass
    thief.give(token)
    with pytest.raises(EnrolmentError, match="401"):
        async with thief.agent():
            pass
    assert thief.kernel.history == []


async def test_the_token_is_in_no_log_and_no_error(
    host: Host, operator: Operator, caplog: pytest.LogCaptureFixture
) -> None:
    from watchword.identity.tokens import InstallToken

    caplog.set_level(logging.DEBUG)
    token = await operator.token()
    await operator.delete(f"/v1/tokens/{InstallToken.decode(token).id}")
    host.give(token)
    with pytest.raises(EnrolmentError) as error:
        async with host.agent():
            pass
    told = caplog.text + str(error.value) + repr(error.value)
    agent_side = "\n".join(r.getMessage() for r in caplog.records if r.name.startswith("watchword.enforcer"))
    assert token not in told
    assert InstallToken.decode(token).secret not in agent_side + str(error.value)


async def test_an_impostor_never_sees_the_token(tmp_path: Path, host: Host, operator: Operator) -> None:
    """Somebody else answers at the Console's address, with a CA of his own."""
    import secrets

    from tests.unit.enforcer.signing_side import SigningSide
    from tests.unit.enforcer.stream_side import server_context
    from watchword.identity.tokens import InstallToken

    seen: list[bytes] = []
    side = SigningSide()

    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            body = side.authority.certificate_pem()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
            await writer.drain()
            seen.append(await reader.read())
        writer.close()

    real = InstallToken.decode(await operator.token())
    async with await asyncio.start_server(impostor, "127.0.0.1", 0, ssl=server_context(side, tmp_path)) as server:
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
        host.give(InstallToken(url, real.ca_sha256, real.id, real.secret).encode())
        with pytest.raises(EnrolmentError, match="another CA"):
            async with host.agent():
                pass
    assert seen
    assert seen[0].startswith(b"GET /v1/ca ")
    assert not any(real.secret.encode() in piece for piece in seen)
    assert secrets.compare_digest(seen[-1], b"") or len(seen) == 1


async def test_enrolment_waits_for_a_console_that_is_not_there_yet(tmp_path: Path, host: Host) -> None:
    from watchword.identity.tokens import InstallToken

    async with console(tmp_path) as operator:
        port = operator.url.rpartition(":")[2]
        credential = operator.client.headers["authorization"].removeprefix("Bearer ")
        token = await operator.token()
    host.give(token)
    assert InstallToken.decode(token).url.endswith(port)
    agent = Agent(host.settings, host.factory)
    task = asyncio.create_task(agent.run())
    try:
        await asyncio.sleep(0.5)
        assert not task.done()
        assert (host.directory / "data" / "signing-key.pem").exists(), "the key is there before anybody is asked"
        async with console(tmp_path, f"127.0.0.1:{port}", credential):
            await until(lambda: revision(host) > 0)
    finally:
        agent.stop()
        await task


async def test_stopping_while_waiting_to_enrol(tmp_path: Path, host: Host) -> None:
    async with console(tmp_path) as operator:
        host.give(await operator.token())
    agent = Agent(host.settings, host.factory)
    task = asyncio.create_task(agent.run())
    await asyncio.sleep(0.3)
    agent.stop()
    async with asyncio.timeout(60):
        await task
    assert host.kernel.history == []
