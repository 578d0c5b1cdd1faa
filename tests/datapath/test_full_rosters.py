"""No room for a unit, a name or an Enforcer's keys: that is said by name, and what was in force goes on as it was."""

from __future__ import annotations

import pytest

from tests.datapath.ground import KEY, SERVER, Ground, Side, grounds, says
from tests.datapath.test_full_tables import verdicts
from watchword.enforcer.datapath.base import DatapathError, PeerKeys, Placement
from watchword.enforcer.datapath.ebpf._layout import Limit

UNITS, NAMES = 4, 16


def holds(ground: Ground, revision: int) -> None:
    """Both ends still meet, and nobody else does: the revision that was in force is."""
    assert ground.server.fence.call("revision") == revision
    with ground.listen() as listener, ground.connect(listener) as made:
        made.exchange()


def placements(side: Side, count: int) -> list[Placement]:
    more = [Placement(f"unit-{n}", str(side.host.subgroup(f"unit-{n}"))) for n in range(count)]
    return [Placement(side.enforcer, str(side.host.cgroup)), *more]


def test_units_without_room_are_refused_and_those_there_are_go_on() -> None:
    with grounds("units", sizes={"units": UNITS}) as ground:
        ground.allow()
        before = ground.server.revision
        with ground.listen() as listener, ground.connect(listener) as standing:
            for _ in range(2):
                with pytest.raises(DatapathError, match=rf"table units is full: .* room for {UNITS} .*table_sizes"):
                    ground.server.fence.call("place", placements(ground.server, UNITS + 2))
                standing.exchange()
                holds(ground, before)
            ground.server.place()
            ground.allow()
            standing.exchange()
            holds(ground, ground.server.revision)


def test_names_without_room_are_refused_and_known_ones_go_on() -> None:
    """What did not fit let the whole world in; it never holds, and neither does what comes with a further name."""
    with grounds("names", sizes={"names": NAMES}) as ground:
        ground.allow()
        before = ground.server.revision
        with ground.listen() as listener, ground.connect(listener) as standing:
            for more in (verdicts(NAMES + 2), says(SERVER, 1, "in", rule="one more")):
                with pytest.raises(DatapathError, match=rf"table names is full: .* room for {NAMES} .*table_sizes"):
                    ground.server.fence.call("apply", ground.server.tables(more, default="Allow"))
                standing.exchange()
                holds(ground, before)
            ground.allow()
            standing.exchange()
            holds(ground, ground.server.revision)


def test_keys_without_room_are_refused_and_those_there_are_go_on() -> None:
    """None of them is written: the ones in force are not exchanged by half."""
    with grounds("keys") as ground:
        ground.allow()
        before = ground.server.revision
        many = [PeerKeys(f"enforcer-{n}", {(1, 1): bytes(16)}) for n in range(Limit.MAX_ENFORCERS)]
        for _ in range(2):
            with pytest.raises(DatapathError, match=rf"the kernel knows {Limit.MAX_ENFORCERS - 1} names .*uninstall"):
                ground.server.fence.call("set_keys", [1], [PeerKeys("client", {(1, 1): b"x" * 16}), *many])
            holds(ground, before)
        ground.trust(KEY)
        holds(ground, before)
