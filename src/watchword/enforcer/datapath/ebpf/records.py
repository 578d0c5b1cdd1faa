"""Kernel records of live connections in Python's words. Pure: numbers in, connections out."""

from __future__ import annotations

import socket

from watchword.enforcer.datapath.base import LiveConnection
from watchword.enforcer.datapath.ebpf._layout import (
    Action,
    Direction,
    Flow,
    FlowId,
    Judgement,
    VerdictFlag,
    Young,
)
from watchword.enforcer.datapath.ebpf.names import Numbers
from watchword.enforcer.datapath.ebpf.samples import Clock, reason_name
from watchword.enforcer.datapath.ebpf.sockets import address_text


def connection(record: Flow | Young, rules: Numbers, clock: Clock) -> LiveConnection:
    """The connection of a record; of a young one nothing is known but who, where and why."""
    judged: Judgement = record.judged
    where: FlowId = record.id
    grown = record if isinstance(record, Flow) else None
    observed = judged.flags & VerdictFlag.OBSERVED
    return LiveConnection(
        protocol=socket.IPPROTO_TCP,
        local=address_text(where.local),
        local_port=socket.ntohs(where.local_port),
        remote=address_text(where.remote),
        remote_port=socket.ntohs(where.remote_port),
        direction="incoming" if record.direction == Direction.IN else "outgoing",
        unit_badge=record.unit,
        peer_badge=record.peer,
        existing=bool(grown and grown.existing),
        action="Allow" if judged.action == Action.ALLOW else "Reject",
        reason=reason_name(judged.reason),
        rule=rules.text(judged.rule),
        observed_action=("Allow" if judged.flags & VerdictFlag.OBSERVED_ALLOW else "Reject") if observed else "",
        observed_rule=rules.text(judged.observed_rule),
        revision=grown.revision if grown else 0,
        bytes_in=grown.bytes_in if grown else 0,
        bytes_out=grown.bytes_out if grown else 0,
        packets_in=grown.segments_in if grown else 0,
        packets_out=grown.segments_out if grown else 0,
        latency_us=grown.latency_us if grown else 0,
        opened=clock.unix(grown.opened) if grown else 0.0,
    )
