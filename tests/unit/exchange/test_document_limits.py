"""Documents know their lines, and no text takes more than it should."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchword.exchange import documents
from watchword.exchange.notes import Unreadable

TEXT = """\
# a comment
label: shop
data:
  externalnetworks:
    - name: a
      entries:
        - 10.0.0.0/8

    - {name: b, entries: [10.0.0.0/8, &x 10.1.0.0/16]}
---
---
label: *missing
"""


def test_values_know_their_lines() -> None:
    (document,) = documents.read(TEXT.split("---")[0], "f")
    assert document.line() == 2
    assert document.line("data.externalnetworks[0].entries[0]") == 7
    assert document.line("data.externalnetworks[1].entries[1]") == 9
    assert document.line("data.externalnetworks[0].colour") == 5
    assert document.line("data.externalnetworks[9].x") == 4
    assert document.place("data") == "f, line 3"


def test_documents_are_counted_and_errors_say_where() -> None:
    with pytest.raises(Unreadable, match="f, line 12: the alias"):
        documents.read(TEXT, "f")
    found = documents.read("a: 1\n---\n---\nb: 2\n", "f")
    assert [(each.number, each.value) for each in found] == [(1, {"a": 1}), (3, {"b": 2})]
    assert found[1].place("b") == "f, document 3, line 4"


def test_aliases_are_written_out() -> None:
    (document,) = documents.read("a: &x [1, {b: c}]\nd: *x\ne: &k f\n", "f")
    assert document.value == {"a": [1, {"b": "c"}], "d": [1, {"b": "c"}], "e": "f"}


def test_json_with_escapes_that_yaml_lacks() -> None:
    (document,) = documents.read(json.dumps({"a": "\U0001f600"}), "f")
    assert document.value == {"a": "\U0001f600"}
    with pytest.raises(Unreadable):
        documents.read('{"a": "\\ud83d\\ude00", "a": 1}', "f")


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS,
        "a: &x " + "y" * 200_000 + "\nb: [" + ", ".join(["*x"] * 1000) + "]\n",
        "[" * 100_000,
        "{a: " * 100_000,
        "- " * 50_000 + "x",
        "? " * 50_000 + "x",
        "x: " + "9" * 10_000,
        "a: !!python/object/new:os.system [id]",
        "a: !!binary aGk=",
        "a: !!set {x, y}",
        "a: !local x",
        "!!int x",
        "a: &x {b: *x}",
        "? [a]\n: b",
        "*x : 1",
        "a: 1\nb: &x a\n*x : 2\n",
        "%YAML 9.9\n---\na: 1\n",
        "a: \ud800",
        "\x07",
        "a: [1, 2",
        "a: b: c",
        "<<: &x {a: 1}\n<<: *x",
        "x" * (documents.TEXT_LIMIT + 1),
    ],
    ids=lambda text: repr(text[:20]),
)
def test_hostile_texts_are_refused_soon(text: str) -> None:
    begun = time.process_time()
    with pytest.raises(Unreadable):
        documents.read(text, "f")
    assert time.process_time() - begun < 10


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab:- \n[]{},&*!?|>\"'%#01.\t", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = documents.read(text, "f")
    except Unreadable as error:
        found = []
        assert_useful(error)
    json.dumps([each.value for each in found], allow_nan=False)


def assert_useful(error: Unreadable) -> None:
    assert error.place.startswith("f")
    assert error.message
    assert error.remedy


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcdn01:", max_size=4), inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize("text", ["0E0", "1e5", "007", "true", "null", "~", "", "9" * 400 + ".0", "a: b", "- x"])
def test_texts_that_look_like_something_else(text: str) -> None:
    (document,) = documents.read(documents.written({"v": text}), "f")
    assert document.value == {"v": text}


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_what_is_written_is_read_back(value: Any) -> None:
    for text in (documents.written({"v": value}), json.dumps({"v": value})):
        (document,) = documents.read(text, "f")
        assert document.value == {"v": value}
