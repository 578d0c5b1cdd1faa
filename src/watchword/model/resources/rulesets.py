"""Network rulesets: whom they are about, and whom those may talk to."""

from __future__ import annotations

from typing import Annotated, Literal

from watchword.model.declarations import Named, Part, trait

RuleAction = Literal["Allow", "Reject"]


class NetworkRule(Part, frozen=True, kw_only=True):
    """One rule of a ruleset, in one direction."""

    name: Annotated[str, trait("Shown in flow reports.", max_length=64)] = ""
    action: Annotated[RuleAction, trait("What to do with a matching flow.")] = "Allow"
    object: Annotated[list[list[str]], trait("Peers: OR of ANDs of tags.", min_length=1)]
    protocol_ports: Annotated[list[str], trait("Such as tcp/80, udp/1:65535, icmp/8, any.", min_length=1)]
    logs_disabled: Annotated[bool, trait("Do not report flows that this rule decides.")] = False
    observation_enabled: Annotated[bool, trait("Report what the rule would decide; never decide.")] = False


class NetworkRuleSetPolicy(Named, frozen=True, kw_only=True):
    """A network ruleset: whom it is about, and whom they may talk to."""

    subject: Annotated[list[list[str]], trait("Units it is about: OR of ANDs of tags.", min_length=1)]
    incoming_rules: Annotated[list[NetworkRule], trait("Rules for incoming flows.")] = []
    outgoing_rules: Annotated[list[NetworkRule], trait("Rules for outgoing flows.")] = []
    propagate: Annotated[bool, trait("Also about units in namespaces below.")] = False
    fallback: Annotated[bool, trait("Counts only for units that no ordinary ruleset selects.")] = False
    disabled: Annotated[bool, trait("As if it were absent.")] = False
    associated_tags: Annotated[list[str], trait("Tags of the ruleset itself; rules do not match them.")] = []
