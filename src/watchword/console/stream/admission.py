"""Who is at the other end of a new session: challenge, hello, and the checks before anything is said.

The proof is a signature over a nonce of ours by the key that was enrolled. It does not depend on TLS,
so that a TLS-inspecting proxy between the two changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sqlalchemy import select

from watchword.console.lifecycle import ENFORCER
from watchword.console.store import records
from watchword.console.store.database import Database
from watchword.console.store.records import Record
from watchword.console.store.schema import evicted_keys
from watchword.console.stream.channel import HELLO_LIMIT, Channel
from watchword.console.stream.closing import (
    EVICTED,
    MALFORMED,
    NOT_AUTHENTICATED,
    SILENT,
    VERSION,
    SessionEnded,
)
from watchword.identity.keys import Random, SignatureError
from watchword.identity.signatures import NONCE_LENGTH, verify_datapath_key, verify_hello
from watchword.wire.messages import PROTOCOL_VERSION, Challenge, Evicted, Hello
from watchword.wire.policy import DatapathKey

#: Seconds in which a new session has to say hello.
HELLO_TIME = 10.0

_NOT_AUTHENTICATED = "this Console does not know this Enforcer by this key; enrol it again"


async def admit(channel: Channel, database: Database, console_id: str, random: Random) -> tuple[Hello, Record]:
    """Challenge the other side; its hello and its record. Raises :class:`SessionEnded`."""
    nonce = random(NONCE_LENGTH)
    await channel.send(Challenge(protocol=PROTOCOL_VERSION, console=console_id, nonce=nonce))
    try:
        async with asyncio.timeout(HELLO_TIME):
            hello = await channel.receive(HELLO_LIMIT)
    except TimeoutError:
        raise SessionEnded(SILENT, f"no hello within {HELLO_TIME:.0f} seconds") from None
    if not isinstance(hello, Hello):
        raise SessionEnded(MALFORMED, "the first message has to be a hello")
    if hello.protocol != PROTOCOL_VERSION:
        raise SessionEnded(VERSION, f"protocol {hello.protocol} is not spoken here, {PROTOCOL_VERSION} is")
    async with database.reading() as connection:
        record = await records.by_id(connection, ENFORCER, hello.enforcer)
        if record is None:
            table = evicted_keys
            statement = select(table.c.public_key).where(table.c.enforcer_id == hello.enforcer)
            evicted = await connection.scalar(statement)
    try:
        if record is None and evicted is not None:
            verify_hello(evicted, console_id, nonce, hello.signature)
            reason = "this Enforcer was deleted; install it anew with a new key"
            await channel.send(Evicted(reason=reason))
            raise SessionEnded(EVICTED, reason)
        if record is None:
            raise SessionEnded(NOT_AUTHENTICATED, _NOT_AUTHENTICATED)
        verify_hello(record.private["public_key"], console_id, nonce, hello.signature)
    except SignatureError:
        raise SessionEnded(NOT_AUTHENTICATED, _NOT_AUTHENTICATED) from None
    check_keys(record, hello.keys)
    return hello, record


def check_keys(record: Record, keys: Sequence[DatapathKey]) -> None:
    """The datapath keys an Enforcer publishes are its own, one or two, newest first."""
    if not 1 <= len(keys) <= 2:
        raise SessionEnded(MALFORMED, f"{len(keys)} datapath keys; publish one or two")
    epochs = [key.epoch for key in keys]
    if epochs != sorted(set(epochs), reverse=True):
        raise SessionEnded(MALFORMED, "the datapath keys are not in order, newest epoch first")
    for key in keys:
        try:
            verify_datapath_key(record.private["public_key"], record.id, key)
        except SignatureError as error:
            raise SessionEnded(MALFORMED, f"datapath key of epoch {key.epoch}: {error}") from None
