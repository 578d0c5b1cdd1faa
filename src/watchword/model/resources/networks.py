"""External networks: names and tags for addresses without an Enforcer."""

from __future__ import annotations

from typing import Annotated

from watchword.model.declarations import Tagged, trait


class ExternalNetwork(Tagged, frozen=True, kw_only=True):
    """Named addresses with tags, for peers that have no Enforcer."""

    entries: Annotated[list[str], trait("CIDR, address, or !CIDR to carve out of this network.", min_length=1)]
    propagate: Annotated[bool, trait("Visible to rulesets in namespaces below.")] = False
    identity_required: Annotated[bool, trait("Reject peers here that cannot prove an identity.")] = False
