"""The programs for older kernels, on this one: the same protocol, without what such kernels lack."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator

import pytest

from tests.datapath.ground import CLIENT, SERVER, Ground, grounds, pins_of
from tests.datapath.rules import Rules
from watchword.enforcer.datapath.base import DatapathError
from watchword.enforcer.datapath.ebpf import libbpf
from watchword.enforcer.datapath.ebpf.editions import check_names, edition
from watchword.enforcer.datapath.ebpf.object import Map
from watchword.policy.tables import Tables, Verdict, VerdictKey


@pytest.fixture(scope="module")
def older() -> Iterator[None]:
    """Chosen, and forgotten again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WATCHWORD_EDITION", "older")
        edition.cache_clear()
        yield
    edition.cache_clear()


@pytest.fixture(scope="module")
def ground(older: None) -> Iterator[Ground]:
    with grounds("older-edition") as made:
        yield made


@pytest.mark.parametrize("version", [4, 6])
def test_both_ends_prove_themselves_without_atomic_operations(ground: Ground, version: int) -> None:
    ground.allow()
    assert (pins_of(ground.client.host) / "taken").exists(), "this is not the older edition"
    with ground.listen() as listener, ground.connect(listener, version) as connection:
        connection.exchange(b"x" * 100_000)
        port = listener.getsockname()[1]
        for side, peer in ((ground.client, SERVER), (ground.server, CLIENT)):
            assert (side.flow(port).proved, side.flow(port).peer_badge) == (True, peer)


def test_words_are_given_back(ground: Ground) -> None:
    """One that stayed taken would keep its slot from everybody for ever."""
    ground.allow()
    with ground.listen() as listener:
        for _ in range(20):
            with ground.connect(listener) as connection:
                connection.exchange()
    for side in (ground.client, ground.server):
        descriptor = libbpf.pinned(str(pins_of(side.host) / "taken"))
        assert descriptor is not None
        try:
            assert Map(descriptor, ctypes.c_uint64, ctypes.c_uint8).items() == []  # type: ignore[type-var]
        finally:
            os.close(descriptor)


def test_what_is_rejected_by_name_is_not_taken_for_in_force(ground: Ground) -> None:
    """Nobody would learn the name, so the address behind it would be let out by the other rule."""
    rules = Rules(ground.client).network(bad=("bad.example",))
    rules.outgoing("any").outgoing("any", action="Reject", network="bad")
    with pytest.raises(DatapathError, match=r"rejects by host name \(bad\.example, rule s/out/1\)"):
        rules.apply()
    Rules(ground.client).network(good=("good.example",)).outgoing("any", network="good").apply()


def test_only_a_reject_by_a_rule_counts(older: None) -> None:
    for verdict in (Verdict("Reject"), Verdict("Allow", rule="yes")):
        check_names(Tables(1, names={"a.example": 7}, verdicts={VerdictKey(1, 7, "out", 6, 0): verdict}))


def test_an_edition_that_does_not_exist_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHWORD_EDITION", "oldest")
    with pytest.raises(DatapathError, match="WATCHWORD_EDITION is 'oldest': leave it away, or say newer or older"):
        edition.__wrapped__()
