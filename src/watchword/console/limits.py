"""How many failures one address may cause: a token bucket each, in bounded memory.

Guards whatever accepts a secret. It slows guessing down; that secrets cannot be guessed is the
business of their length.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

#: Addresses remembered; the one that failed longest ago is forgotten first.
ADDRESS_LIMIT = 10_000


class FailureLimit:
    """Allows ``burst`` failures of one address at once, and ``per_minute`` in the long run."""

    def __init__(self, burst: int = 20, per_minute: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = float(burst)
        self._rate = per_minute / 60.0
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def retry_after(self, address: str) -> int:
        """Seconds until ``address`` may try again; 0 when it may now."""
        left = self._refilled(_group(address))
        return 0 if left >= 1 else math.ceil((1 - left) / self._rate)

    def failed(self, address: str) -> None:
        """Count a failure."""
        group = _group(address)
        self._left[group] = (self._refilled(group) - 1, self._clock())
        self._left.move_to_end(group)
        while len(self._left) > ADDRESS_LIMIT:
            self._left.popitem(last=False)

    def _refilled(self, group: str) -> float:
        left, since = self._left.get(group, (self._burst, 0.0))
        return min(self._burst, left + (self._clock() - since) * self._rate)


def _group(address: str) -> str:
    """What counts as one address: an IPv4 address, or the /64 an IPv6 host chooses its own from."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
