"""An engine and a world, changed together one alteration at a time, with every document held against rendering."""

from __future__ import annotations

import dataclasses
from typing import Any

from watchword.policy.amendments import Amendment
from watchword.policy.engine import Engine
from watchword.policy.render import render
from watchword.policy.world import Alteration, World
from watchword.wire.policy import digest, patched


class Following:
    """See the module's text."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.engine = Engine.of(world)
        self.documents = {key: self.engine.document(key) for key in world.enforcers}

    def put(self, part: str, key: str, entry: Any) -> dict[str, Amendment]:
        """One entry comes, is another, or goes (None); who was told what."""
        entries = {name: known for name, known in getattr(self.world, part).items() if name != key}
        if entry is not None:
            entries[key] = entry
        self.world = dataclasses.replace(self.world, revision=self.world.revision + 1, **{part: entries})
        told = dict(self.engine.apply(self.world.revision, [Alteration(part, key, entry)]).amendments)
        for enforcer in self.world.enforcers:
            document = self.documents.get(enforcer) or render(self.world, enforcer)
            delta = told.get(enforcer, Amendment()).delta(document.revision, self.world.revision)
            plain = render(self.world, enforcer)
            assert self.engine.document(enforcer) == plain
            assert enforcer not in self.documents or patched(document, delta) == plain
            assert self.engine.digest(enforcer) == digest(plain)
            self.documents[enforcer] = plain
        return told
