"""What policy says on the fuzzed host, in plain terms: addresses, badges, and who may do what by address.

The tables that the host enforces and the oracle's idea of them are both made from this page, and from nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal

from tests.datapath.ground import CLIENT, SERVER
from watchword.policy.tables import Verdict, VerdictKey

FRIEND, REFUSED, STRANGER, OWN = CLIENT, 0xA0000002, 0xDEAD0001, SERVER
#: The badges that the host's tables know, each with its Enforcer. Only the first may come in, and be called.
KNOWN = {FRIEND: "client", REFUSED: "client", OWN: "server"}

DEVICE = "fuzz0"
HOST = {4: ip_address("10.99.0.1").packed, 6: ip_address("fd99::1").packed}
#: Where stream sockets listen; where datagram sockets are bound.
STREAM_PORTS, DATAGRAM_PORTS = (7001, 7002), (7101, 7102)
#: Protocols of raw sockets that listen.
RAW = {4: (1, 2, 6, 17, 47, 132, 136, 253), 6: (6, 17, 47, 58, 132, 136, 253)}

Way = Literal["in", "out"]
_UDP = 17


@dataclass(frozen=True, slots=True)
class Network:
    """One declared network: third byte of its IPv4 addresses and fourth group of its IPv6 ones, and what it may."""

    number: int
    ways: tuple[Way, ...]
    protocol: int | None = None  # None: all

    def allows(self, way: Way, protocol: int) -> bool:
        """Whether a rule lets this protocol pass this way."""
        return way in self.ways and self.protocol in (None, protocol)

    @property
    def peer_class(self) -> int:
        """Its class in the tables."""
        return 100 + self.number


OPEN, INWARD, OUTWARD, CALLERS = (
    Network(1, ("in", "out")),
    Network(2, ("in",)),
    Network(3, ("out",)),
    Network(4, ("in",), _UDP),
)
#: An address of no declared network, for whom only the default speaks: it rejects.
NOWHERE = Network(5, ())
NETWORKS = (OPEN, INWARD, OUTWARD, CALLERS, NOWHERE)
_BY_NUMBER = {network.number: network for network in NETWORKS}


def address(version: int, network: Network, host: int) -> bytes:
    """An address there; ``host`` is 1 to 250."""
    if version == 4:
        return bytes([10, 99, network.number, host])
    return b"\xfd\x99" + bytes(5) + bytes([network.number]) + bytes(7) + bytes([host])


def network_of(packed: bytes) -> Network:
    """The network of an address."""
    if len(packed) == 4:
        return _BY_NUMBER.get(packed[2], NOWHERE) if packed[:2] == b"\x0a\x63" else NOWHERE
    inside = packed[:2] == b"\xfd\x99" and packed[2:7] == bytes(5)
    return _BY_NUMBER.get(packed[7], NOWHERE) if inside else NOWHERE


def prefixes() -> dict[str, int]:
    """The declared networks as the tables take them."""
    declared = [network for network in NETWORKS if network is not NOWHERE]
    four = {f"10.99.{network.number}.0/24": network.peer_class for network in declared}
    return four | {f"fd99:0:0:{network.number}::/64": network.peer_class for network in declared}


def verdicts() -> dict[VerdictKey, Verdict]:
    """All rules: those of the networks, and that the friend may come and be called."""
    said: dict[VerdictKey, Verdict] = {}
    ways: tuple[Way, ...] = ("in", "out")
    for way in ways:
        said[VerdictKey(OWN, FRIEND, way, 255, 0)] = Verdict("Allow", "friend")
        for network in NETWORKS:
            if way in network.ways:
                key = VerdictKey(OWN, network.peer_class, way, network.protocol or 255, 0)
                said[key] = Verdict("Allow", f"network {network.number}")
    return said
