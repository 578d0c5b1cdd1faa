"""Namespace paths, and what is inherited along them."""

from __future__ import annotations

import pytest

from watchword.model.problems import Invalid
from watchword.model.resources.namespaces import PATH_LIMIT
from watchword.policy.namespaces import default_action, reaches, tag_prefixes, upwards, whole_path
from watchword.policy.world import Namespace


def test_the_way_up() -> None:
    assert list(upwards("/")) == ["/"]
    assert list(upwards("/a")) == ["/a", "/"]
    assert list(upwards("/a/b/c")) == ["/a/b/c", "/a/b", "/a", "/"]


@pytest.mark.parametrize(
    ("origin", "path", "own", "propagated"),
    [
        ("/a", "/a", True, True),
        ("/a", "/a/b", False, True),
        ("/", "/a/b", False, True),
        ("/", "/", True, True),
        ("/a", "/ab", False, False),
        ("/a/b", "/a", False, False),
        ("/a", "/", False, False),
        ("/a", "/b", False, False),
    ],
)
def test_what_is_in_force_below(origin: str, path: str, own: bool, propagated: bool) -> None:
    assert reaches(origin, False, path) is own
    assert reaches(origin, True, path) is propagated


@pytest.mark.parametrize(
    ("name", "where", "path"),
    [
        ("prod", "/", "/prod"),
        ("prod", "/acme", "/acme/prod"),
        ("prod", "/acme~", "/acme~/prod"),
        ("prod", "/acme/", "/acme/prod"),
        ("/acme/prod", "/acme", "/acme/prod"),
        ("/acme/prod", "/", "/acme/prod"),
        ("/acme", "/", "/acme"),
    ],
)
def test_names_of_new_namespaces(name: str, where: str, path: str) -> None:
    assert whole_path(name, where) == path


@pytest.mark.parametrize(
    ("name", "where", "what"),
    [
        ("/", "/", "no new namespace"),
        ("prod/", "/", "no new namespace"),
        ("", "/acme", "no new namespace"),
        ("/other/prod", "/acme", "not below"),
        ("/acmeprod", "/acme", "not below"),
        ("/acme", "/acme", "not below"),
    ],
)
def test_names_that_are_refused(name: str, where: str, what: str) -> None:
    with pytest.raises(Invalid, match=what) as problem:
        whole_path(name, where)
    assert problem.value.path == "name"


def test_paths_have_a_limit() -> None:
    """Of the whole path, not of what is added to it."""
    name = "n" * (PATH_LIMIT - len("/acme/"))
    assert whole_path(name, "/acme") == f"/acme/{name}"
    with pytest.raises(Invalid, match=f"path of {PATH_LIMIT + 1} characters"):
        whole_path(name + "n", "/acme")


def test_the_nearest_default_decides() -> None:
    namespaces = {
        "/": Namespace("/", "Reject", "Allow"),
        "/a": Namespace("/a", "Allow", "Inherit"),
        "/a/b": Namespace("/a/b", "Inherit", "Inherit"),
    }
    for path in ("/a", "/a/b", "/a/b/c"):
        assert default_action(namespaces, path, "in") == ("Allow", "/a")
        assert default_action(namespaces, path, "out") == ("Allow", "/")
    assert default_action(namespaces, "/", "in") == ("Reject", "/")
    assert default_action({"/": Namespace("/")}, "/a", "in") == ("Reject", "")
    assert default_action({}, "/", "out") == ("Reject", "")


def test_tag_prefixes_add_up() -> None:
    namespaces = {
        "/": Namespace("/", tag_prefixes=("z", "a")),
        "/a": Namespace("/a", tag_prefixes=("b", "a")),
        "/b": Namespace("/b", tag_prefixes=("c",)),
    }
    assert tag_prefixes(namespaces, "/a/x") == ("a", "b", "z")
    assert tag_prefixes(namespaces, "/") == ("a", "z")
    assert tag_prefixes({}, "/a") == ()
