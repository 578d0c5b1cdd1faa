"""Why sessions end: close codes, each with what it asks of the Enforcer (see ``docs/rest.md``)."""

from __future__ import annotations

NORMAL = 1000
STOPPING = 1001
NOT_AUTHENTICATED = 1008
FAULT = 1011
MALFORMED = 4400
SILENT = 4408
REPLACED = 4409
EVICTED = 4410
VERSION = 4426
TOO_MANY = 4429

#: A close frame has room for 123 bytes of reason.
_REASON_BYTES = 123


class SessionEnded(Exception):  # noqa: N818 - it is an end, not always an error
    """The session has to end with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = shortened(reason)


def shortened(reason: str) -> str:
    """``reason`` within what a close frame can carry."""
    return reason.encode()[:_REASON_BYTES].decode(errors="ignore")
