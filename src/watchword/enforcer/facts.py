"""What an agent says about itself to ``watchword enforcer status``."""

from __future__ import annotations

import os
from typing import Any

from watchword.enforcer import health
from watchword.enforcer.guard import Guard


def about(guard: Guard) -> dict[str, Any]:
    """What ``watchword enforcer status`` shows."""
    enrolled, actual = guard.credential.enrolled, guard.enforcement.actual
    return {
        "name": enrolled.name,
        "enforcer": enrolled.enforcer,
        "namespace": enrolled.namespace,
        "console": guard.settings.console or enrolled.console_url,
        "pid": os.getpid(),
        "link": {"state": guard.link.state, "problem": guard.link.problem},
        "revision": {
            "enforced": actual.signed.document.revision if actual else 0,
            "held": guard.held.revision if guard.held else 0,
            "lapsed": actual.expired if actual else False,
        },
        "units": [
            {
                "native_id": unit.registration.native_id,
                "name": unit.registration.name,
                "type": unit.registration.type,
                "cgroup": str(unit.cgroup),
                "tags": list(unit.registration.tags),
                "policed": guard.enforcement.places(unit.registration.native_id),
                "refused": unit.refused,
            }
            for unit in guard.units.all()
        ],
        "peers": len(actual.tables.peers) if actual else 0,
        "key_epochs": [key.epoch for key in guard.keys.usable()],
        "counters": guard.counters(),
        "reports": {"sequence": guard.reports.sequence, "pending": guard.reports.pending() is not None},
        "problems": list(guard.complaints()),
        "rss_bytes": health.resident_bytes(),
        "cpu_seconds": health.processor_seconds(),
    }
