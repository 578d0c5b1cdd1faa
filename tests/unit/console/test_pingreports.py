"""What two accounts of a ping are taken to mean, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from watchword.console.pingreports import findings, listens, path
from watchword.console.pings import Sighting
from watchword.wire.pings import PingEnd, PingOutcome, PingWire

LEFT = {"sent": 1, "announced": True, "mtu": 1500}
ANSWERED: dict[str, Any] = {**LEFT, "answer": "syn-ack", "identified": True, "rtt_us": 50, "mss": 1460, "ttl": 63}
NEAR = PingEnd(
    unit="web", stage="admitted", action="Allow", reason="policy", peer_badge=2, proved=True,
    local="10.0.0.1", local_port=4000, remote="10.0.0.9", remote_port=80,
)  # fmt: skip
FAR = PingEnd(
    unit="db", stage="announced", action="Allow", reason="policy", peer_badge=1,
    local="10.0.0.9", local_port=80, remote="10.0.0.1", remote_port=4000,
)  # fmt: skip


def changed(end: PingEnd, **fields: Any) -> PingEnd:
    return PingEnd(**{**{name: getattr(end, name) for name in end.__struct_fields__}, **fields})


def seen(stage: Any, wire: dict[str, Any], near: PingEnd | None = None) -> PingOutcome:
    return PingOutcome(stage, PingWire(**wire), near, "10.0.0.1", 4000, 7)


REFUSED_BY_ADDRESS = changed(NEAR, stage="refused", action="Reject", peer_badge=0, proved=False)
STRANGER = changed(FAR, peer_badge=0)

BY_ADDRESS = changed(NEAR, peer_badge=0, proved=False)


def echo(stage: Any, answer: Any, near: PingEnd) -> PingOutcome:
    """Of an echo request, or a datagram: none of them says whether it carried an identity."""
    return PingOutcome(stage, PingWire(sent=1, answer=answer, mtu=1500), near, "10.0.0.1", 4000, protocol=17)


CASES: list[tuple[PingOutcome, Sighting, list[str], bool | None]] = [
    (seen("opened", ANSWERED, NEAR), Sighting("e", "nonce", FAR), ["proved"], True),
    (
        seen("opened", {**ANSWERED, "mtu": 1000}, NEAR),
        Sighting("e", "nonce", changed(FAR, remote="10.9.9.9", local="10.3.0.1", local_port=8080)),
        ["proved", "source-translated", "destination-translated", "narrow-path"],
        True,
    ),
    (seen("silent", LEFT), Sighting("e", "refusal", changed(FAR, stage="refused")), ["refused-there"], True),
    (
        seen("silent", LEFT),
        Sighting("e", "refusal", changed(STRANGER, stage="refused")),
        ["stripped-syn", "refused-there"],
        True,
    ),
    (
        seen("refused", {**ANSWERED, "identified": False}, REFUSED_BY_ADDRESS),
        Sighting("e", "nonce", FAR),
        ["stripped-answer", "refused-here"],
        True,
    ),
    (
        seen("refused", {**ANSWERED, "identified": False}, REFUSED_BY_ADDRESS),
        Sighting("e", "ends", STRANGER),
        ["stripped-syn", "refused-here"],
        True,
    ),
    (
        seen("opened", ANSWERED, NEAR),
        Sighting("e", "refusal", changed(FAR, stage="refused", reason="proof-missing")),
        ["stripped-ack", "refused-there", "proved"],
        True,
    ),
    (
        seen("refused", {**ANSWERED, "identified": False}, REFUSED_BY_ADDRESS),
        Sighting(),
        ["refused-here", "no-enforcer-there"],
        True,
    ),
    (
        seen("opened", {**ANSWERED, "identified": False}, changed(NEAR, peer_badge=0, proved=False)),
        Sighting(),
        ["by-address", "no-enforcer-there"],
        True,
    ),
    (seen("silent", {**LEFT, "announced": False}), Sighting(), ["left-without-identity"], None),
    (seen("refused", {"error": "EPERM"}), Sighting(), ["refused-here"], None),
    (seen("reset", {**LEFT, "answer": "rst"}), Sighting(), ["nobody-listens"], False),
    (
        seen("reset", {**LEFT, "answer": "rst"}),
        Sighting("e", "refusal", changed(FAR, stage="refused")),
        ["refused-there"],
        True,
    ),
    (seen("silent", LEFT), Sighting(asked=("e",)), ["no-answer"], None),
    (
        echo("opened", "reply", BY_ADDRESS),
        Sighting("e", "ends", changed(STRANGER, stage="admitted")),
        ["by-address"],
        True,
    ),
    (echo("silent", "", BY_ADDRESS), Sighting("e", "ends", changed(STRANGER, stage="admitted")), ["arrived"], None),
    (
        echo("silent", "", BY_ADDRESS),
        Sighting("e", "refusal", changed(STRANGER, stage="refused")),
        ["refused-there"],
        None,
    ),
    (echo("silent", "", BY_ADDRESS), Sighting(), ["no-answer"], None),
    (echo("reset", "", BY_ADDRESS), Sighting(), ["nobody-listens"], False),
    (seen("unreachable", {**LEFT, "error": "EHOSTUNREACH"}), Sighting(), ["unreachable"], None),
]


@pytest.mark.parametrize(("outcome", "sighting", "codes", "listening"), CASES)
def test_what_is_seen(outcome: PingOutcome, sighting: Sighting, codes: list[str], listening: bool | None) -> None:
    found = findings(outcome, sighting)
    assert [each.code for each in found] == codes
    assert listens(outcome, sighting) is listening
    assert all(each.text for each in found)


def test_nothing_is_said_to_be_stripped_that_nobody_has_seen_missing() -> None:
    """Silence, a stranger's answer, a SYN that left without: none of them shows that anything was stripped."""
    for outcome, sighting, codes, _ in CASES:
        if sighting.end is None:
            assert not any(code.startswith("stripped") for code in codes)
            arrived = path(outcome, sighting).identity_arrived
            assert arrived is None
