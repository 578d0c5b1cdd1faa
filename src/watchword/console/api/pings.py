"""``POST /v1/pings``: a connection attempt of a unit, made now through the real datapath, told from both ends.

For administrators of the unit's namespace; each ping is an activity there. What the far end decided by which rule is
told to whom may read in its namespace; others learn whose answer it was, as flow reports would tell them.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from watchword.console.actors import Actor
from watchword.console.api.context import Context, check_parameters, context, decoded, json_answer, raw_body
from watchword.console.api.explanations import units_named
from watchword.console.changes import ACTIVITY
from watchword.console.decoding import convert
from watchword.console.flows.resolution import rule_name
from watchword.console.pingreports import PathReport, PingFinding, findings, listens, path
from watchword.console.pings import How, PingFailed, Sighting
from watchword.console.problems import Problem, invalid
from watchword.console.roster import Roster
from watchword.console.store import records
from watchword.console.store.records import Record
from watchword.model.declarations import Part
from watchword.model.prefixes import parse_address
from watchword.model.problems import Invalid
from watchword.model.resources import Activity
from watchword.policy import selection
from watchword.policy.world import Unit
from watchword.wire.pings import PingEnd, PingOutcome


class PingAsked(Part, frozen=True, kw_only=True):
    """Who is to call whom. ``unit`` is an ID, a name, or a tag that one unit has.

    An echo request (``icmp``) has no port; of ``udp`` an empty datagram is sent.
    ``patience`` is how long to wait for an answer, in seconds. A ping goes as far as the answer, so that whoever
    listens notices nothing; with ``complete`` it goes on to a connection, which is accepted and reset at once.
    """

    unit: Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
    address: Annotated[str, msgspec.Meta(max_length=256)]
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    protocol: Literal["tcp", "udp", "icmp"] = "tcp"
    patience: Annotated[float, msgspec.Meta(ge=0.1, le=10)] = 3.0
    complete: bool = False


class PingIdentity(Part, frozen=True, kw_only=True):
    """A unit."""

    id: str
    name: str
    namespace: str


class PingEndReport(Part, frozen=True, kw_only=True):
    """One end: who is there, whom it took the other for, and what it decided by which rule.

    ``visible`` is false where the caller may not read: all but ``unit`` is left out then.
    """

    visible: bool
    unit: PingIdentity | None
    peer: PingIdentity | None  # null: nobody, judged by its address
    stage: Literal["", "announced", "admitted", "refused"]
    action: Literal["", "Allow", "Reject"]
    reason: str
    proved: bool
    policy_id: str  # "default" where no rule decided
    policy_name: str
    policy_namespace: str
    rule_name: str
    local: str
    local_port: int
    remote: str
    remote_port: int
    revision: int


class PingReport(Part, frozen=True, kw_only=True):
    """What came of a ping."""

    unit: PingIdentity
    address: str
    port: int
    protocol: Literal["tcp", "udp", "icmp"]
    outcome: Literal["opened", "refused", "reset", "silent", "unreachable"]
    listens: bool | None
    complete: bool
    near: PingEndReport | None
    far: PingEndReport | None
    found_by: How  # how the far end's account was found
    path: PathReport
    findings: list[PingFinding]


async def endpoint(request: Request) -> Response:
    """Make a ping and wait for what comes of it."""
    asked = await context(request)
    check_parameters(request, set())
    wanted = convert(decoded(await raw_body(request)), PingAsked)
    try:
        address = str(parse_address(wanted.address, "address"))
        protocol = _protocol(wanted, address)
    except Invalid as error:
        raise invalid(error) from None
    unit = _unit(asked, wanted.unit)
    asked.actor.demand_writing(unit.namespace)
    pings = asked.console.pings
    if not pings.speaks(unit.enforcer):
        raise Problem("conflict", f"the Enforcer of unit {unit.name} is not connected, or too old for pings")
    if wait := pings.retry_after(unit.enforcer):
        seconds = math.ceil(wait)
        raise Problem("too-many-pings", f"try again in {seconds} seconds", headers={"Retry-After": str(seconds)})
    await _write_down(asked, unit, address, wanted)
    try:
        outcome, sighting = await pings.ping(
            unit, protocol, address, wanted.port, wanted.patience, quiet=not wanted.complete
        )
    except PingFailed as error:
        raise Problem("conflict", f"unit {unit.name} could not call: {error}") from None
    await asked.console.paths.learn(unit, address, wanted.port, outcome, sighting)
    return json_answer(_report(asked, unit, address, wanted, outcome, sighting))


def _protocol(wanted: PingAsked, address: str) -> int:
    """The IANA number. Raises :class:`Invalid`."""
    if wanted.protocol == "icmp":
        if wanted.port or wanted.complete:
            raise Invalid("port" if wanted.port else "complete", "is nothing an echo request has", "leave it out")
        return 58 if ":" in address else 1
    if not wanted.port:
        raise Invalid("port", "is missing", "name the port to call")
    if wanted.protocol == "udp" and wanted.complete:
        raise Invalid("complete", "is nothing a datagram has", "leave it out")
    return 6 if wanted.protocol == "tcp" else 17


def _named(wanted: PingAsked) -> str:
    return wanted.protocol if wanted.protocol == "icmp" else f"port {wanted.port}/{wanted.protocol}"


def _unit(asked: Context, text: str) -> Unit:
    found = units_named(asked, asked.console.roster.world, text)
    if not found:
        raise Problem("not-found", f"unit: {text!r} is no unit's ID, name or tag here")
    if len(found) > 1:
        listed = ", ".join(f"{unit.name} ({unit.id})" for unit in found[:10])
        raise invalid(Invalid("unit", f"{text!r} is {len(found)} units: {listed}", "name one by its ID"))
    return found[0]


async def _write_down(asked: Context, unit: Unit, address: str, wanted: PingAsked) -> None:
    """Before it is made: there is no ping without an activity."""
    author = asked.actor.author()
    how = "complete" if wanted.complete else "quiet"
    activity = Activity(
        id=asked.console.identifiers.new(),
        namespace=unit.namespace,
        create_time=asked.console.clock(),
        operation="ping",
        target_identity="processingunit",
        target_id=unit.id,
        target_name=unit.name,
        author=author.name,
        source=author.source,
        message=f"{how} ping from processingunit {unit.namespace} {unit.name} to {address} {_named(wanted)}",
    )
    async with asked.console.database.writing() as connection:
        await records.add(connection, Record(ACTIVITY, activity))


def _report(
    asked: Context, unit: Unit, address: str, wanted: PingAsked, outcome: PingOutcome, sighting: Sighting
) -> PingReport:
    roster, actor = asked.console.roster, asked.actor
    return PingReport(
        unit=_identity(unit),
        address=address,
        port=wanted.port,
        protocol=wanted.protocol,
        outcome=outcome.stage,
        listens=listens(outcome, sighting),
        complete=wanted.complete,
        near=_end(outcome.near, unit, roster, actor, "out") if outcome.near else None,
        far=_end(sighting.end, roster.unit(sighting.end.unit), roster, actor, "in") if sighting.end else None,
        found_by=sighting.how,
        path=path(outcome, sighting),
        findings=findings(outcome, sighting),
    )


def _identity(unit: Unit) -> PingIdentity:
    return PingIdentity(id=unit.id, name=unit.name, namespace=unit.namespace)


def _end(
    end: PingEnd, unit: Unit | None, roster: Roster, actor: Actor, direction: Literal["in", "out"]
) -> PingEndReport:
    visible = unit is not None and actor.sees(unit.namespace)
    peer = roster.unit_by_badge(end.peer_badge) if end.peer_badge else None
    if not visible:
        end = PingEnd(unit=end.unit, stage=end.stage, action=end.action, reason="")
    ruleset_id = end.rule.partition("/")[0]
    ruleset = selection.known_as(roster.world, ruleset_id, direction) or roster.world.networks.get(ruleset_id)
    return PingEndReport(
        visible=visible,
        unit=_identity(unit) if unit else None,
        peer=_identity(peer) if peer and visible else None,
        stage=end.stage if visible else "",
        action=end.action if visible else "",
        reason=end.reason,
        proved=end.proved,
        policy_id=(ruleset_id or "default") if visible else "",
        policy_name=ruleset.name if ruleset else "",
        policy_namespace=ruleset.namespace if ruleset else "",
        rule_name=rule_name(end.rule, roster.world),
        local=end.local,
        local_port=end.local_port,
        remote=end.remote,
        remote_port=end.remote_port,
        revision=end.revision,
    )
