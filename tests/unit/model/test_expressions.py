"""Expressions: exact by default, extensions only where written, empty never everything."""

from __future__ import annotations

import pytest

from watchword.model import expressions
from watchword.model.problems import Invalid

WEB = frozenset({"app=web", "env=prod", "env=eu", "x=a=b"})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([["app=web"]], True),
        ([["app=web", "env=prod"]], True),
        ([["app=web", "env=dev"]], False),
        ([["app=db"], ["env=eu"]], True),
        ([["app=we"]], False),
        ([["app=webs"]], False),
        ([["x=a"]], False),
        ([["x=a=b"]], True),
        ([["app=*"]], True),
        ([["ap=*"]], False),
        ([["app=w*"]], True),
        ([["app=x*"]], False),
        ([["app=web", "!env=dev"]], True),
        ([["app=web", "!env=prod"]], False),
        ([["app=web", "!zone=*"]], True),
        ([["app=web", "!env=p*"]], False),
    ],
)
def test_matching(value: list[list[str]], expected: bool) -> None:
    assert expressions.matches(expressions.parse(value), WEB) is expected


def test_parsing_keeps_the_order_and_normalising_forgets_it() -> None:
    parsed = expressions.parse([["b=1", "a=1"], ["c=1"]])
    assert parsed == (("b=1", "a=1"), ("c=1",))
    assert expressions.normalised(parsed) == expressions.normalised(expressions.parse([["c=1"], ["a=1", "b=1"]]))


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ([], "subject"),
        ([[]], "subject[0]"),
        ([["a=1"], []], "subject[1]"),
        ([["a"]], "subject[0][0]"),
        ([["a=1", ""]], "subject[0][1]"),
        ([["a=1", "!"]], "subject[0][1]"),
        ([["*"]], "subject[0][0]"),
        ([["a=1", "a=1"]], "subject[0]"),
        ([["a=1", "b=1"], ["b=1", "a=1"]], "subject[1]"),
        ([["!a=1"]], "subject[0]"),
        ([["a=1"], ["!a=1", "!b=1"]], "subject[1]"),
    ],
)
def test_refused_with_the_field(value: list[list[str]], path: str) -> None:
    with pytest.raises(Invalid) as caught:
        expressions.parse(value, "subject")
    assert caught.value.path == path


def test_what_is_refused_selects_nothing_if_it_comes_in_anyway() -> None:
    empty: list[expressions.Expression] = [(), ((),), (("!zone=z",),)]
    assert not any(expressions.matches(expression, WEB) for expression in empty)


def test_tag_prefixes_restrict_whole_tags_and_none_restrict_nothing() -> None:
    parsed = expressions.parse([["app=web", "!env=dev"]])
    expressions.restrict(parsed, [])
    expressions.restrict(parsed, ["app=", "env="])
    with pytest.raises(Invalid) as caught:
        expressions.restrict(parsed, ["app="], "subject")
    assert caught.value.path == "subject[0][1]"
