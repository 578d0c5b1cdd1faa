"""`watchword explain`, `wait` and `flows` against a real Console with enrolled hosts."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import Any

from tests.console.rig import Peer, Running, enrol, ruleset, unit
from tests.unit.cli.command_line import PATIENCE, CommandLine
from watchword.cli.failure import ExitCode
from watchword.wire.messages import FlowRecord, FlowReports, ReportsAccepted


def record(local: str, **changes: Any) -> FlowRecord:
    """A flow as the server `local` saw it, from an address without identity."""
    now = time.time()
    fields: dict[str, Any] = {
        "unit": local,
        "direction": "incoming",
        "peer_badge": 0,
        "peer_unit": "",
        "peer_address": "198.51.100.9",
        "network": "",
        "protocol": 6,
        "port": 5432,
        "action": "Reject",
        "reason": "policy",
        "rule": "",
        "ruleset": "",
        "observed_action": "",
        "observed_rule": "",
        "proved": False,
        "revision": 1,
        "connections": 3,
        "packets_in": 3,
        "packets_out": 0,
        "bytes_in": 180,
        "bytes_out": 0,
        "latency_us_total": 0,
        "first_seen": now - 1,
        "last_seen": now,
    }
    return FlowRecord(**{**fields, **changes})


async def report(peer: Peer, *records: FlowRecord) -> None:
    await peer.send(FlowReports(sequence=time.time_ns() // 1000, records=records))
    await peer.answer(ReportsAccepted)


async def test_explain_says_what_decides_and_what_would_change_it(cli: CommandLine, console: Running) -> None:
    async with Peer(await enrol(console, "web")) as web, Peer(await enrol(console, "db")) as db:
        await web.register(unit("w", "app=web", name="web-1"))
        await db.register(unit("d", "app=db", name="db-1"))
        defaults = ("defaultPUIncomingTrafficAction=Reject", "defaultPUOutgoingTrafficAction=Allow")
        changed = await cli("api", "update", "ns", "/", *(part for each in defaults for part in ("--set", each)))
        assert changed.code == 0, changed.err

        refused = await cli("explain", "web-1", "app=db", "tcp/5432")
        assert refused.code == 0, refused.err
        assert refused.out.startswith("Reject: web-1 in / → db-1 in / tcp/5432")
        assert "incoming" in refused.out
        assert "add an incoming Allow rule" in refused.out

        (cli.folder / "r.json").write_text(json.dumps(ruleset("db-from-web", "app=db", incoming=["app=web"])))
        assert (await cli("api", "create", "netruleset", "-f", "r.json")).code == 0
        allowed = await cli("explain", "web-1", "app=db", "tcp/5432", "--expect", "allow", "--json")
        assert allowed.code == 0, allowed.err
        assert allowed.json["action"] == "Allow"
        assert allowed.json["incoming"]["matching"][0]["rulesetName"] == "db-from-web"

        other_port = await cli("explain", "web-1", "db-1", "tcp/22", "--expect", "allow")
        assert other_port.code == ExitCode.FAILED
        assert "expected allow, but the verdict is Reject" in other_port.err
        stranger = await cli("explain", "203.0.113.9", "db-1", "icmp/8", "--expect", "reject")
        assert stranger.code == 0
        assert "203.0.113.9 (somewhere)" in stranger.out
        assert (await cli("explain", "nobody", "db-1", "tcp/22")).code == ExitCode.NOT_FOUND


async def test_wait_ends_when_the_last_one_enforces(cli: CommandLine, console: Running) -> None:
    async with Peer(await enrol(console, "quick")) as quick, Peer(await enrol(console, "slow")) as slow:
        slow.acknowledge = False
        await asyncio.gather(quick.register(unit("q", "app=web")), slow.register(unit("s", "app=db")))
        assert (await cli("api", "create", "ns", "--set", "name=x")).code == 0
        newest = (await cli("wait", "--timeout", "1s", "--json")).json["revision"]
        await quick.until(lambda document: document.revision >= newest)

        late = await cli("wait", "--revision", str(newest), "--timeout", "1s")
        assert late.code == ExitCode.TIMEOUT
        assert "1 of 2" in late.err
        assert "slow" in late.out
        assert "quick" not in late.out
        stragglers = await cli("wait", "--timeout", "1s", "--json")
        assert (stragglers.code, stragglers.json["stragglers"]) == (ExitCode.TIMEOUT, ["slow"])

        slow.acknowledge = True
        waiting = asyncio.create_task(cli("wait", "--revision", str(newest), "--timeout", "30s"))
        await asyncio.sleep(1)
        begun = time.monotonic()
        # the next revision carries the acknowledgement of all before it
        changed = asyncio.create_task(cli("api", "create", "ns", "--set", "name=y"))
        await slow.until(lambda document: document.revision > newest)
        done = await waiting
        assert done.code == 0, done.err
        assert time.monotonic() - begun < 10
        assert (await changed).code == 0


async def test_wait_for_a_revision_that_does_not_exist(cli: CommandLine) -> None:
    assert (await cli("wait", "--revision", "99999")).code == ExitCode.NOT_FOUND


async def test_apply_can_wait(cli: CommandLine, console: Running) -> None:
    (cli.folder / "f.yaml").write_text("label: a\ndata: {namespaces: [{name: shop}]}\n")
    async with Peer(await enrol(console, "host")) as peer:
        applying = asyncio.create_task(cli("apply", "-f", "f.yaml", "--wait", "20s", "--json"))
        seen = 0
        while not applying.done():
            with_timeout = asyncio.create_task(peer.policy(30))
            await asyncio.wait([with_timeout, applying], return_when=asyncio.FIRST_COMPLETED)
            if with_timeout.done():
                seen = with_timeout.result().revision
            else:
                with_timeout.cancel()
        done = applying.result()
    assert done.code == 0, done.err
    assert done.json["enforcement"]["stragglers"] == []
    assert seen >= done.json["imports"][0]["revision"]


async def test_flows_are_shown_with_names_and_reasons(cli: CommandLine, console: Running) -> None:
    async with Peer(await enrol(console, "db")) as peer:
        local = (await peer.register(unit("d", "app=db", name="db-1"))).units["d"]
        await report(peer, record(local), record(local, port=22, action="Allow", connections=1))
        shown = await cli("flows")
        assert shown.code == 0, shown.err
        lines = [line for line in shown.out.splitlines() if "198.51.100.9" in line]
        assert len(lines) == 2
        assert any("Reject" in line and "db-1" in line and "tcp/5432" in line and "default" in line for line in lines)
        rejected = await cli("flows", "--filter", "action == Reject", "--since", "1h", "--json")
        assert [each["destinationPort"] for each in rejected.json] == [5432]
        assert (await cli("flows", "--limit", "1", "--json")).json[0]["destinationPort"] == 22
        assert (await cli("flows", "--filter", "nonsense ==")).code == ExitCode.REFUSED


async def test_flows_beside_a_draft(cli: CommandLine, console: Running, tmp_path: Path) -> None:
    (tmp_path / "d.yaml").write_text(
        "data:\n  externalnetworks:\n    - {name: lab, entries: [198.51.100.0/24], associatedTags: [net=lab]}\n"
        "  networkrulesetpolicies:\n    - name: open\n      subject: [[app=db]]\n"
        "      incomingRules: [{name: sql, object: [[net=lab]], protocolPorts: [tcp/5432]}]\n"
    )
    assert (await cli("draft", "create", "shop")).code == ExitCode.OK
    assert (await cli("draft", "add", "shop", "-f", "d.yaml")).code == ExitCode.OK
    started = await cli("draft", "shadow", "shop")
    assert "edition 1 of draft shop judges flows in / and below" in started.out, started.err
    assert "Shadowed" in (await cli("draft", "list")).out
    async with Peer(await enrol(console, "db")) as peer:
        local = (await peer.register(unit("d", "app=db", name="db-1"))).units["d"]
        await report(peer, record(local), record(local, port=22))
        shown = await cli("flows", "--draft", "shop")
        rows = [line.split() for line in shown.out.splitlines() if "198.51.100.9" in line]
        assert [(row[2], row[5], row[-1]) for row in rows] == [
            ("Reject", "tcp/5432", "open/sql"),
            ("Reject", "tcp/22", "same"),
        ]
        changed = (await cli("flows", "--draft", "shop", "--changed", "--json")).json
        assert [(each["destinationPort"], each["action"]) for each in changed] == [(5432, "Reject")]
        assert [each["action"] for each in changed[0]["draftVerdicts"]] == ["Allow"]
        narrow = await cli("flows", "--draft", "shop", "--changed", "--filter", "destinationPort == 22", "--json")
        assert narrow.json == []
        async with (
            cli.started("flows", "--follow", "--since", "1h", "--draft", "shop", "--changed") as following,
            asyncio.timeout(PATIENCE),
        ):
            assert following.stdout is not None
            assert b"draft: Allow: open/sql" in await following.stdout.readline()
            following.send_signal(signal.SIGINT)
            await following.wait()
        assert (await cli("draft", "shadow", "shop", "--stop")).out.startswith("draft shop judges no flow any more")
        await report(peer, record(local))
        assert len((await cli("flows", "--json")).json) == 3
        assert len((await cli("flows", "--draft", "shop", "--json")).json) == 2, "what it judged stays"
    assert (await cli("flows", "--changed")).code == ExitCode.USAGE
    assert (await cli("flows", "--draft", "none")).code == ExitCode.NOT_FOUND
    assert (await cli("draft", "shadow", "none")).code == ExitCode.NOT_FOUND


async def test_flows_can_be_followed(cli: CommandLine, console: Running) -> None:
    async with Peer(await enrol(console, "db")) as peer:
        local = (await peer.register(unit("d", "app=db", name="db-1"))).units["d"]
        await report(peer, record(local, port=1))
        async with (
            cli.started("flows", "--follow", "--since", "1h", "--json") as following,
            asyncio.timeout(PATIENCE),
        ):
            assert following.stdout is not None
            assert json.loads(await following.stdout.readline())["destinationPort"] == 1
            for port in (2, 3, 4):
                await report(peer, record(local, port=port))
                assert json.loads(await following.stdout.readline())["destinationPort"] == port
            following.send_signal(signal.SIGINT)
            rest, complaints = await following.communicate()
        assert (following.returncode, rest, complaints) == (0, b"", b"")


async def test_nobodys_name_can_move_an_operators_cursor(cli: CommandLine, console: Running) -> None:
    """A compromised host names its workload, and reports a reason, with terminal commands in them."""
    async with Peer(await enrol(console, "evil")) as peer:
        hostile = "x\x1b[2Jgone\x9b31m"
        accepted = await peer.register(unit("d", "app=db", name=hostile), unit("e", "app=db", name="fine"))
        for local in accepted.units.values():
            await report(peer, record(local, reason="\x1b]0;owned\x07"[:20]))
        for command in (("flows",), ("api", "list", "pu"), ("api", "list", "enf")):
            shown = await cli(*command)
            assert "\x1b" not in shown.out
            assert "\x9b" not in shown.out
