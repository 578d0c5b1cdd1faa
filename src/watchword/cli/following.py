"""Reports as they come: the newest ones, and a stream that survives the Console's absence."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from watchword.cli.failure import ExitCode, Failure

if TYPE_CHECKING:
    from watchword.cli.client import Client

#: How long one request is held by the Console, in seconds.
_HOLD = 30

#: Failures after which following goes on: the Console is away, or going away.
_PASSING = (ExitCode.UNREACHABLE, ExitCode.FAILED)


def newest(client: Client, path: str, params: Mapping[str, str], limit: int) -> list[dict[str, Any]]:
    """The last ``limit`` records, oldest first."""
    records = list(client.pages(path, {**params, "order": "-ID"}, limit=limit))
    return records[::-1]


def following(client: Client, path: str, params: Mapping[str, str], backlog: int) -> Iterator[dict[str, Any]]:
    """The last ``backlog`` records, then all that come, each once."""
    cursor = client.get(path, **params, after="latest", limit="1").next
    shown = set()
    if backlog:
        for record in newest(client, path, params, backlog):
            shown.add(record["ID"])
            yield record
    pause = 0.0
    while True:
        try:
            answer = client.request(
                "GET", path, params={**params, "after": cursor, "wait": str(_HOLD)}, timeout=_HOLD + 15
            )
        except Failure as failure:
            if failure.code not in _PASSING:
                raise
            pause = _pause(failure, pause)
            continue
        pause = 0.0
        cursor = answer.next
        yield from (record for record in answer.body if record["ID"] not in shown)


def _pause(failure: Failure, previous: float) -> float:
    """Wait before asking again: longer each time, said once."""
    from watchword.cli import output

    if not previous:
        output.note(f"{failure.message}; trying again")
    pause = min(10.0, previous * 2 or 0.5)
    time.sleep(pause)
    return pause


def local_time(text: str | None) -> str:
    """A time of the API (UTC) in the user's zone."""
    if not text:
        return ""
    return datetime.datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")
