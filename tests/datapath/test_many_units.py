"""Many units on one host: each has its own identity and its own rules, also towards its neighbours and itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.datapath.estate import Estate, estates
from tests.datapath.ground import Verdicts, says
from tests.datapath.workload import Workload, read

COUNT = 8
#: Every second one's group is inside the one before.
NAMES = [f"unit{n}" if n % 2 == 0 else f"unit{n - 1}/unit{n}" for n in range(COUNT)]


@pytest.fixture(scope="module")
def estate() -> Iterator[Estate]:
    with estates("units", ["near", "far"], {"near": NAMES, "far": NAMES}) as made:
        yield made


@pytest.fixture(scope="module")
def apps(estate: Estate) -> Iterator[dict[tuple[str, str], Workload]]:
    made = {(host, name): Workload(estate[host].host, name) for host in ("near", "far") for name in NAMES}
    yield made
    for app in made.values():
        app.close()


def partners(estate: Estate, one: str, other: str) -> dict[str, list[Verdicts]]:
    """Unit n of ``one`` may connect to unit n of ``other`` and to nobody else."""
    rules: dict[str, list[Verdicts]] = {one: [], other: []}
    for name in NAMES:
        mine, its = estate[one].neighbours[name], estate[other].neighbours[name]
        rules[one].append(says(mine, its, "out", rule=f"out {name}"))
        rules[other].append(says(its, mine, "in", rule=f"in {name}"))
    return rules


@pytest.mark.parametrize("version", [4, 6])
def test_each_reaches_its_partner_and_no_other(
    estate: Estate, apps: dict[tuple[str, str], Workload], version: int
) -> None:
    for host, verdicts in partners(estate, "near", "far").items():
        estate[host].apply(*verdicts)
    address = estate["far"].host.address(version)
    for number, name in enumerate(NAMES):
        with apps["far", name].listen(estate.port()) as listener:
            port = listener.getsockname()[1]
            with apps["near", name].connect(address, port) as near, listener.accept()[0] as far:
                near.sendall(b"x")
                far.settimeout(10)
                assert read(far, 1) == b"x"
            for host, peer, way in (("near", "far", "out"), ("far", "near", "in")):
                flow = estate[host].flow(port)
                assert (flow.unit_badge, flow.peer_badge, flow.rule, flow.proved) == (
                    estate[host].neighbours[name],
                    estate[peer].neighbours[name],
                    f"{way} {name}",
                    True,
                )
            stranger = NAMES[(number + 1) % COUNT]
            with pytest.raises(TimeoutError):
                apps["near", stranger].connect(address, port, timeout=0.4)
            refused = estate["far"].flow(port, "Reject")
            assert refused.peer_badge == estate["near"].neighbours[stranger]


@pytest.mark.parametrize("where", ["127.0.0.1", "::1", "4", "6"])
def test_neighbours_meet_by_their_rules_and_everybody_meets_itself(
    estate: Estate, apps: dict[tuple[str, str], Workload], where: str
) -> None:
    """On one host, over loopback or the host's own address: the unit inside another one is somebody else."""
    side = estate["near"]
    address = side.host.address(int(where)) if where in ("4", "6") else where
    first, inside, other = NAMES[0], NAMES[1], NAMES[2]
    badges = side.neighbours
    side.apply(says(badges[first], badges[inside], "out"), says(badges[inside], badges[first], "in"))
    with apps["near", inside].listen(estate.port()) as listener:
        port = listener.getsockname()[1]
        for name in (first, inside):
            with apps["near", name].connect(address, port) as near, listener.accept()[0] as far:
                near.sendall(b"x")
                far.settimeout(10)
                assert read(far, 1) == b"x"
        with pytest.raises(TimeoutError):
            apps["near", other].connect(address, port, timeout=0.4)
    with apps["near", first].listen(estate.port()) as listener, pytest.raises(TimeoutError):
        apps["near", inside].connect(address, listener.getsockname()[1], timeout=0.4)
