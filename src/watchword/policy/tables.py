"""The tables a datapath decides by: classes, port segments and verdicts.

A *class* is an Enforcer-local number for all peers that this document's selectors cannot tell apart.
Numbers below :data:`FIRST_CLASS` are fixed. The verdict for one end of one flow is the first of these
that is present, so that tables hold only what differs from a broader entry:

1. ``(local class, peer class, direction, protocol, segment)``
2. ``(local class, peer class, direction, ANY_PROTOCOL, 0)``
3. ``(local class, NO_CLASS, direction, ANY_PROTOCOL, 0)``: the unit's default, always present
4. nothing: Reject

Which peer class (:mod:`watchword.policy.lookup` is this in code):

* a proved badge: that of ``peers``. A badge not listed is matched by no rule of any local unit and by
  no default that allows; the default of the unit applies (or the datapath asks for the badge).
* no identity: that of the longest prefix in ``prefixes`` that covers the address, else SOMEWHERE.
  Identities and addresses never share a class. For SOMEWHERE there are only defaults.
* A unit may always talk to itself (same badge); no table says so.
* An address that a unit has learned under host names belongs, for that unit's *outgoing* flows, to further
  classes: for each name that of its most precise pattern in ``names``. What the classes decide apart is put
  together by :func:`watchword.policy.verdicts.together`.

Which segment:

* Segments cut the port space of a protocol where a rule of the document begins or ends; numbers are
  unique per protocol. 0 is for ports and protocols that no rule names by port.
* Types and codes of ICMP and ICMPv6 (``type << 8 | code``) are segments like ports. Where a verdict
  depends on the type, segment 0 of the protocol is Reject: a datapath that does not look at types
  then refuses, and never guesses. One that does finds every type in a segment of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from watchword.wire.policy import Action

#: Peer class of the wildcard entries.
NO_CLASS = 0
#: Peer class of an address in no external network, without identity.
SOMEWHERE = 1
#: Peer class of an address in a network that is left alone; always allowed, with a verdict for each local class.
EXCLUDED = 2
#: The smallest number given to a computed class.
FIRST_CLASS = 16

#: Classes are below this (32 bits), segments below that (16 bits, one for each port).
CLASS_LIMIT = 1 << 32
SEGMENT_LIMIT = 1 << 16

Direction = Literal["in", "out"]


class VerdictKey(NamedTuple):
    """Where a verdict stands; see the module's text for the order of look-up."""

    local: int
    peer: int
    direction: Direction
    protocol: int
    segment: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one end decides, and by which rules (rule keys of the document; "" for a default).

    ``explicit`` is true when a Reject comes from a rule rather than from a default: such a refusal
    is answered (RST), not left to time out.
    """

    action: Action
    rule: str = ""
    observed_action: Literal["", "Allow", "Reject"] = ""
    observed_rule: str = ""
    explicit: bool = False
    log: bool = True


class Segment(NamedTuple):
    """Ports ``first``..``last`` (inclusive) of ``protocol`` have this ``number``."""

    protocol: int
    first: int
    last: int
    number: int


@dataclass(frozen=True, slots=True)
class LocalUnit:
    """A local unit as the datapath knows it."""

    unit: str
    native_id: str
    badge: int
    local_class: int


@dataclass(frozen=True, slots=True)
class Peer:
    """A peer identity as the datapath knows it."""

    badge: int
    enforcer: str
    peer_class: int


@dataclass(frozen=True, slots=True)
class Tables:
    """Everything a datapath needs from one revision of a policy document. Never changes.

    What differs from earlier tables :func:`watchword.policy.ledger.differing` tells, table by table, at
    the cost of the differences when both come from one compiler.
    """

    revision: int
    units: Mapping[str, LocalUnit] = field(default_factory=dict)  # by unit ID
    peers: Mapping[int, Peer] = field(default_factory=dict)  # by badge
    prefixes: Mapping[str, int] = field(default_factory=dict)  # canonical CIDR -> peer class
    prefix_networks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # CIDR -> network IDs
    segments: tuple[Segment, ...] = ()
    verdicts: Mapping[VerdictKey, Verdict] = field(default_factory=dict)
    #: (local class, protocol, segment) of outgoing flows that some peer with identity may be allowed,
    #: also one that is not known yet; (local class, ANY_PROTOCOL, 0) stands for every flow. What is in
    #: neither this nor an allowed prefix is refused at connect().
    reachable: Set[tuple[int, int, int]] = frozenset()
    names: Mapping[str, int] = field(default_factory=dict)  # host name or *.domain -> peer class
    name_networks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # the same -> network IDs
