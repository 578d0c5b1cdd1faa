"""The filter language: what is read, what is refused, and that nothing breaks the reader."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchword.model.filters import And, Comparison, Filter, Not, Or, parse
from watchword.model.problems import Invalid

NOW = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("name == web", Comparison("name", "==", "web")),
        ('name == "a \\"b\\" c"', Comparison("name", "==", 'a "b" c')),
        ("name=='x y'", Comparison("name", "==", "x y")),
        ("a != 1 and b >= 2.5", And((Comparison("a", "!=", 1), Comparison("b", ">=", 2.5)))),
        (
            "a<1 OR b<=2 AND c>3",
            Or((Comparison("a", "<", 1), And((Comparison("b", "<=", 2), Comparison("c", ">", 3))))),
        ),
        ("not a == true", Not(Comparison("a", "==", True))),
        ("not (a == 1 or b == 2)", Not(Or((Comparison("a", "==", 1), Comparison("b", "==", 2))))),
        ("associatedTags contains color=blue", Comparison("associatedTags", "contains", "color=blue")),
        ("associatedTags not contains a=b", Not(Comparison("associatedTags", "contains", "a=b"))),
        ("tags contains @app:k8s:namespace=shop", Comparison("tags", "contains", "@app:k8s:namespace=shop")),
        ("port in [80, 443]", Comparison("port", "in", (80, 443))),
        ("name not in [a]", Not(Comparison("name", "in", ("a",)))),
        ('name matches "web-*"', Comparison("name", "matches", "web-*")),
        ("name EXISTS", Comparison("name", "exists")),
        ("name not exists", Not(Comparison("name", "exists"))),
        ("createTime > now()", Comparison("createTime", ">", NOW)),
        ('createTime > now("-24h")', Comparison("createTime", ">", NOW - datetime.timedelta(hours=24))),
        ('createTime > now("2d")', Comparison("createTime", ">", NOW + datetime.timedelta(days=2))),
        (
            't < date("2018-04-26 23:50")',
            Comparison("t", "<", datetime.datetime(2018, 4, 26, 23, 50, tzinfo=datetime.UTC)),
        ),
        (
            't < date("2018-04-26T23:50:00+02:00")',
            Comparison("t", "<", datetime.datetime(2018, 4, 26, 21, 50, tzinfo=datetime.UTC)),
        ),
    ],
)
def test_what_is_read(text: str, tree: Filter) -> None:
    assert parse(text, NOW) == tree


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "name",
        "name ==",
        "== web",
        "name = web",
        "name == web extra",
        "name == web and",
        "and",
        "(",
        ")",
        "(name == web",
        "name == web)",
        "name in web",
        "name in []",
        "name in [a",
        "name in [a,]",
        'name == "open',
        "a == 1 b == 2",
        "not",
        "a not == 1",
        "a like b",
        "1 == 1",
        "a == and",
        't > now("x")',
        't > date("x")',
        't > now("-99999999999d")',
        't > now("-999999w")',
        "a == ==",
        "a ; drop",
        "a-b == 1",
        "a.b == 1",
        "(" * 50 + "a == 1" + ")" * 50,
        "not " * 50 + "a == 1",
        " or ".join(["a == 1"] * 200),
        "a == " + "x" * 5000,
        "a in [" + ",".join(["1"] * 200) + "]",
    ],
)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(text, NOW)
    assert caught.value.path == "filter"
    assert caught.value.remedy


WORDS = st.sampled_from(
    [
        "and",
        "or",
        "not",
        "(",
        ")",
        "[",
        "]",
        ",",
        "==",
        "!=",
        "<",
        "contains",
        "in",
        "matches",
        "exists",
        "name",
        "a=b",
        '"x"',
        "'",
        '"',
        "now(",
        "now()",
        'date("2020-01-01")',
        "1",
        "-1.5",
        "true",
        "\\",
        "\x00",
        "é",
        " ",
    ]
)


@settings(max_examples=500)
@given(
    st.one_of(
        st.text(max_size=200), st.lists(WORDS, max_size=60).map(" ".join), st.lists(WORDS, max_size=60).map("".join)
    )
)
def test_nothing_breaks_the_reader(text: str) -> None:
    try:
        parse(text, NOW)
    except Invalid:
        return
