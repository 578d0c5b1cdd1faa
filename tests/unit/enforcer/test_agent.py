"""The whole agent against a real Console over TLS; only the kernel is one in memory."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import msgspec
import pytest

from tests.fakes.datapath import Kernel
from tests.unit.enforcer.console_side import Operator, console, present, publish, unit_named
from tests.unit.enforcer.hosts import Host, revision, until
from watchword.enforcer.agent import Agent
from watchword.enforcer.datapath.base import BadgeMissed
from watchword.enforcer.moment import Moment


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


async def test_the_revision_before_the_last_is_in_force_where_that_is_damaged(tmp_path: Path, host: Host) -> None:
    """Booted without a Console: rules of yesterday, and everybody is told; with the kernel's memory that stays."""
    stored = host.directory / "data" / "revision"
    async with console(tmp_path) as operator:
        host.give(await operator.token())
        async with host.agent():
            await until(lambda: revision(host) > 0)
            await publish(operator, "Reject")
            before = await operator.enforced()
            await operator.delete("/v1/networkrulesetpolicies/ssh")
            newest = await operator.enforced()
            assert host.decide("192.0.2.9", 22) == "Allow"
    stored.write_bytes(stored.read_bytes()[:-1])
    remembering, host.kernel = host.kernel, Kernel()
    async with host.agent() as agent:
        assert host.decide("192.0.2.9", 22) == "Reject"
        assert revision(host) == before
        assert agent.guard is not None
        (complaint,) = agent.guard.complaints()
        assert "is not a stored revision" in complaint
        assert f"; revision {before}, the one before, is taken instead" in complaint
    host.kernel = remembering
    async with host.agent():
        assert host.decide("192.0.2.9", 22) == "Allow", "what the kernel has is newer"
        assert revision(host) == newest


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
        assert agent.guard is not None
        now = Moment.now()
        agent.guard.store.confirm(Moment(now.wall, now.elapsed - 7200.0))
        await until(lambda: host.decide("192.0.2.9", 22) == "Allow")  # the default of a discovering namespace
        assert any("offline_max_age" in complaint for complaint in agent.guard.complaints())
    async with host.agent() as agent:  # to start again makes nothing young
        assert agent.guard is not None
        for _ in range(15):
            assert host.decide("192.0.2.9", 22) == "Allow"
            await asyncio.sleep(0.1)
        assert any("offline_max_age" in complaint for complaint in agent.guard.complaints())


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
