"""The tenant tree: which namespace may stand where, and the ``@org:`` tags each gives to what is in it.

Levels go Tenant, CloudAccount, Group, Kubernetes from the top; levels may be left out, and Default may
stand anywhere. A namespace of a level gives the tag of that level with the last component of its path,
so that ``@org:tenant=acme`` can be trusted: nobody below ``/`` can make a second tenant of that name.
"""

from __future__ import annotations

from collections.abc import Sequence

from watchword.model import tags
from watchword.model.problems import Invalid
from watchword.model.resources import Namespace

#: Levels from the top, and the key of the tag that a namespace of the level gives.
LEVELS = {
    "Tenant": "@org:tenant",
    "CloudAccount": "@org:cloudaccount",
    "Group": "@org:group",
    "Kubernetes": "@org:kubernetes",
}

_TENANT = LEVELS["Tenant"]


def given(namespace: Namespace) -> set[str]:
    """The ``@org:`` tags that one namespace gives to everything in it and below it."""
    found = set(namespace.organizational_metadata)
    if namespace.type in LEVELS:
        found.add(f"{LEVELS[namespace.type]}={namespace.name.rpartition('/')[2]}")
    return found


def check(namespace: Namespace, above: Sequence[Namespace]) -> None:
    """Raise :class:`Invalid` unless ``namespace`` may stand below ``above`` (nearest first) as it is."""
    _check_level(namespace, above)
    _check_own_key(namespace)
    held = {tags.key(tag): tag for each in above for tag in given(each)}
    for index, tag in enumerate(namespace.organizational_metadata):
        path, key = f"organizationalMetadata[{index}]", tags.key(tag)
        if held.get(key, tag) != tag:
            raise Invalid(path, f"{tag!r} is given as {held[key]!r} above", "leave it out; what is above holds here")
        if key == _TENANT and len(above) > 1:
            raise Invalid(path, f"{tag!r} is for namespaces directly below /", "give it there")
    level_key = LEVELS.get(namespace.type)
    if level_key in held:
        raise Invalid("type", f"gives {level_key}, which is given as {held[level_key]!r} above", "choose another type")


def _check_level(namespace: Namespace, above: Sequence[Namespace]) -> None:
    if namespace.type not in LEVELS:
        return
    if namespace.type == "Tenant" and len(above) != 1:
        raise Invalid("type", "Tenant is for namespaces directly below /", "create it there, or choose another type")
    order = list(LEVELS)
    for each in above:
        if each.type in LEVELS and order.index(each.type) >= order.index(namespace.type):
            raise Invalid(
                "type",
                f"{namespace.type} cannot stand below {each.name}, which is of type {each.type}",
                f"levels go {', '.join(order)} from the top; choose a lower one, or Default",
            )


def _check_own_key(namespace: Namespace) -> None:
    """A key has one value in a namespace; that of its level is not for it to choose."""
    seen: dict[str, str] = {}
    for tag in given(namespace) - set(namespace.organizational_metadata):
        seen[tags.key(tag)] = tag
    for index, tag in enumerate(namespace.organizational_metadata):
        earlier = seen.setdefault(tags.key(tag), tag)
        if earlier != tag:
            raise Invalid(f"organizationalMetadata[{index}]", f"{tag!r} stands beside {earlier!r}", "keep one of them")
