"""Intents: who may talk to whom, said once for both ends."""

from __future__ import annotations

from typing import Annotated

from watchword.model.declarations import Policy, trait
from watchword.model.elements import ALTERNATIVES, Expression, PortText
from watchword.model.resources.rulesets import RuleAction


class Intent(Policy, frozen=True, kw_only=True):
    """One statement about a connection, in force at both of its ends.

    The source's end is an outgoing rule, the destination's an incoming one. An end exists for units that
    this namespace (and, with ``propagate``, those below it) may decide about; a side that is an
    external network has no Enforcer and so no end.
    """

    source: Annotated[
        Expression,
        trait(
            "Who begins the connection: OR of ANDs of tags.",
            min_length=1,
            max_length=ALTERNATIVES,
            remedy="name at least one tag, such as [['app=web']]; empty never means everything",
        ),
    ]
    destination: Annotated[
        Expression,
        trait(
            "Who accepts it: OR of ANDs of tags.",
            min_length=1,
            max_length=ALTERNATIVES,
            remedy="name at least one tag, such as [['app=db']]; empty never means everything",
        ),
    ]
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
    action: Annotated[RuleAction, trait("What to do with such a connection.")] = "Allow"
    propagate: Annotated[bool, trait("Also about units in namespaces below.")] = False
    logs_disabled: Annotated[bool, trait("Do not report flows that this decides.")] = False
    observation_enabled: Annotated[bool, trait("Report what this would decide; never decide.")] = False
