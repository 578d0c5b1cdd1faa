"""Amendments: several in order do what one does that is merged from them."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from watchword.policy.amendments import UNCHANGED, Amendment, merged
from watchword.wire.policy import EnforcerEntry, PeerFacts, PolicyDelta, PolicyDocument, patched

TABLES = ("units", "rules", "selectors", "peers", "enforcers", "networks")


def facts(badge: int, name: str = "") -> PeerFacts:
    return PeerFacts(f"u{badge}", name, "/", "e")


def test_an_amendment_weighs_what_it_is_made_of() -> None:
    assert UNCHANGED.weight() == 0
    assert Amendment(joined={"s": (1, 2)}, left={"t": (3,)}, removed={"peers": (4,), "rules": ("a", "b")}).weight() == 6
    for table in TABLES:
        assert Amendment(**{table: {"a": 1, "b": 2}}).weight() == 2  # type: ignore[arg-type]


def test_a_delta_says_the_same_with_its_revisions() -> None:
    said: dict[str, Any] = {table: {f"key of {table}": 1} for table in TABLES}
    said |= {"joined": {"s": (1,)}, "left": {"t": (2,)}, "removed": {"peers": (3,)}, "everybody": True, "asked": (4,)}
    delta = Amendment(**said).delta(5, 6)
    assert delta == PolicyDelta(base=5, revision=6, **said)


def test_one_alone_is_itself_and_none_change_nothing() -> None:
    alone = Amendment(joined={"s": (1,)})
    assert merged([alone]) is alone
    nothing = merged([])
    assert nothing.weight() == 0
    assert nothing.delta(1, 2) == PolicyDelta(1, 2)


def test_the_later_word_counts() -> None:
    one = Amendment(peers={1: facts(1)}, joined={"s": (1, 2)}, everybody=True, asked=(1,))
    other = Amendment(peers={1: facts(1, "other")}, left={"s": (2, 3)}, everybody=False, asked=())
    both = merged([one, other])
    assert both.peers == {1: facts(1, "other")}
    assert both.joined == {"s": (1,)}
    assert both.left == {"s": (2, 3)}
    assert both.everybody is False
    assert both.asked == ()
    again = merged([one, other, Amendment(joined={"s": (3,)})])
    assert (again.joined, again.left) == ({"s": (1, 3)}, {"s": (2,)})
    assert merged([one, UNCHANGED]).everybody is True
    assert merged([one, UNCHANGED]).asked == (1,)


def test_moves_taken_back_are_not_said() -> None:
    both = merged([Amendment(joined={"s": (1,)}), Amendment(left={"s": (1,)}), Amendment(joined={"s": (1,)})])
    assert (both.joined, both.left) == ({"s": (1,)}, {})


def test_what_is_removed_is_named_once_and_stays_said() -> None:
    before = Amendment(rules={"r": 1, "q": 2}, joined={"s": (1, 2), "t": (1,)}, left={"s": (3,)}, peers={1: facts(1)})  # type: ignore[dict-item]
    gone = Amendment(removed={"rules": ("r",), "selectors": ("s",), "peers": (1, 2)})
    found = merged([before, gone, gone, Amendment(rules={"r": 3})])  # type: ignore[dict-item]
    assert dict(found.rules) == {"r": 3, "q": 2}  # type: ignore[comparison-overlap]
    assert (found.joined, found.left, found.peers) == ({}, {}, {})
    assert found.removed == {"rules": ("r",), "selectors": ("s",), "peers": (1, 2)}


def test_a_peer_that_goes_leaves_every_selector_but_no_other_peer_does() -> None:
    found = merged([Amendment(joined={"s": (1, 2)}, left={"t": (1, 3)}), Amendment(removed={"peers": (1,)})])
    assert (found.joined, found.left) == ({"s": (2,)}, {"t": (3,)})
    found = merged([Amendment(joined={"s": (1, 2)}), Amendment(removed={"rules": (1,), "units": ("s",)})])
    assert found.joined == {"s": (1, 2)}


def test_who_says_everybody_says_who_that_is() -> None:
    found = merged([Amendment(peers={1: facts(1)}), Amendment(peers={2: facts(2)}, everybody=True)])
    assert found.peers == {2: facts(2)}
    assert merged([Amendment(peers={1: facts(1)}), Amendment(everybody=False)]).peers == {1: facts(1)}


@pytest.mark.parametrize("seed", range(40))
def test_merging_does_what_applying_one_after_the_other_does(seed: int) -> None:
    """As an engine says it: selectors with their members, and everybody with who that is."""
    random = Random(seed)
    document = PolicyDocument(revision=1, enforcer="e", enforcers={"e": EnforcerEntry(b"", ())})
    stepwise, said = document, []
    for _ in range(12):
        amendment = random_amendment(random, stepwise)
        said.append(amendment)
        stepwise = patched(stepwise, amendment.delta(1, 1))
    kept = [Amendment(asked=tuple(range(6)))]  # so that nobody goes for want of a reason to stay
    once = patched(document, merged([*kept, *said]).delta(1, 1))
    assert once.selectors == stepwise.selectors
    members = {key: {badge for badge, peer in once.peers.items() if key in peer.selectors} for key in once.selectors}
    assert members == {
        key: {badge for badge, peer in stepwise.peers.items() if key in peer.selectors} for key in stepwise.selectors
    }


def random_amendment(random: Random, document: PolicyDocument) -> Amendment:
    selector, badges = random.choice("st"), tuple(random.sample(range(6), 2))
    peers = {badge: facts(badge) for badge in badges}
    match random.randrange(4):
        case 0:
            return Amendment(removed={"selectors": (selector,)})
        case 1:
            members = {selector: tuple(random.sample(badges, 1))}
            return Amendment(
                selectors={selector: (("a=1",),)}, removed={"selectors": (selector,)}, peers=peers, joined=members
            )
        case 2 if selector in document.selectors:
            return Amendment(peers=peers, joined={selector: badges})
        case _:
            known = tuple(badge for badge in badges if badge in document.peers)
            return Amendment(left={selector: known}) if selector in document.selectors else UNCHANGED
