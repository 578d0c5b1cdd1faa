"""What is exported for the family comes back the same, and what it cannot say is said."""

from __future__ import annotations

from typing import Any

import pytest

from watchword.exchange.family import translate
from watchword.exchange.family_export import to_family
from watchword.exchange.notes import Unreadable

DOCUMENT: dict[str, Any] = {
    "label": "shop",
    "data": {
        "externalnetworks": [{"name": "office", "entries": ["10.0.0.0/8", "!10.1.0.0/16"], "associatedTags": ["n=o"]}],
        "networkrulesetpolicies": [
            {
                "name": "r",
                "subject": [["app=web"], ["$identity=processingunit"]],
                "incomingRules": [{"object": [["n=o"]], "protocolPorts": ["tcp/1:2"], "action": "Reject"}],
                "propagate": True,
            }
        ],
    },
}


def ruleset(**changes: Any) -> dict[str, Any]:
    base = {"name": "r", "subject": [["app=web"]], "outgoingRules": [{"object": [["a=b"]], "protocolPorts": ["any"]}]}
    return {"label": "x", "data": {"networkrulesetpolicies": [{**base, **changes}]}}


def test_there_and_back() -> None:
    there = to_family(DOCUMENT)
    assert there.notes == []
    assert there.document["APIVersion"] == 1
    back = translate(there.document)
    assert [note for note in back.notes if note.lost] == []
    assert back.document == {"APIVersion": 1, **DOCUMENT}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"subject": [["app=*"], ["app=web"]]}, "app=* cannot be said"),
        ({"outgoingRules": [{"object": [["a=b", "!c=d"]], "protocolPorts": ["any"]}]}, "!c=d cannot be said"),
        ({"namespace": "/below"}, "is in /below"),
        ({"tartan": 1}, "no such field in the family"),
    ],
)
def test_what_the_family_cannot_say(changes: dict[str, Any], said: str) -> None:
    found = to_family(ruleset(**changes))
    assert [note for note in found.notes if note.lost and said in note.message]


def test_a_reject_is_never_narrowed() -> None:
    rejecting = [{"object": [["a=*"], ["a=b"]], "protocolPorts": ["any"], "action": "Reject"}]
    for changes in (
        {"outgoingRules": rejecting},
        {"subject": [["app=*"], ["a=b"]], "outgoingRules": [{**rejecting[0], "object": [["a=b"]]}]},
    ):
        with pytest.raises(Unreadable, match="rejects"):
            to_family(ruleset(**changes))


def test_names_types_and_kinds() -> None:
    found = to_family(
        {
            "data": {
                "networkrulesetpolicies": [
                    {
                        "name": "r",
                        "subject": [["$type=Pod"], ["$type=Container"]],
                        "outgoingRules": [{"name": "x" * 20, "object": [["a=b"]], "protocolPorts": ["any"]}],
                    }
                ],
                "intents": [{"name": "i"}],
                "namespaces": [{"name": "/"}, {"name": "/shop"}, {"name": "/shop/eu"}],
            }
        }
    )
    (rules,) = found.document["data"]["networkrulesetpolicies"]
    assert rules["subject"] == [["$type=Docker"]]
    assert rules["outgoingRules"][0]["name"] == "x" * 16
    assert found.document["data"]["namespaces"] == [{"name": "shop"}]
    assert len([note for note in found.notes if note.lost]) == 3
