"""Questions about policy as a whole, answered beside the Console's work and never in its way.

1. Explanations are quick and answered at once, on the event loop.
2. Lint and differences may take seconds: they run in a thread, one at a time, on worlds that nobody
   changes any more. What they count is kept for the next one, and so are the last findings: asking
   again costs nothing while policy stays as it is.
3. Whoever asks is answered from what they may know (:mod:`watchword.policy.views`) and nothing else.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Mapping

from watchword.policy import difference, lint
from watchword.policy.difference import Difference
from watchword.policy.explain import Explanation, explain
from watchword.policy.landscape import Survey
from watchword.policy.rulebook import Rulebook
from watchword.policy.views import view
from watchword.policy.world import Unit, World


class Inquiries:
    """Answers questions about worlds. Its coroutines and methods belong on the event loop."""

    def __init__(self) -> None:
        self._live = Rulebook()
        self._other = Rulebook()
        self._survey = Survey()
        self._lock = asyncio.Lock()
        self._last: tuple[World, tuple[object, ...], tuple[lint.Finding, ...]] | None = None

    def explain(
        self, world: World, live: bool, source: str | Unit, destination: str | Unit, flow: tuple[int, int], reader: str
    ) -> Explanation:
        """Why a flow would be allowed or rejected in ``world``. Raises :class:`Invalid`."""
        book = self._live if live else self._other
        book.follow(world)
        return explain(world, source, destination, *flow, book=book, reader=reader)

    async def findings(
        self,
        world: World,
        reader: str,
        within: str,
        changed: Mapping[str, datetime.datetime],
        now: datetime.datetime,
    ) -> tuple[lint.Finding, ...]:
        """What is doubtful in ``within`` and below, as far as a reader of ``reader`` may know."""

        def work() -> tuple[lint.Finding, ...]:
            seen = view(world, reader)
            return lint.findings(seen, survey=self._survey, within=within, changed=changed, now=now)

        asked = reader, within, dict(changed), now.date()
        async with self._lock:
            if self._last is None or self._last[0] is not world or self._last[1] != asked:
                self._last = world, asked, await asyncio.to_thread(work)
            return self._last[2]

    async def difference(self, old: World, new: World, reader: str, limit: int) -> Difference:
        """What ``new`` decides differently, as far as a reader of ``reader`` may know."""

        def work() -> Difference:
            seen = view(old, reader), view(new, reader)
            return difference.difference(*seen, survey=self._survey, limit=limit)

        async with self._lock:
            return await asyncio.to_thread(work)
