"""Explanations in words: who decides, what lost and why, what would have to change."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from tests.unit.policy.shop import keyed, network, rule, ruleset, unit, world
from watchword.model.problems import Invalid
from watchword.policy.explain import MISSED_LIMIT, EndExplained, PartyFound, explain, hypothetical
from watchword.policy.remedies import (
    AddRule,
    AddRuleset,
    CountRuleset,
    EnableRuleset,
    PropagateRuleset,
    RemoveRule,
    WidenPorts,
)
from watchword.policy.world import Namespace, Unit, World


def outgoing(made: World, destination: str = "db", flow: tuple[int, int] = (6, 5432)) -> EndExplained:
    end = explain(made, "web", destination, *flow).outgoing
    assert end is not None
    return end


def test_both_ends_of_an_allowed_flow() -> None:
    explained = explain(world(), "web", "db", 6, 5432)
    assert (explained.action, explained.flow, explained.revision) == ("Allow", "tcp/5432", 7)
    assert explained.outgoing is not None
    assert explained.incoming is not None
    assert (explained.outgoing.rule, explained.incoming.rule) == ("web-out/out/0", "db-in/in/0")
    assert explained.outgoing.summary == "Allow by rule 'query' of 'the web-out' in /shop"
    assert explained.outgoing.remedies[0].changes == (RemoveRule("web-out/out/0"),)
    decoded = msgspec.json.decode(msgspec.json.encode(explained))
    assert decoded["outgoing"]["matching"][0]["rulesetName"] == "the web-out"
    assert decoded["outgoing"]["matching"][0]["lack"] == ""
    assert (explained.outgoing.direction, explained.incoming.direction) == ("outgoing", "incoming")
    assert explained.source == PartyFound("unit", "web", "web", "/shop", "", (), ("app=web",), False)


def test_tags_are_told_in_order() -> None:
    tags = tuple(f"t={letter}" for letter in "abcdefgh")
    made = world(
        units=keyed(unit("web", 1, "e1", *tags)),
        networks=keyed(*(network(f"n{tag[2:]}", "/shop", "192.0.2.0/24", tags=(tag,)) for tag in tags)),
    )
    explained = explain(made, "web", "192.0.2.1", 6, 1)
    assert explained.source.tags == explained.destination.tags == tags
    names = tuple(f"the n{tag[2:]}" for tag in tags)
    assert explained.destination == PartyFound("network", "", "", "", "192.0.2.1", names, tags, False)


def test_the_lowest_and_highest_flow_can_be_asked_about() -> None:
    for protocol, port in ((0, 0), (254, 0), (6, 0), (6, 65535)):
        asked = explain(world(), "web", "db", protocol, port)
        assert (asked.protocol, asked.port, asked.action) == (protocol, port, "Reject")


def test_notes_speak_of_host_names_where_one_end_is_an_address() -> None:
    """And only to those who may read the network."""
    allow = [rule("Allow", [["net=n"], ["app=db"]], "any")]
    named = {"tags": ("net=n",), "names": ("example.com",)}
    made = world(
        networks=keyed(network("here", "/shop", **named), network("secret", "/", **named)),
        rulesets=keyed(
            ruleset("own", "/shop", [["app=web"]], out=allow, inc=allow),
            ruleset("handed-down", "/", [["app=web"]], out=allow, inc=allow, propagate=True),
        ),
    )
    here = "the own selects external network the here, whose host names (example.com)"
    secret = "the handed-down selects external network the secret"
    for source, destination in (("web", "192.0.2.1"), ("192.0.2.1", "web")):
        notes = explain(made, source, destination, 6, 1).notes
        assert sorted(text[:20] for text in notes) == sorted((here[:20], secret[:20]))
        (note,) = explain(made, source, destination, 6, 1, reader="/shop").notes
        assert note.startswith(here)
    assert explain(made, "web", "db", 6, 1).notes == ()
    plain = dataclasses.replace(made, networks=keyed(network("here", "/shop", "198.51.100.0/24", tags=("net=n",))))
    assert explain(plain, "web", "192.0.2.1", 6, 1).notes == ()


def test_one_end_is_enough_to_refuse_and_the_summary_says_which() -> None:
    rulesets = {key: entry for key, entry in world().rulesets.items() if key != "db-in"}
    explained = explain(world(rulesets=rulesets), "web", "db", 6, 5432)
    assert explained.action == "Reject"
    assert explained.outgoing is not None
    assert explained.incoming is not None
    assert (explained.outgoing.action, explained.incoming.action) == ("Allow", "Reject")
    assert explained.summary == "rejected: db (incoming): no rule matches; the default of / is Reject"
    assert any(
        "add an incoming Allow rule for web on tcp/5432" in remedy.text for remedy in explained.incoming.remedies
    )


def test_every_matching_rule_says_why_it_lost() -> None:
    out = [
        rule("Allow", [["app=db"]], "any"),
        rule("Reject", [["app=db"]], "tcp/5432"),
        rule("Reject", [["app=db"]], "tcp/1:6000"),
        rule("Allow", [["app=db"]], "any", observed=True),
        rule("Reject", [["app=db"]], "any", observed=True),
    ]
    end = outgoing(world(rulesets=keyed(ruleset("s", "/shop", [["app=web"]], out=out))))
    assert {found.key: found.outcome for found in end.matching} == {
        "s/out/0": "overruled",
        "s/out/1": "decides",
        "s/out/2": "agrees",
        "s/out/3": "observed",
        "s/out/4": "observed",
    }
    assert (end.observed_action, end.observed_rule) == ("Reject", "s/out/4")
    assert [found.why for found in end.matching] == [
        "s/out/1 rejects, and a Reject wins over every Allow",
        "a matching Reject wins over everything",
        "s/out/1 says the same and is named first",
        "it is in observation, and s/out/4 is reported instead",
        "it is in observation: reported, never decides",
    ]
    alone = outgoing(world())
    assert [found.why for found in alone.matching] == ["it allows and nothing that matches rejects"]
    # both Rejects have to go; then the Allow decides
    assert [remedy.changes for remedy in end.remedies] == [(RemoveRule("s/out/1"), RemoveRule("s/out/2"))]
    assert end.remedies[0].text.count("remove rule") == 2


def test_rules_that_nearly_matched_say_what_was_missing() -> None:
    allow = [rule("Allow", [["app=db"]], "tcp/5432")]
    subject = [["app=web"]]
    made = world(
        rulesets=keyed(
            ruleset("ports", "/shop", subject, out=[rule("Allow", [["app=db"]], "tcp/80", "udp/53")]),
            ruleset("off", "/shop", subject, out=allow, disabled=True),
            ruleset("above", "/", subject, out=allow),
            ruleset("spare", "/shop", subject, out=allow, fallback=True),
            ruleset("far", "/", subject, out=[rule("Allow", [["app=db"]], "tcp/80")]),
            ruleset("others", "/shop", [["app=api"]], out=allow),
        )
    )
    end = outgoing(made)
    assert {found.key: found.why for found in end.missed} == {
        "ports/out/0": "its protocolPorts are tcp/80, udp/53, which leaves out tcp/5432",
        "off/out/0": "its ruleset is disabled",
        "above/out/0": "its ruleset is not in force in /shop",
        "spare/out/0": "its ruleset is a fallback and an ordinary ruleset selects the unit",
    }
    assert [type(remedy.changes[0]) for remedy in end.remedies] == [
        EnableRuleset, CountRuleset, PropagateRuleset, WidenPorts, AddRule, AddRuleset,
    ]  # fmt: skip
    assert [found.lack for found in end.missed] == ["disabled", "fallback", "scope", "ports"]
    assert {found.outcome for found in end.missed} == {"missed"}


def test_addresses_networks_and_somewhere() -> None:
    made = world(
        networks=keyed(
            network("n", "/shop", "192.0.2.0/24", tags=("net=n",)),
            network("far", "/far", "198.51.100.0/24", tags=("net=n",)),
        ),
        rulesets=keyed(ruleset("s", "/shop", [["app=web"]], out=[rule("Allow", [["net=n"]], "tcp/443")])),
    )
    explained = explain(made, "web", "192.0.2.1", 6, 443)
    assert (explained.action, explained.incoming) == ("Allow", None)
    assert (explained.destination.kind, explained.destination.networks) == ("network", ("the n",))
    hidden = outgoing(made, "198.51.100.1", (6, 443))
    assert hidden.action == "Reject"
    assert [found.why for found in hidden.missed] == ["external network the far is not visible from /shop"]
    assert explain(made, "203.0.113.1", "web", 6, 443).source.kind == "somewhere"


def test_required_identity_is_explained() -> None:
    made = world(networks=keyed(network("in", "/shop", "10.0.0.0/8", tags=("net=in",), identity_required=True)))
    end = explain(made, "10.0.0.1", "web", 6, 80).incoming
    assert end is not None
    assert end.rule == "in/in/0"
    assert "identity required" in end.summary
    assert end.remedies[0].text.startswith("let the peer prove an identity")


def test_a_unit_may_talk_to_itself() -> None:
    explained = explain(world(), "api", "api", 6, 1)
    assert explained.action == "Allow"
    assert explained.outgoing is not None
    assert "itself" in explained.outgoing.summary


@pytest.mark.parametrize(
    ("source", "destination", "protocol", "port", "path"),
    [
        ("nobody", "db", 6, 1, "source"),
        ("web", "nobody", 6, 1, "destination"),
        ("10.0.0.1", "10.0.0.2", 6, 1, "source"),
        ("web", "db", 255, 1, "protocol"),
        ("web", "db", -1, 1, "protocol"),
        ("web", "db", 6, 65536, "port"),
    ],
)
def test_questions_that_have_no_answer(source: str, destination: str, protocol: int, port: int, path: str) -> None:
    with pytest.raises(Invalid) as caught:
        explain(world(), source, destination, protocol, port)
    assert caught.value.path == path


def test_hypothetical_units_are_judged_by_their_tags_and_namespace() -> None:
    web = hypothetical("source", "/shop", frozenset({"app=web"}))
    assert web == Unit(  # it runs nowhere and can prove nothing
        id="hypothetical source",
        native_id="",
        name="a hypothetical source",
        namespace="/shop",
        enforcer="",
        badge=0,
        tags=frozenset({"app=web"}),
    )
    explained = explain(world(), web, "db", 6, 5432)
    assert (explained.action, explained.source.hypothetical, explained.destination.hypothetical) == (
        "Allow", True, False,
    )  # fmt: skip
    twin = hypothetical("destination", "/shop", frozenset({"app=web"}))
    assert explain(world(), web, twin, 6, 5432).action == "Reject"  # two that look alike are not one
    elsewhere = hypothetical("source", "/", frozenset({"app=web"}))
    end = explain(world(), elsewhere, "db", 6, 5432).outgoing
    assert end is not None
    assert end.action == "Reject"


def test_near_misses_are_bounded_and_counted() -> None:
    out = [rule("Allow", [[f"app=other-{number}"]], "tcp/5432") for number in range(MISSED_LIMIT + 5)]
    end = outgoing(world(rulesets=keyed(ruleset("many", "/shop", [["app=web"]], out=out))))
    assert (len(end.missed), end.missed_total) == (MISSED_LIMIT, MISSED_LIMIT + 5) == (20, 25)
    assert {found.lack for found in end.missed} == {"object"}


def test_readers_are_told_of_nothing_that_only_others_may_read() -> None:
    allow = [rule("Allow", [["app=db"], ["net=n"]], "tcp/5432")]
    made = world(
        namespaces={path: Namespace(path) for path in ("/", "/shop", "/rival")},
        rulesets=keyed(
            ruleset("hidden-above", "/", [["app=web"]], out=allow),
            ruleset("rivals", "/rival", [["app=web"]], out=allow),
            ruleset("handed-down", "/", [["app=web"]], out=[rule("Allow", [["net=n"]], "any")], propagate=True),
            ruleset("own", "/shop", [["app=web"]], inc=[rule("Allow", [["net=n"]], "tcp/5432")]),
        ),
        networks=keyed(
            network("secret", "/", "192.0.2.0/24", tags=("net=n",)),
            network("rival", "/rival", "192.0.2.0/24", tags=("net=n",)),
        ),
    )
    told = explain(made, "web", "db", 6, 5432, reader="/shop")
    assert b"hidden-above" not in msgspec.json.encode(told)
    assert b"rival" not in msgspec.json.encode(explain(made, "web", "db", 6, 5432))
    for reader, networks in (("/", ("the rival", "the secret")), ("/shop", ())):
        explained = explain(made, "web", "192.0.2.1", 6, 443, reader=reader)
        assert explained.destination.networks == networks
        assert explained.outgoing is not None
        assert explained.outgoing.rule == "handed-down/out/0"  # what decides is told as it is
    assert b"the secret is not visible" in msgspec.json.encode(explain(made, "192.0.2.1", "web", 6, 5432))
    refused = msgspec.json.encode(explain(made, "192.0.2.1", "web", 6, 5432, reader="/shop"))
    assert b"secret" not in refused
    assert b"rival" not in refused
