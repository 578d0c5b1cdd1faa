"""Tag grammar: what users may and may not set."""

from __future__ import annotations

import pytest

from watchword.model import tags
from watchword.model.problems import Invalid


@pytest.mark.parametrize("tag", ["app=web", "a=b=c", "k=two words", "app:k8s:x=1", "ключ=значение", "a=" + "b" * 1021])
def test_users_may_set(tag: str) -> None:
    assert tags.check_user(tag) == tag


@pytest.mark.parametrize(
    "tag",
    [
        "",
        "app",
        "=web",
        "app=",
        "my app=web",
        "a=" + "b" * 1022,
        "a=" + "ü" * 511,
        "a=b\nc",
        "a\n=b",
        "a=\x00",
        "a=\ud800",
    ],
)
def test_grammar_refuses(tag: str) -> None:
    with pytest.raises(Invalid) as caught:
        tags.check(tag, "associatedTags[3]")
    assert caught.value.path == "associatedTags[3]"
    assert caught.value.remedy


@pytest.mark.parametrize("tag", ["@app:k8s:namespace=shop", "$id=1", "+x=1", "!a=b", "a=*", "a=web*"])
def test_users_may_not_set_what_names_others_or_means_something_else(tag: str) -> None:
    assert tags.check(tag) == tag
    with pytest.raises(Invalid):
        tags.check_user(tag)


def test_metadata_begins_with_an_at_sign() -> None:
    assert tags.check_metadata("@os:host=a") == "@os:host=a"
    for tag in ("os:host=a", "$id=1", "+a=b"):
        with pytest.raises(Invalid):
            tags.check_metadata(tag)


def test_generated_tags_leave_out_what_is_empty() -> None:
    made = tags.generated(
        identity="processingunit", name="web 1", namespace="/a", id="u1", images=["nginx:1", "alpine"]
    )
    assert made == {
        "$identity=processingunit",
        "$name=web 1",
        "$namespace=/a",
        "$id=u1",
        "$image=nginx:1",
        "$image=alpine",
    }
    assert "$type=Host" in tags.generated(identity="processingunit", name="n", namespace="/", id="1", type="Host")


def test_generated_tags_cannot_be_smuggled_through_a_name() -> None:
    with pytest.raises(Invalid):
        tags.generated(identity="processingunit", name="web\n$id=u2", namespace="/a", id="u1")


def test_key_ends_at_the_first_equals_sign() -> None:
    assert tags.key("a=b=c") == "a"
