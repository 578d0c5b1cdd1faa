"""Intents as policy: one statement, one ruleset for each end.

1. The source's end is about the units that ``source`` selects and has one outgoing rule to ``destination``.
   The destination's end is about the units that ``destination`` selects and has one incoming rule from
   ``source``. Both say who may be meant by tags, like any ruleset, so an intent gives nobody more rights
   than two rulesets of the same namespace would.
2. Both ends are known by the intent's ID (``Ruleset.origin``), so verdicts, flow records, explanations and
   findings name the intent.
3. An alternative with ``$identity=externalnetwork`` selects no unit. It makes no end: where all alternatives of
   a side are of that kind, the intent is in force at the other end alone.
"""

from __future__ import annotations

from watchword.model import expressions, ports
from watchword.model.expressions import Expression
from watchword.model.resources import Intent
from watchword.policy.selection import end_of
from watchword.policy.tables import Direction
from watchword.policy.world import Rule, Ruleset

_NETWORK = "$identity=externalnetwork"


def ends(intent: Intent) -> tuple[Ruleset, ...]:
    """The rulesets that an intent stands for: two, or one where the other side has no units."""
    source, destination = expressions.parse(intent.source), expressions.parse(intent.destination)
    outgoing = _end(intent, "out", source, destination)
    incoming = _end(intent, "in", destination, source)
    return tuple(end for end in (outgoing, incoming) if end.subject)


def _end(intent: Intent, direction: Direction, subject: Expression, peers: Expression) -> Ruleset:
    rule = Rule(
        name=intent.name,
        action=intent.action,
        object=peers,
        ports=ports.parse(intent.protocol_ports),
        observed=intent.observation_enabled,
        log=not intent.logs_disabled,
    )
    return Ruleset(
        id=end_of(intent.id, direction),
        name=intent.name,
        namespace=intent.namespace,
        subject=tuple(alternative for alternative in subject if _NETWORK not in alternative),
        incoming=(rule,) if direction == "in" else (),
        outgoing=(rule,) if direction == "out" else (),
        propagate=intent.propagate,
        disabled=intent.disabled,
        origin=intent.id,
    )
