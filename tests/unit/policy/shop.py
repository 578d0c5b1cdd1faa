"""A small shop, written out, for the policy engine's unit tests."""

from __future__ import annotations

import dataclasses
from typing import Any

from watchword.model import expressions, ports
from watchword.policy.world import Namespace, Network, Rule, Ruleset, Unit, World
from watchword.wire.policy import EnforcerEntry

Pairs = list[list[str]]


def rule(action: Any, selected: Pairs, *protocol_ports: str, name: str = "", **traits: bool) -> Rule:
    """A rule from the texts that people write."""
    return Rule(name, action, expressions.parse(selected), ports.parse(protocol_ports), **traits)


def ruleset(key: str, namespace: str, subject: Pairs, *, inc: Any = (), out: Any = (), **traits: Any) -> Ruleset:
    return Ruleset(key, f"the {key}", namespace, expressions.parse(subject), tuple(inc), tuple(out), **traits)


def unit(key: str, badge: int, enforcer: str, *tags: str, namespace: str = "/shop") -> Unit:
    return Unit(key, f"native-{key}", key, namespace, enforcer, badge, frozenset(tags))


def network(key: str, namespace: str, *entries: str, tags: tuple[str, ...], **traits: Any) -> Network:
    return Network(key, f"the {key}", namespace, traits.pop("propagate", False), entries, frozenset(tags), **traits)


def keyed(*records: Any) -> dict[str, Any]:
    return {record.id: record for record in records}


def world(**changes: Any) -> World:
    """web and api on e1, db on e2, job on e3; web → db is allowed on tcp/5432 at both ends."""
    web_to_db = ruleset("web-out", "/shop", [["app=web"]], out=[rule("Allow", [["app=db"]], "tcp/5432", name="query")])
    db_from_web = ruleset("db-in", "/shop", [["app=db"]], inc=[rule("Allow", [["app=web"]], "tcp/5432")])
    made = World(
        revision=7,
        namespaces={"/": Namespace("/", "Reject", "Reject"), "/shop": Namespace("/shop")},
        units=keyed(
            unit("web", 11, "e1", "app=web"),
            unit("api", 12, "e1", "app=api"),
            unit("db", 21, "e2", "app=db"),
            unit("job", 31, "e3", "app=job"),
        ),
        networks={},
        rulesets=keyed(web_to_db, db_from_web),
        enforcers={key: EnforcerEntry(key.encode(), ()) for key in ("e1", "e2", "e3")},
    )
    return dataclasses.replace(made, **changes)
