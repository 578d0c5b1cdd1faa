"""Rollback: an older state of policy, in one namespace and below it, as a new revision.

1. What is restored are the policy objects whose namespace is the one asked for, or below it: rulesets,
   intents, external networks, namespaces. Not the namespace itself, which is its parent's; not units,
   credentials, tests or drafts.
2. It is exact: the objects of then with their IDs and names, and none that have come since. It happens as a
   whole or not at all, as one revision, and can itself be rolled back.
3. What was set from above in the meantime stays in force: a restored ruleset that falls outside today's tag
   prefixes refuses the rollback, as do enforced policy tests.
4. Protected objects are changed, or go, only if that is said.
"""

from __future__ import annotations

from watchword.console import applying, history
from watchword.console.changes import Change
from watchword.console.history import ObjectChange
from watchword.console.problems import Problem


async def needed(change: Change, revision: int, namespace: str) -> list[ObjectChange]:
    """What has to change at and below ``namespace`` for policy to be that of ``revision``. Raises :class:`Problem`."""
    connection = change.connection
    newest = await change.newest()
    await history.demand(connection, revision, newest)
    since = await history.between(connection, revision, newest, history.at_or_below(namespace))
    return [history.reversed_(each) for each in history.summed(each for _, each in since)]


async def roll_back(
    change: Change, revision: int, namespace: str, *, expected: int | None = None, protected: bool = False
) -> list[ObjectChange]:
    """Restore the policy of ``revision``. Raises :class:`Problem`.

    ``expected`` is the revision that the caller looked at: a later change of a policy object here is refused.
    """
    if expected is not None:
        newest = await history.newest_change(change.connection, namespace)
        if newest > expected:
            raise Problem(
                "changed-meanwhile",
                f"revision {newest} has changed policy here since {expected}; look at it and try again",
            )
    wanted = await needed(change, revision, namespace)
    await applying.apply(change, wanted, protected=protected)
    change.reason = f"rollback of {namespace} to {revision}"
    return wanted
