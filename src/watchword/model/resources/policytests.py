"""Policy tests: what has to be true of policy, whoever changes it."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from watchword.model.declarations import Named, Part, trait
from watchword.model.elements import ALTERNATIVES, CidrText, Expression, PortText
from watchword.model.resources.rulesets import RuleAction

TestStatus = Literal["Unknown", "Passed", "Failed"]


class PolicyAssertion(Part, frozen=True, kw_only=True):
    """One assertion about every connection from one set of parties to another.

    ``from`` and ``to`` select units at or below the test's namespace, and external networks visible
    there; a network stands for every one of its addresses.
    """

    name: Annotated[str, trait("Shown in results.", max_length=256)] = ""
    from_: Annotated[Expression, trait("Who begins the connection: OR of ANDs of tags.", max_length=ALTERNATIVES)] = []
    from_addresses: Annotated[
        list[CidrText], trait("Addresses and CIDRs, without identity, that begin it.", max_length=1024)
    ] = []
    to: Annotated[Expression, trait("Who accepts it: OR of ANDs of tags.", max_length=ALTERNATIVES)] = []
    to_addresses: Annotated[
        list[CidrText], trait("Addresses and CIDRs, without identity, that accept it.", max_length=1024)
    ] = []
    protocol_ports: Annotated[
        list[PortText],
        trait(
            "Such as tcp/80, udp/1:65535, icmp/8, any.",
            min_length=1,
            max_length=1024,
            unique=True,
            remedy="name protocols and ports, or write any",
        ),
    ]
    expect: Annotated[RuleAction, trait("The verdict in question.")] = "Allow"
    quantifier: Annotated[
        Literal["All", "Some", "None"], trait("How many of all pairs and ports have to have that verdict.")
    ] = "All"
    end: Annotated[
        Literal["Both", "Source", "Destination"],
        trait("Whose verdict: that of the connection (every end with an Enforcer), or of one end alone."),
    ] = "Both"
    allow_empty: Annotated[bool, trait("Pass when there is no pair; otherwise that is a failure.")] = False


class AssertionResult(Part, frozen=True, kw_only=True):
    """What became of one assertion."""

    index: Annotated[int, trait("Its position in the test.")]
    name: Annotated[str, trait("Its name.")] = ""
    passed: Annotated[bool, trait("Whether it holds.")]
    message: Annotated[str, trait("Why, in words.")] = ""
    pairs: Annotated[int, trait("How many pairs of parties it is about; networks count by region.")] = 0
    source: Annotated[str, trait("Witness: who begins the connection.")] = ""
    destination: Annotated[str, trait("Witness: who accepts it.")] = ""
    flow: Annotated[str, trait("Witness: protocol and port.")] = ""
    decided_by: Annotated[str, trait("Witness: the deciding rules, or defaults.")] = ""


class PolicyTest(Named, frozen=True, kw_only=True):
    """Assertions that are checked whenever a ruleset, network, namespace, intent or tag changes."""

    assertions: Annotated[list[PolicyAssertion], trait("What has to be true.", min_length=1, max_length=1000)]
    mode: Annotated[
        Literal["enforce", "warn"],
        trait("enforce: refuse a change of policy that would break it. warn: only report."),
    ] = "warn"
    disabled: Annotated[bool, trait("Do not run it.")] = False
    status: Annotated[TestStatus, trait("Last result.", reported=True, indexed=True)] = "Unknown"
    status_revision: Annotated[int, trait("Revision that result is about.", reported=True)] = 0
    status_time: Annotated[datetime.datetime | None, trait("When it became that (UTC).", reported=True)] = None
    stale: Annotated[
        str,
        trait("Why the last result may not hold any more; empty while it does.", reported=True, indexed=True),
    ] = ""
    results: Annotated[list[AssertionResult], trait("Last result of each assertion.", reported=True)] = []
