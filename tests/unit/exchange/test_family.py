"""Files of the product family mean here what they mean there, or it is said that they do not."""

from __future__ import annotations

from typing import Any

import pytest

from watchword.exchange.family import translate
from watchword.model import decoding, registry, validation

FILE: dict[str, Any] = {
    "APIVersion": 1,
    "label": "shop",
    "data": {
        "externalnetworks": [
            {
                "name": "office",
                "description": "people",
                "entries": ["198.51.100.0/24", "!198.51.100.7/32"],
                "associatedTags": ["externalnetwork:name=office"],
                "propagate": True,
                "protected": False,
                "servicePorts": [],
                "type": "Subnet",
            },
            {"name": "dns", "entries": ["0.0.0.0/0"], "associatedTags": []},
        ],
        "networkrulesetpolicies": [
            {
                "name": "web",
                "subject": [["@org:group=shop", "app=web"], ["$identity=processingunit", "$type=Docker"]],
                "incomingRules": [
                    {
                        "action": "Allow",
                        "logsDisabled": False,
                        "name": "office",
                        "networks": [],
                        "object": [["externalnetwork:name=office"]],
                        "observationEnabled": False,
                        "protocolPorts": ["TCP/443", "icmp/8/0"],
                    }
                ],
                "outgoingRules": [{"action": "Reject", "object": [["app=db"]], "protocolPorts": ["any"]}],
                "propagate": True,
                "fallback": False,
                "metadata": ["@made:by=tool"],
            }
        ],
        "namespaces": [{"name": "eu", "defaultPUIncomingTrafficAction": "Reject", "zoning": 0}],
    },
}


def lost(notes: Any) -> list[str]:
    return [str(note) for note in notes if note.lost]


def checked(document: dict[str, Any]) -> None:
    """Everything in an import is a resource that a Console takes."""
    for plural, items in document["data"].items():
        for item in items:
            kind = registry.kind(plural)
            validation.check(decoding.convert({**item, "ID": "i", "namespace": "/"}, kind.type), ())


def test_a_file_with_nothing_but_counterparts() -> None:
    result = translate(FILE)
    assert lost(result.notes) == []
    assert result.document["label"] == "shop"
    data = result.document["data"]
    assert data["externalnetworks"][0] == {
        name: value
        for name, value in FILE["data"]["externalnetworks"][0].items()
        if name not in ("servicePorts", "type")
    }
    assert data["externalnetworks"][1]["associatedTags"] == ["externalnetwork:name=dns"]
    (web,) = data["networkrulesetpolicies"]
    assert web["subject"] == [
        ["@org:group=shop", "app=web"],
        ["$identity=processingunit", "$type=Container"],
        ["$identity=processingunit", "$type=Pod"],
    ]
    assert web["incomingRules"][0]["protocolPorts"] == ["TCP/443", "icmp/8/0"]
    assert "networks" not in web["incomingRules"][0]
    checked(result.document)


RULESET: dict[str, Any] = {"name": "r", "subject": [["app=web"]], "outgoingRules": []}


def one(**changes: Any) -> Any:
    return translate({"APIVersion": 1, "data": {"networkrulesetpolicies": [{**RULESET, **changes}]}})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tartan": "plaid"}, "data.networkrulesetpolicies[0].tartan: there is no such field"),
        ({"outgoingRules": [{"object": [["a=b"]], "protocolPorts": ["any"], "when": "x"}]}, "outgoingRules[0].when"),
        ({"subject": [["$id=5f3a"]]}, "names an object of another Console"),
        ({"subject": [["$operationalstatus=Running"]]}, "nothing has a tag $operationalstatus"),
        ({"associatedTags": ["!x=1", "a=b"]}, "associatedTags[0]: '!x=1' is no tag"),
    ],
)  # fmt: skip
def test_what_has_no_counterpart_is_listed(changes: dict[str, Any], said: str) -> None:
    result = one(**changes)
    assert [each for each in lost(result.notes) if said in each], result.notes
    assert len(result.document["data"]["networkrulesetpolicies"]) == 1


@pytest.mark.parametrize("condition", ["activeSchedule", "activeDuration", "expirationTime"])
def test_a_ruleset_for_a_time_is_not_made_one_for_ever(condition: str) -> None:
    result = one(**{condition: "0 8 * * *"})
    assert result.document["data"]["networkrulesetpolicies"] == []
    assert condition in lost(result.notes)[0]


def test_what_would_be_an_operator_here_matches_nothing_as_there() -> None:
    """`app=*` is one exact tag there. Read as our operator it would allow every application."""
    rules = [
        {"object": [["app=*"]], "protocolPorts": ["any"]},
        {"object": [["!app=web"], ["app=db"]], "protocolPorts": ["any"]},
    ]
    result = one(outgoingRules=rules)
    (ruleset,) = result.document["data"]["networkrulesetpolicies"]
    assert [rule["object"] for rule in ruleset["outgoingRules"]] == [[["app=db"]]]
    assert len(lost(result.notes)) == 3  # two alternatives, and a rule that had no other
    nobody = one(subject=[["app=*"], ["!x=1", "y=1"]])
    assert nobody.document["data"]["networkrulesetpolicies"] == []


def test_whole_kinds_are_listed_object_by_object() -> None:
    result = translate(
        {
            "APIVersion": 1,
            "label": "old",
            "data": {
                "networkaccesspolicies": [{"name": "a", "action": "Allow"}, {"name": "b"}],
                "appcredentials": [{"name": "c"}],
                "wonders": {"x": 1},
                "externalnetworks": [],
            },
            "extra": 1,
            "identities": ["x"],
        }
    )
    said = lost(result.notes)
    assert len(said) == 5
    assert "data.networkaccesspolicies[0] (a): the older form" in said[0]
    assert "gives access" in said[2]
    assert "no such resource" in said[3]
    assert result.document == {"APIVersion": 1, "label": "old", "data": {"externalnetworks": []}}


def test_origins_lead_back_past_what_was_left_out() -> None:
    result = translate({"data": {"networkrulesetpolicies": [{**RULESET, "expirationTime": "x"}, RULESET]}})
    assert result.origins == {"data.networkrulesetpolicies[0]": "data.networkrulesetpolicies[1]"}


@pytest.mark.parametrize(
    "document",
    [{"data": []}, {"data": {"externalnetworks": {}}}, {"data": {"externalnetworks": [7, None]}},
     {"data": {"networkrulesetpolicies": [{"subject": "x", "incomingRules": [1, {"object": [1, ["a", 2]]}]}]}}],
)  # fmt: skip
def test_malformed_files_are_left_to_the_console_to_refuse(document: dict[str, Any]) -> None:
    translate(document)
