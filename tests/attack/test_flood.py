"""A flood of half-open connections: what lives goes on, and who is allowed still gets in afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.attack.ground import Battlefield, announces, battlefields
from tests.datapath import load

SYNS = 1_000_000


@pytest.fixture(scope="module")
def field() -> Iterator[Battlefield]:
    load.build()
    with battlefields("flood") as made:
        assert made.router is not None
        made.router.run(["ip", "route", "add", "blackhole", "10.99.0.0/16"])
        yield made


@pytest.mark.timeout(180)
@pytest.mark.parametrize("announced", [False, True])
def test_a_million_half_open_connections(field: Battlefield, announced: bool) -> None:
    """From random sources, without an option and with one whose badge policy lets in."""
    assert field.router is not None
    port = field.port()
    echoing = load.start(field.server.host, "echo", port=port)
    load.ready(echoing)
    holding = load.hold(field.client.host, field.server.host, port, interval_ms=100, timeout_ms=30000, seconds=150)
    option = announces(port).encode()
    chosen: dict[str, object] = {"option": option.hex(), "random": "12:8"} if announced else {}
    flooding = load.start(
        field.router,
        "synflood",
        cgroup="",
        address=field.server.host.ipv4,
        port=port,
        count=SYNS,
        prefix="10.99.0.0/16",
        device=field.link.near.device,
        mac=field.link.far.mac().hex(":"),
        seconds=100,
        **chosen,
    )
    sent = load.result(flooding, timeout=150)
    assert sent["sent"] == SYNS, sent
    found = load.result(holding, stop=True)
    assert (found["opened"], found["broken"]) == (50, 0), found
    with field.client.app.connect(field.server.host.ipv4, port, timeout=30) as after:
        after.settimeout(30)
        after.sendall(b"12345678")
        assert after.recv(8)
    echoing.stop()


def test_the_flood_has_filled_no_table_that_decides(field: Battlefield) -> None:
    counters = field.server.counters()
    assert counters["dropped-no-memory"] == 0
    assert counters["proved"] > 0
