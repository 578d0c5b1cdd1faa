"""How one Enforcer is to behave: from its profile and its namespaces to the Welcome, again when they change."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec

from watchword.console.changes import Effect
from watchword.console.consequences import ENFORCER, PROFILE
from watchword.console.spaces import NAMESPACE, space
from watchword.console.store import records
from watchword.console.stream.channel import Channel
from watchword.console.stream.closing import EVICTED, SessionEnded
from watchword.console.stream.parts import StreamParts
from watchword.identity.signatures import sign_boundaries
from watchword.model.resources import EnforcerProfile
from watchword.wire.messages import DAY, Boundaries, Welcome


async def welcome(parts: StreamParts, enforcer: str) -> Welcome:
    """The settings of an Enforcer now; boundaries unsigned. Raises :class:`SessionEnded` when it is gone."""
    async with parts.database.reading() as connection:
        record = await records.by_id(connection, ENFORCER, enforcer)
        if record is None:
            raise SessionEnded(EVICTED, "this Enforcer was deleted; install it anew with a new key")
        where = await space(connection, record.resource.namespace)
        profile = None
        if record.resource.profile_id:
            profile = await records.by_id(connection, PROFILE, record.resource.profile_id)
    own = profile.resource if profile is not None else None
    # the nearest namespace that says anything decides
    offline_max_age = next((each.offline_max_age for each in where.chain if each.offline_max_age), 0)
    key_lifetime = float(own.key_lifetime) if own else parts.key_lifetime
    return Welcome(
        enforcer=enforcer,
        namespace=record.resource.namespace,
        report_interval=float(own.flow_report_interval) if own else parts.report_interval,
        key_lifetime=key_lifetime,
        existing_connections=own.existing_connections if own else "Keep",
        boundaries=_boundaries(own, float(offline_max_age), 0.0 if key_lifetime == DAY else key_lifetime),
    )


def _boundaries(profile: EnforcerProfile | None, offline_max_age: float, key_lifetime: float) -> Boundaries:
    plain = Boundaries(0, offline_max_age=offline_max_age, key_lifetime=key_lifetime)
    if profile is None:
        return plain
    return msgspec.structs.replace(
        plain,
        excluded_networks=tuple(profile.excluded_networks),
        identity_required_networks=tuple(profile.identity_required_networks),
        excluded_interfaces=tuple(profile.excluded_interfaces),
        existing_connections=profile.existing_connections,
    )


def concerned(effects: Iterable[Effect]) -> tuple[bool, set[str]]:
    """Whose settings a change may have altered: everybody's, or those of the Enforcers named."""
    everybody, some = False, set()
    for before, after in effects:
        if before is None or after is None:
            continue
        if before.kind is PROFILE:
            everybody = True
        elif before.kind is NAMESPACE:
            everybody = everybody or before.resource.offline_max_age != after.resource.offline_max_age
        elif before.kind is ENFORCER and before.resource.profile_id != after.resource.profile_id:
            some.add(after.id)
    return everybody, some


class Settler:
    """Sends one session's settings whenever they are other than those sent last."""

    def __init__(self, parts: StreamParts, channel: Channel, enforcer: str, bounded: bool) -> None:
        """``bounded``: the Enforcer has boundaries in force."""
        self._parts = parts
        self._channel = channel
        self._enforcer = enforcer
        self._sent: Welcome | None = None
        self._bounded = bounded
        self._woken = asyncio.Event()

    @property
    def sent(self) -> Welcome | None:
        """Those sent last; boundaries as the profile has them."""
        return self._sent

    def wake(self) -> None:
        """They may have changed."""
        self._woken.set()

    async def settle(self) -> None:
        """Send them if they have."""
        self._woken.clear()
        now = await welcome(self._parts, self._enforcer)
        if now != self._sent:
            await self._channel.send(self._signed(now))
            self._sent = now

    def _signed(self, now: Welcome) -> Welcome:
        if now.boundaries is None or not (self._bounded or now.boundaries.binding):
            return msgspec.structs.replace(now, boundaries=None)
        self._bounded = True
        issued = int(self._parts.clock().timestamp() * 1_000_000)
        boundaries = msgspec.structs.replace(now.boundaries, issued=issued)
        signed = sign_boundaries(self._parts.signing_key, self._enforcer, boundaries)
        return msgspec.structs.replace(now, boundaries=signed)

    async def run(self) -> None:
        """Keep them up to date until cancelled."""
        while True:
            await self._woken.wait()
            await self.settle()
