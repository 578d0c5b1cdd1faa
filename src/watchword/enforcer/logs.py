"""The agent's log: one line for each event, times in UTC, for people or (JSON) for programs.

On the standard library alone: the agent's memory is its users' memory.
"""

from __future__ import annotations

import logging
import sys
import time

import msgspec


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ"),
            "level": record.levelname.lower(),
            "part": record.name.removeprefix("watchword.enforcer."),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def configure(*, json: bool = False, level: int = logging.INFO) -> None:
    """Log to standard error from now on."""
    formatter = _Json() if json else logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("websockets").setLevel(max(level, logging.WARNING))
