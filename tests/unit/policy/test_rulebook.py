"""The rulebook for questions about single flows finds what looking at everything finds, and forgets what is gone."""

from __future__ import annotations

import dataclasses

import pytest

from tests.unit.policy.engine.walk import PATHS, TAGS, Dice, after
from tests.unit.policy.shop import keyed, network, rule, ruleset, unit, world
from watchword.model import prefixes
from watchword.model.expressions import matches
from watchword.policy.namespaces import upwards
from watchword.policy.rulebook import Rulebook
from watchword.policy.versions import EMPTY
from watchword.policy.world import World

ADDRESSES = tuple(map(prefixes.parse_address, ("10.0.0.1", "10.1.0.1", "10.1.2.3", "11.0.0.1", "fd00::1", "fe80::1")))
CARRIED = [frozenset({"all=1"}), *(frozenset({"all=1", one, other}) for one in TAGS for other in TAGS)]


def holds(book: Rulebook, followed: World) -> None:
    """The same by looking at all there is, in order of the IDs."""
    rulesets = sorted(followed.rulesets.values(), key=lambda each: each.id)
    for path in PATHS:
        above = [each for each in rulesets if each.namespace in set(upwards(path))]
        for tags in CARRIED:
            assert book.selecting(path, tags) == [each for each in above if matches(each.subject, tags)]
    networks = sorted(followed.networks.values(), key=lambda each: each.id)
    for address in ADDRESSES:
        expected = [each for each in networks if prefixes.covers(prefixes.parse(each.entries), address)]
        assert book.containing(address) == expected


@pytest.mark.parametrize("seed", range(12))
def test_from_world_to_world(seed: int) -> None:
    dice, book = Dice(seed, 3), Rulebook()
    followed = dice.world()
    for _ in range(12):
        book.follow(followed)
        holds(book, followed)
        alterations = [dice.alteration(followed) for _ in range(3)]
        drops = {each[:2]: each for each in alterations if each.entry is None}
        puts = [each for each in alterations if each.entry is not None and each[:2] not in drops]
        followed = after(followed, [*drops.values(), *puts])
    book.follow(EMPTY)
    assert [dict(part) for part in (book._rulesets, book._networks, book._subjects, book._anchored)] == [{}] * 4
    assert book._prefixes == {}


def test_what_did_not_change_is_not_looked_at_again() -> None:
    """Only what is another object than before is taken apart."""
    shop = world(networks=keyed(network("n", "/", "10.0.0.0/8", tags=())))
    book = Rulebook()
    book.follow(shop)
    assert [each.id for each in book.selecting("/shop", frozenset({"app=web"}))] == ["web-out"]
    taken_apart = book._subjects["web-out"]
    other = ruleset("db-in", "/shop", [["app=web"]], inc=[rule("Reject", [["app=db"]], "tcp/1")])
    book.follow(dataclasses.replace(shop, rulesets={**shop.rulesets, "db-in": other}))
    assert [each.id for each in book.selecting("/shop", frozenset({"app=web"}))] == ["db-in", "web-out"]
    assert book._subjects["web-out"] is taken_apart


def test_a_carve_out_in_one_entry_takes_nothing_from_another_network() -> None:
    one = network("n", "/", "10.0.0.0/8", "!10.1.0.0/16", tags=())
    other = network("m", "/", "10.1.0.0/16", "0.0.0.0/0", "10.1.0.0/16", tags=())
    book = Rulebook()
    book.follow(world(networks=keyed(one, other)))
    found = [
        [each.id for each in book.containing(prefixes.parse_address(text))] for text in ("10.1.0.1", "10.2.0.1", "::1")
    ]
    assert found == [["m"], ["m", "n"], []]


def test_an_excerpt_has_what_is_about_its_units_and_addresses() -> None:
    shop = world(
        networks=keyed(network("n", "/", "10.0.0.0/8", tags=()), network("m", "/", "11.0.0.0/8", tags=())),
        units=keyed(unit("web", 11, "e1", "app=web"), unit("db", 21, "e2", "app=db"), unit("job", 31, "e3", "app=job")),
    )
    book = Rulebook()
    book.follow(shop)
    small = book.excerpt(shop, [shop.units["web"], shop.units["job"]], [prefixes.parse_address("10.0.0.1")])
    assert small == dataclasses.replace(
        shop,
        units={key: shop.units[key] for key in ("web", "job")},
        rulesets={"web-out": shop.rulesets["web-out"]},
        networks={"n": shop.networks["n"]},
        enforcers={},
    )
