"""Terms: whatever an expression can select is filed under one of its anchors."""

from __future__ import annotations

from watchword.policy.anchors import anchors, key_of, terms


def test_everything_tagged_is_filed_under_its_tags_and_their_keys() -> None:
    assert terms(["app=web", "app=db", "x=a=b"]) == {"app=web", "app=db", "app=", "x=a=b", "x="}
    assert terms([]) == set()


def test_a_key_ends_at_the_first_equals_sign() -> None:
    assert key_of("x=a=b") == "x="
    assert key_of("app=*") == "app="


def test_one_term_for_each_alternative_and_none_where_nothing_is_selected() -> None:
    assert anchors((("app=web",), ("zone=1",))) == {"app=web", "zone=1"}
    assert anchors((("!app=web",), ())) == set()
    assert anchors((("!app=web", "zone=1"),)) == {"zone=1"}


def test_what_few_things_have_is_taken_first() -> None:
    assert anchors((("app=w*", "zone=1"),)) == {"zone=1"}
    assert anchors((("app=w*",),)) == {"app="}
    assert anchors((("$image=x", "@user=root", "zone=1"),)) == {"zone=1"}
    assert anchors((("$image=x", "zone=1"),)) == anchors((("@user=root", "zone=1"),)) == {"zone=1"}
    assert anchors((("a=*", "$image=x"),)) == {"$image=x"}
    assert anchors((("zone=1", "app=web"),)) == {"app=web"}
