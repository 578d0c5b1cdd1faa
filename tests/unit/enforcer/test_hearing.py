"""When datagrams that come in have to be looked at: by what tables say about identities and UDP."""

from __future__ import annotations

import pytest

from watchword.enforcer.datapath.ebpf.hearing import hears_datagrams
from watchword.policy.tables import Peer, Tables, Verdict, VerdictKey

UNIT, IDENTITY, NETWORK = 16, 17, 18


def tables(verdicts: dict[VerdictKey, Verdict], reachable: frozenset[tuple[int, int, int]] = frozenset()) -> Tables:
    return Tables(1, {}, {7: Peer(7, "other", IDENTITY)}, {"10.0.0.0/8": NETWORK}, {}, (), verdicts, reachable)


@pytest.mark.parametrize("action", ["Allow", "Reject"])
@pytest.mark.parametrize(
    ("peer", "protocol", "heard"),
    [(IDENTITY, 17, True), (IDENTITY, 255, True), (IDENTITY, 6, False), (NETWORK, 17, False), (0, 255, False)],
)
def test_a_verdict_about_an_identity_and_udp_is_heard(action: str, peer: int, protocol: int, heard: bool) -> None:
    said = {VerdictKey(UNIT, peer, "in", protocol, 0): Verdict(action)}  # type: ignore[arg-type]
    assert hears_datagrams(tables(said)) is heard


@pytest.mark.parametrize(("protocol", "heard"), [(17, True), (255, True), (6, False)])
def test_who_may_call_has_to_hear_the_answer(protocol: int, heard: bool) -> None:
    assert hears_datagrams(tables({}, frozenset({(UNIT, protocol, 0)}))) is heard
