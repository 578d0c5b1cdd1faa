"""Mapping policies: which units live in which namespace, which Enforcers have which profile."""

from __future__ import annotations

from typing import Annotated

from watchword.model.declarations import Policy, trait
from watchword.model.elements import ALTERNATIVES, Expression, whole
from watchword.model.resources.namespaces import PATH, PATH_LIMIT


class NamespaceMappingPolicy(Policy, frozen=True, kw_only=True):
    """Moves units of its namespace into one below.

    A unit starts in the namespace its Enforcer registered it in. There the policies that are not disabled
    are tried in the order of their names; the first whose subject matches the unit's tags (as they are in
    that namespace) moves it, and the same begins again where it is now, until nothing matches. Evaluated
    when a unit appears, and when its tags, a mapping policy or a namespace's tags change.
    """

    subject: Annotated[
        Expression,
        trait(
            "Units to move: OR of ANDs of tags.",
            min_length=1,
            max_length=ALTERNATIVES,
            remedy="name at least one tag, such as [['app=web']]; empty never means everything",
        ),
    ]
    mapped_namespace: Annotated[
        str,
        trait(
            "Where to: the whole path of a namespace that exists, below the one this policy is in.",
            indexed=True,
            max_length=PATH_LIMIT,
            pattern=whole(PATH),
            remedy="write a whole path such as /acme/prod",
        ),
    ]


class EnforcerProfileMappingPolicy(Policy, frozen=True, kw_only=True):
    """Gives Enforcers their profile.

    Of several that match an Enforcer one is in force: those that are no fallback before fallbacks; then the
    one in the deepest namespace; then the one whose matching alternative names the most tags; then the first
    by name, the policy's before the profile's. The others are listed on the Enforcer (`otherProfiles`).
    """

    subject: Annotated[
        Expression,
        trait(
            "Enforcers it is about: OR of ANDs of tags.",
            min_length=1,
            max_length=ALTERNATIVES,
            remedy="name at least one tag, such as [['$identity=enforcer']]; empty never means everything",
        ),
    ]
    object: Annotated[
        Expression,
        trait(
            "The profile: OR of ANDs of its tags. Profiles of this namespace, and those handed down from above.",
            min_length=1,
            max_length=ALTERNATIVES,
            remedy="name at least one tag, such as [['$name=servers']]; empty never means everything",
        ),
    ]
    propagate: Annotated[bool, trait("Also about Enforcers in namespaces below.")] = False
    fallback: Annotated[bool, trait("Counts only for Enforcers that no ordinary mapping gives a profile.")] = False
