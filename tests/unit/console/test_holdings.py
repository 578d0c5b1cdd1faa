"""What a Console remembers of what it sent: resuming from any document sent, and when to start anew."""

from __future__ import annotations

from watchword.console import holdings
from watchword.console.holdings import Holding
from watchword.policy.amendments import Amendment
from watchword.wire.policy import PeerFacts


def joining(badge: int, selector: str = "s") -> Amendment:
    return Amendment(joined={selector: (badge,)})


def sent(*revisions: int) -> Holding:
    """Documents of these revisions were sent; after each of them badge <revision> joined."""
    holding = Holding()
    for revision in revisions:
        holding.sent(revision, b"d%d" % revision)
        holding.follow(joining(revision))
    return holding


def joined(holding: Holding) -> set[int]:
    changes = holding.changes()
    assert changes is not None
    return {badge for badges in changes.joined.values() for badge in badges}


def test_nothing_sent_means_a_snapshot() -> None:
    holding = Holding()
    holding.follow(joining(1))
    assert holding.changes() is None
    assert not holding.resume(0, b"")
    assert holding.revision == 0


def test_any_document_not_known_to_be_superseded_can_be_resumed_from() -> None:
    for revision, expected in ((1, {1, 2, 3}), (2, {2, 3}), (3, {3})):
        holding = sent(1, 2, 3)
        assert holding.resume(revision, b"d%d" % revision)
        assert holding.revision == revision
        assert joined(holding) == expected


def test_a_digest_that_was_not_sent_is_a_fork_and_means_a_snapshot() -> None:
    for revision, digest in ((2, b"d1"), (9, b"d3"), (3, b"")):
        holding = sent(1, 2, 3)
        assert not holding.resume(revision, digest)
        assert holding.changes() is None


def test_what_is_enforced_is_not_gone_back_behind() -> None:
    holding = sent(1, 2, 3)
    holding.enforced(2)
    assert holding.resume(2, b"d2")
    holding = sent(1, 2, 3)
    holding.enforced(2)
    assert not holding.resume(1, b"d1")


def test_a_long_absence_is_merged_and_a_heavy_one_forgotten() -> None:
    holding = sent(1)
    for badge in range(3 * holdings.RUN_LIMIT):
        holding.follow(joining(badge))
    assert joined(holding) == {1, *range(3 * holdings.RUN_LIMIT)}
    heavy = Amendment(peers={badge: PeerFacts("u", "n", "/", "e") for badge in range(holdings.WEIGHT_LIMIT)})
    for _ in range(holdings.RUN_LIMIT + 1):
        holding.follow(heavy)
    assert holding.changes() is None


def test_badges_asked_for_are_limited_the_oldest_goes_first() -> None:
    holding = Holding()
    for badge in range(holdings.ASKED_LIMIT):
        holding.ask(badge)
    holding.ask(0)
    holding.ask(99_999)
    assert len(holding.asked) == holdings.ASKED_LIMIT
    assert 0 in holding.asked
    assert 1 not in holding.asked
