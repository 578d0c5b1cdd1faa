"""Files as a world: the same checks as in the Console, every problem at its place."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from watchword.model.resources import Namespace
from watchword.policy.decide import decide_flow
from watchword.policy.files import PLURALS, Document, FileProblem, FilesInvalid, load
from watchword.policy.world import World
from watchword.wire.policy import EnforcerEntry

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


INTENT = {"name": "i", "source": [["app=web"]], "destination": [["app=db"]], "protocolPorts": ["tcp/1"]}


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
    assert (found.world.revision, found.world.enforcers) == (0, {"offline": EnforcerEntry(b"", ())})


def test_the_order_of_documents_and_namespaces_does_not_matter() -> None:
    deep = {"data": {"namespaces": [{"name": "/a/b/c"}, {"name": "/a"}, {"name": "b", "namespace": "/a"}]}}
    units = {"data": {"processingunits": [{"name": "u", "namespace": "/a/b/c", "associatedTags": ["x=1"]}]}}
    one, other = load(documents(units, deep)), load(documents(deep, units))
    assert one.world == other.world
    assert set(one.world.namespaces) == {"/", "/a", "/a/b", "/a/b/c"}


def test_namespaces_are_taken_from_the_top_down_however_they_are_written() -> None:
    spaces = [{"name": "c", "namespace": "/a/b"}, {"name": "/a/b"}, {"name": "b/x", "namespace": "/a"}, {"name": "a"}]
    found = load(documents({"data": {"namespaces": spaces}})).world
    assert set(found.namespaces) == {"/", "/a", "/a/b", "/a/b/c", "/a/b/x"}
    # the root comes first of all: what it gives holds below it
    clash = [
        {"name": "a", "organizationalMetadata": ["@org:x=2"]},
        {"name": "/", "organizationalMetadata": ["@org:x=1"]},
    ]
    assert problems({"data": {"namespaces": clash}}) == {
        "1:data.namespaces[0].organizationalMetadata[0]": "'@org:x=2' is given as '@org:x=1' above"
    }


def test_the_root_can_be_written_down() -> None:
    root = {"name": "/", "defaultPUIncomingTrafficAction": "Allow", "organizationalMetadata": ["@org:x=1"]}
    found = load(documents(data(processingunits=UNITS), {"data": {"namespaces": [root]}}))
    assert (found.world.namespaces["/"].default_incoming, found.world.namespaces["/"].path) == ("Allow", "/")
    assert "@org:x=1" in by_name(found.world, "web-1").tags
    assert problems({"data": {"namespaces": [root]}}, namespace="/shop") == {
        "1:data.namespaces[0].name": "'/' is no new namespace"
    }


def test_namespaces_stand_in_one_that_exists() -> None:
    assert problems({"data": {"namespaces": [{"name": "/a/b"}]}}) == {
        "1:data.namespaces[0].namespace": "'/a' does not exist"
    }


def test_paths_are_as_long_as_on_a_console() -> None:
    parts = ["a" * 254] * 4
    chain = [{"name": "/" + "/".join(parts[:depth])} for depth in range(1, 5)]
    deep = chain[-1]["name"]
    assert load(documents({"data": {"namespaces": [*chain, {"name": "bbb", "namespace": deep}]}}))
    assert problems({"data": {"namespaces": [*chain, {"name": "bbbb", "namespace": deep}]}}) == {
        "1:data.namespaces[4].name": "makes a path of 1025 characters"
    }


def test_every_resource_is_there_once_and_known_by_what_it_is() -> None:
    found = load(documents(data(networkrulesetpolicies=[RULESET])), "/")
    names = [(type(each).__name__, each.name) for each in found.resources]
    assert names == [("Namespace", "/"), ("Namespace", "/shop"), ("NetworkRuleSetPolicy", "db")]

    def known(*parts: str) -> str:
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]

    assert [each.id for each in found.resources] == [
        known("namespace", "", "/"), known("namespace", "", "/shop"), known("networkrulesetpolicy", "/shop", "db"),
    ]  # fmt: skip
    above = load(documents({"data": {"intents": [INTENT]}}), "/shop").resources
    assert [(each.id, each.name) for each in above if isinstance(each, Namespace)] == [
        (known("namespace", "", "/shop"), "/shop"), (known("namespace", "", "/"), "/"),
    ]  # fmt: skip


def test_all_that_apply_takes_is_taken() -> None:
    body: dict[str, dict[str, Any]] = {plural: {"name": "x"} for plural in PLURALS}
    body["namespacemappingpolicies"] |= {"subject": [["a=b"]], "mappedNamespace": "/x"}
    body["enforcerprofilemappingpolicies"] |= {"subject": [["a=b"]], "object": [["a=b"]]}
    body["processingunits"] |= {"associatedTags": ["a=b"]}
    body["externalnetworks"] |= {"entries": ["192.0.2.0/24"], "associatedTags": ["n=1"]}
    body["networkrulesetpolicies"] |= {"subject": [["a=b"]]}
    body["intents"] = INTENT
    body["policytests"] |= {"assertions": [{"from": [["a=b"]], "to": [["a=b"]], "protocolPorts": ["any"]}]}
    listed = {plural: [each] for plural, each in body.items()}
    content = {"APIVersion": 0, "label": "x", "mode": "Import", "data": listed}
    found = load(documents(content))
    assert len(found.resources) == len(PLURALS) + 1  # and the root
    assert [each.name for each in found.world.networks.values()] == ["x"]


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
    assert world.units["68f0"].native_id == "n"
    assert {"$enforcername=edge", "$enforcerid=e1"} <= world.units["68f0"].tags
    assert "app=stale" not in world.units["68f0"].tags  # derived, not believed


def test_badges_are_unique_and_never_zero() -> None:
    units = [{"name": f"u{number}", "associatedTags": ["x=1"]} for number in range(500)]
    badges = [unit.badge for unit in load(documents({"data": {"processingunits": units}})).world.units.values()]
    assert len(set(badges)) == 500
    assert 0 not in badges
    assert max(badges) < 1 << 32
    assert len({badge >> 24 for badge in badges}) > 100  # they are spread over all there are


def test_a_badge_that_is_taken_gives_way_to_the_next() -> None:
    units = [
        {"name": f"u{badge}{number}", "associatedTags": ["x=1"], "badge": badge}
        for badge in (7, 0xFFFFFFFF)
        for number in range(3)
    ]
    world = load(documents({"data": {"processingunits": units}})).world
    assert [unit.badge for unit in world.units.values()] == [7, 8, 9, 0xFFFFFFFF, 1, 2]


def test_a_unit_without_an_enforcer_has_one_all_the_same() -> None:
    units = [{"name": "a", "associatedTags": ["x=1"]}, {"name": "b", "associatedTags": ["x=1"], "enforcerName": "edge"}]
    world = load(documents({"data": {"processingunits": units}})).world
    assert [(unit.enforcer, unit.native_id == unit.id) for unit in world.units.values()] == [
        ("offline", True), ("edge", True),
    ]  # fmt: skip
    assert {"$enforcername=offline", "$enforcerid=offline"} <= by_name(world, "a").tags
    assert set(world.enforcers) == {"offline", "edge"}


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
        ({"data": {"namespaces": [{"name": "a"}, 7]}}, "1:data.namespaces"),
        ({"data": {"namespaces": [{"name": "a", "namespace": 7}]}}, "1:data.namespaces[0].namespace"),
        ({"data": [1]}, "1:data"),
        ({"mode": "Remove", "label": "x", "data": {"namespaces": [{"name": "a"}]}}, "1:mode"),
        ({"APIVersion": 2, "data": {"namespaces": [{"name": "a"}]}}, "1:APIVersion"),
        ({"surprise": 1, "data": {"namespaces": [{"name": "a"}]}}, "1:surprise"),
    ],
)
def test_a_frame_that_is_wrong(content: Any, path: str) -> None:
    assert path in problems(content)


def test_problems_say_where_they_are() -> None:
    content = {
        "surprise": 1,
        "data": {"namespaces": [{"name": 7}, {}], "processingunits": [{**UNITS[0], "color": "red"}]},
    }
    with pytest.raises(FilesInvalid) as refused:
        load(documents(content))
    frame, namespace, nameless, unit = refused.value.problems
    assert frame == FileProblem("policy.yaml", 1, "surprise", "", "is not a field", "use APIVersion, data, label, mode")
    assert (namespace.name, nameless.name, unit.name) == ("", "", "web-1")
    lines = str(refused.value).splitlines()
    assert lines[0] == "policy.yaml: document 1: surprise: is not a field; use APIVersion, data, label, mode"
    assert lines[3].startswith("policy.yaml: document 1: data.processingunits[0].color (web-1): ")
    assert len(lines) == 4


def test_prefixes_and_names_hold_across_files() -> None:
    spaces = {"data": {"namespaces": [{"name": "shop", "tagPrefixes": ["tier=", "zone=", "a=", "k=", "x=", "env="]}]}}
    with pytest.raises(FilesInvalid) as refused:
        load(documents(spaces, {"data": {"networkrulesetpolicies": [RULESET]}}))
    assert "beginning with a=, env=, k=, tier=, x=, zone=, or" in refused.value.problems[0].remedy
    assert "2:data.networkrulesetpolicies[0].subject[0][0]" in problems(
        spaces, {"data": {"networkrulesetpolicies": [RULESET]}}
    )
    twice = {"data": {"networkrulesetpolicies": [RULESET]}}
    assert "2:data.networkrulesetpolicies[0].name" in problems(data(networkrulesetpolicies=[RULESET]), twice)


def test_files_stay_in_the_namespace_they_are_applied_in() -> None:
    assert "1:data.processingunits[0].namespace" in problems({"data": {"processingunits": UNITS}}, namespace="/other")
    upwards = {"data": {"processingunits": [{**UNITS[0], "namespace": "/"}]}}
    assert problems(upwards, namespace="/other") == {
        "1:data.processingunits[0].namespace": "'/' is not at or below /other"
    }
    inside = load(documents({"data": {"processingunits": [{"name": "u", "associatedTags": ["x=1"]}]}}), "/other/x")
    assert by_name(inside.world, "u").namespace == "/other/x"
    assert set(inside.world.namespaces) == {"/", "/other", "/other/x"}


def test_intents_are_two_rulesets_and_tests_are_ready() -> None:
    claim = {"from": [["app=web"]], "to": [["app=db"]], "protocolPorts": ["tcp/1"]}
    test = {"name": "t", "assertions": [claim]}
    found = load(
        documents({"data": {"intents": [INTENT], "policytests": [test, {**test, "name": "off", "disabled": True}]}})
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
    further = {**mapping, "name": "n", "namespace": "/shop", "mappedNamespace": "/shop/web"}
    deeper = data(namespacemappingpolicies=[further, mapping], processingunits=units)
    deeper["data"]["namespaces"].append({"name": "/shop/web"})
    loaded = load(documents(deeper))
    assert by_name(loaded.world, "web-9").namespace == "/shop/web"
    ids = {each.name: each.id for each in loaded.resources}
    assert [each.mapped_by for each in loaded.resources if each.name == "web-9"] == [[ids["m"], ids["n"]]]
    away = {**mapping, "mappedNamespace": "/nowhere"}
    assert "1:data.namespacemappingpolicies[0].mappedNamespace" in problems(data(namespacemappingpolicies=[away]))
    above = {**mapping, "namespace": "/shop", "mappedNamespace": "/other"}
    spaces = {"data": {"namespaces": [{"name": "other"}]}}
    assert "2:data.namespacemappingpolicies[0].mappedNamespace" in problems(
        spaces, data(namespacemappingpolicies=[above])
    )
