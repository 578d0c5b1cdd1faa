"""What a ping's two accounts mean, in words: pure, and as careful as an operator who has to act on it.

Nothing is concluded from silence alone: that an option was stripped is said only where the near end's device saw it
leave and the far end's kernel says it did not arrive, or the other way round.
"""

from __future__ import annotations

import ipaddress
from typing import Literal

from watchword.console.pings import How, Sighting
from watchword.model.declarations import Part
from watchword.wire.pings import PingOutcome

Code = Literal[
    "proved",
    "by-address",
    "arrived",
    "refused-here",
    "refused-there",
    "stripped-syn",
    "stripped-answer",
    "stripped-ack",
    "left-without-identity",
    "nobody-listens",
    "no-answer",
    "unreachable",
    "no-enforcer-there",
    "source-translated",
    "destination-translated",
    "narrow-path",
]

#: Codes of what keeps identities from arriving.
STRIPPED = frozenset({"stripped-syn", "stripped-answer", "stripped-ack"})

#: A path for less than this carries no IPv6 (RFC 8200 section 5), and is worth a word with IPv4.
_NARROW = 1280
_TCP = 6


class PingFinding(Part, frozen=True, kw_only=True):
    """One thing that the two accounts show, and what to do about it (empty where there is nothing to do)."""

    code: Code
    text: str
    remedy: str = ""


class PathReport(Part, frozen=True, kw_only=True):
    """What the way between the two did to the handshake; null is "not known"."""

    identity_left: bool  # the SYN left with an identity
    identity_arrived: bool | None  # and arrived with it
    answer: Literal["", "syn-ack", "rst", "reply"]
    answer_identified: bool | None  # null without an answer
    source_translated: bool | None
    destination_translated: bool | None
    sent: int  # SYNs, or other packets
    rtt_us: int  # 0 without an answer
    ttl: int  # of the answer
    mss: int  # of the answer
    mtu: int  # as far as the near end's kernel knows


def path(outcome: PingOutcome, sighting: Sighting) -> PathReport:
    """The path as far as both accounts show it."""
    wire, near, far = outcome.wire, outcome.near, sighting.end
    by_nonce = sighting.how == "nonce"
    arrived = True if by_nonce else bool(far.peer_badge) if far is not None and wire.announced else None
    placed = near is not None and far is not None and sighting.how in ("nonce", "ends") and near.local and far.local
    return PathReport(
        identity_left=wire.announced,
        identity_arrived=arrived,
        answer=wire.answer,
        answer_identified=wire.identified if wire.answer == "syn-ack" else None,
        source_translated=(near.local, near.local_port) != (far.remote, far.remote_port)
        if placed and near and far
        else None,
        destination_translated=(near.remote, near.remote_port) != (far.local, far.local_port)
        if placed and near and far and near.remote
        else None,
        sent=wire.sent,
        rtt_us=wire.rtt_us,
        ttl=wire.ttl,
        mss=wire.mss,
        mtu=wire.mtu,
    )


def listens(outcome: PingOutcome, sighting: Sighting) -> bool | None:
    """Whether something listens there; None where that cannot be told."""
    if outcome.wire.answer in ("syn-ack", "reply"):
        return True
    far = sighting.end
    if outcome.protocol != _TCP:
        return False if outcome.stage == "reset" else None
    if far is not None:  # refusals are made at a listening socket
        return True
    return False if outcome.stage == "reset" and not far else None


def findings(outcome: PingOutcome, sighting: Sighting) -> list[PingFinding]:
    """What is to be seen, the most telling first."""
    found = _verdicts(outcome, sighting)
    if outcome.protocol == _TCP:
        found += _stripped(outcome, sighting)
    elif sighting.end is not None and sighting.end.stage == "admitted" and outcome.stage == "silent":
        found.append(PingFinding(code="arrived", text="the packet arrived and was let in; nobody answered it"))
    found.sort(key=lambda each: each.code not in STRIPPED)
    if not found:
        found = _silence(outcome, sighting.how)
    return [*found, *_way(outcome, sighting)]


def _verdicts(outcome: PingOutcome, sighting: Sighting) -> list[PingFinding]:
    near, far, found = outcome.near, sighting.end, []
    if outcome.stage == "refused":
        found.append(_refused_here(outcome))
    if far is not None and far.stage == "refused":
        identity = "its identity" if far.peer_badge else "its address"
        found.append(
            PingFinding(
                code="refused-there",
                text=f"the called unit refuses the caller by {identity} ({far.reason})",
                remedy="ask why with watchword explain; an incoming rule of the called unit has to allow it"
                if far.reason == "policy"
                else "look the reason up in docs/reasons.md",
            )
        )
    if outcome.stage == "opened" and near is not None:
        found.append(
            PingFinding(code="proved", text="both ends have proved who they are, and both let the connection be")
            if near.proved
            else PingFinding(
                code="by-address", text="the answer proved no identity; the calling unit lets its address be"
            )
        )
    return found


def _refused_here(outcome: PingOutcome) -> PingFinding:
    near = outcome.near
    if near is not None and near.reason != "policy":
        text = f"the calling unit's datapath does not take the answer ({near.reason})"
        return PingFinding(code="refused-here", text=text, remedy="look the reason up in docs/reasons.md")
    if outcome.wire.error == "EPERM":
        text = "the calling unit's own policy refuses whoever may be there, already at connect()"
    elif near is not None and near.peer_badge:
        text = "the calling unit's own policy refuses the unit that answered"
    else:
        text = "the calling unit's own policy refuses who answered, without an identity, by its address"
    remedy = "ask why with watchword explain; an outgoing rule of the calling unit has to allow it"
    return PingFinding(code="refused-here", text=text, remedy=remedy)


def _stripped(outcome: PingOutcome, sighting: Sighting) -> list[PingFinding]:
    wire, far, found = outcome.wire, sighting.end, []
    remedy = "let TCP option kind 253 pass at every firewall, load balancer and tunnel between the two hosts"
    if wire.sent and not wire.announced:
        found.append(
            PingFinding(
                code="left-without-identity",
                text="the SYN left without an identity: its own options leave no room, or it left another network "
                "namespace than the Enforcer's",
                remedy="see docs/datapath.md, limits",
            )
        )
    if wire.announced and far is not None and not far.peer_badge:
        found.append(
            PingFinding(
                code="stripped-syn",
                text="the identity left with the SYN and did not arrive with it: something on the path strips it",
                remedy=remedy,
            )
        )
    answered = wire.answer == "syn-ack" and not wire.identified
    if answered and sighting.how == "nonce":
        found.append(
            PingFinding(
                code="stripped-answer",
                text="the identity arrived with the SYN, but the answer came without one: something on the path "
                "strips it on the way back",
                remedy=remedy,
            )
        )
    if far is not None and far.reason == "proof-missing":
        found.append(
            PingFinding(
                code="stripped-ack",
                text="the caller's last proof did not arrive: something on the path strips it from the ACK",
                remedy=remedy,
            )
        )
    return found


def _silence(outcome: PingOutcome, how: How) -> list[PingFinding]:
    if outcome.stage == "reset":
        answer = "RST" if outcome.protocol == _TCP else "an ICMP error"
        text = f"the host answered with {answer}: nothing listens at this port"
        return [PingFinding(code="nobody-listens", text=text)]
    if outcome.stage == "unreachable":
        text = f"the network says that the address cannot be reached ({outcome.wire.error})"
        return [PingFinding(code="unreachable", text=text, remedy="look at routes and firewalls")]
    if outcome.wire.answer == "syn-ack":
        return []
    text = "no answer came, and no Enforcer knows of the call"
    remedy = "is the host up, and does a firewall on the way drop the call? an Enforcer there may not be connected"
    return [PingFinding(code="no-answer", text=text, remedy=remedy)]


def _way(outcome: PingOutcome, sighting: Sighting) -> list[PingFinding]:
    way, wire, found = path(outcome, sighting), outcome.wire, []
    if sighting.end is None and wire.answer == "syn-ack" and not wire.identified:
        text = "who answered has no Enforcer that this Console knows of, and is judged by its address"
        found.append(PingFinding(code="no-enforcer-there", text=text))
    near, far = outcome.near, sighting.end
    if way.source_translated and near and far:
        text = f"the caller's {_end(near.local, near.local_port)} arrived as {_end(far.remote, far.remote_port)}"
        found.append(PingFinding(code="source-translated", text=text))
    if way.destination_translated and near and far:
        text = f"{_end(near.remote, near.remote_port)} led to {_end(far.local, far.local_port)}"
        found.append(PingFinding(code="destination-translated", text=text))
    if 0 < wire.mtu < _NARROW:
        found.append(
            PingFinding(
                code="narrow-path",
                text=f"the path carries packets of {wire.mtu} bytes at most",
                remedy="raise the MTU on the way; identities fit in TCP handshakes all the same",
            )
        )
    return found


def _end(address: str, port: int) -> str:
    six = ":" in address and ipaddress.ip_address(address).version == 6
    return f"[{address}]:{port}" if six else f"{address}:{port}"
