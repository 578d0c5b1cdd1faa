"""``watchword lookups`` against a real Console."""

from __future__ import annotations

import asyncio
import json
import signal
import time

from tests.console.rig import Peer, Running, enrol, unit
from tests.unit.cli.command_line import PATIENCE, CommandLine
from watchword.cli.failure import ExitCode
from watchword.wire.messages import LookupRecord, LookupReports, LookupsAccepted


def record(unit_id: str, name: str, result: str = "resolved", learned: tuple[str, ...] = ()) -> LookupRecord:
    return LookupRecord(unit_id, name, 1, result, "192.0.2.53", 2, len(learned), learned, time.time() - 1, time.time())


async def report(peer: Peer, *records: LookupRecord) -> None:
    await peer.send(LookupReports(sequence=time.time_ns() // 1000, records=records))
    await peer.answer(LookupsAccepted)


async def test_lookups_are_listed_filtered_and_followed(cli: CommandLine, console: Running) -> None:
    many = tuple(f"198.51.100.{number}" for number in range(1, 6))
    async with Peer(await enrol(console, "web")) as peer:
        local = (await peer.register(unit("w", "app=web", name="web-1"))).units["w"]
        await report(peer, record(local, "db.example.net", learned=many), record(local, "gone.example", "no-such-name"))
        shown = await cli("lookups", "--json")
        assert [(each["resolvedName"], each["reason"]) for each in shown.json] == [
            ("db.example.net", "resolved"),
            ("gone.example", "no-such-name"),
        ]
        narrow = await cli("lookups", "--since", "1h", "--filter", "action == Fail", "--json")
        assert [each["resolvedName"] for each in narrow.json] == ["gone.example"]
        text = (await cli("lookups", "--limit", "5")).out
        for part in ("web-1", "db.example.net", "no-such-name"):
            assert part in text
        async with (
            cli.started("lookups", "--follow", "--since", "1h", "--json") as following,
            asyncio.timeout(PATIENCE),
        ):
            assert following.stdout is not None
            for expected in ("db.example.net", "gone.example"):
                assert json.loads(await following.stdout.readline())["resolvedName"] == expected
            await report(peer, record(local, "late.example"))
            assert json.loads(await following.stdout.readline())["resolvedName"] == "late.example"
            following.send_signal(signal.SIGINT)
            assert await following.communicate() == (b"", b"")
    assert (await cli("lookups", "--since", "soon")).code == ExitCode.USAGE


async def test_a_name_cannot_move_an_operators_cursor(cli: CommandLine, console: Running) -> None:
    async with Peer(await enrol(console, "evil")) as peer:
        local = (await peer.register(unit("w", name="web-1"))).units["w"]
        await report(peer, record(local, "x\x1b[2Jgone\x9b31m", "\x1b]0;owned\x07"))
    for arguments in (("lookups",), ("api", "list", "lookup")):
        shown = await cli(*arguments)
        assert "\x1b" not in shown.out
        assert "\x9b" not in shown.out
