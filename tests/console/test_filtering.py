"""Filters in SQL select exactly what a naive reading of the filter selects."""

from __future__ import annotations

import datetime
import fnmatch
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, select

from watchword.console.flows import sqlite as flows
from watchword.console.store import filtering, records
from watchword.console.store.records import Record
from watchword.console.store.schema import TABLES, metadata
from watchword.model import registry
from watchword.model.filters import And, Comparison, Filter, Not, Or, parse
from watchword.model.problems import Invalid
from watchword.model.resources import Enforcer

KIND = registry.kind("enforcer")
TABLE = TABLES["enforcer"]
NOW = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
TEXTS = ["", "a", "A", "ab", "a*b", "a%b", "a_b", "[a]", "é", "a'b", 'a"b', "a\\b"]
TAGS = ["a=b", "A=b", "a=b c", "a=%", "é=ü", 'q="x"']


def rows() -> list[Any]:
    made = []
    for index in range(24):
        made.append(
            Enforcer(
                id=f"{index:02}",
                namespace="/",
                name=TEXTS[index % len(TEXTS)] or "none",
                fqdn=TEXTS[(index * 5) % len(TEXTS)],
                create_time=NOW - datetime.timedelta(hours=index) if index % 4 else None,
                associated_tags=TAGS[: index % (len(TAGS) + 1)],
                annotations={"x": ["y"]} if index % 2 else {},
                protected=index % 3 == 0,
                enforced_revision=index - 3,
            )
        )
    return made


ROWS = rows()


@pytest.fixture(scope="module")
def engine() -> Any:
    made = create_engine("sqlite://")
    metadata.create_all(made)
    with made.begin() as connection:
        for index, row in enumerate(ROWS):
            record = Record(KIND, row, {"public_key": bytes([index]), "datapath_keys": b""})
            values = {**records.row_values(record), "name": f"{index}{row.name}"}
            connection.execute(TABLE.insert().values(values))
    yield made
    made.dispose()


def naive(tree: Filter, row: Any) -> bool:
    if isinstance(tree, Not):
        return not naive(tree.term, row)
    if not isinstance(tree, Comparison):
        outcomes = [naive(term, row) for term in tree.terms]
        return all(outcomes) if isinstance(tree, And) else any(outcomes)
    value, asked = getattr(row, KIND.fields[tree.field].attribute), tree.value
    match tree.operator:
        case "exists":
            return value is not None and value not in ("", [], {})
        case "contains":
            return asked in value
        case "in":
            return value in asked  # type: ignore[operator]
        case "matches":
            return fnmatch.fnmatchcase(value, str(asked).replace("[", "[[]"))
        case "==":
            return bool(value == asked)
        case "!=":
            return bool(value != asked)
    return value is not None and eval(f"value {tree.operator} asked", {"value": value, "asked": asked})


def selected(engine: Engine, tree: Filter) -> set[str]:
    with engine.connect() as connection:
        found = connection.execute(select(TABLE.c.id).where(filtering.condition(tree, KIND, TABLE)))
        return {row.id for row in found}


def text_terms(operators: list[Any]) -> Any:
    values = st.sampled_from([*TEXTS, "*", "?", "a*", "*b", "[a]", "??"])
    return st.builds(Comparison, st.just("FQDN"), st.sampled_from(operators), values)


TIMES = st.integers(-2, 26).map(lambda hours: NOW - datetime.timedelta(hours=hours))
TERMS = st.one_of(
    text_terms(["==", "!=", "<", "<=", ">", ">=", "contains", "matches"]),
    st.builds(
        Comparison, st.just("FQDN"), st.just("in"), st.lists(st.sampled_from(TEXTS), min_size=1, max_size=3).map(tuple)
    ),
    st.builds(Comparison, st.just("associatedTags"), st.just("contains"), st.sampled_from([*TAGS, "no=such"])),
    st.builds(
        Comparison,
        st.sampled_from(["associatedTags", "annotations", "FQDN", "createTime", "protected"]),
        st.just("exists"),
    ),
    st.builds(Comparison, st.just("protected"), st.sampled_from(["==", "!="]), st.booleans()),
    st.builds(
        Comparison,
        st.just("enforcedRevision"),
        st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
        st.integers(-5, 25),
    ),
    st.builds(Comparison, st.just("createTime"), st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), TIMES),
)
TREES = st.recursive(
    TERMS,
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, min_size=2, max_size=3).map(tuple).map(And),
        st.lists(inner, min_size=2, max_size=3).map(tuple).map(Or),
    ),
    max_leaves=6,
)


@settings(max_examples=400, deadline=None)
@given(TREES)
def test_sql_agrees_with_the_naive_reading(engine: Engine, tree: Filter) -> None:
    assert selected(engine, tree) == {row.id for row in ROWS if naive(tree, row)}


@pytest.mark.parametrize(
    "text",
    [
        "colour == red",
        "associatedTags == a",
        "protected < true",
        "FQDN == 1",
        "enforcedRevision == x",
        "enforcedRevision contains 1",
        "createTime > 5",
        "createTime == yesterday",
        "annotations contains x",
        "protected == 1",
        "enforcedRevision in [true]",
        "FQDN matches 1",
        "associatedTags contains 1",
    ],
)
def test_what_does_not_fit_is_named(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        filtering.condition(parse(text, NOW), KIND, TABLE)
    assert caught.value.path == "filter"


def test_secrets_cannot_be_searched() -> None:
    for name, field in (("token", "token"), ("appcredential", "credential")):
        kind = registry.kind(name)
        with pytest.raises(Invalid, match="no field"):
            filtering.condition(parse(f"{field} == x", NOW), kind, TABLES[name])
    with pytest.raises(Invalid, match="no field"):
        filtering.condition(parse("secretHash == x", NOW), registry.kind("token"), TABLES["token"])


def test_flow_fields_can_be_searched() -> None:
    kind = registry.kind("flowreport")
    with create_engine("sqlite://").connect() as connection:
        flows.metadata.create_all(connection)
        for field in kind.fields.values():
            wanted = filtering.condition(Comparison(field.name, "exists"), kind, flows.table(kind))
            assert connection.execute(select(flows.table(kind)).where(wanted)).all() == []
