"""The whole agent against a real Console over TLS; only the kernel is one in memory."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.fakes.datapath import Kernel
from tests.unit.enforcer.console_side import Operator, console
from tests.unit.enforcer.hosts import Host, until
from watchword.enforcer.agent import Agent, uninstall
from watchword.enforcer.datapath.base import BadgeMissed
from watchword.enforcer.errors import EnrolmentError


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
async def operator(tmp_path: Path) -> AsyncIterator[Operator]:
    async with console(tmp_path) as made:
        yield made


async def unit_named(operator: Operator, name: str) -> dict[str, Any]:
    (found,) = [unit for unit in await operator.get("/v1/processingunits") if unit["name"] == name]
    return dict(found)


def revision(host: Host) -> int:
    return host.kernel.tables.revision if host.kernel.tables else 0


async def test_from_token_to_enforcement(host: Host, operator: Operator) -> None:
    host.give(await operator.token())
    async with host.agent():
        await until(lambda: revision(host) > 0)
        newest = await operator.enforced()
        assert revision(host) >= newest
        unit = await unit_named(operator, "edge")
        assert "role=edge" in unit["associatedTags"]
        enforcer = await present(operator, "Connected")
        assert enforcer["problems"] == []
        status = await host.status()
        assert (status["name"], status["link"]["state"]) == ("edge", "established")
        assert status["revision"]["enforced"] >= newest
        assert [u["native_id"] for u in status["units"] if u["policed"]] == ["host"]
    assert host.kernel.history[:4] == ["install", "place", "set_keys", f"apply {host.kernel.applied[0]}"]
    assert (host.directory / "data").stat().st_mode & 0o777 == 0o700
    for path in (host.directory / "data").iterdir():
        assert path.is_dir() or path.stat().st_mode & 0o777 == 0o600, path


async def present(operator: Operator, state: str) -> dict[str, Any]:
    """The Enforcer's record once it is in that state and has told its health."""
    for _ in range(1000):
        (enforcer,) = await operator.get("/v1/enforcers")
        if enforcer["operationalStatus"] == state and (enforcer["rssBytes"] or state != "Connected"):
            return dict(enforcer)
        await asyncio.sleep(0.05)
    raise AssertionError(enforcer)


async def publish(operator: Operator, action: str, name: str = "ssh") -> None:
    """A ruleset about the host's port 22, from a network."""
    existing = [n for n in await operator.get("/v1/externalnetworks") if n["name"] == "office"]
    if not existing:
        await operator.post(
            "/v1/externalnetworks", {"name": "office", "entries": ["192.0.2.0/24"], "associatedTags": ["net=office"]}
        )
    await operator.post(
        "/v1/networkrulesetpolicies",
        {
            "name": name,
            "subject": [["role=edge"]],
            "incomingRules": [{"action": action, "object": [["net=office"]], "protocolPorts": ["tcp/22"]}],
        },
    )


async def test_a_published_ruleset_reaches_the_kernel(host: Host, operator: Operator) -> None:
    host.give(await operator.token())
    async with host.agent():
        await until(lambda: revision(host) > 0)
        assert host.decide("192.0.2.9", 22) == "Allow", "a new Console discovers"
        await publish(operator, "Reject")
        await operator.enforced()
        assert host.decide("192.0.2.9", 22) == "Reject"
        assert host.decide("198.51.100.9", 22) == "Allow"
        await operator.delete("/v1/networkrulesetpolicies/ssh")
        await operator.enforced()
        assert host.decide("192.0.2.9", 22) == "Allow"


async def test_flows_reach_the_console_once(host: Host, operator: Operator) -> None:
    host.give(await operator.token())
    async with host.agent():
        await until(lambda: revision(host) > 0)
        await publish(operator, "Reject")
        await operator.enforced()
        for _ in range(3):
            host.decide("192.0.2.9", 22)
        await until(lambda: host.kernel.reported == host.kernel.flows)
        first = await operator.get("/v1/flowreports?order=-ID&recursive=true")
    for _ in range(2):
        host.decide("192.0.2.9", 22)
    async with host.agent():
        await until(lambda: host.kernel.reported == host.kernel.flows)
    reports = await operator.get("/v1/flowreports?order=-ID&recursive=true")
    assert [report["action"] for report in first] == ["Reject"]
    assert first[0]["sourceName"] == "office"
    assert first[0]["destinationName"] == "edge"
    assert sum(report["value"] for report in reports) == 5


async def test_a_restart_without_a_console_enforces_what_is_on_disk(tmp_path: Path, host: Host) -> None:
    async with console(tmp_path) as operator:
        host.give(await operator.token())
        async with host.agent():
            await until(lambda: revision(host) > 0)
            await publish(operator, "Reject")
            newest = await operator.enforced()
    host.kernel = Kernel()  # the host was booted
    host.token_file.unlink()
    async with host.agent() as agent:
        assert revision(host) == newest, "before anything else"
        assert host.decide("192.0.2.9", 22) == "Reject"
        assert agent.guard is not None
        assert not agent.guard.link.established


async def test_the_last_revision_holds_while_the_console_is_gone_and_catches_up(tmp_path: Path, host: Host) -> None:
    async with console(tmp_path) as operator:
        port = operator.url.rpartition(":")[2]
        credential = operator.client.headers["authorization"].removeprefix("Bearer ")
        host.give(await operator.token())
        agent_context = host.agent()
        agent = await agent_context.__aenter__()
        try:
            await until(lambda: revision(host) > 0)
            await publish(operator, "Reject")
            await operator.enforced()
        except BaseException:
            await agent_context.__aexit__(None, None, None)
            raise
    try:
        assert agent.guard is not None
        guard = agent.guard
        await until(lambda: not guard.link.established)
        assert host.decide("192.0.2.9", 22) == "Reject"
        before = list(host.kernel.applied)
        async with console(tmp_path, f"127.0.0.1:{port}", credential) as operator:
            await until(lambda: guard.link.established)
            await operator.delete("/v1/networkrulesetpolicies/ssh")
            await operator.enforced()
            assert host.decide("192.0.2.9", 22) == "Allow"
        assert host.kernel.applied[: len(before)] == before
    finally:
        await agent_context.__aexit__(None, None, None)


@pytest.mark.parametrize("content", [b"", b"\x00garbage"])
async def test_a_damaged_store_is_not_enforced_and_the_console_mends_it(
    host: Host, operator: Operator, content: bytes
) -> None:
    host.give(await operator.token())
    async with host.agent():
        await until(lambda: revision(host) > 0)
        await operator.enforced()
    host.kernel = Kernel()
    stored = host.directory / "data" / "revision"
    stored.write_bytes(content)
    async with host.agent() as agent:
        await until(lambda: revision(host) > 0)
        assert agent.guard is not None
        assert agent.guard.complaints() == ()
    assert stored.read_bytes() != content


async def test_an_old_file_put_back_does_not_undo_what_the_kernel_enforces(tmp_path: Path, host: Host) -> None:
    """The kernel has the Reject; a file from before it is put back while no Console answers."""
    stored = host.directory / "data" / "revision"
    async with console(tmp_path) as operator:
        host.give(await operator.token())
        async with host.agent():
            await until(lambda: revision(host) > 0)
            await operator.enforced()
            old = stored.read_bytes()
            await publish(operator, "Reject")
            newest = await operator.enforced()
    stored.write_bytes(old)
    applied = len(host.kernel.applied)
    async with host.agent() as agent:
        assert host.decide("192.0.2.9", 22) == "Reject"
        assert revision(host) == newest
        assert agent.guard is not None
        assert any("older than" in complaint for complaint in agent.guard.complaints())
    assert len(host.kernel.applied) == applied


async def test_rules_lapse_when_the_console_is_gone_for_too_long(tmp_path: Path, host: Host) -> None:
    async with console(tmp_path) as operator:
        host.give(await operator.token())
        async with host.agent():
            await until(lambda: revision(host) > 0)
            await publish(operator, "Reject")
            await operator.enforced()
    host.settings = msgspec.structs.replace(host.settings, offline_max_age=3600.0)
    async with host.agent() as agent:
        assert host.decide("192.0.2.9", 22) == "Reject"
        hours_ago = time.time() - 7200.0
        os.utime(host.directory / "data" / "revision", (hours_ago, hours_ago))
        await until(lambda: host.decide("192.0.2.9", 22) == "Allow")  # the default of a discovering namespace
        assert agent.guard is not None
        assert any("offline_max_age" in complaint for complaint in agent.guard.complaints())


async def test_a_declared_unit_comes_and_goes_with_its_cgroup(host: Host, operator: Operator) -> None:
    host.give(await operator.token())
    async with host.agent():
        await until(lambda: revision(host) > 0)
        made = host.cgroup("apps/shop")
        await until(lambda: host.kernel.unit_of(str(made)) == "unit/shop")
        await until(lambda: any(u.native_id == "unit/shop" for u in _units(host)))
        unit = await unit_named(operator, "shop")
        assert (unit["operationalStatus"], unit["type"]) == ("Running", "Process")
        assert "app=shop" in unit["associatedTags"]
        (made / "cgroup.procs").unlink()
        made.rmdir()
        await until(lambda: host.kernel.unit_of(str(made)) == "host")
        for _ in range(1000):
            if (await unit_named(operator, "shop"))["operationalStatus"] == "Terminated":
                break
            await asyncio.sleep(0.05)
        assert (await unit_named(operator, "shop"))["operationalStatus"] == "Terminated"


def _units(host: Host) -> list[Any]:
    return list(host.kernel.tables.units.values()) if host.kernel.tables else []


async def test_a_new_unit_has_no_identity_until_the_console_gave_it_one(tmp_path: Path, host: Host) -> None:
    """Without a Console a unit that it never heard of is refused everything, not judged as the host."""
    async with console(tmp_path) as operator:
        host.give(await operator.token())
        async with host.agent():
            await until(lambda: revision(host) > 0)
            await operator.enforced()
    host.cgroup("apps/shop")
    async with host.agent():
        assert host.decide("192.0.2.9", 22) == "Allow"
        assert host.decide("192.0.2.9", 22, "apps/shop") == "Reject"


async def test_two_hosts_meet_by_badge_with_keys_that_fit(tmp_path: Path, operator: Operator) -> None:
    one, other = Host(tmp_path, "one"), Host(tmp_path, "other")
    token = await operator.token(uses=2)
    one.give(token)
    other.give(token)
    async with one.agent(), other.agent():
        await until(lambda: revision(one) > 0 and revision(other) > 0)
        await operator.post(
            "/v1/networkrulesetpolicies",
            {
                "name": "meet",
                "subject": [["role=edge"]],
                "incomingRules": [{"object": [["role=edge"]], "protocolPorts": ["tcp/80"]}],
                "outgoingRules": [{"object": [["role=edge"]], "protocolPorts": ["tcp/80"]}],
            },
        )
        await operator.enforced()
        badge = int((await unit_named(operator, "other"))["badge"])
        await until(lambda: one.decide(badge, 80) == "Allow")
        ids = {e["name"]: e["ID"] for e in await operator.get("/v1/enforcers")}
        assert one.kernel.keys[ids["other"]] == other.kernel.keys[ids["one"]]
        assert one.kernel.keys[ids["other"]] != one.kernel.keys[ids["one"]]


async def test_a_rotated_key_is_known_to_peers_before_it_is_used(
    tmp_path: Path, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = Host(tmp_path, "one"), Host(tmp_path, "other")
    token = await operator.token(uses=2)
    one.give(token)
    other.give(token)
    async with one.agent() as agent, other.agent():
        await until(lambda: revision(one) > 0 and revision(other) > 0)
        await publish_meeting(operator)
        await operator.enforced()
        ids = {e["name"]: e["ID"] for e in await operator.get("/v1/enforcers")}
        assert agent.guard is not None
        keys = agent.guard.keys
        monkeypatch.setattr(keys, "age", lambda now: 1e9 if keys.published()[0].epoch == 1 else 0.0)
        monkeypatch.setattr("watchword.enforcer.keys.SETTLE", 3600.0)
        await until(lambda: (1, 2) in other.kernel.keys.get(ids["one"], {}))
        assert one.kernel.own_epochs == (1,), "not used while peers may not know it"
        monkeypatch.setattr("watchword.enforcer.keys.SETTLE", 0.0)
        await until(lambda: one.kernel.own_epochs == (2, 1))
        assert one.kernel.keys[ids["other"]][2, 1] == other.kernel.keys[ids["one"]][1, 2]


async def publish_meeting(operator: Operator) -> None:
    rule = {"object": [["role=edge"]], "protocolPorts": ["tcp/80"]}
    await operator.post(
        "/v1/networkrulesetpolicies",
        {"name": "meet", "subject": [["role=edge"]], "incomingRules": [rule], "outgoingRules": [rule]},
    )


async def test_an_unknown_badge_is_asked_about(host: Host, operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    host.give(await operator.token())
    async with host.agent() as agent:
        await until(lambda: revision(host) > 0)
        assert agent.guard is not None
        guard = agent.guard
        await until(lambda: guard.link.established)
        assert host.datapath is not None
        absent: list[int] = []
        monkeypatch.setattr(guard.questions, "absent", lambda badge, now: absent.append(badge))
        host.datapath.raise_event(BadgeMissed(0xDEAD))
        await until(lambda: absent == [0xDEAD])
        assert guard.link.established


async def test_an_evicted_enforcer_goes_on_enforcing_and_does_not_come_back(host: Host, operator: Operator) -> None:
    host.give(await operator.token())
    async with host.agent() as agent:
        await until(lambda: revision(host) > 0)
        await publish(operator, "Reject")
        await operator.enforced()
        await operator.delete("/v1/enforcers/edge")
        assert agent.guard is not None
        guard = agent.guard
        await until(lambda: guard.link.evicted)
        assert host.decide("192.0.2.9", 22) == "Reject"
        assert any("deleted this Enforcer" in complaint for complaint in guard.complaints())


async def test_sigterm_is_an_orderly_end_and_the_kernel_goes_on(host: Host, operator: Operator) -> None:
    host.give(await operator.token())
    agent = Agent(host.settings, host.factory)
    task = asyncio.create_task(agent.run())
    await until(lambda: revision(host) > 0)
    await publish(operator, "Reject")
    await operator.enforced()
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(60):
        await task
    assert host.decide("192.0.2.9", 22) == "Reject"
    assert host.decide("198.51.100.9", 22) == "Allow"
    assert "uninstall" not in host.kernel.history
    await present(operator, "Disconnected")  # it said goodbye


# --- enrolment -----------------------------------------------------------------------------------


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


# --- removal -------------------------------------------------------------------------------------


async def gone(operator: Operator) -> None:
    for _ in range(1000):
        if not await operator.get("/v1/enforcers"):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the Console still has the Enforcer")


async def test_uninstalling_through_the_running_agent(host: Host, operator: Operator) -> None:
    host.give(await operator.token())
    agent = Agent(host.settings, host.factory)
    task = asyncio.create_task(agent.run())
    await until(lambda: revision(host) > 0)
    assert await uninstall(host.settings, host.factory) == {"told": True, "left": []}
    async with asyncio.timeout(60):
        await task
    await gone(operator)
    nothing_left(host)


async def test_uninstalling_without_an_agent(host: Host, operator: Operator) -> None:
    host.give(await operator.token())
    async with host.agent():
        await until(lambda: revision(host) > 0)
    assert await uninstall(host.settings, host.factory) == {"told": True, "left": []}
    await gone(operator)
    nothing_left(host)


async def test_uninstalling_without_a_console_leaves_nothing_either(
    tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watchword.enforcer.removal._PATIENCE", 0.5)
    async with console(tmp_path) as operator:
        host.give(await operator.token())
        async with host.agent():
            await until(lambda: revision(host) > 0)
    assert await uninstall(host.settings, host.factory) == {"told": False, "left": []}
    nothing_left(host)


async def test_files_of_others_are_left_and_named(host: Host, operator: Operator) -> None:
    host.give(await operator.token())
    async with host.agent():
        await until(lambda: revision(host) > 0)
    note = host.directory / "data" / "note.txt"
    note.write_text("mine")
    removed = await uninstall(host.settings, host.factory)
    assert removed["left"] == [str(note)]
    assert note.exists()


def nothing_left(host: Host) -> None:
    assert host.kernel.history[-1] == "uninstall"
    assert host.kernel.tables is None
    assert not (host.directory / "data").exists()
    assert not (host.directory / "run").exists()
