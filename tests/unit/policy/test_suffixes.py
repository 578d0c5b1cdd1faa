"""Host names cut by the patterns that networks list, by example; all names of small worlds are in tests/property."""

from __future__ import annotations

import pytest

from watchword.policy.suffixes import Suffix, candidates, covering, is_name, suffixes
from watchword.wire.policy import NetworkEntry

LABEL = "a" * 63
LONGEST = ".".join((LABEL, LABEL, LABEL, "a" * 61))  # 253 characters


def cut(**networks: tuple[str, ...]) -> list[Suffix]:
    """Each network's selector is its own name in capitals."""
    return list(suffixes({key: NetworkEntry(key, "/", found, (key.upper(),)) for key, found in networks.items()}))


@pytest.mark.parametrize("name", ["a.example", "*.example", "x-1._y.example", "0.1.example", LONGEST, f"*.{LONGEST}"])
def test_names_and_patterns_are_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "other",
    [
        *(
            "10.0.0.0",
            "10.0.0.0/8",
            "!10.0.0.0/8",
            "fd00::/8",
            "example",
            "*",
            "a.*.example",
            "A.example",
            "a.example.",
        ),
        *(f"{LABEL}a.example", f"{LONGEST}a", f"*.{LONGEST}a"),
    ],
)
def test_what_is_no_name_in_its_one_form_is_none(other: str) -> None:
    assert not is_name(other)


def test_patterns_come_in_order_and_belong_to_the_networks_of_all_that_contain_them() -> None:
    assert cut(
        f=("x.b.example", "*.org"),
        e=("*.example", "10.0.0.0/8"),
        d=("*.b.example",),
        c=("b.example",),
        b=("*.example",),
        a=("x.b.example",),
    ) == [
        Suffix("*.b.example", ("b", "d", "e"), frozenset("BDE")),
        Suffix("*.example", ("b", "e"), frozenset("BE")),
        Suffix("*.org", ("f",), frozenset("F")),
        Suffix("b.example", ("b", "c", "e"), frozenset("BCE")),
        Suffix("x.b.example", ("a", "b", "d", "e", "f"), frozenset("ABDEF")),
    ]


def test_candidates_are_the_name_and_all_stars_above_it_the_most_precise_first() -> None:
    assert list(candidates("a.b.example")) == ["a.b.example", "*.b.example", "*.example"]
    assert list(candidates("*.b.example")) == ["*.b.example", "*.example"]
    assert list(candidates("example")) == ["example"]


@pytest.mark.parametrize("kind", [list, dict.fromkeys])
def test_patterns_that_cover_a_name_may_be_a_table_or_a_list(kind: type) -> None:
    assert covering("a.b.example", kind(["*.example", "b.example", "a.b.example", "*.org"])) == [
        "a.b.example",
        "*.example",
    ]
    assert covering("a.b.example", iter(["*.example"])) == ["*.example"]
