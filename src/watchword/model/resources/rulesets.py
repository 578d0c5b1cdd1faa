"""Network rulesets: whom they are about, and whom those may talk to."""

from __future__ import annotations

from typing import Annotated, Literal

from watchword.model.declarations import Part, Policy, trait
from watchword.model.elements import ALTERNATIVES, TEXT, Expression, PortText

RuleAction = Literal["Allow", "Reject"]

#: Rules of one direction of one ruleset.
RULES = 1024


class NetworkRule(Part, frozen=True, kw_only=True):
    """One rule of a ruleset, in one direction."""

    name: Annotated[str, trait("Shown in flow reports.", max_length=64, pattern=TEXT, remedy="leave NUL out")] = ""
    action: Annotated[RuleAction, trait("What to do with a matching flow.")] = "Allow"
    object: Annotated[
        Expression,
        trait(
            "Peers: OR of ANDs of tags.",
            min_length=1,
            max_length=ALTERNATIVES,
            remedy="name at least one tag, such as [['app=web']]; empty never means everything",
        ),
    ]
    protocol_ports: Annotated[
        list[PortText],
        trait(
            "Such as tcp/80, udp/1:65535, icmp/8, icmp/3/1,4:7, any IANA protocol keyword, or any alone. Case does not "
            "matter. The same piece twice is an error; pieces that overlap are not.",
            min_length=1,
            max_length=1024,
            unique=True,
            remedy="name protocols and ports, or write any",
        ),
    ]
    logs_disabled: Annotated[bool, trait("Do not report flows that this rule decides.")] = False
    observation_enabled: Annotated[bool, trait("Report what the rule would decide; never decide.")] = False


class NetworkRuleSetPolicy(Policy, frozen=True, kw_only=True):
    """A network ruleset: whom it is about, and whom they may talk to."""

    subject: Annotated[
        Expression,
        trait(
            "Units it is about: OR of ANDs of tags.",
            min_length=1,
            max_length=ALTERNATIVES,
            remedy="name at least one tag, such as [['app=web']]; empty never means everything",
        ),
    ]
    incoming_rules: Annotated[list[NetworkRule], trait("Rules for incoming flows.", max_length=RULES)] = []
    outgoing_rules: Annotated[list[NetworkRule], trait("Rules for outgoing flows.", max_length=RULES)] = []
    propagate: Annotated[bool, trait("Also about units in namespaces below.")] = False
    fallback: Annotated[bool, trait("Counts only for units that no ordinary ruleset selects.")] = False
