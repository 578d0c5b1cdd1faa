"""What is in force and could not be written to disk: tried again until it is.

A full or broken disk must not keep a revocation from taking effect, and must not end the agent. So what can be in force
without the disk is; that the next boot would not know of it is a problem that everybody is told of until it is none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping

from watchword.enforcer.errors import StorageError

_log = logging.getLogger(__name__)

#: Seconds until something is written again that could not be written.
RETRY_AFTER = 3.0


class Keeping:
    """Writes, and remembers what is still to be written. Why it could not be is noted in ``problems``."""

    def __init__(self, problems: MutableMapping[str, str]) -> None:
        self._problems = problems
        self._owed: dict[str, Callable[[], None]] = {}
        self._tried = 0.0

    def keep(self, what: str, write: Callable[[], None]) -> bool:
        """Write now, or at some :meth:`again`; a later write of the same thing takes the place of an earlier one."""
        self._owed.pop(what, None)
        name = f"kept {what}"
        try:
            write()
        except StorageError as error:
            self._owed[what] = write
            problem = f"in force, but a restart of this host would not know of it ({what}): {error}"
            if self._problems.get(name) != problem:
                _log.error("%s", problem)
            self._problems[name] = problem
            return False
        if self._problems.pop(name, None):
            _log.info("written at last: %s", what)
        return True

    def again(self, clock: float) -> None:
        """Try all that is owed once more, if it is time. ``clock`` counts seconds and is never set."""
        if self._owed and clock - self._tried >= RETRY_AFTER:
            self._tried = clock
            for what, write in list(self._owed.items()):
                self.keep(what, write)
