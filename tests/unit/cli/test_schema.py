"""What the command line derives from the declarations of resources."""

from __future__ import annotations

from typing import Any

import pytest

from watchword.cli import documents, schema
from watchword.cli.failure import ExitCode, Failure
from watchword.model.registry import KINDS, kind


@pytest.mark.parametrize(
    ("resource", "field", "name"),
    [
        ("namespace", "name", "text"),
        ("namespace", "defaultPUIncomingTrafficAction", "Allow | Inherit | Reject"),
        ("namespace", "tagPrefixes", "list of text"),
        ("namespace", "annotations", "map of list of text"),
        ("namespace", "updateTime", "time"),
        ("namespace", "protected", "true | false"),
        ("networkrulesetpolicy", "subject", "list of list of text"),
        ("networkrulesetpolicy", "incomingRules", "list of NetworkRule"),
        ("token", "uses", "number"),
    ],
)
def test_type_names(resource: str, field: str, name: str) -> None:
    assert schema.type_name(kind(resource).fields[field].type) == name


def test_every_field_of_every_kind_has_a_name_and_a_meaning() -> None:
    for each in KINDS:
        for field in each.fields.values():
            assert "Type" not in schema.type_name(field.type), (each.singular, field.name)
            assert field.description, (each.singular, field.name)


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        (["name=x"], {"name": "x"}),
        (["name="], {"name": ""}),
        (["name=a=b"], {"name": "a=b"}),
        (["associatedTags=app=web"], {"associatedTags": ["app=web"]}),
        (["associatedTags=a=1", "associatedTags=b=2"], {"associatedTags": ["a=1", "b=2"]}),
        (['associatedTags=["a=1","b=2"]'], {"associatedTags": ["a=1", "b=2"]}),
        (["associatedTags=[]"], {"associatedTags": []}),
        (["protected=true"], {"protected": True}),
        (['annotations={"a": ["b"]}'], {"annotations": {"a": ["b"]}}),
    ],
)
def test_settings(settings: list[str], value: dict[str, Any]) -> None:
    assert schema.body(kind("externalnetwork"), settings, {}) == value


def test_settings_replace_what_the_file_says() -> None:
    base = {"name": "old", "associatedTags": ["old=1"]}
    assert schema.body(kind("extnet"), ["associatedTags=new=1"], base) == {"name": "old", "associatedTags": ["new=1"]}
    assert base["associatedTags"] == ["old=1"]


@pytest.mark.parametrize("setting", ["surprise=1", "name", "ID=1", "createTime=x", "protected=maybe", "annotations={"])
def test_wrong_settings_are_refused(setting: str) -> None:
    with pytest.raises(Failure) as caught:
        schema.body(kind("externalnetwork"), [setting], {})
    assert caught.value.code == ExitCode.USAGE
    assert caught.value.remedy


@pytest.mark.parametrize("each", [k for k in KINDS if "create" in k.verbs], ids=lambda k: k.singular)
def test_a_stub_has_every_field_that_can_be_set(each: Any) -> None:
    stub = schema.stub(each)
    assert set(stub) == {field.name for field in schema.writable(each)}
    required = [field.name for field in schema.writable(each) if field.required]
    assert list(stub)[: len(required)] == required
    assert documents.parse(documents.dump(stub), "stub") == [stub]


def test_a_stub_changes_nothing_that_is_not_filled_in() -> None:
    stub = schema.stub(kind("namespace"))
    assert stub["defaultPUIncomingTrafficAction"] == "Inherit"
    assert stub["tagPrefixes"] == []
    assert stub["protected"] is False
