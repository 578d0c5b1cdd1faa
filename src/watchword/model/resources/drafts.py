"""Drafts: changes of policy that are not in force yet."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from watchword.model.declarations import Named, Part, trait


class DraftChange(Part, frozen=True, kw_only=True):
    """What a draft does to one resource. ``before`` is the resource as the draft found it."""

    operation: Annotated[Literal["create", "update", "delete"], trait("What publishing does.")]
    kind: Annotated[str, trait("Kind of resource.")]
    id: Annotated[str, trait("The resource.")]
    namespace: Annotated[str, trait("Namespace it lives in.")]
    name: Annotated[str, trait("Its name.")]
    before: Annotated[dict[str, Any] | None, trait("As the draft found it; null where it creates.")] = None
    after: Annotated[dict[str, Any] | None, trait("As the draft leaves it; null where it deletes.")] = None


class Draft(Named, frozen=True, kw_only=True):
    """A named set of changes of rulesets, intents and external networks, in its namespace and below.

    Nothing of it is in force, or known to any Enforcer, before it is published. While it is shadowed, flows are
    reported with its verdict beside the live one.
    """

    status: Annotated[Literal["Open", "Published"], trait("Whether it can still change.", read_only=True)] = "Open"
    edition: Annotated[int, trait("How many times its changes have changed.", read_only=True)] = 0
    shadowed: Annotated[
        bool, trait("Whether it judges flows beside the live policy.", read_only=True, indexed=True)
    ] = False
    base_revision: Annotated[int, trait("Newest revision when it last changed.", read_only=True)] = 0
    published_revision: Annotated[int, trait("Revision that publishing it made.", read_only=True)] = 0
    changes: Annotated[list[DraftChange], trait("What publishing does.", read_only=True)] = []
