"""What a ping finds: one handshake of a unit, as each end's kernel judged it and as the near end saw it on the wire.

A handshake is known at both ends by the nonce of its SYN, which no translation on the path changes.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Stage = Literal["opened", "refused", "reset", "silent", "unreachable"]


class PingEnd(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One end's account: whom it took the other for, and what it decided by which rule.

    ``peer_badge`` has been proved if ``proved``, otherwise it was announced only; 0 is nobody, who is judged by its
    address. ``stage`` is how far this end's kernel has seen it: ``announced`` a SYN was let in, ``admitted`` the
    connection may be, ``refused`` it may not.
    """

    unit: str  # Console ID
    stage: Literal["announced", "admitted", "refused"]
    action: Literal["Allow", "Reject"]
    reason: str  # name from the closed list of reasons
    rule: str = ""  # rule key, "" for a default
    peer_badge: int = 0
    proved: bool = False
    local: str = ""  # as this end's socket has it; "" where it is not known
    local_port: int = 0
    remote: str = ""
    remote_port: int = 0
    revision: int = 0  # by which it was judged


class PingWire(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the near end's device saw. Numbers are 0 and texts empty where there was nothing to see."""

    sent: int = 0  # SYNs, or other packets
    announced: bool = False  # they carried an identity
    answer: Literal["", "syn-ack", "rst", "reply"] = ""
    identified: bool = False  # the answer carried an identity
    rtt_us: int = 0  # from the last SYN to the answer, at the device
    mss: int = 0  # of the answer, bytes
    ttl: int = 0  # of the answer
    mtu: int = 0  # of the path, as far as the near end's kernel knows
    error: str = ""  # of connect(), such as ECONNREFUSED


class PingOutcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How an attempt ended at the near end.

    ``opened``: an answer came and was admitted. ``refused``: the near end's policy. ``reset``: somebody answered with
    RST, or that the port is closed. ``silent``: nothing that could be admitted came. ``unreachable``: the network
    said so.
    """

    stage: Stage
    wire: PingWire
    near: PingEnd | None = None
    local: str = ""  # the near end's socket
    local_port: int = 0
    nonce: int = 0  # of the SYN, 0 where none left with an identity
    quiet: bool = True
    protocol: int = 6  # IANA number
