"""What one Enforcer holds, as far as its Console knows, and what has changed since.

1. Every document that was sent is remembered by revision and digest until a newer one is known to be
   enforced. An Enforcer that comes back with any of them is resumed with one delta.
2. What changes meanwhile is kept as the engine's amendments, which Enforcers share; many of them are
   merged into one. An Enforcer that would need too much is sent a snapshot when it comes back.

Only memory: a Console that has restarted knows nothing of what it sent.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from watchword.policy.amendments import Amendment, merged

#: Badges an Enforcer asked for, remembered for each; the one asked for longest ago is forgotten first.
ASKED_LIMIT = 4096

#: Documents sent and not known to be enforced; amendments in a row before they are merged; table entries
#: that are kept for an Enforcer before it is better off with a snapshot.
STEP_LIMIT = 8
RUN_LIMIT = 64
WEIGHT_LIMIT = 50_000


@dataclass
class _Step:
    """A document that was sent, and what changed between it and the next one sent (or until now)."""

    revision: int
    digest: bytes
    changes: list[Amendment] = field(default_factory=list)


class Holding:
    """See the module's text."""

    def __init__(self) -> None:
        self._steps: deque[_Step] = deque()
        self._asked: dict[int, None] = {}  # badges, in the order of asking

    @property
    def revision(self) -> int:
        """The newest revision sent; 0 when nothing is known of what the Enforcer holds."""
        return self._steps[-1].revision if self._steps else 0

    @property
    def asked(self) -> frozenset[int]:
        """The badges it has asked for."""
        return frozenset(self._asked)

    def ask(self, badge: int) -> None:
        """Include ``badge`` from now on."""
        self._asked.pop(badge, None)
        self._asked[badge] = None
        while len(self._asked) > ASKED_LIMIT:
            self._asked.pop(next(iter(self._asked)))

    def follow(self, amendment: Amendment) -> None:
        """The document is another than the one sent last."""
        if not self._steps:
            return
        changes = self._steps[-1].changes
        changes.append(amendment)
        if len(changes) > RUN_LIMIT:
            changes[:] = [merged(changes)]
            if changes[0].weight() > WEIGHT_LIMIT:
                self.forget()

    def sent(self, revision: int, digest: bytes) -> None:
        """A document was sent that has everything so far in it."""
        self._steps.append(_Step(revision, digest))
        if len(self._steps) > STEP_LIMIT:
            self._steps.popleft()

    def enforced(self, revision: int) -> None:
        """The Enforcer has at least this revision: it will not come back with an older one."""
        while len(self._steps) > 1 and self._steps[1].revision <= revision:
            self._steps.popleft()

    def resume(self, revision: int, digest: bytes) -> bool:
        """The Enforcer says what it holds; whether that is known, so that a delta from there will do."""
        for index in range(len(self._steps) - 1, -1, -1):
            step = self._steps[index]
            if (step.revision, step.digest) == (revision, digest):
                for later in list(self._steps)[index + 1 :]:
                    step.changes.extend(later.changes)
                self._steps = deque([step])
                return True
        self.forget()
        return False

    def changes(self) -> Amendment | None:
        """What to tell the Enforcer; ``None`` when only a snapshot will do."""
        return merged(self._steps[-1].changes) if self._steps else None

    def forget(self) -> None:
        """Nothing is known any more of what the Enforcer holds."""
        self._steps.clear()
