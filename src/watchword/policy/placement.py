"""Where mapping policies move a unit, and which profile they give an Enforcer. Pure decisions.

Units only ever move down the tree, one policy at a time, so every walk ends. Whatever could be decided
more than one way is decided by an order that is written at the policies' declarations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from watchword.model.expressions import Expression, clause, matches, parse
from watchword.model.resources import EnforcerProfile, EnforcerProfileMappingPolicy, NamespaceMappingPolicy
from watchword.policy.namespaces import reaches


def mapping(policies: Iterable[NamespaceMappingPolicy], tags: frozenset[str]) -> NamespaceMappingPolicy | None:
    """The policy of one namespace that moves a unit with these tags: the first by name that matches."""
    for policy in sorted(policies, key=lambda policy: (policy.name, policy.id)):
        if not policy.disabled and matches(parse(policy.subject), tags):
            return policy
    return None


class Assignment(NamedTuple):
    """Profiles of one Enforcer: the one in force, and why the others are not, in their order."""

    profile: EnforcerProfile | None
    others: tuple[str, ...]


class _Candidate(NamedTuple):
    """A profile by way of a mapping; the smallest is in force."""

    fallback: bool
    depth: int  # negative: the deepest first
    clauses: int  # negative: the most first
    mapping_name: str
    profile_name: str
    mapping_id: str
    profile_id: str


def assignment(
    tags: frozenset[str],
    namespace: str,
    mappings: Iterable[EnforcerProfileMappingPolicy],
    profiles: Sequence[EnforcerProfile],
) -> Assignment:
    """The profile of an Enforcer with these tags in ``namespace``."""
    by_id = {profile.id: profile for profile in profiles}
    mapped = {each.id: each for each in mappings}
    candidates = sorted(
        candidate
        for each in mapped.values()
        if not each.disabled and reaches(each.namespace, each.propagate, namespace)
        for candidate in _candidates(each, tags, profiles)
    )
    if not candidates:
        return Assignment(None, ())
    best = candidates[0]
    others: dict[str, str] = {}
    for candidate in candidates:
        if candidate.profile_id != best.profile_id:
            said = _loses(candidate, best, by_id[candidate.profile_id], mapped[candidate.mapping_id])
            others.setdefault(candidate.profile_id, said)
    return Assignment(by_id[best.profile_id], tuple(others.values()))


def _candidates(
    policy: EnforcerProfileMappingPolicy, tags: frozenset[str], profiles: Sequence[EnforcerProfile]
) -> Iterable[_Candidate]:
    specific = _specificity(parse(policy.subject), tags)
    if specific is None:
        return
    wanted = parse(policy.object)
    depth = 0 if policy.namespace == "/" else policy.namespace.count("/")
    for profile in profiles:
        visible = reaches(profile.namespace, profile.propagate, policy.namespace)
        if visible and matches(wanted, frozenset(profile.normalized_tags)):
            yield _Candidate(policy.fallback, -depth, -specific, policy.name, profile.name, policy.id, profile.id)


def _specificity(expression: Expression, tags: frozenset[str]) -> int | None:
    """How many tags the longest alternative that matches names; None when none matches."""
    named = [
        sum(not clause(text).negated for text in alternative)
        for alternative in expression
        if matches((alternative,), tags)
    ]
    return max(named, default=None)


def _loses(
    candidate: _Candidate, best: _Candidate, profile: EnforcerProfile, policy: EnforcerProfileMappingPolicy
) -> str:
    if candidate.fallback != best.fallback:
        why = "the mapping is a fallback"
    elif candidate.depth != best.depth:
        why = "the mapping in force is in a deeper namespace"
    elif candidate.clauses != best.clauses:
        why = "the mapping in force names more tags"
    else:
        why = "the one in force comes first by name"
    return f"{profile.namespace} {profile.name} ({profile.id}) by {policy.namespace} {policy.name}: {why}"
