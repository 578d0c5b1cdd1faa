"""How the Console logs: one event a line, for people on a terminal and as JSON elsewhere.

Tracebacks are plain text made here: however a process has configured logging, a renderer that shows
local variables would show secrets.
"""

from __future__ import annotations

import logging
import sys
import traceback

import structlog


def configure(*, json: bool | None = None) -> None:
    """Set logging up for this process; ``json`` is decided by where standard error goes if left out."""
    as_json = not sys.stderr.isatty() if json is None else json
    renderer: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if as_json
        else [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    # The server library's own words: only what is wrong.
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


def plain(error: BaseException) -> str:
    """A traceback without variables, to be logged as ``exception=``."""
    return "".join(traceback.format_exception(error)).rstrip()
