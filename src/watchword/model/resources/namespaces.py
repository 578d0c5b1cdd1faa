"""Namespaces: the tenant tree and what each node hands down."""

from __future__ import annotations

from typing import Annotated, Literal

from watchword.model.declarations import Named, trait
from watchword.model.elements import OrganizationTag, TagPrefix, whole

TrafficAction = Literal["Allow", "Reject", "Inherit"]
NamespaceType = Literal["Default", "Tenant", "CloudAccount", "Group", "Kubernetes"]

_COMPONENT = r"[a-zA-Z0-9_-]{1,256}"
PATH = rf"/|(?:/{_COMPONENT})+"

#: Characters of a whole path.
PATH_LIMIT = 1024


class Namespace(Named, frozen=True, kw_only=True):
    """Node of the tenant tree. Its name is its whole path, such as ``/acme/prod``."""

    name: Annotated[
        str,
        trait(
            "Path. Given at creation as one component, or as the whole path below the request's namespace.",
            creation_only=True,
            indexed=True,
            max_length=PATH_LIMIT,
            pattern=whole(rf"/|/?{_COMPONENT}(?:/{_COMPONENT})*"),
            remedy="write components of letters, digits, _ and -, such as prod or /acme/prod",
        ),
    ]
    type: Annotated[
        NamespaceType,
        trait(
            "Level in the tenant tree: Tenant (directly below /) over CloudAccount over Group over Kubernetes; levels "
            "may be left out. Default may stand anywhere. Each but Default gives everything in it and below it a tag "
            "of its last component: @org:tenant, @org:cloudaccount, @org:group or @org:kubernetes.",
            creation_only=True,
        ),
    ] = "Default"
    default_pu_incoming_traffic_action: Annotated[
        TrafficAction,
        trait("Verdict for incoming flows that no ruleset decides; Inherit takes that of the namespace above."),
    ] = "Inherit"
    default_pu_outgoing_traffic_action: Annotated[
        TrafficAction,
        trait("Verdict for outgoing flows that no ruleset decides; Inherit takes that of the namespace above."),
    ] = "Inherit"
    tag_prefixes: Annotated[
        list[TagPrefix],
        trait(
            "If set here or above, rulesets here and below may use only tags that begin with one of these or of those "
            "set above.",
            max_length=256,
            unique=True,
        ),
    ] = []
    organizational_metadata: Annotated[
        list[OrganizationTag],
        trait(
            "@org: tags given to everything in this namespace and below it. A key that is given above cannot be given "
            "again; @org:tenant is only for / and the namespaces directly below it.",
            max_length=64,
            unique=True,
        ),
    ] = []
    default_enforcer_version: Annotated[
        str,
        trait(
            "Version new Enforcers are to have; empty for the newest.",
            max_length=64,
            pattern=whole(r"|(?:0|[1-9][0-9]{0,8})(?:\.(?:0|[1-9][0-9]{0,8})){2}(?:-[0-9A-Za-z.-]{1,32})?"),
            remedy="write a version such as 1.4.2, or nothing for the newest",
            no_effect="agents are not upgraded by the Console; it is for those who install them.",
        ),
    ] = ""
    offline_max_age: Annotated[
        int,
        trait(
            "Seconds an Enforcer may hold its last revision without its Console; 0 takes what the namespace above "
            "says, and where none says anything, for ever.",
            ge=0,
            le=315_360_000,
        ),
    ] = 0
