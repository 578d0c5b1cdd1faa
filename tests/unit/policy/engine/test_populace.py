"""Units that come, change and go, one case at a time; what is rare on a walk."""

from __future__ import annotations

import dataclasses

from tests.unit.policy.shop import network, rule, ruleset, unit, world
from watchword.policy.engine import Engine
from watchword.policy.render import render
from watchword.policy.world import Alteration, Namespace, World


def followed(before: World, *alterations: Alteration) -> tuple[Engine, World]:
    """An engine after these changes, one revision each, and the world then."""
    engine, parts = Engine.of(before), {part: dict(getattr(before, part)) for part in ("rulesets", "enforcers")}
    for enforcer in before.enforcers:
        engine.document(enforcer)
    for revision, (part, key, entry) in enumerate(alterations, before.revision + 1):
        engine.apply(revision, [Alteration(part, key, entry)])
        parts[part] = {name: known for name, known in parts[part].items() if name != key}
        if entry is not None:
            parts[part][key] = entry
    return engine, dataclasses.replace(before, revision=before.revision + len(alterations), **parts)


def test_an_enforcer_that_comes_again_finds_what_changed_meanwhile() -> None:
    """While it was away nobody was told of its units' rules; their entries must not be those of before."""
    shop = world()
    more = [rule("Allow", [["app=db"]], "tcp/5432"), rule("Allow", [["app=job"]], "tcp/80")]
    engine, now = followed(
        shop,
        Alteration("enforcers", "e1", None),
        Alteration("rulesets", "web-out", ruleset("web-out", "/shop", [["app=web"]], out=more)),
        Alteration("enforcers", "e1", shop.enforcers["e1"]),
    )
    assert engine.document("e1") == render(now, "e1")
    assert engine.document("e1").units["web"].outgoing == ("web-out/out/0", "web-out/out/1")


def test_only_the_first_local_unit_with_an_open_default_opens_and_only_the_last_closes() -> None:
    shop = world(namespaces={"/": Namespace("/", "Reject", "Reject"), "/open": Namespace("/open", "Allow")})
    engine = Engine.of(shop)
    said = []
    for key, namespace in (("web", "/open"), ("api", "/open"), ("web", "/shop"), ("api", "/shop")):
        moved = dataclasses.replace(shop.units[key], namespace=namespace)
        said.append(engine.apply(8, [Alteration("units", key, moved)]).amendments["e1"].everybody)
    assert said == [True, None, None, False]


def test_a_unit_without_an_enforcer_is_nobody_until_its_enforcer_comes() -> None:
    shop = world(rulesets={}, networks={"n": network("n", "/shop", "10.0.0.0/8", tags=("net=1",))})
    engine = Engine.of(shop)
    lone = unit("lone", 77, "e9", "app=db")
    assert engine.apply(8, [Alteration("units", "lone", lone)]).amendments == {}
    assert engine.ask("e1", [77]).asked is None
    amendments = engine.apply(9, [Alteration("enforcers", "e9", shop.enforcers["e1"])]).amendments
    assert set(amendments) == {"e1", "e9"}
    assert amendments["e1"].asked == (77,)
