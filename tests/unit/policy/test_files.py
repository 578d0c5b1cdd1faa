"""Files as a world: the same checks as in the Console, every problem at its place."""

from __future__ import annotations

from typing import Any

import pytest

from watchword.policy.decide import decide_flow
from watchword.policy.files import Document, FilesInvalid, load
from watchword.policy.world import World

UNITS = [
    {"name": "web-1", "namespace": "/shop", "associatedTags": ["app=web"]},
    {"name": "db-1", "namespace": "/shop", "associatedTags": ["app=db"], "metadata": ["@cloud:zone=a"]},
]
RULESET = {
    "name": "db",
    "namespace": "/shop",
    "subject": [["app=db"]],
    "incomingRules": [{"action": "Allow", "object": [["app=web"]], "protocolPorts": ["tcp/5432"]}],
}


def documents(*contents: Any) -> list[Document]:
    return [Document("policy.yaml", number, content) for number, content in enumerate(contents, 1)]


def data(**listed: list[dict[str, Any]]) -> dict[str, Any]:
    return {"data": {"namespaces": [{"name": "shop"}], **listed}}


def problems(*contents: Any, namespace: str = "/") -> dict[str, str]:
    with pytest.raises(FilesInvalid) as refused:
        load(documents(*contents), namespace)
    return {f"{each.document}:{each.path}": each.message for each in refused.value.problems}


def by_name(world: World, name: str) -> Any:
    return next(unit for unit in world.units.values() if unit.name == name)


def test_a_world_that_decides() -> None:
    found = load(documents(data(processingunits=UNITS), {"label": "x", "data": {"networkrulesetpolicies": [RULESET]}}))
    web, db = by_name(found.world, "web-1"), by_name(found.world, "db-1")
    assert {"app=db", "@cloud:zone=a", "$namespace=/shop", "$name=db-1"} <= db.tags
    decision = decide_flow(found.world, web, db, 6, 5432)
    assert decision.incoming is not None
    assert decision.incoming.verdict.action == "Allow"
    assert decision.action == "Reject"  # nothing says that web may leave, and nothing allows by default


def test_the_order_of_documents_and_namespaces_does_not_matter() -> None:
    deep = {"data": {"namespaces": [{"name": "/a/b/c"}, {"name": "/a"}, {"name": "b", "namespace": "/a"}]}}
    units = {"data": {"processingunits": [{"name": "u", "namespace": "/a/b/c", "associatedTags": ["x=1"]}]}}
    one, other = load(documents(units, deep)), load(documents(deep, units))
    assert one.world == other.world
    assert set(one.world.namespaces) == {"/", "/a", "/a/b", "/a/b/c"}


def test_two_versions_of_a_file_are_about_the_same_resources() -> None:
    changed = {**RULESET, "propagate": True}
    before = load(documents(data(networkrulesetpolicies=[RULESET], processingunits=UNITS))).world
    after = load(documents(data(networkrulesetpolicies=[changed], processingunits=UNITS[::-1]))).world
    assert before.rulesets.keys() == after.rulesets.keys()
    assert before.units == after.units
    assert before.rulesets != after.rulesets


def test_organisations_tags_are_handed_down() -> None:
    spaces = [{"name": "shop", "organizationalMetadata": ["@org:team=shop"]}]
    found = load(documents({"data": {"namespaces": spaces, "processingunits": UNITS}}))
    assert "@org:team=shop" in by_name(found.world, "web-1").tags


def test_what_a_console_lists_can_be_pasted() -> None:
    listed = {
        **UNITS[0],
        "ID": "68f0",
        "badge": 77,
        "enforcerID": "e1",
        "enforcerName": "edge",
        "nativeContextID": "n",
        "operationalStatus": "Running",
        "normalizedTags": ["app=stale"],
    }
    world = load(documents(data(processingunits=[listed, {**UNITS[1], "operationalStatus": "Terminated"}]))).world
    assert list(world.units) == ["68f0"]
    assert (world.units["68f0"].badge, world.units["68f0"].enforcer) == (77, "e1")
    assert "app=stale" not in world.units["68f0"].tags  # derived, not believed


def test_badges_are_unique_and_never_zero() -> None:
    units = [{"name": f"u{number}", "associatedTags": ["x=1"]} for number in range(500)]
    badges = [unit.badge for unit in load(documents({"data": {"processingunits": units}})).world.units.values()]
    assert len(set(badges)) == 500
    assert 0 not in badges


def test_every_problem_is_found_at_its_place() -> None:
    wrong = {
        "data": {
            "namespaces": [{"name": "shop"}, {"name": "shop"}],
            "networkrulesetpolicies": [
                {**RULESET, "subject": []},
                {**RULESET, "surprise": 1},
                {**RULESET, "incomingRules": [{"object": [["app=web"]], "protocolPorts": ["tcp"]}]},
                {**RULESET, "namespace": "/nowhere"},
                {**RULESET, "ID": "mine"},
            ],
            "processingunits": [{**UNITS[0], "associatedTags": ["$namespace=/"]}],
            "tokens": [{"name": "t"}],
        }
    }
    found = problems({"data": {"namespaces": [{"name": "other"}]}}, wrong)
    assert set(found) == {
        "2:data.namespaces[1].name",
        "2:data.networkrulesetpolicies[0].subject",
        "2:data.networkrulesetpolicies[1].surprise",
        "2:data.networkrulesetpolicies[2].incomingRules[0].protocolPorts[0]",
        "2:data.networkrulesetpolicies[3].namespace",
        "2:data.networkrulesetpolicies[4].ID",
        "2:data.processingunits[0].associatedTags[0]",
        "2:data.tokens",
    }


@pytest.mark.parametrize(
    ("content", "path"),
    [
        ([], "1:document"),
        ({}, "1:data"),
        ({"data": {}}, "1:data"),
        ({"data": {"namespaces": "shop"}}, "1:data.namespaces"),
        ({"data": {"namespaces": [7]}}, "1:data.namespaces"),
        ({"data": [1]}, "1:data"),
        ({"mode": "Remove", "label": "x", "data": {"namespaces": [{"name": "a"}]}}, "1:mode"),
        ({"APIVersion": 2, "data": {"namespaces": [{"name": "a"}]}}, "1:APIVersion"),
        ({"surprise": 1, "data": {"namespaces": [{"name": "a"}]}}, "1:surprise"),
    ],
)
def test_a_frame_that_is_wrong(content: Any, path: str) -> None:
    assert path in problems(content)


def test_prefixes_and_names_hold_across_files() -> None:
    spaces = {"data": {"namespaces": [{"name": "shop", "tagPrefixes": ["tier="]}]}}
    assert "2:data.networkrulesetpolicies[0].subject[0][0]" in problems(
        spaces, {"data": {"networkrulesetpolicies": [RULESET]}}
    )
    twice = {"data": {"networkrulesetpolicies": [RULESET]}}
    assert "2:data.networkrulesetpolicies[0].name" in problems(data(networkrulesetpolicies=[RULESET]), twice)


def test_files_stay_in_the_namespace_they_are_applied_in() -> None:
    assert "1:data.processingunits[0].namespace" in problems({"data": {"processingunits": UNITS}}, namespace="/other")
    inside = load(documents({"data": {"processingunits": [{"name": "u", "associatedTags": ["x=1"]}]}}), "/other/x")
    assert by_name(inside.world, "u").namespace == "/other/x"
    assert set(inside.world.namespaces) == {"/", "/other", "/other/x"}


def test_intents_are_two_rulesets_and_tests_are_ready() -> None:
    intent = {"name": "i", "source": [["app=web"]], "destination": [["app=db"]], "protocolPorts": ["tcp/1"]}
    claim = {"from": [["app=web"]], "to": [["app=db"]], "protocolPorts": ["tcp/1"]}
    test = {"name": "t", "assertions": [claim]}
    found = load(
        documents({"data": {"intents": [intent], "policytests": [test, {**test, "name": "off", "disabled": True}]}})
    )
    assert sorted(key.partition(":")[2] for key in found.world.rulesets) == ["in", "out"]
    assert len({ruleset.resource for ruleset in found.world.rulesets.values()}) == 1
    assert [each.name for each in found.tests] == ["t"]


def test_mapping_policies_move_units_as_on_a_console() -> None:
    """And what has no part in policy is checked all the same, so that every file that can be applied can be tested."""
    mapping = {"name": "m", "subject": [["app=web"]], "mappedNamespace": "/shop"}
    units = [{"name": "web-9", "associatedTags": ["app=web"]}, {"name": "other", "associatedTags": ["app=x"]}]
    content = data(
        namespacemappingpolicies=[mapping], processingunits=units, enforcerprofiles=[{"name": "p", "keyLifetime": 3600}]
    )
    world = load(documents(content)).world
    assert (by_name(world, "web-9").namespace, by_name(world, "other").namespace) == ("/shop", "/")
    assert "$namespace=/shop" in by_name(world, "web-9").tags
    away = {**mapping, "mappedNamespace": "/nowhere"}
    assert "1:data.namespacemappingpolicies[0].mappedNamespace" in problems(data(namespacemappingpolicies=[away]))
    above = {**mapping, "namespace": "/shop", "mappedNamespace": "/other"}
    spaces = {"data": {"namespaces": [{"name": "other"}]}}
    assert "2:data.namespacemappingpolicies[0].mappedNamespace" in problems(
        spaces, data(namespacemappingpolicies=[above])
    )
