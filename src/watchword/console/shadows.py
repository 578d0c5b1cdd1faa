"""Shadowed drafts: what each of them would have decided about the flows that Enforcers report.

1. A report carries what the reporting end knew, so a draft is judged here, where reports arrive. No Enforcer
   hears of it, no document changes, and nothing that is enforced can depend on it.
2. A draft judges as it would over the policy of now: each verdict says which edition of the draft it was, and over
   which revision. Where draft and live policy agree, the verdict is the one reported, by the same rule.
3. What does not follow from a report is unknown, and says why (:mod:`watchword.policy.shadow`).
4. A draft judges in its namespace and below. Editing it counts from the next report on; publishing, deleting and
   stopping end it.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.console import history, worlds
from watchword.console.changes import Effect
from watchword.console.flows.resolution import rule_name
from watchword.console.roster import Roster
from watchword.console.store import records
from watchword.console.store.records import Record
from watchword.console.store.schema import TABLES
from watchword.model import prefixes, registry
from watchword.model.problems import Invalid
from watchword.model.resources import Draft, DraftVerdict, FlowReport
from watchword.policy import selection, versions
from watchword.policy.namespaces import reaches
from watchword.policy.selectors import SelectorIndex
from watchword.policy.shadow import Meeting, Opinion, Overlay, View
from watchword.policy.versions import EMPTY
from watchword.policy.world import Unit, World
from watchword.wire.messages import FlowRecord, Welcome

log = structlog.get_logger(__name__)

DRAFT = registry.kind("draft")

#: Reasons that are policy's. Whatever was refused for another is refused under every policy.
_DECIDED = frozenset({"policy", "revoked", "existing", "existing-refused"})

#: Protocols in which a peer may prove an identity after it has been called.
_IDENTIFYING = frozenset({6, 17})

_DOUBTS: Mapping[str, str] = {"": "", "identity": "Identity", "no identity": "NoIdentity", "names": "HostName"}


class _Shadow:
    """One draft that judges."""

    def __init__(self, draft: Draft, live: View) -> None:
        self.draft = draft
        self._alterations = worlds.alterations(history.drafted(draft.changes))
        self._named: tuple[World, World] = (EMPTY, EMPTY)
        self.overlay = Overlay(live, self._alterations)

    def world(self) -> World:
        """The policy with the draft in force, for the names of what decides."""
        live = self.overlay.world
        if self._named[0] is not live:
            self._named = live, versions.altered(live, live.revision, self._alterations)
        return self._named[1]


class Shadows:
    """All shadowed drafts of one Console. Used on one event loop."""

    def __init__(self, roster: Roster, units: SelectorIndex) -> None:
        self._roster = roster
        self._live = View(lambda expression: bool(units.matching(expression)))
        self._shadows: dict[str, _Shadow] = {}

    async def load(self, connection: AsyncConnection) -> None:
        """Start from what is stored."""
        for record in await records.find(connection, DRAFT, TABLES["draft"].c.shadowed.is_(True)):
            self._take(record)

    def watch(self, effects: Sequence[Effect]) -> None:
        """Take over committed changes of drafts."""
        for before, after in effects:
            record = after or before
            if record is None or record.kind is not DRAFT:
                continue
            if after is None or not after.resource.shadowed:
                self._shadows.pop(record.id, None)
            else:
                self._take(after)

    def _take(self, record: Record) -> None:
        known = self._shadows.get(record.id)
        if known is not None and known.draft.edition == record.resource.edition:
            known.draft = record.resource
            return
        try:
            self._shadows[record.id] = _Shadow(record.resource, self._live)
        except ValueError as error:  # what it holds was made by an older Console, and is not valid any more
            self._shadows.pop(record.id, None)
            log.error("draft cannot be shadowed", draft=record.id, name=record.resource.name, reason=str(error))

    def judged(self, record: FlowRecord, report: FlowReport, settings: Welcome | None) -> FlowReport:
        """``report`` with the verdicts of all drafts that reach its unit.

        ``settings`` are those of the reporting Enforcer, as far as it has been sent any.
        """
        judging = [each for each in self._shadows.values() if reaches(each.draft.namespace, True, report.namespace)]
        if not judging:
            return report
        self._live.follow(self._roster.world)
        seen = _seen(record, self._roster, settings)
        verdicts = [self._verdict(shadow, seen, report) for shadow in judging]
        return msgspec.structs.replace(
            report,
            draft_verdicts=verdicts,
            judged_by=[each.draft for each in verdicts],
            changed_by=[each.draft for each in verdicts if each.action != report.action],
        )

    def _verdict(self, shadow: _Shadow, seen: Meeting | _Unseen, report: FlowReport) -> DraftVerdict:
        draft = shadow.draft
        told: dict[str, Any] = {
            "draft": draft.id,
            "name": draft.name,
            "namespace": draft.namespace,
            "edition": draft.edition,
            "revision": self._roster.world.revision,
        }
        if seen == "gone":
            return DraftVerdict(**told, action="Unknown", doubt="Gone")
        opinion = shadow.overlay.otherwise(seen) if isinstance(seen, Meeting) else None
        if opinion is not None:
            return DraftVerdict(**told, **_decided(opinion, shadow.world()))
        return DraftVerdict(
            **told,
            action=report.action,
            policy_id=report.policy_id,
            policy_name=report.policy_name,
            policy_namespace=report.policy_namespace,
            rule_name=report.rule_name,
            rule_key=report.rule_key,
        )


#: No meeting that a draft could decide otherwise; one whose unit or peer is not known any more.
_Unseen = Literal["settled", "gone"]


def _seen(record: FlowRecord, roster: Roster, settings: Welcome | None) -> Meeting | _Unseen:
    """What a record says of the flow to decide."""
    if record.reason not in _DECIDED:
        return "settled"
    if record.reason.startswith("existing") and (settings is None or settings.existing_connections == "Keep"):
        return "settled"  # kept, whatever policy says
    unit = roster.unit(record.unit)  # or what it was, if it has gone before its flows were reported
    peer: Unit | str | None = record.peer_address
    if record.peer_badge:
        peer = roster.unit_by_badge(record.peer_badge) or roster.unit(record.peer_unit)
    if unit is None or not peer:
        return "gone"
    barred = False
    if isinstance(peer, str):
        try:
            excluded, barred = _bounds(peer, settings)
        except Invalid:
            return "gone"
        if excluded:
            return "settled"
    outgoing = record.direction == "outgoing"
    early = outgoing and record.protocol in _IDENTIFYING and (record.action, record.reason) == ("Reject", "policy")
    return Meeting(
        unit=unit,
        peer=peer,
        direction="out" if outgoing else "in",
        protocol=record.protocol,
        port=record.port,
        heard=not early or isinstance(peer, Unit),
        barred=barred,
    )


def _bounds(address: str, settings: Welcome | None) -> tuple[bool, bool]:
    """Whether the Enforcer's settings leave an address alone, and whether they refuse it without an identity."""
    parsed = prefixes.parse_address(address)
    boundaries = settings.boundaries if settings is not None else None
    if boundaries is None:
        return False, False
    lists = boundaries.excluded_networks, boundaries.identity_required_networks
    excluded, barred = (prefixes.covers(_parsed(entries), parsed) for entries in lists)
    return excluded, barred


_parsed = functools.lru_cache(256)(prefixes.parse)


def _decided(opinion: Opinion, world: World) -> dict[str, Any]:
    """An opinion as verdicts show it."""
    key = opinion.rule
    found: dict[str, Any] = {"action": opinion.action, "doubt": _DOUBTS[opinion.doubt]}
    if opinion.action == "Unknown":
        return found
    resource = key.partition("/")[0]
    ruleset = selection.known_as(world, resource) or world.networks.get(resource)
    return found | {
        "policy_id": resource or "default",
        "policy_name": ruleset.name if ruleset else "",
        "policy_namespace": ruleset.namespace if ruleset else "",
        "rule_name": rule_name(key, world),
        "rule_key": key,
    }
