"""What sessions need of the rest of the Console."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass

from watchword.console.changes import Changes
from watchword.console.flows.store import ReportStores
from watchword.console.identifiers import Identifiers
from watchword.console.paths import Paths
from watchword.console.pings import Pings
from watchword.console.presence import Presence
from watchword.console.publisher import Publisher
from watchword.console.shadows import Shadows
from watchword.console.store.database import Database
from watchword.console.store.records import Record
from watchword.console.stream.hub import Hub
from watchword.identity.keys import Random, SigningKey


@dataclass
class StreamParts:
    """The parts of one Console that its sessions share."""

    console_id: str
    signing_key: SigningKey
    database: Database
    changes: Changes
    identifiers: Identifiers
    publisher: Publisher
    presence: Presence
    hub: Hub
    reports: ReportStores
    pings: Pings
    paths: Paths
    shadows: Shadows
    clock: Callable[[], datetime.datetime]
    random: Random
    certify: Callable[[Record], str]  # a fresh certificate (PEM) for an Enforcer's key
    report_interval: float = 1.0
    key_lifetime: float = 86400.0
