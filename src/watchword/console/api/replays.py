"""Idempotency keys: the same POST again gets the same answer and changes nothing.

The answer is kept in the transaction of the change itself, without secrets: whoever lost an answer that
showed a secret has to make another one.
"""

from __future__ import annotations

import hashlib
from typing import Final

from sqlalchemy import insert, select
from starlette.responses import Response

from watchword.console.api.context import Context
from watchword.console.changes import Change
from watchword.console.problems import Problem, invalid
from watchword.console.store.schema import answers
from watchword.model.problems import Invalid

HEADER: Final = "idempotency-key"
KEY_LIMIT = 128


def _key(asked: Context) -> str | None:
    key = asked.request.headers.get(HEADER)
    if key is not None and not 0 < len(key) <= KEY_LIMIT:
        raise invalid(Invalid("Idempotency-Key", "is empty or too long", f"use 1 to {KEY_LIMIT} characters"))
    return key


def _request_hash(asked: Context, body: bytes) -> bytes:
    url = asked.request.url
    return hashlib.sha256(b"\0".join([url.path.encode(), url.query.encode(), asked.namespace.encode(), body])).digest()


async def find(change: Change, asked: Context, body: bytes) -> Response | None:
    """The answer this request got before. Raises :class:`Problem` when its key was used for another one."""
    key = _key(asked)
    if key is None:
        return None
    where = (answers.c.credential_id == asked.actor.id, answers.c.key == key)
    row = (await change.connection.execute(select(answers).where(*where))).first()
    if row is None:
        return None
    if row.request_hash != _request_hash(asked, body):
        raise Problem("conflict", "this Idempotency-Key was used for another request; choose a new one")
    return Response(row.body, row.status, {**row.headers, "Idempotent-Replay": "true"}, "application/json")


async def keep(
    change: Change, asked: Context, body: bytes, status: int, headers: dict[str, str], answer: bytes
) -> None:
    """Remember an answer, if the request carries a key."""
    key = _key(asked)
    if key is not None:
        await change.connection.execute(
            insert(answers).values(
                credential_id=asked.actor.id,
                key=key,
                request_hash=_request_hash(asked, body),
                status=status,
                headers=headers,
                body=answer,
                time=change.now,
            )
        )
