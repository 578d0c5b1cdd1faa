"""What a reader of one namespace may know of a world."""

from __future__ import annotations

from tests.unit.policy.shop import keyed, network, ruleset, unit, world
from watchword.policy.views import readable, view
from watchword.policy.world import Namespace, Network, Ruleset, World

PATHS = ("/", "/a", "/a/b", "/ab", "/c")


def everything() -> World:
    """A unit, and a ruleset and a network of either kind, in every namespace."""
    return world(
        namespaces={path: Namespace(path) for path in PATHS},
        units=keyed(*(unit(f"u{path}", 1 + number, "e1", namespace=path) for number, path in enumerate(PATHS))),
        rulesets=keyed(*(ruleset(key, path, [["a=1"]], propagate=down) for key, path, down in placed())),
        networks=keyed(*(network(key, path, "10.0.0.0/8", tags=(), propagate=down) for key, path, down in placed())),
    )


def placed() -> list[tuple[str, str, bool]]:
    return [(f"{path}{'*' if down else ''}", path, down) for path in PATHS for down in (False, True)]


def test_the_root_sees_everything() -> None:
    whole = everything()
    assert view(whole, "/") is whole


def test_a_namespace_sees_itself_what_is_below_and_what_reaches_it() -> None:
    whole = everything()
    seen = view(whole, "/a")
    assert set(seen.namespaces) == {"/", "/a", "/a/b"}
    assert set(seen.units) == {"u/a", "u/a/b"}
    assert set(seen.rulesets) == set(seen.networks) == {"/*", "/a", "/a*", "/a/b", "/a/b*"}
    assert all(seen.rulesets[key] is whole.rulesets[key] for key in seen.rulesets)
    assert all(seen.networks[key] is whole.networks[key] for key in seen.networks)
    assert seen.enforcers == {}
    assert seen.revision == whole.revision


def test_a_leaf_sees_the_way_up_but_only_what_propagates_there() -> None:
    seen = view(everything(), "/a/b")
    assert set(seen.namespaces) == {"/", "/a", "/a/b"}
    assert set(seen.units) == {"u/a/b"}
    assert set(seen.rulesets) == set(seen.networks) == {"/*", "/a*", "/a/b", "/a/b*"}


def test_readable_is_what_the_view_has() -> None:
    whole = everything()
    for path in PATHS[1:]:
        seen = view(whole, path)
        entries: list[Ruleset | Network] = [*whole.rulesets.values(), *whole.networks.values()]
        assert all(readable(entry, path) == (entry.id in seen.rulesets) for entry in entries)
