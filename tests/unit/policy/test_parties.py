"""Sets of parties in words, exact where tags or namespaces say it."""

from __future__ import annotations

from typing import Any

from pyroaring import FrozenBitMap

from tests.unit.policy.shop import keyed, network, rule, ruleset, unit, world
from watchword.policy.landscape import Landscape, Survey
from watchword.policy.parties import Side, described
from watchword.policy.world import Unit


def landscape(*units: Unit, asking: tuple[str, ...] = (), **parts: Any) -> Landscape:
    """Of these units, in a world whose rules ask for these tags."""
    objects = [rule("Allow", [[text]], "any") for text in asking]
    rulesets = keyed(ruleset("s", "/nowhere", [["none=1"]], out=objects))
    (made,) = Survey().landscapes(world(units=keyed(*units), rulesets=rulesets, **parts))
    return made


def side(made: Landscape, *names: str) -> Side:
    """The kinds of these units and the blocks of these networks ("" for no network)."""
    kinds = [kind.number for kind in made.kinds if set(kind.units) & set(names)]
    blocks = [number for number in made.blocks if (made.networks_of(number) or {""}) & set(names)]
    return described(made, FrozenBitMap([*kinds, *blocks]))


def words(made: Landscape, *names: str) -> str:
    return side(made, *names).words


def test_one_unit_is_told_by_its_name() -> None:
    made = landscape(unit("a", 1, "e1", "x=1"), unit("b", 2, "e1"), asking=("x=1",))
    assert side(made, "a") == Side("units", 1, "a in /shop", ("a",))
    assert side(made, "a") == Side(kind="units", count=1, words="a in /shop", units=("a",), networks=(), address="")


def test_all_units_everywhere_and_all_of_a_namespace() -> None:
    made = landscape(
        *(unit(key, 1, "e1", "x=1") for key in "ab"),
        unit("below", 1, "e1", "x=1", namespace="/shop/eu"),
        *(unit(key, 1, "e1", "x=1", namespace="/") for key in "rs"),
        asking=("x=1",),
    )
    assert words(made, "a", "below", "r") == "all 5 units"
    assert words(made, "a") == "all 2 units in /shop"
    assert words(made, "r") == "2 units, all x=1 (r, s)", "the root's are not told by the root, which is above all"
    assert words(made, "a", "below") == "3 units, all x=1 (a, b, below)"


def test_tags_tell_where_they_say_it_exactly() -> None:
    made = landscape(
        *(unit(f"w{n}", 1, "e1", "app=web", "zone=1") for n in range(2)),
        *(unit(f"x{n}", 1, "e1", "app=web", "zone=2") for n in range(2)),
        *(unit(f"d{n}", 1, "e1", "app=db", "zone=1") for n in range(2)),
        *(unit(f"e{n}", 1, "e1", "app=db", "zone=2") for n in range(2)),
        unit("far", 1, "e1", "app=web", "zone=1", namespace="/other"),
        asking=("app=web", "app=db", "zone=1", "zone=2"),
    )
    assert words(made, "w0", "x0") == "4 units app=web in /shop"
    assert words(made, "w0", "d0") == "4 units zone=1 in /shop"
    assert words(made, "w0") == "2 units app=web and zone=1 in /shop"
    assert words(made, "w0", "x0", "far") == "5 units app=web"
    assert words(made, "w0", "e0") == "4 units in /shop (e0, e1, w0, …)"
    assert words(made, "w0", "x0", "d0") == "6 units in /shop (d0, d1, w0, …)"


def test_what_units_share_is_told_with_some_names_where_it_is_not_exact() -> None:
    made = landscape(
        *(unit(key, 1, "e1", "app=web", f"zone={key}") for key in ("n3", "n1", "n2")),
        unit("n4", 1, "e1", "app=web", "zone=4"),
        unit("other", 1, "e1"),
        asking=("app=web", "zone=*", "zone=4"),
    )
    assert words(made, "n1", "n2", "n3") == "3 units, all app=web in /shop (n1, n2, n3)"
    made = landscape(
        *(unit(key, 1, "e1", "app=web", f"zone={key}") for key in ("n3", "n1", "n2", "n5")),
        unit("n4", 1, "e1", "app=web", "zone=4"),
        asking=("app=web", "zone=4"),
    )
    assert words(made, "n1", "n2", "n3", "n5") == "4 units, all app=web in /shop (n1, n2, n3, …)"


def test_tags_of_people_are_preferred_then_trusted_ones_then_generated_ones() -> None:
    def shown(*tags: str) -> str:
        members = [unit(key, 1, "e1", *tags) for key in "ab"]
        return words(landscape(*members, unit("c", 1, "e1"), asking=tags), "a").removesuffix(" in /shop")

    assert shown("zone=1", "app=web") == "2 units app=web"
    assert shown("@user=root", "zone=1") == "2 units zone=1"
    assert shown("@user=root", "$image=x") == "2 units @user=root"
    assert shown("$e=1", "$d=1", "$c=1", "$a=1", "$b=1", "$f=1") == "2 units $a=1"
    assert shown(*(f"${number}=x" for number in range(9, 0, -1))) == "2 units $1=x"


def test_addresses_are_told_by_networks_and_the_rest_by_none() -> None:
    networks = keyed(*(network(f"n{n:02}", "/", f"10.{n}.0.0/16", tags=()) for n in range(11, -1, -1)))
    made = landscape(networks=networks)
    keys = sorted(networks)
    assert side(made, "n03") == Side("addresses", 0, "addresses in the n03", networks=("the n03",), address="10.3.0.1")
    assert words(made, "n03", "n01") == "addresses in the n01, the n03"
    ten, eleven = side(made, *keys[:10]), side(made, *keys[:11])
    assert ten.words == f"addresses in {', '.join(f'the {key}' for key in keys[:10])}"
    assert eleven.words == f"{ten.words} and 1 more"
    assert eleven.networks == ten.networks == tuple(f"the {key}" for key in keys[:10])
    assert side(made, "") == Side("addresses", 0, "addresses in no external network", address="0.0.0.1")
    assert words(made, "n03", "") == "addresses in the n03 and addresses in no external network"
    assert side(made, "n00", "n01").address == "10.0.0.1"


def test_units_and_addresses_together() -> None:
    networks = keyed(network("n", "/", "10.0.0.0/8", tags=()))
    made = landscape(*(unit(f"u{n:02}", 1, "e1") for n in range(11, -1, -1)), networks=networks)
    both = side(made, "u00", "n")
    assert (both.kind, both.count, both.words) == ("both", 12, "all 12 units and addresses in the n")
    assert both.units == tuple(f"u{n:02}" for n in range(10))
    assert (both.networks, both.address) == (("the n",), "10.0.0.1")
