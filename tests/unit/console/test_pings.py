"""Pings in the Console, without one: who is asked, whose word counts, and how often."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from watchword.console.pings import BURST, PingFailed, Pings, Sighting
from watchword.console.roster import Roster
from watchword.console.stream.hub import Hub
from watchword.policy.versions import altered
from watchword.policy.world import Alteration, Unit
from watchword.wire import messages
from watchword.wire.messages import FlowRecord
from watchword.wire.pings import PingEnd, PingOutcome, PingWire

SENT = PingWire(sent=1, announced=True)


def unit(name: str, badge: int) -> Unit:
    return Unit(name, name, name, "/", f"enforcer-{name}", badge, frozenset())


WEB, DB = unit("web", 1), unit("db", 2)


class Known(Roster):
    """Knows two units by their badges, without records of them."""

    def unit_by_badge(self, badge: int) -> Unit | None:
        return {each.badge: each for each in (WEB, DB)}.get(badge)


class Desk:
    """A Console's pings, and sessions that write down what they are told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []
        self.time = 0.0
        roster = Known()
        roster.world = altered(roster.world, 1, [Alteration("units", each.id, each) for each in (WEB, DB)])
        self.hub = Hub()
        self.pings = Pings(self.hub, roster, lambda: self.time)
        for name in ("enforcer-web", "enforcer-db", "enforcer-liar"):
            self.hub.enter(name, Line(name, self.told))
            self.pings.take(name, messages.HostAddresses(("10.0.0.9",) if name != "enforcer-web" else ()))

    async def order(self, kind: type[Any], enforcer: str) -> Any:
        """The message of this kind that an Enforcer has been told."""
        async with asyncio.timeout(5):
            while True:
                found = [message for one, message in self.told if one == enforcer and isinstance(message, kind)]
                if found:
                    return found[-1]
                await asyncio.sleep(0)

    def begin(self) -> asyncio.Task[tuple[PingOutcome, Sighting]]:
        return asyncio.create_task(self.pings.ping(WEB, 6, "10.0.0.9", 80, 0.1, quiet=True))


class Line:
    def __init__(self, name: str, told: list[tuple[str, Any]]) -> None:
        self.name, self._told = name, told

    async def tell(self, message: messages.ToEnforcer) -> None:
        self._told.append((self.name, message))

    async def replaced(self) -> None: ...

    async def evicted(self) -> None: ...

    async def stopping(self) -> None: ...

    def unsettle(self) -> None: ...


def end(unit: str) -> PingEnd:
    return PingEnd(unit=unit, stage="refused", action="Reject", reason="policy", peer_badge=1)


def outcome(**fields: Any) -> PingOutcome:
    return PingOutcome(
        **{"stage": "silent", "wire": SENT, "local": "10.0.0.1", "local_port": 4000, "nonce": 7, **fields}
    )


async def test_an_enforcers_word_counts_for_its_own_units_and_pings_only() -> None:
    desk = Desk()
    task = desk.begin()
    order = await desk.order(messages.Ping, "enforcer-web")
    desk.pings.take("enforcer-liar", messages.PingHeard(order.number, outcome(stage="opened")))
    desk.pings.take("enforcer-web", messages.PingHeard(order.number, outcome()))
    for name in ("enforcer-liar", "enforcer-db"):
        sought = await desk.order(messages.PingSought, name)
        assert (sought.nonce, sought.badge, sought.address, sought.port) == (7, 1, "10.0.0.1", 80)
        desk.pings.take(
            name, messages.PingSighted(order.number, "nonce" if name == "enforcer-liar" else "refusal", end("db"))
        )
    told, sighting = await task
    assert told.stage == "silent"
    assert (sighting.enforcer, sighting.how) == ("enforcer-db", "refusal")
    assert set(sighting.asked) == {"enforcer-db", "enforcer-liar"}
    assert isinstance((await desk.order(messages.PingOver, "enforcer-web")), messages.PingOver)


async def test_whoever_has_proved_itself_is_asked_and_nobody_else() -> None:
    desk = Desk()
    task = desk.begin()
    order = await desk.order(messages.Ping, "enforcer-web")
    near = PingEnd(unit="web", stage="admitted", action="Allow", reason="policy", peer_badge=2, proved=True)
    desk.pings.take("enforcer-web", messages.PingHeard(order.number, outcome(stage="opened", near=near)))
    await desk.order(messages.PingSought, "enforcer-db")
    desk.pings.take("enforcer-db", messages.PingSighted(order.number, "nonce", end("db")))
    assert (await task)[1].how == "nonce"
    assert not [message for name, message in desk.told if name == "enforcer-liar"]


async def test_a_flow_report_speaks_for_an_enforcer_that_nobody_knew_to_be_there() -> None:
    desk = Desk()
    task = desk.begin()
    order = await desk.order(messages.Ping, "enforcer-web")
    desk.pings.left("enforcer-liar")
    desk.pings.left("enforcer-db")
    desk.pings.take("enforcer-web", messages.PingHeard(order.number, outcome()))
    await asyncio.sleep(0.05)
    others = [record(peer_badge=3), record(port=81), record(direction="outgoing"), record(reason="stray")]
    desk.pings.reported("enforcer-liar", [*others, record(unit="web")])
    _, sighting = await task
    assert sighting.end is None, "a report about another's unit"
    desk.told.clear()
    task = desk.begin()
    order = await desk.order(messages.Ping, "enforcer-web")
    desk.pings.take("enforcer-web", messages.PingHeard(order.number, outcome()))
    await asyncio.sleep(0.05)
    desk.pings.reported("enforcer-db", [*others, record(peer_badge=0, peer_address="10.0.0.1")])
    _, sighting = await task
    assert sighting.end is not None
    assert (sighting.how, sighting.end.unit, sighting.end.peer_badge) == ("report", "db", 0)


def record(**fields: Any) -> FlowRecord:
    made: dict[str, Any] = {
        "unit": "db",
        "direction": "incoming",
        "peer_badge": 1,
        "peer_unit": "web",
        "peer_address": "",
        "network": "",
        "protocol": 6,
        "port": 80,
        "action": "Reject",
        "reason": "policy",
        "rule": "",
        "ruleset": "",
        "observed_action": "",
        "observed_rule": "",
        "proved": False,
        "revision": 1,
        "connections": 1,
        **dict.fromkeys(("packets_in", "packets_out", "bytes_in", "bytes_out", "latency_us_total"), 0),
        **dict.fromkeys(("first_seen", "last_seen"), 0.0),
    }
    return FlowRecord(**{**made, **fields})


async def test_an_enforcer_that_goes_ends_its_pings() -> None:
    desk = Desk()
    task = desk.begin()
    await desk.order(messages.Ping, "enforcer-web")
    desk.pings.left("enforcer-web")
    with pytest.raises(PingFailed, match="ended meanwhile"):
        await task
    assert not desk.pings.speaks("enforcer-web")
    desk.hub.release("enforcer-web")
    with pytest.raises(PingFailed, match="not connected"):
        await desk.begin()


async def test_the_near_end_says_why_it_could_not() -> None:
    desk = Desk()
    task = desk.begin()
    order = await desk.order(messages.Ping, "enforcer-web")
    desk.pings.take("enforcer-web", messages.PingHeard(order.number, failure="no such cgroup"))
    with pytest.raises(PingFailed, match="no such cgroup"):
        await task


def test_pings_of_one_enforcer_are_few() -> None:
    desk = Desk()
    assert [desk.pings.retry_after("enforcer-web") for _ in range(int(BURST))] == [0] * int(BURST)
    assert desk.pings.retry_after("enforcer-web") == 1
    assert desk.pings.retry_after("enforcer-db") == 0
    desk.time = 1.5
    assert desk.pings.retry_after("enforcer-web") == 0
    assert desk.pings.retry_after("enforcer-web") == 0.5
