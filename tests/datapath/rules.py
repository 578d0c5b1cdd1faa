"""Policy by ``protocolPorts`` for one side of a ground: from rules through the compiler into the kernel.

The peers are networks, for what carries no identity, and identities by name.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from tests.datapath.ground import Side
from watchword.model.ports import parse
from watchword.policy.boundaries import bounded
from watchword.policy.compile import compile
from watchword.policy.tables import Tables
from watchword.wire.messages import Boundaries
from watchword.wire.policy import NetworkEntry, PeerEntry, PolicyDocument, RuleEntry, UnitEntry

#: What rules are about when nothing else is said.
EVERYWHERE = ("0.0.0.0/0", "::/0")

Action = Literal["Allow", "Reject"]


class Rules:
    """Rules of one unit, as a ruleset would hold them; each names ports and a network."""

    def __init__(self, side: Side, default: Action = "Reject") -> None:
        self._side, self._default = side, default
        self._rules: dict[str, RuleEntry] = {}
        self._numbers = itertools.count()
        self._networks: dict[str, tuple[str, ...]] = {"everywhere": EVERYWHERE}
        self._peers: dict[int, PeerEntry] = {}

    def network(self, **entries: Sequence[str]) -> Rules:
        """Further networks by name."""
        self._networks |= {name: tuple(each) for name, each in entries.items()}
        return self

    def peer(self, name: str, badge: int, enforcer: str) -> Rules:
        """A peer with identity, to be named like a network."""
        self._peers[badge] = PeerEntry(name, name, "/", enforcer, (f"net={name}",))
        return self

    def incoming(self, *ports: str, action: Action = "Allow", network: str = "everywhere") -> Rules:
        """Let in, or not."""
        return self._add("in", ports, action, network)

    def outgoing(self, *ports: str, action: Action = "Allow", network: str = "everywhere") -> Rules:
        """Let out, or not."""
        return self._add("out", ports, action, network)

    def _add(self, direction: str, ports: Sequence[str], action: Action, network: str) -> Rules:
        key = f"s/{direction}/{next(self._numbers)}"
        self._rules[key] = RuleEntry("s", "s", "/", key, action, f"net={network}", parse(ports))
        return self

    def document(self) -> PolicyDocument:
        """What the Enforcer of this side would be sent."""
        side = self._side
        side.revision += 1
        keys = {way: tuple(key for key in self._rules if key.split("/")[1] == way) for way in ("in", "out")}
        units = {
            name: UnitEntry(name, badge, name, "/", ("all=1",), keys["in"], keys["out"], self._default, self._default)
            for name, badge in {side.enforcer: side.badge, **side.neighbours}.items()
        }
        return PolicyDocument(
            revision=side.revision,
            units=units,
            rules=dict(self._rules),
            selectors={
                selector: ((selector,),)
                for selector in (
                    *(f"net={name}" for name in self._networks),
                    *(f"net={peer.name}" for peer in self._peers.values()),
                )
            },
            peers=dict(self._peers),
            networks={
                name: NetworkEntry(name, "/", entries, (f"net={name}",)) for name, entries in self._networks.items()
            },
            enforcer=side.enforcer,
        )

    def apply(self, boundaries: Boundaries | None = None) -> Tables:
        """Compile and put in force, within the boundaries of a profile; the tables, for whoever wants to ask them."""
        tables = compile(bounded(self.document(), boundaries))
        if not self._peers:  # rules about addresses alone: nobody could be called, so no datagram says who sends it
            tables = replace(tables, reachable=frozenset())
        self._side.fence.call("apply", tables)
        return tables
