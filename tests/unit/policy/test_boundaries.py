"""A profile's networks in the tables: excluded ones are subject to nothing, others demand an identity."""

from __future__ import annotations

import pytest

from watchword.model.ports import parse
from watchword.policy.boundaries import bounded
from watchword.policy.compile import Compiler, compile
from watchword.policy.lookup import lookup
from watchword.policy.tables import EXCLUDED, Tables
from watchword.wire.messages import Boundaries
from watchword.wire.policy import Action, NetworkEntry, PeerEntry, PolicyDocument, RuleEntry, UnitEntry

ANY = parse(["any"])


def document(default: Action = "Reject", revision: int = 1) -> PolicyDocument:
    """A unit that lets everybody in 10/8 in but for 10.9/16, and its peer 7 from wherever it is."""
    made = {
        "s/in/0": RuleEntry("s", "s", "/", "ten", "Allow", "ten", ANY),
        "s/in/1": RuleEntry("s", "s", "/", "nine", "Reject", "nine", ANY),
        "s/in/2": RuleEntry("s", "s", "/", "peer", "Allow", "peer", ANY),
    }
    unit = UnitEntry("web", 5, "web", "/", ("app=web",), tuple(made), (), default, default)
    return PolicyDocument(
        revision=revision,
        units={"u": unit},
        rules=made,
        selectors={"ten": (("net=ten",),), "nine": (("net=nine",),), "peer": (("app=db",),)},
        networks={
            "ten": NetworkEntry("ten", "/", ("10.0.0.0/8",), ("ten",)),
            "nine": NetworkEntry("nine", "/", ("10.9.0.0/16",), ("nine",)),
        },
        peers={7: PeerEntry("p", "db", "/", "e", ("peer",))},
    )


def asked(tables: Tables, peer: int | str, protocol: int = 6, port: int = 80) -> tuple[str, str]:
    """What is decided about this peer, incoming and outgoing."""
    found = (lookup(tables, "u", peer, direction, protocol, port) for direction in ("in", "out"))
    incoming, outgoing = (verdict.action for verdict in found)
    return incoming, outgoing


def test_without_boundaries_a_document_is_what_it_was() -> None:
    plain = document()
    assert bounded(plain, None) is plain
    assert bounded(plain, Boundaries(7)) is plain


@pytest.mark.parametrize("default", ["Allow", "Reject"])
@pytest.mark.parametrize("protocol", [1, 6, 17, 47])
def test_an_excluded_network_is_subject_to_no_rule_and_no_default(default: Action, protocol: int) -> None:
    plain = document(default)
    before = PolicyDocument(**{name: getattr(plain, name) for name in plain.__struct_fields__})
    tables = compile(bounded(plain, Boundaries(1, ("10.9.1.0/24", "192.0.2.0/24", "2001:db8::/32"), ("10.0.0.0/8",))))
    assert plain == before
    assert {prefix for prefix, number in tables.prefixes.items() if number == EXCLUDED} == {
        *("10.9.1.0/24", "192.0.2.0/24", "2001:db8::/32"),
    }
    for address in ("10.9.1.7", "192.0.2.1", "2001:db8::1"):
        assert asked(tables, address, protocol) == ("Allow", "Allow")
    verdict = lookup(tables, "u", "10.9.1.7", "in", protocol, 80)
    assert (verdict.rule, verdict.log) == ("@excluded/in/0", False)
    assert asked(tables, "10.9.2.1", protocol) == ("Reject", "Reject")
    assert asked(tables, "198.51.100.1", protocol) == (default, default)


def test_where_identity_is_required_no_address_is_let_in_and_a_proved_peer_is_judged_by_policy() -> None:
    tables = compile(bounded(document("Allow"), Boundaries(1, (), ("10.0.0.0/8", "!10.1.0.0/16", "2001:db8::/32"))))
    assert asked(tables, "10.2.0.1") == ("Reject", "Reject")
    assert asked(tables, "2001:db8::1") == ("Reject", "Reject")
    assert asked(tables, "10.1.0.1") == ("Allow", "Allow")
    assert asked(tables, "192.0.2.1") == ("Allow", "Allow")
    assert asked(tables, 7) == ("Allow", "Allow")
    verdict = lookup(tables, "u", "10.2.0.1", "in", 6, 80)
    assert (verdict.rule, verdict.explicit, verdict.log) == ("@identity-required/in/0", True, True)


def test_a_compiler_that_follows_what_was_touched_comes_to_the_same() -> None:
    boundaries = Boundaries(1, ("10.9.1.0/24",), ("10.0.0.0/8",))
    compiler = Compiler()
    compiler.compile(bounded(document(), boundaries))
    later = document(revision=2)
    later.networks["nine"] = NetworkEntry("nine", "/", ("10.8.0.0/16",), ("nine",))
    followed = compiler.follow(bounded(later, boundaries), {"networks": {"nine"}})
    fresh = compile(bounded(later, boundaries))
    for address in ("10.9.1.1", "10.9.2.1", "10.8.0.1", "192.0.2.1"):
        assert asked(followed, address) == asked(fresh, address)
    again = compiler.compile(bounded(document(revision=3), boundaries))
    assert again.prefixes["10.9.1.0/24"] == followed.prefixes["10.9.1.0/24"] == EXCLUDED
    gone = compiler.compile(document(revision=4))
    assert EXCLUDED not in gone.prefixes.values()
    assert asked(gone, "10.9.1.1") == ("Reject", "Reject")
    assert asked(gone, "10.2.0.1") == ("Allow", "Reject")


def test_what_is_added_says_where_it_comes_from() -> None:
    """In no namespace, in no ruleset: whoever explains a flow can tell."""
    made = bounded(document(), Boundaries(1, ("192.0.2.0/24",), ("10.0.0.0/8",)))
    assert made.networks["@excluded"] == NetworkEntry("excluded network", "", ("192.0.2.0/24",), ("@excluded",))
    assert made.networks["@identity-required"] == NetworkEntry(
        "identity required", "", ("10.0.0.0/8",), ("@identity-required",), identity_required=True
    )
    added = {key: rule for key, rule in made.rules.items() if key.startswith("@")}
    assert added == {
        f"{name}/{way}/0": RuleEntry(name, "enforcer profile", "", text, action, name, ANY, log=log)  # type: ignore[arg-type]
        for name, text, action, log in (
            ("@excluded", "excluded network", "Allow", False),
            ("@identity-required", "identity required", "Reject", True),
        )
        for way in ("in", "out")
    }
    assert {key: value for key, value in made.selectors.items() if key.startswith("@")} == {
        "@excluded": (("@excluded",),),
        "@identity-required": (("@identity-required",),),
    }
