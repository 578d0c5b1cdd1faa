"""Verdicts as applications meet them, and as the policy engine means them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from tests.datapath.ground import CLIENT, SERVER, Ground, grounds, says, until
from tests.datapath.workload import finish
from watchword.enforcer.datapath.base import BadgeMissed, PeerKeys
from watchword.policy.tables import Tables


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with grounds("verdicts") as made:
        yield made


@pytest.fixture(autouse=True)
def allowed(ground: Ground) -> None:
    ground.trust()
    ground.allow()


@pytest.mark.parametrize("address", ["4", "6", "mapped", "own"])
def test_both_ends_prove_themselves(ground: Ground, address: str) -> None:
    """IPv4, IPv6, IPv4 out of an IPv6 socket, and a listener on one address only."""
    server = ground.server.host
    to = {"4": server.ipv4, "6": server.ipv6, "mapped": f"::ffff:{server.ipv4}", "own": server.ipv4}[address]
    with (
        ground.listen(address=server.ipv4 if address == "own" else "::") as listener,
        ground.connect(listener, address=to) as connection,
    ):
        connection.exchange()
        port = listener.getsockname()[1]
        for side, peer in ((ground.client, SERVER), (ground.server, CLIENT)):
            flow = side.flow(port)
            assert (flow.proved, flow.peer_badge, flow.connections) == (True, peer, 1)


@pytest.mark.parametrize("version", [4, 6])
def test_an_explicit_reject_is_answered(ground: Ground, version: int) -> None:
    ground.server.apply(says(SERVER, CLIENT, "in", "Reject", explicit=True, rule="no"))
    with ground.listen() as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            ground.client.app.connect(ground.server.host.address(version), port, timeout=8)
        flow = ground.server.flow(port, "Reject")
        assert (flow.reason, flow.rule, flow.peer_badge, flow.proved) == ("policy", "no", CLIENT, False)


def test_a_default_reject_is_not_answered(ground: Ground) -> None:
    ground.server.apply()
    with ground.listen() as listener, pytest.raises(TimeoutError):
        ground.connect(listener, timeout=1.5)


@pytest.mark.parametrize("version", [4, 6])
def test_where_nobody_can_be_allowed_connect_fails_at_once(ground: Ground, version: int) -> None:
    ground.client.apply(reachable=False)
    with ground.listen() as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PermissionError):
            ground.client.app.connect(ground.server.host.address(version), port)
        assert ground.client.flow(port, "Reject").direction == "outgoing"


@pytest.mark.parametrize("version", [4, 6])
def test_a_proved_server_that_policy_refuses_is_left_at_once(ground: Ground, version: int) -> None:
    """The client learns who the server is by its proof; the application does not wait for a time-out."""
    ground.client.apply(says(CLIENT, SERVER, "in"))
    with ground.listen() as listener:
        port = listener.getsockname()[1]
        with pytest.raises((ConnectionAbortedError, ConnectionResetError)):
            ground.client.app.connect(ground.server.host.address(version), port, timeout=8)
        assert ground.client.flow(port, "Reject").peer_badge == SERVER
        listener.settimeout(0.3)
        with pytest.raises(TimeoutError):
            listener.accept()


def test_a_unit_may_always_talk_to_itself(ground: Ground) -> None:
    """Over the loopback device, over its own address, in both IP versions; proved all the same."""
    ground.server.apply()
    with ground.listen() as listener:
        port = listener.getsockname()[1]
        for address in ("127.0.0.1", "::1", ground.server.host.ipv4, ground.server.host.ipv6):
            near = ground.server.app.connect(address, port)
            far, _ = listener.accept()
            near.sendall(b"x")
            far.settimeout(10)
            assert far.recv(1) == b"x"
            near.close()
            far.close()
        assert {(f.peer_badge, f.proved, f.connections) for f in ground.server.flows(port)} == {(SERVER, True, 4)}


def shared(peer: str, own: Sequence[int], its: Sequence[int]) -> PeerKeys:
    """Keys that differ for every pair of epochs; both sides make the same."""
    return PeerKeys(peer, {(a, b): bytes([min(a, b), max(a, b)] * 8) for a in own for b in its})


def test_keys_rotate_without_a_gap_and_old_ones_open_nothing(ground: Ground) -> None:
    """Each side learns the other's new key before it is used, and forgets the one before the last."""

    def holds(client: tuple[Sequence[int], Sequence[int]], server: tuple[Sequence[int], Sequence[int]]) -> None:
        ground.client.trust([shared("server", *client)], client[0])
        ground.server.trust([shared("client", *server)], server[0])

    with ground.listen() as listener:
        for client, server in (
            (((1,), (1,)), ((1,), (1,))),
            (((1,), (2, 1)), ((2, 1), (1,))),  # the server has rotated
            (((2, 1), (2, 1)), ((2, 1), (2, 1))),  # both have
            (((2, 1), (3, 2)), ((3, 2), (2, 1))),
        ):
            holds(client, server)
            with ground.connect(listener) as connection:
                connection.exchange()
        holds(((2, 1), (3, 2)), ((5, 4), (4, 3)))  # the client has missed two rotations
        with pytest.raises((ConnectionAbortedError, TimeoutError)):
            ground.connect(listener, timeout=2)


def test_a_peer_without_keys_is_refused_also_if_it_had_some(ground: Ground) -> None:
    with ground.listen() as listener:
        with ground.connect(listener) as connection:
            connection.exchange()
        before = ground.server.counters()["dropped-key-missing"]
        ground.server.trust([])
        with pytest.raises(TimeoutError):
            ground.connect(listener, timeout=1.5)
        assert ground.server.counters()["dropped-key-missing"] > before


def test_an_unknown_badge_is_asked_for(ground: Ground) -> None:
    known = ground.server.tables(says(SERVER, CLIENT, "in"))
    stranger = Tables(**{name: getattr(known, name) for name in Tables.__dataclass_fields__} | {"peers": {}})
    ground.server.fence.call("apply", stranger)
    with ground.listen() as listener:
        near = ground.client.app.begin(ground.server.host.ipv4, listener.getsockname()[1])
        until(lambda: BadgeMissed(CLIENT) in ground.server.events())
        ground.server.apply(says(SERVER, CLIENT, "in"))
        finish(near, 15)  # the retransmitted SYN gets through
        near.close()


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("who", ["client", "server"])
def test_what_a_pair_was_told_holds_for_its_revision_only(ground: Ground, who: str, version: int) -> None:
    """Two units that have just met are known to each CPU; a revision of either end makes it ask anew."""
    side, peer = (ground.client, SERVER) if who == "client" else (ground.server, CLIENT)
    with ground.listen() as listener:
        port = listener.getsockname()[1]
        for _ in range(8):  # on whichever CPU
            with ground.connect(listener, version) as connection:
                connection.exchange()
        side.apply(says(side.badge, peer, "in", "Reject"), says(side.badge, peer, "out", "Reject"))
        listener.settimeout(0.3)
        for _ in range(8):
            with pytest.raises((TimeoutError, ConnectionError, PermissionError)):
                ground.connect(listener, version, timeout=0.3)
        # One that was just closing may be there too: revoked, which is a flow of its own.
        refused = [flow for flow in side.flows(port) if (flow.action, flow.reason) == ("Reject", "policy")]
        assert sum(flow.connections for flow in refused) >= 8, side.flows(port)
        ground.allow()
        listener.settimeout(10)
        with ground.connect(listener, version) as connection:
            connection.exchange()
