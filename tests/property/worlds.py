"""Hypothesis strategies for small, dense worlds, and the flows worth asking about in them.

Small alphabets on purpose: everything collides with everything.
"""

from __future__ import annotations

from hypothesis import strategies as st

from watchword.model.ports import ANYTHING, PortRange
from watchword.policy.world import Expression, Namespace, Network, Rule, Ruleset, Unit, World
from watchword.wire.policy import EnforcerEntry

PATHS = ("/", "/a", "/a/b", "/ab", "/a/b/c")
TAGS = ("x=1", "x=2", "y=1", "y=22", "z=1")
CLAUSES = (*TAGS, "x=*", "y=2*", "!x=1", "!z=*")
ENFORCERS = ("e1", "e2", "e3")
PREFIXES = (
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.1.0.0/16",
    "10.1.2.0/24",
    "10.1.2.3/32",
    "10.1.128.0/17",
    "::ffff:10.1.0.0/113",  # IPv4 in disguise: 10.1.0.0/17
    "128.0.0.0/1",
    "::/0",
    "fd00::/8",
    "fd00:1::/32",
    "fd00:1::7/128",
)
ADDRESSES = (
    "10.0.0.1",
    "10.1.0.1",
    "10.1.2.1",
    "10.1.2.3",
    "10.1.200.1",
    "9.9.9.9",
    "192.0.2.1",
    "fd00::1",
    "fd00:1::1",
    "fd00:1::7",
    "::ffff:10.1.2.3",
    "2001:db8::1",
)
RANGES = (
    ANYTHING,
    PortRange(6, 80, 80),
    PortRange(6, 0, 65535),
    PortRange(6, 79, 443),
    PortRange(6, 443, 65535),
    PortRange(6, 80, 81),
    PortRange(6, 81, 443),
    PortRange(17, 53, 53),
    PortRange(17, 1, 80),
    PortRange(1, 0, 65535),
    PortRange(1, 8 << 8, 8 << 8 | 255),
    PortRange(1, 3 << 8 | 1, 3 << 8 | 4),
    PortRange(58, 0, 65535),
    PortRange(1, 8 << 8, 8 << 8),
    PortRange(47, 0, 65535),
    PortRange(50, 0, 65535),
)
FLOWS = (
    *((6, port) for port in (0, 79, 80, 81, 443, 444, 65535)),
    *((17, port) for port in (0, 1, 53, 80, 81)),
    *((1, kind) for kind in (0, 8 << 8, 8 << 8 | 1, 8 << 8 | 255, 3 << 8, 3 << 8 | 1, 3 << 8 | 5)),
    (58, 128 << 8),
    (47, 0),
    (50, 0),
    (51, 0),
)

NAMES = (
    "api.example.com",
    "*.example.com",
    "*.b.example.com",
    "a.b.example.com",
    "*.com",
    "*.example.org",
    "example.org",
)
#: What a workload may have asked for: below, at and beside those patterns.
ASKED = (
    "api.example.com",
    "a.b.example.com",
    "b.example.com",
    "example.com",
    "xexample.com",
    "example.org",
    "x.y.test",
)

_paths = st.sampled_from(PATHS)
_actions = st.sampled_from(("Allow", "Reject"))
_tags = st.frozensets(st.sampled_from(TAGS), max_size=4)
_everybody: Expression = (("all=1",),)
_rarely = st.sampled_from((False, False, False, True))


@st.composite
def alternatives(draw: st.DrawFn) -> tuple[str, ...]:
    clauses = draw(st.lists(st.sampled_from(CLAUSES), min_size=1, max_size=2, unique=True))
    if all(clause.startswith("!") for clause in clauses):
        clauses.append(draw(st.sampled_from(TAGS)))
    return tuple(clauses)


def expressions() -> st.SearchStrategy[Expression]:
    return st.lists(alternatives(), min_size=1, max_size=2).map(tuple)


def rules() -> st.SearchStrategy[Rule]:
    ranges = st.lists(st.sampled_from(RANGES), min_size=1, max_size=3, unique=True).map(tuple)
    return st.builds(
        Rule,
        name=st.sampled_from(("", "r", "s")),
        action=_actions,
        object=st.one_of(st.just(_everybody), expressions()),
        ports=ranges,
        observed=_rarely,
        log=st.booleans(),
    )


def namespaces() -> st.SearchStrategy[dict[str, Namespace]]:
    inherited = st.sampled_from(("Inherit", "Inherit", "Allow", "Reject"))
    return st.fixed_dictionaries({path: st.builds(Namespace, st.just(path), inherited, inherited) for path in PATHS})


@st.composite
def units(draw: st.DrawFn, number: int) -> Unit:
    return Unit(
        id=f"u{number}",
        native_id=f"native-{number}",
        name=f"unit {number}",
        namespace=draw(_paths),
        enforcer=draw(st.sampled_from(("e1", *ENFORCERS))),
        badge=draw(st.sampled_from((100 + number,) * 5 + (0,))),  # 0: it cannot prove itself
        tags=draw(_tags) | {"all=1"},
    )


@st.composite
def networks(draw: st.DrawFn, number: int) -> Network:
    entries = draw(st.lists(st.sampled_from(PREFIXES), min_size=1, max_size=3, unique=True))
    carved = draw(st.lists(st.sampled_from(PREFIXES), max_size=2, unique=True))
    names = draw(st.one_of(st.just([]), st.lists(st.sampled_from(NAMES), max_size=3, unique=True)))
    return Network(
        id=f"n{number}",
        name=f"network {number}",
        namespace=draw(_paths),
        propagate=draw(st.booleans()),
        entries=(*entries, *(f"!{entry}" for entry in carved)),
        tags=draw(_tags),
        identity_required=draw(_rarely),
        names=tuple(names),
    )


@st.composite
def rulesets(draw: st.DrawFn, number: int) -> Ruleset:
    return Ruleset(
        id=f"s{number}",
        name=f"ruleset {number}",
        namespace=draw(st.one_of(st.just("/"), _paths)),
        subject=draw(st.one_of(st.just(_everybody), expressions())),
        incoming=tuple(draw(st.lists(rules(), max_size=3))),
        outgoing=tuple(draw(st.lists(rules(), max_size=3))),
        propagate=draw(st.sampled_from((True, True, False))),
        fallback=draw(_rarely),
        disabled=draw(_rarely),
        origin=draw(st.sampled_from(("", "", "", f"i{number}"))),
    )


def enforcers() -> dict[str, EnforcerEntry]:
    return {enforcer: EnforcerEntry(certificate=enforcer.encode(), keys=()) for enforcer in ENFORCERS}


@st.composite
def worlds(draw: st.DrawFn) -> World:
    return World(
        revision=draw(st.integers(1, 1 << 31)),
        namespaces=draw(namespaces()),
        units={f"u{number}": draw(units(number)) for number in range(draw(st.integers(1, 4)))},
        networks={f"n{number}": draw(networks(number)) for number in range(draw(st.integers(0, 3)))},
        rulesets={f"s{number}": draw(rulesets(number)) for number in range(draw(st.integers(0, 4)))},
        enforcers=enforcers(),
    )
