"""Host names on the agent's side: whose answers are believed, and what the agent asks on behalf of units.

Units learn from the answers that they receive; the kernel reads those alone. The agent asks

1. for the whole names (not ``*.domain``) that rules of a unit name, when they appear and again and again while
   they are there: an address that was looked up before the Enforcer came, or once and for all, stays good
   for as long as the resolver says it;
2. for what a unit has asked and got in a form that the kernel does not read (truncated: the library asks
   again over TCP). The unit's first connection may come too early and be refused; it is never let through unread.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from watchword.enforcer import asking, dnsquery
from watchword.enforcer.datapath.base import AnswerUnread, DatapathError, Lookup
from watchword.enforcer.enforcement import Enforcement
from watchword.policy.suffixes import candidates, is_name
from watchword.policy.tables import Tables
from watchword.wire.policy import PolicyDocument

_log = logging.getLogger(__name__)

#: Who this host asks (resolv.conf(5)).
SYSTEM = Path("/etc/resolv.conf")

_TICK = 1.0  # seconds between looks at what there is to do
_AGAIN = 40.0  # seconds after which a name is asked for again: less than an address is good for at least
_FORGET = 30.0  # seconds between passes over what has run out
_IDLE = 600.0  # seconds after which nobody asks any more what a look-up came to
_LOOKUPS = 8000  # look-ups that the kernel is left with: half of what its table takes
_AT_ONCE = 16  # questions under way
_WAITING_LIMIT = 1000  # unread answers that wait to be asked for again; further ones are dropped


def system_resolvers(text: str) -> tuple[str, ...]:
    """The addresses of the resolvers that a resolv.conf names, without those that are no plain address."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                address = ipaddress.ip_address(words[1])
            except ValueError:
                continue
            if "%" not in words[1]:  # an address of one link alone: packets do not say which
                found.append(str(address))
    return tuple(dict.fromkeys(found))


def wanting(document: PolicyDocument, tables: Tables) -> dict[str, tuple[int, ...]]:
    """The whole names that rules are about, each with the badges of the local units whose rules those are."""
    users: defaultdict[str, set[int]] = defaultdict(set)
    for unit in document.units.values():
        for key in unit.outgoing:
            if unit.badge and key in document.rules:
                users[document.rules[key].selector].add(unit.badge)
    found = {}
    for name, networks in tables.name_networks.items():
        badges = {
            badge
            for network in networks
            for selector in document.networks[network].selectors
            for badge in users[selector]
        }
        if badges and not name.startswith("*."):
            found[name] = tuple(sorted(badges))
    return found


def idle(lookups: Iterable[Lookup], now: float, room: int) -> list[Lookup]:
    """Those of the kernel's look-ups that make room for others at ``now``, Unix time.

    What has been idle for ten minutes goes, and of more than ``room`` the ones longest idle.
    """
    latest = sorted(lookups, key=lambda found: found.last_seen, reverse=True)
    return [found for place, found in enumerate(latest) if place >= room or now - found.last_seen > _IDLE]


class Resolving:
    """Keeps the resolvers that are believed (those configured, else the system's), and asks on behalf of units."""

    def __init__(
        self, enforcement: Enforcement, configured: tuple[str, ...], problems: dict[str, str], system: Path = SYSTEM
    ) -> None:
        self._enforcement = enforcement
        self._configured = configured
        self._problems = problems
        self._system = system
        self._believed: tuple[str, ...] | None = None
        self._tables: Tables | None = None
        self._wanting: Mapping[str, tuple[int, ...]] = {}
        self._asked: dict[tuple[str, tuple[int, ...]], float] = {}
        self._again: dict[AnswerUnread, None] = {}
        self._forgotten = time.monotonic()

    async def keep(self) -> None:
        """Do it until cancelled."""
        while True:
            await asyncio.sleep(_TICK)
            if self._enforcement.actual is None or self._enforcement.removed:
                continue
            try:
                await self._tick(time.monotonic())
            except DatapathError as error:  # a table is full: units look up for themselves
                self._problems["names"] = f"host names: {error}"
                _log.warning("%s", self._problems["names"])
            else:
                self._problems.pop("names", None)

    def unread(self, event: AnswerUnread) -> None:
        """The kernel could not read what a unit was told."""
        if len(self._again) < _WAITING_LIMIT and is_name(event.name):
            self._again[event] = None

    async def _tick(self, now: float) -> None:
        datapath = self._enforcement.datapath
        resolvers = self._resolvers()
        if resolvers != self._believed:
            datapath.believe(resolvers)
            self._believed = resolvers
        self._look_at_policy()
        again, self._again = self._again, {}
        questions = self._due(resolvers[0], now) if resolvers else []
        questions += [
            (event.resolver, event.name, event.kind, (event.badge,)) for event in again if self._matters(event)
        ]
        gate = asyncio.Semaphore(_AT_ONCE)
        await asyncio.gather(*(self._ask(gate, *question) for question in questions))
        if now - self._forgotten > _FORGET:
            self._forgotten = now
            datapath.forget(idle(datapath.lookups(), time.time(), _LOOKUPS))

    def _resolvers(self) -> tuple[str, ...]:
        if self._configured:
            return self._configured
        try:
            return system_resolvers(self._system.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            return ()

    def _look_at_policy(self) -> None:
        actual = self._enforcement.actual
        if actual is not None and actual.tables is not self._tables:
            self._tables = actual.tables
            self._wanting = wanting(actual.signed.document, actual.tables)
            self._asked = {key: at for key, at in self._asked.items() if self._wanting.get(key[0]) == key[1]}

    def _matters(self, event: AnswerUnread) -> bool:
        return self._tables is not None and any(pattern in self._tables.names for pattern in candidates(event.name))

    def _due(self, resolver: str, now: float) -> list[tuple[str, str, int, tuple[int, ...]]]:
        due = [key for key in self._wanting.items() if now - self._asked.get(key, -_AGAIN) >= _AGAIN]
        self._asked.update(dict.fromkeys(due, now))
        return [(resolver, name, kind, badges) for name, badges in due for kind in (dnsquery.A, dnsquery.AAAA)]

    async def _ask(self, gate: asyncio.Semaphore, resolver: str, name: str, kind: int, badges: Iterable[int]) -> None:
        async with gate:
            try:
                told = await asking.ask(resolver, name, kind)
            except OSError as error:
                _log.info("no answer from %s: %s", resolver, error)  # what a unit asks for is not logged
                return
        for badge in badges:
            self._enforcement.datapath.learn(badge, told)
