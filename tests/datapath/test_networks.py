"""Addresses without identity: which network speaks for them, from one revision to the next."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterator

import pytest

from tests.datapath.ground import CLIENT, SERVER, Ground, grounds, says

WIDE, NARROW, OTHER = 20, 21, 22


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("networks") as made:
        yield made


def gets_out(ground: Ground, version: int) -> bool:
    """Whether the client's unit reaches a listener on the server's host that proves nothing."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with ground.server.host.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind((ground.server.host.address(version), ground.port()))
        listener.listen()
        try:
            ground.client.app.connect(ground.server.host.address(version), listener.getsockname()[1], timeout=5).close()
        except (ConnectionAbortedError, ConnectionResetError, PermissionError):
            return False
        return True


@pytest.mark.parametrize("version", [4, 6])
def test_a_prefix_of_one_revision_hides_none_of_the_next(ground: Ground, version: int) -> None:
    """Every order of revisions with the host's own prefix, the one around it, both, or another one beside it."""
    address = ground.server.host.address(version)
    own, around, beside = (f"{address}/32", "10.0.0.0/8", "192.0.2.0/24") if version == 4 else (
        f"{address}/128",
        "fd00::/8",
        "2001:db8::/32",
    )  # fmt: skip
    worlds = {
        "around": {around: WIDE},
        "own": {own: NARROW},
        "both": {around: WIDE, own: NARROW},
        "beside": {beside: OTHER},
    }
    for order in itertools.permutations(worlds, 3):
        for name in order:
            for allowed in (WIDE, NARROW):
                speaks = {"around": WIDE, "own": NARROW, "both": NARROW}.get(name)
                # The default lets everybody out: a network that is hidden would let out whom it rejects.
                rejected = {WIDE: NARROW, NARROW: WIDE}[allowed]
                ground.client.apply(
                    says(CLIENT, SERVER, "out"),
                    says(CLIENT, rejected, "out", "Reject", explicit=True, rule="no"),
                    says(CLIENT, allowed, "out"),
                    prefixes=worlds[name],
                    default="Allow",
                )
                assert gets_out(ground, version) == (speaks != rejected), (order, name, allowed)


def test_to_itself_over_loopback_though_nothing_is_allowed(ground: Ground) -> None:
    """connect() is not refused there: who listens may be the unit itself, and proves it."""
    ground.client.apply(reachable=False)
    ground.server.apply(reachable=False)
    with ground.listen() as listener:
        port = listener.getsockname()[1]
        for address in ("127.0.0.1", "::1"):
            with ground.server.app.connect(address, port) as near, listener.accept()[0] as far:
                near.sendall(b"x")
                far.settimeout(10)
                assert far.recv(1) == b"x"
        assert {(flow.peer_badge, flow.proved) for flow in ground.server.flows(port)} == {(SERVER, True)}
        for address in (ground.client.host.ipv4, ground.server.host.ipv4):  # of its own address connect() knows nothing
            with pytest.raises(PermissionError):
                ground.server.app.connect(address, port)


def test_over_loopback_only_to_itself(ground: Ground) -> None:
    """Another unit's listener there is not reached."""
    ground.server.apply(reachable=False)
    with ground.server.host.socket(socket.AF_INET, socket.SOCK_STREAM) as others:
        others.bind(("127.0.0.1", 0))
        others.listen()
        with pytest.raises((ConnectionAbortedError, ConnectionResetError)):
            ground.server.app.connect("127.0.0.1", others.getsockname()[1], timeout=5)
