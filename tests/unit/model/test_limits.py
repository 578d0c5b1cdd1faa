"""Holding values against declarations: every violation, at its path, and nothing but violations."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.model import limits, registry
from watchword.model.decoding import Undecodable, convert
from watchword.model.resources import ExternalNetwork, Namespace, NetworkRuleSetPolicy, Token

RULE = {"object": [["a=b"]], "protocolPorts": ["any"]}


@pytest.mark.parametrize(
    ("into", "value", "paths"),
    [
        (NetworkRuleSetPolicy, [], ["body"]),
        (NetworkRuleSetPolicy, {"name": "x"}, ["subject"]),
        (NetworkRuleSetPolicy, {"name": "x", "subject": [["a=b"], [], ["c"]]}, ["subject[1]", "subject[2][0]"]),
        (NetworkRuleSetPolicy, {"name": "x", "subject": [["a=b", "a=b"]]}, ["subject[0][1]"]),
        (
            NetworkRuleSetPolicy,
            {"name": "x", "subject": [["a=b"]], "incomingRules": [RULE, {**RULE, "nets": 1, "action": "Drop"}]},
            ["incomingRules[1].nets", "incomingRules[1].action"],
        ),
        (
            NetworkRuleSetPolicy,
            {"name": "x", "subject": [["a=b"]], "incomingRules": {}, "propagate": "yes", "disabled": 1},
            ["disabled", "incomingRules", "propagate"],
        ),
        (
            ExternalNetwork,
            {"name": " x", "entries": [1], "associatedTags": "a=b"},
            ["name", "associatedTags", "entries[0]"],
        ),
        (
            ExternalNetwork,
            {"name": "x", "entries": ["e"], "associatedTags": ["a=b"], "annotations": {"": ["v"], "k": "v"}},
            ["annotations.", "annotations.k"],
        ),
        (Namespace, {"name": "a\n"}, ["name"]),
        (Namespace, {"name": "a", "offlineMaxAge": True}, ["offlineMaxAge"]),
        (Namespace, {"name": "a", "offlineMaxAge": 1.5}, ["offlineMaxAge"]),
        (Namespace, {"name": "a", "offlineMaxAge": 1 << 80}, ["offlineMaxAge"]),
        (Namespace, {"name": "a", "offlineMaxAge": "60"}, ["offlineMaxAge"]),
        (Namespace, {"name": None}, ["name"]),
        (Token, {"name": "t", "validity": "30m\n"}, ["validity"]),
        (Token, {"name": "t", "uses": 0}, ["uses"]),
    ],
)
def test_every_violation_at_its_path(into: Any, value: Any, paths: list[str]) -> None:
    with pytest.raises(Undecodable) as caught:
        convert(value, into)
    assert sorted(error.path for error in caught.value.errors) == sorted(paths)
    assert all(error.remedy and error.message for error in caught.value.errors)


def test_a_tag_is_measured_in_bytes() -> None:
    body = {"name": "x", "entries": ["10.0.0.0/8"]}
    convert({**body, "associatedTags": ["a=" + "é" * 510]}, ExternalNetwork)
    with pytest.raises(Undecodable, match="1024 bytes"):
        convert({**body, "associatedTags": ["a=" + "é" * 511]}, ExternalNetwork)


def test_errors_are_limited_and_short() -> None:
    with pytest.raises(Undecodable) as caught:
        convert({f"x{index}" * 1000: 1 for index in range(1000)}, Namespace)
    assert len(caught.value.errors) == 20
    assert all(len(error.path) < 100 for error in caught.value.errors)


KINDS = [kind for kind in registry.KINDS if "create" in kind.verbs]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.data())
def test_what_msgspec_refuses_is_a_violation_and_the_other_way_round(data: st.DataObject) -> None:
    """The two readings of one declaration agree on every value."""
    kind = data.draw(st.sampled_from(KINDS))
    fields = [field for field in kind.fields.values() if not field.read_only]
    chosen = data.draw(st.sampled_from(fields))
    value = data.draw(JSON | st.lists(st.text(max_size=6), max_size=3) | st.lists(st.lists(st.text(max_size=4))))
    found = list(limits.violations(value, chosen.declared, chosen.name))
    extra = [error for error in found if "there twice" in error.message or "bytes in UTF-8" in error.message]
    try:
        holder = msgspec.defstruct("Holder", [("it", typed(kind.type, chosen.attribute))])
        msgspec.convert({"it": value}, holder)
    except msgspec.ValidationError:
        assert found, (chosen.name, value)
    else:
        assert found == extra, (chosen.name, value)


def typed(struct: Any, attribute: str) -> Any:
    import typing

    return typing.get_type_hints(struct, include_extras=True)[attribute]
