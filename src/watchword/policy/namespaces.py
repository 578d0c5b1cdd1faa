"""Namespace paths: the tree in which policy propagates downwards.

Only paths are looked at here; whether a namespace exists is the Console's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from watchword.model.problems import Invalid
from watchword.model.resources.namespaces import PATH_LIMIT
from watchword.policy.tables import Direction
from watchword.policy.world import Namespace
from watchword.wire.policy import Action

ROOT = "/"


def upwards(path: str) -> Iterator[str]:
    """``path`` itself, then each ancestor up to the root."""
    while path != ROOT:
        yield path
        path = path[: path.rindex("/")] or ROOT
    yield ROOT


def reaches(origin: str, propagate: bool, path: str) -> bool:
    """Whether something in ``origin`` is in force (or visible) in ``path``.

    It always is in its own namespace, and below it when it propagates; never above or beside it.
    """
    if origin == path:
        return True
    return propagate and (origin == ROOT or path.startswith(origin + "/"))


def whole_path(name: str, where: str) -> str:
    """The path of the new namespace ``name`` (a path, or one component) in ``where``. Raises :class:`Invalid`."""
    path = name if name.startswith("/") else f"{where.rstrip('/')}/{name}"
    if path == ROOT or path.endswith("/"):
        raise Invalid("name", f"{name!r} is no new namespace", "write a name such as prod")
    if len(path) > PATH_LIMIT:
        raise Invalid("name", f"makes a path of {len(path)} characters", f"stay within {PATH_LIMIT}")
    if not path.startswith(where.rstrip("/") + "/"):
        raise Invalid("name", f"{path!r} is not below {where!r}", "name its parent, or one above, as the namespace")
    return path


def default_action(namespaces: Mapping[str, Namespace], path: str, direction: Direction) -> tuple[Action, str]:
    """What the nearest namespace that does not inherit says, and its path ("" when all inherit: Reject)."""
    for candidate in upwards(path):
        namespace = namespaces.get(candidate)
        if namespace is None:
            continue
        action = namespace.default_incoming if direction == "in" else namespace.default_outgoing
        if action != "Inherit":
            return action, candidate
    return "Reject", ""


def tag_prefixes(namespaces: Mapping[str, Namespace], path: str) -> tuple[str, ...]:
    """What tags in rulesets of ``path`` may begin with, from it and every namespace above; empty for anything."""
    chain = (namespaces.get(each) for each in upwards(path))
    return tuple(sorted({prefix for namespace in chain if namespace for prefix in namespace.tag_prefixes}))
