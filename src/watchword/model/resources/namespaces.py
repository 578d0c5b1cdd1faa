"""Namespaces: the tenant tree and what each node hands down."""

from __future__ import annotations

from typing import Annotated, Literal

from watchword.model.declarations import Named, trait

TrafficAction = Literal["Allow", "Reject", "Inherit"]


class Namespace(Named, frozen=True, kw_only=True):
    """Node of the tenant tree. Its name is its whole path, such as ``/acme/prod``."""

    name: Annotated[
        str,
        trait(
            "Path. Given at creation as one component, or as the whole path below the request's namespace.",
            creation_only=True,
            indexed=True,
            max_length=1024,
            pattern=r"^/$|^/?[a-zA-Z0-9_-]+(/[a-zA-Z0-9_-]+)*$",
        ),
    ]
    type: Annotated[
        Literal["Default", "Tenant", "CloudAccount", "Group", "Kubernetes"],
        trait("Position in the tenant tree.", creation_only=True),
    ] = "Default"
    default_pu_incoming_traffic_action: Annotated[
        TrafficAction, trait("Verdict for incoming flows that no ruleset decides.")
    ] = "Inherit"
    default_pu_outgoing_traffic_action: Annotated[
        TrafficAction, trait("Verdict for outgoing flows that no ruleset decides.")
    ] = "Inherit"
    tag_prefixes: Annotated[
        list[str], trait("If set, rulesets here may use only tags that begin with one of these.")
    ] = []
    organizational_metadata: Annotated[
        list[str], trait("@org: tags given to every unit and external network in this namespace.")
    ] = []
    offline_max_age: Annotated[
        int, trait("Seconds an Enforcer may hold its last revision without its Console; 0 is for ever.", ge=0)
    ] = 0
