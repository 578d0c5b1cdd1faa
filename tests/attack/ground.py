"""The attacker: a host on the wire between two that trust each other, with packets of its own making."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

from testbed import Host, Testbed
from testbed.packets import Option, Segment, mss
from tests.datapath.ground import CLIENT, Ground
from watchword.identity.transcript import OPTION_KIND, SynOption

_numbers = itertools.count(1)


class Battlefield(Ground):
    """Client and server with a router between them; the attacker has a link of its own to the router."""

    attacker: Host

    def __init__(self, bed: Testbed) -> None:
        super().__init__(bed, bed.router("r"))
        assert self.router is not None
        self.attacker = bed.host("attacker", self.router)
        self.attacker.mute_resets()
        self.wire = self.attacker.links[0]

    def send(self, *segments: Segment | bytes) -> None:
        """Put packets on the wire towards the server, as the router would."""
        self.link.inject(self.server.host, *segments)

    def send_to_client(self, *segments: Segment | bytes) -> None:
        """Put packets on the wire towards the client."""
        self.client.host.links[0].inject(self.client.host, *segments)

    def send_marker(self) -> None:
        """A segment from port 9 to the attacker's port 80: what was sent before it has arrived, or never will."""
        self.wire.inject(self.attacker, Segment(self.router_address(), self.attacker.ipv4, 9, 80, "R"))

    def router_address(self) -> str:
        """The router's address on the attacker's link."""
        return self.wire.near.address(4)

    def syn(self, port: int, *options: Option, source: str = "", **changes: object) -> Segment:
        """A SYN of the attacker's to the server, from a port that is new each time."""
        number = next(_numbers)
        made = Segment(
            source or self.attacker.ipv4,
            self.server.host.ipv4,
            20000 + number,
            port,
            "S",
            seq=number << 16,
            options=[mss(), *options],
        )
        return made.with_(**changes) if changes else made


def announces(port: int, badge: int = CLIENT, epoch: int = 1, nonce: int = 0x0123456789ABCDEF) -> Option:
    """The option of a SYN that claims to be this badge's."""
    return Option(OPTION_KIND, SynOption(badge, epoch, port, nonce).data())


@contextmanager
def battlefields(name: str) -> Iterator[Battlefield]:
    """A battlefield for the tests of one module; fails if anything is left of it."""
    with Testbed(name) as bed:
        field = Battlefield(bed)
        yield field
        field.close()
    assert bed.leftovers() == []
