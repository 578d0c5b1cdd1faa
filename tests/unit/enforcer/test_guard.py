"""An Enforcer on duty against a scripted Console: policies that no honest Console would send, at bad moments."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.fakes.datapath import Kernel, MemoryDatapath
from tests.unit.enforcer.signing_side import DB, ENFORCER, SigningSide, document
from tests.unit.enforcer.stream_side import Script, Talk, server_context, streaming
from watchword.enforcer import credential, files
from watchword.enforcer.agent import Agent
from watchword.enforcer.datapath.base import Lookup
from watchword.enforcer.guard import Guard
from watchword.enforcer.household import Household
from watchword.enforcer.settings import Settings, load
from watchword.identity.signatures import sign_boundaries
from watchword.wire import messages
from watchword.wire.policy import EnforcerEntry, PolicyDocument, difference

SIDE = SigningSide()
PEER, _ = SIDE.peer("enforcer-2", 1)
PEERS: dict[str, EnforcerEntry] = {"enforcer-2": PEER}


def policy(revision: int, **changes: Any) -> PolicyDocument:
    return document(revision, enforcers=PEERS, **changes)


class Bench:
    """A host that is enrolled already."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.kernel = Kernel()
        self.root = directory / "cgroup"
        self.root.mkdir()
        for file in ("cgroup.controllers", "cgroup.procs"):
            (self.root / file).touch()
        self.data = directory / "data"
        files.private_directory(self.data)
        self.key = credential.signing_key(self.data)
        self.sent: list[Any] = []

    def settings(self, url: str) -> Settings:
        return load(
            None,
            {
                "console": url,
                "name": "db",
                "data_dir": str(self.data),
                "run_dir": str(self.directory / "run"),
                "cgroup_root": str(self.root),
                "proxy": "none",
            },
        )

    @asynccontextmanager
    async def on_duty(self, *scripts: Script) -> AsyncIterator[Guard]:
        """An agent whose Console follows ``scripts``, session by session."""
        context = server_context(SIDE, self.directory)
        async with streaming(context, self.key.public, *scripts) as url:
            credential.keep(self.data, SIDE.enrolled(self.key, url=url).enrolled)
            agent = Agent(self.settings(url), lambda settings: MemoryDatapath(self.kernel))
            task = asyncio.create_task(agent.run())
            try:
                await until(lambda: task.done() or agent.guard is not None)
                assert agent.guard is not None
                yield agent.guard
            finally:
                agent.stop()
                async with asyncio.timeout(60):
                    await task

    def decide(self, port: int = 5432) -> str:
        return self.kernel.decide(str(self.root), 101, "incoming", 6, port)

    async def listen(self, talk: Talk) -> None:
        """Write down what the Enforcer says until it says goodbye."""
        while True:
            message = await talk.hear()
            if isinstance(message, messages.Goodbye):
                await talk.connection.close(1000)
                return
            self.sent.append(message)

    def heard(self, kind: type) -> list[Any]:
        return [message for message in self.sent if isinstance(message, kind)]


async def until(condition: Callable[[], bool], patience: float = 60.0) -> None:
    async with asyncio.timeout(patience):
        while not condition():  # noqa: ASYNC110 - what is waited for is somebody else's
            await asyncio.sleep(0.02)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def settings(**said: Any) -> messages.Welcome:
    """With boundaries that the Console has signed, and reports ten times a second."""
    boundaries = sign_boundaries(SIDE.key, ENFORCER, messages.Boundaries(1, **said))
    return messages.Welcome(ENFORCER, "/", report_interval=0.1, boundaries=boundaries)


async def give(talk: Talk, wanted: PolicyDocument) -> None:
    signed = SIDE.sign(wanted)
    await talk.say(messages.Snapshot(signed.document, signed.signature))


async def change(talk: Talk, old: PolicyDocument, new: PolicyDocument) -> None:
    await talk.say(messages.Delta(difference(old, new), SIDE.sign(new).signature))


async def test_units_are_registered_first_and_revisions_acknowledged(bench: Bench) -> None:
    async def script(talk: Talk) -> None:
        await talk.welcome()
        await give(talk, policy(4))
        await bench.listen(talk)

    async with bench.on_duty(script):
        await until(lambda: messages.RevisionEnforced(4) in bench.sent)
        assert bench.decide() == "Allow"
        await until(lambda: bool(bench.heard(messages.Status)))
    (registration,) = bench.heard(messages.RegisterUnits)
    assert registration.complete
    assert [unit.native_id for unit in registration.units] == ["host"]
    assert bench.sent[0] == registration
    (status,) = bench.heard(messages.Status)
    assert status.rss_bytes > 1 << 20


async def test_a_host_is_not_cut_off_by_a_document_that_does_not_know_it_yet(bench: Bench) -> None:
    async def script(talk: Talk) -> None:
        await talk.welcome()
        nameless = policy(4)
        nameless.units = {}
        await give(talk, nameless)
        await asyncio.sleep(0.3)
        assert bench.kernel.history == [], "nothing is installed"
        await change(talk, nameless, policy(5))
        await bench.listen(talk)

    async with bench.on_duty(script) as guard:
        await until(lambda: any("identity" in complaint for complaint in guard.complaints()))
        await until(lambda: messages.RevisionEnforced(5) in bench.sent)
        assert guard.complaints() == ()
    assert bench.kernel.applied == [5]


async def test_a_signed_policy_that_cannot_be_enforced_is_refused_and_the_next_one_taken(bench: Bench) -> None:
    good, broken = policy(4), msgspec.structs.replace(policy(5), rules={})
    hellos: list[messages.Hello] = []

    async def first(talk: Talk) -> None:
        hellos.append(await talk.welcome())
        await give(talk, good)
        while messages.RevisionEnforced(4) not in bench.sent:
            bench.sent.append(await talk.hear())
        await change(talk, good, broken)
        while not bench.heard(messages.RevisionRefused):
            bench.sent.append(await talk.hear())
        assert bench.decide() == "Allow"
        await change(talk, broken, policy(6, action="Reject"))  # does not fit what is in force: it connects again
        await talk.connection.wait_closed()

    async def second(talk: Talk) -> None:
        hellos.append(await talk.welcome())
        await change(talk, good, policy(6, action="Reject"))
        await bench.listen(talk)

    async with bench.on_duty(first, second) as guard:
        await until(lambda: messages.RevisionEnforced(6) in bench.sent)
        assert bench.decide() == "Reject"
        assert guard.complaints() == ()
    (refused,) = bench.heard(messages.RevisionRefused)
    assert refused.revision == 5
    assert "cannot be compiled" in refused.reason
    assert [hello.revision for hello in hellos] == [0, 4]
    assert bench.kernel.applied == [4, 6]


async def test_what_the_kernel_refuses_is_told_once_and_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watchword.enforcer.guard._RETRY_AFTER", 0.1)

    async def script(talk: Talk) -> None:
        await talk.welcome()
        await give(talk, policy(4))
        while messages.RevisionEnforced(4) not in bench.sent:
            bench.sent.append(await talk.hear())
        bench.kernel.refuse = "the verdict map is full: raise its limit"
        await change(talk, policy(4), policy(5, action="Reject"))
        await bench.listen(talk)

    async with bench.on_duty(script) as guard:
        await until(lambda: bool(bench.heard(messages.RevisionRefused)))
        assert bench.decide() == "Allow"
        assert any("map is full" in complaint for complaint in guard.complaints())
        await asyncio.sleep(0.5)
        bench.kernel.refuse = ""
        await until(lambda: messages.RevisionEnforced(5) in bench.sent)
        assert bench.decide() == "Reject"
        assert guard.complaints() == ()
    assert len(bench.heard(messages.RevisionRefused)) == 1


async def test_only_what_is_enforced_is_kept_on_disk(bench: Bench) -> None:
    async def script(talk: Talk) -> None:
        await talk.welcome()
        await give(talk, policy(4))
        while messages.RevisionEnforced(4) not in bench.sent:
            bench.sent.append(await talk.hear())
        await change(talk, policy(4), msgspec.structs.replace(policy(5), rules={}))
        await bench.listen(talk)

    async with bench.on_duty(script) as guard:
        await until(lambda: bool(bench.heard(messages.RevisionRefused)))
        stored = guard.store.load()
        assert stored is not None
        assert stored.document.revision == 4


async def test_a_revision_holds_without_a_disk_and_is_kept_when_there_is_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In force at once and whole, acknowledged, and a problem as long as it is not on disk; the agent goes on."""
    monkeypatch.setattr("watchword.enforcer.keeping.RETRY_AFTER", 0.1)
    away = bench.data.with_name("away")

    async def script(talk: Talk) -> None:
        await talk.welcome()
        await give(talk, policy(4))
        while messages.RevisionEnforced(4) not in bench.sent:
            bench.sent.append(await talk.hear())
        bench.data.rename(away)
        await talk.say(settings(key_lifetime=0.001))
        await give(talk, policy(5, action="Reject"))
        await bench.listen(talk)

    async with bench.on_duty(script) as guard:
        await until(lambda: messages.RevisionEnforced(5) in bench.sent)
        assert bench.decide() == "Reject"
        told = ("know of it (policy)", "know of it (Console's settings)", "not reported", "datapath keys stay")
        await until(lambda: all(any(text in each for each in guard.complaints()) for text in told))
        await until(lambda: any("know of it (policy)" in " ".join(s.problems) for s in bench.heard(messages.Status)))
        assert not bench.heard(messages.FlowReports)
        assert not bench.heard(messages.PublishKeys)
        away.rename(bench.data)
        await until(lambda: guard.complaints() == ())
        await until(lambda: bool(bench.heard(messages.FlowReports) and bench.heard(messages.PublishKeys)))
        stored = guard.store.load()
        assert stored is not None
        assert stored.document.revision == 5
        assert guard.welcome.report_interval == 0.1
    async with bench.on_duty() as guard:
        assert guard.welcome.report_interval == 0.1
        assert bench.decide() == "Reject"


async def test_reports_are_sent_again_on_the_next_session_until_accepted(bench: Bench) -> None:
    batches: list[messages.FlowReports] = []

    async def deaf(talk: Talk) -> None:
        await talk.welcome()
        await give(talk, policy(4))
        while not batches:
            message = await talk.hear()
            if isinstance(message, messages.RevisionEnforced):
                bench.decide()
            elif isinstance(message, messages.FlowReports):
                batches.append(message)
        await talk.connection.close(1001)

    async def hearing(talk: Talk) -> None:
        await talk.welcome()
        while len(batches) < 2:
            message = await talk.hear()
            if isinstance(message, messages.FlowReports):
                batches.append(message)
        await talk.say(messages.ReportsAccepted(batches[-1].sequence))
        await bench.listen(talk)

    async with bench.on_duty(deaf, hearing):
        await until(lambda: len(batches) == 2 and bench.kernel.reported == bench.kernel.flows)
    assert batches[0] == batches[1]
    assert [record.unit for record in batches[0].records] == ["unit-db"]


async def test_look_ups_are_sent_again_on_the_next_session_until_accepted(bench: Bench) -> None:
    """And one that is accepted is marked, so that the next agent does not tell it again."""
    batches: list[messages.LookupReports] = []

    async def deaf(talk: Talk) -> None:
        await talk.welcome()
        await give(talk, policy(4))
        while not batches:
            message = await talk.hear()
            if isinstance(message, messages.LookupReports):
                batches.append(message)
        await talk.connection.close(1001)

    async def hearing(talk: Talk) -> None:
        await talk.welcome()
        while len(batches) < 2:
            message = await talk.hear()
            if isinstance(message, messages.LookupReports):
                batches.append(message)
        await talk.say(messages.LookupsAccepted(batches[-1].sequence))
        await bench.listen(talk)

    looked_up = Lookup(DB, "n.example", 1, "resolved", "192.0.2.53", 3, 1, 1.0, 2.0, 7, 0, ("192.0.2.1",))
    bench.kernel.lookups[DB, 7] = looked_up
    async with bench.on_duty(deaf, hearing):
        await until(lambda: len(batches) == 2 and bench.kernel.lookups_told == bench.kernel.lookups)
    assert batches[0] == batches[1]
    (told,) = batches[0].records
    assert (told.unit, told.name, told.count, told.learned) == ("unit-db", "n.example", 3, ("192.0.2.1",))


async def test_settings_that_nobody_signed_keep_and_renew_nothing(bench: Bench) -> None:
    """Whoever has the Console's address and TLS key alone can say them: nothing is kept or cut, no key grows old."""
    said = messages.Welcome(ENFORCER, "/", key_lifetime=0.0, existing_connections="Cut", report_interval=1e300)

    async def script(talk: Talk) -> None:
        await talk.greet()
        await talk.say(settings(existing_connections="Cut", key_lifetime=600.0))
        await talk.say(msgspec.structs.replace(said, existing_connections="Keep", key_lifetime=1e300))
        await talk.say(said)
        await give(talk, policy(4))
        await bench.listen(talk)

    async with bench.on_duty(script) as guard:
        await until(lambda: messages.RevisionEnforced(4) in bench.sent and guard.welcome.report_interval == 1e300)
        assert not bench.kernel.keep_existing
        assert guard.key_lifetime() == 600.0
        assert not bench.heard(messages.PublishKeys)


async def test_settings_that_change_during_a_session_hold_at_once(bench: Bench) -> None:
    """Also a shorter interval: it does not wait for the end of an hour that has begun."""
    slow = messages.Welcome(ENFORCER, "/", report_interval=3600.0)
    quick = settings(existing_connections="Cut")
    sped_up = asyncio.Event()

    async def script(talk: Talk) -> None:
        await talk.greet()
        await talk.say(slow)
        await give(talk, policy(4))
        listening = asyncio.create_task(bench.listen(talk))
        await sped_up.wait()
        await talk.say(quick)
        await listening

    async with bench.on_duty(script) as guard:
        await until(lambda: messages.RevisionEnforced(4) in bench.sent and guard.welcome == slow)
        assert bench.kernel.keep_existing
        reports: list[int] = []
        guard.courier.report = lambda: reports.append(1)  # type: ignore[method-assign]  # there is no flow to report
        await asyncio.sleep(0.5)
        assert reports == []
        sped_up.set()
        await until(lambda: len(reports) > 1)
        assert guard.welcome == quick
        await until(lambda: not bench.kernel.keep_existing)
    remembered = msgspec.msgpack.decode((bench.data / "welcome").read_bytes(), type=messages.Welcome)
    assert remembered == quick


async def test_a_refused_unit_is_no_unit(bench: Bench) -> None:
    """The Console does not take it; its processes count as the host's instead of being cut off."""

    async def script(talk: Talk) -> None:
        await talk.welcome()
        await give(talk, policy(4))
        await talk.say(messages.UnitsAccepted({}, {"host": "its name is taken"}))
        await bench.listen(talk)

    async with bench.on_duty(script) as guard:
        await until(lambda: any("its name is taken" in complaint for complaint in guard.complaints()))
        await until(lambda: bench.kernel.placements == () and bench.kernel.applied == [4])


async def test_a_failure_that_nobody_foresaw_ends_the_agent(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Running on in an unknown state would look like enforcing."""

    def fail(household: Household) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(Household, "_look_at_keys", fail)

    async def script(talk: Talk) -> None:
        await talk.welcome()
        await give(talk, policy(4))
        while True:
            await talk.hear()

    context = server_context(SIDE, bench.directory)
    async with lost_sessions_are_fine(), streaming(context, bench.key.public, script) as url:
        credential.keep(bench.data, SIDE.enrolled(bench.key, url=url).enrolled)
        agent = Agent(bench.settings(url), lambda settings: MemoryDatapath(bench.kernel))
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(agent.run(), 60)
    assert not (bench.directory / "run" / "enforcer.sock").exists()


@asynccontextmanager
async def lost_sessions_are_fine() -> AsyncIterator[None]:
    """The scripted Console may notice that its Enforcer is gone."""
    from websockets.exceptions import ConnectionClosed

    try:
        yield
    except ConnectionClosed:
        return
