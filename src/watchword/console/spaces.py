"""Namespaces as the other resources need them: which exist, and what they hand down."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from watchword.console.problems import Problem
from watchword.console.store import records
from watchword.console.store.schema import STORED, TABLES
from watchword.model import registry, tenancy
from watchword.model.resources import Namespace
from watchword.policy.namespaces import ROOT, upwards

NAMESPACE = registry.kind("namespace")


@dataclass(frozen=True, slots=True)
class Space:
    """A namespace and those above it, nearest first."""

    chain: tuple[Namespace, ...]

    @property
    def path(self) -> str:
        """The namespace itself."""
        return self.chain[0].name

    def organisation(self) -> set[str]:
        """The ``@org:`` tags in force here."""
        return {tag for namespace in self.chain for tag in tenancy.given(namespace)}

    def tag_prefixes(self) -> list[str]:
        """The tag prefixes in force here; empty for no restriction."""
        return sorted({prefix for namespace in self.chain for prefix in namespace.tag_prefixes})


async def space(connection: AsyncConnection, path: str) -> Space:
    """The namespace ``path``. Raises :class:`Problem` when it does not exist."""
    paths = list(upwards(path)) if path.startswith("/") else []
    found = await records.find(connection, NAMESPACE, TABLES["namespace"].c.name.in_(paths)) if paths else []
    by_path = {record.resource.name: record.resource for record in found}
    if not paths or path not in by_path:
        raise Problem("not-found", f"namespace {path!r} does not exist; create it first")
    return Space(tuple(by_path[each] for each in paths if each in by_path))


def parent_of(path: str) -> str:
    """The namespace above ``path``; "" above the root."""
    if path == ROOT:
        return ""
    return path[: path.rindex("/")] or ROOT


async def contents(connection: AsyncConnection, path: str) -> dict[str, int]:
    """How many resources of each kind are in ``path``, leaving out what only records the past."""
    counts = {}
    for kind in STORED:
        if kind.singular in ("activity", "revision"):
            continue
        table = TABLES[kind.singular]
        count = await connection.scalar(select(func.count()).select_from(table).where(table.c.namespace == path))
        if count:
            counts[kind.plural] = count
    return counts
