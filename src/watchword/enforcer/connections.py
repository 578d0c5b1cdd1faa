"""Live connections as people and programs are told of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from watchword.enforcer.datapath.base import LiveConnection
from watchword.enforcer.directory import Directory

#: How much is known about the peer of a connection.
PROVED, BY_ADDRESS, EXISTING = "proved", "by address", "existing"


def state(connection: LiveConnection) -> str:
    """Whether both ends proved who they are, the peer was judged by its address, or nobody was asked."""
    if connection.existing:
        return EXISTING
    return PROVED if connection.peer_badge else BY_ADDRESS


def described(connection: LiveConnection, directory: Directory, now: float) -> dict[str, Any]:
    """All about one connection; ``now`` is Unix time.

    An identity of a connection older than the Enforcer is what the kernel knows of its own sockets, nothing that a
    peer has proved.
    """
    return {
        "protocol": connection.protocol,
        "direction": connection.direction,
        "local": {
            "address": connection.local,
            "port": connection.local_port,
            "unit": directory.unit(connection.unit_badge),
        },
        "remote": {
            "address": connection.remote,
            "port": connection.remote_port,
            "unit": directory.unit(connection.peer_badge),
            "network": "" if connection.peer_badge else directory.network(connection.remote),
        },
        "state": state(connection),
        "action": connection.action,
        "reason": connection.reason,
        "rule": directory.rule(connection.rule) if connection.rule else None,
        "observed_action": connection.observed_action,
        "observed_rule": directory.rule(connection.observed_rule) if connection.observed_rule else None,
        "revision": connection.revision,
        "bytes_in": connection.bytes_in,
        "bytes_out": connection.bytes_out,
        "packets_in": connection.packets_in,
        "packets_out": connection.packets_out,
        "latency_us": connection.latency_us,
        "age_seconds": round(max(0.0, now - connection.opened), 1) if connection.opened else 0.0,
    }


def of_units(connections: Iterable[LiveConnection], badges: Iterable[int]) -> list[LiveConnection]:
    """Those of these local units, in an order that stays the same from look to look."""
    wanted = frozenset(badges)
    found = [connection for connection in connections if not wanted or connection.unit_badge in wanted]
    return sorted(found, key=lambda each: (each.unit_badge, each.local, each.local_port, each.remote, each.remote_port))
