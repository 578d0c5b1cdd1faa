"""Who plays: the simulated hosts, the workloads on them, and who may talk to whom once rules are in force."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: Hosts with an Enforcer. Beside them: ``console``, ``outside`` (no Enforcer, no identity) and ``router``.
HOSTS = ("edge", "shop", "db", "batch", "intruder")

NAMESPACE = "/shop"


@dataclass(frozen=True)
class Workload:
    """One workload that gets an identity. ``cgroup`` is where its processes live, below its host's."""

    name: str
    host: str
    tags: tuple[str, ...]
    does: str
    how: Literal["declared", "run"]

    @property
    def cgroup(self) -> str:
        """Declared workloads have a cgroup of ours; ``watchword run`` makes one."""
        return self.name if self.how == "declared" else f"watchword/{self.name}"


WORKLOADS = {
    each.name: each
    for each in (
        Workload("nginx", "edge", ("app=edge", "zone=shop"), "nginx, the shop's door to the world", "declared"),
        Workload("api", "shop", ("app=api", "zone=shop"), "the shop's API, in Python", "run"),
        Workload("postgres", "db", ("app=postgres", "zone=shop"), "PostgreSQL with the orders", "declared"),
        Workload("ledger", "db", ("app=ledger", "zone=shop"), "a busy service beside the database", "run"),
        Workload("job", "batch", ("app=job", "zone=shop"), "a job that uses API and database", "run"),
        Workload("meter", "batch", ("app=meter", "zone=shop"), "thousands of connections a second", "run"),
        Workload("wiki", "intruder", ("app=wiki", "zone=guest"), "a wiki, taken over by an intruder", "run"),
    )
}

PORTS = {"nginx": 80, "api": 8000, "postgres": 5432, "ledger": 9000}


@dataclass(frozen=True)
class Pair:
    """One workload that connects to another. ``refusal`` is how its program sees that it may not."""

    source: str
    destination: str
    rule: str
    refusal: Literal["", "ECONNREFUSED", "ECONNABORTED", "timeout"] = ""

    @property
    def port(self) -> int:
        """The destination's port."""
        return PORTS[self.destination]

    @property
    def allowed(self) -> bool:
        """Whether the rules let it."""
        return not self.refusal


#: What has to work under the rules of ``demo/policy``, and by which rule.
ALLOWED = (
    Pair("nginx", "api", "api/from-the-shop"),
    Pair("api", "postgres", "database/orders"),
    Pair("job", "api", "api/from-the-shop"),
    Pair("job", "postgres", "database/orders"),
    Pair("meter", "ledger", "ledger/from-meter"),
)

#: What must not, by which rule ("default": because no rule allows it), and what the program sees.
REFUSED = (
    Pair("wiki", "postgres", "database/no-guests", "ECONNREFUSED"),
    Pair("wiki", "api", "default", "timeout"),
    Pair("wiki", "ledger", "default", "timeout"),
    Pair("nginx", "postgres", "default", "timeout"),
    Pair("postgres", "api", "database/calls-nobody", "ECONNABORTED"),
)
