"""External networks: names and tags for addresses without an Enforcer."""

from __future__ import annotations

from typing import Annotated, ClassVar

from watchword.model.declarations import Tagged, trait
from watchword.model.elements import TAGS, NetworkText, SourceTag, UserTag


class ExternalNetwork(Tagged, frozen=True, kw_only=True):
    """Named addresses with tags, for peers that have no Enforcer."""

    locks: ClassVar[bool] = True

    protected: Annotated[bool, trait("Refuse changes and deletion until this is cleared.")] = False
    associated_tags: Annotated[
        list[UserTag],
        trait(
            "Tags set by users, as key=value; rulesets name the network by them.",
            min_length=1,
            max_length=TAGS,
            unique=True,
            remedy="add a tag such as externalnetwork:name=office, so that rulesets can name this network",
        ),
    ]
    metadata: Annotated[
        list[SourceTag],
        trait("@… tags of the tool that made it.", creation_only=True, max_length=TAGS, unique=True),
    ] = []
    entries: Annotated[
        list[NetworkText],
        trait(
            "CIDRs and addresses, !CIDR to carve out of the CIDRs here, host names and *.domain. A host name stands "
            "for the addresses that a unit has learned under it, for what the unit opens.",
            min_length=1,
            max_length=10_000,
            unique=True,
            remedy="name at least one CIDR, address or host name",
        ),
    ]
    propagate: Annotated[bool, trait("Visible to rulesets in namespaces below.")] = False
    identity_required: Annotated[bool, trait("Reject peers here that cannot prove an identity.")] = False
    warnings: Annotated[
        list[str], trait("What of it does nothing, or not what it seems to, and why.", read_only=True)
    ] = []
