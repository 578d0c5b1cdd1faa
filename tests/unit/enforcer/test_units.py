"""Units of a host with a real Console: they come, get an identity, and go."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.unit.enforcer.console_side import Operator, console, unit_named
from tests.unit.enforcer.hosts import Host, revision, until


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
