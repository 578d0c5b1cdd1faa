"""The tenant tree: levels, the tags they give, and who may give a key."""

from __future__ import annotations

from typing import Any

import pytest

from watchword.model import tenancy
from watchword.model.problems import Invalid
from watchword.model.resources import Namespace

ROOT = Namespace(name="/")


def chain(*levels: tuple[str, Any, list[str]]) -> tuple[Namespace, list[Namespace]]:
    """The last of nested namespaces, and those above it, nearest first."""
    above, path = [ROOT], ""
    for name, type_, tags in levels:
        path += f"/{name}"
        above.insert(0, Namespace(name=path, type=type_, organizational_metadata=tags))
    return above[0], above[1:]


@pytest.mark.parametrize(
    "types",
    [
        ("Default", "Default"),
        ("Tenant", "CloudAccount", "Group", "Kubernetes"),
        ("Tenant", "Group"),
        ("Group", "Kubernetes"),
        ("Default", "CloudAccount", "Default", "Kubernetes"),
        ("Kubernetes", "Default"),
    ],
)
def test_levels_that_descend(types: tuple[str, ...]) -> None:
    for depth in range(1, len(types) + 1):
        tenancy.check(*chain(*((f"n{index}", type_, []) for index, type_ in enumerate(types[:depth]))))


@pytest.mark.parametrize(
    "types",
    [("Tenant", "Tenant"), ("Default", "Tenant"), ("Group", "CloudAccount"), ("Group", "Default", "Group")],
)
def test_levels_that_do_not(types: tuple[str, ...]) -> None:
    with pytest.raises(Invalid) as caught:
        tenancy.check(*chain(*((f"n{index}", type_, []) for index, type_ in enumerate(types))))
    assert caught.value.path == "type"


def test_a_level_gives_its_tag() -> None:
    group, _ = chain(("acme", "Tenant", []), ("shop", "Group", ["@org:team=x"]))
    assert tenancy.given(group) == {"@org:group=shop", "@org:team=x"}
    assert tenancy.given(ROOT) == set()


@pytest.mark.parametrize(
    ("levels", "path"),
    [
        # Whoever may make namespaces in /globex could otherwise take a name of another tenant.
        ([("globex", "Tenant", []), ("x", "Default", ["@org:tenant=acme"])], "organizationalMetadata[0]"),
        ([("globex", "Default", []), ("x", "Default", ["@org:tenant=acme"])], "organizationalMetadata[0]"),
        ([("globex", "Tenant", ["@org:tenant=acme"])], "organizationalMetadata[0]"),
        ([("a", "Default", ["@org:team=a"]), ("x", "Default", ["@org:team=b"])], "organizationalMetadata[0]"),
        ([("a", "Default", ["@org:team=a", "@org:team=b"])], "organizationalMetadata[1]"),
        ([("a", "Default", ["@org:group=a"]), ("x", "Group", [])], "type"),
    ],
)
def test_a_key_has_one_value(levels: list[tuple[str, Any, list[str]]], path: str) -> None:
    with pytest.raises(Invalid) as caught:
        tenancy.check(*chain(*levels))
    assert caught.value.path == path
    assert caught.value.remedy


def test_the_same_value_again_is_fine() -> None:
    tenancy.check(*chain(("acme", "Tenant", ["@org:tenant=acme"]), ("x", "Default", ["@org:tenant=acme"][:0])))
    tenancy.check(*chain(("a", "Default", ["@org:team=a"]), ("x", "Default", ["@org:team=a"])))
