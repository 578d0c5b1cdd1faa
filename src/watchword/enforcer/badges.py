"""Questions to the Console about badges that a handshake carried and nobody here knows.

Anyone can send packets with invented badges, so questions are few whatever arrives: each badge at
most once in a while, all together at a bounded rate, and nothing grows without limit. Pure: the clock
is passed in.
"""

from __future__ import annotations

from collections import OrderedDict

#: Seconds before the same badge is asked about again.
REPEAT = 5.0
#: Questions a second, all badges together, and how many may come at once.
RATE = 20.0
BURST = 40.0
#: Badges remembered as asked.
REMEMBERED = 4096


class BadgeQuestions:
    """Decides which unknown badges to ask about."""

    def __init__(self) -> None:
        self._asked: OrderedDict[int, float] = OrderedDict()
        self._allowance = BURST
        self._refilled = 0.0
        self.suppressed = 0

    def ask(self, badge: int, now: float) -> bool:
        """Whether to ask about ``badge`` now."""
        if now - self._asked.get(badge, -REPEAT) < REPEAT:
            return False
        self._allowance = min(BURST, self._allowance + max(0.0, now - self._refilled) * RATE)
        self._refilled = now
        if self._allowance < 1.0:
            self.suppressed += 1
            return False
        self._allowance -= 1.0
        self._remember(badge, now)
        return True

    def absent(self, badge: int, now: float) -> None:
        """The Console knows no such badge; do not ask again soon."""
        self._remember(badge, now)

    def _remember(self, badge: int, now: float) -> None:
        self._asked[badge] = now
        self._asked.move_to_end(badge)
        if len(self._asked) > REMEMBERED:
            self._asked.popitem(last=False)
