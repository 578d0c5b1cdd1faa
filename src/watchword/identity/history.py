"""Checking the record of revisions without the Console that keeps it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from watchword.identity.keys import SignatureError
from watchword.identity.signatures import verify_revision_record
from watchword.model import chain
from watchword.model.resources import Revision

#: Kinds whose changes are covered by a record's workload digest.
WORKLOADS = frozenset({"processingunit", "enforcer"})


class BrokenChain(ValueError):  # noqa: N818 - read as that
    """The record of revisions is not what the Console signed; the message says where."""


@dataclass(frozen=True, slots=True)
class Link:
    """One record, and what it is said to have changed."""

    record: Revision
    changes: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Checked:
    """What was checked. ``detailed`` counts the records whose every change was compared with its digest."""

    first: int
    last: int
    count: int
    detailed: int
    signature: str  # of the last record: the same for everybody who has seen the same history


def verify(
    links: Iterable[Link], public_key: bytes, *, policy_complete_from: int = 1, workload_complete_from: int = 1
) -> Checked:
    """Check every signature, that no record is missing in between, and every digest whose changes are kept.

    A chain that does not begin at 1 is believed to be the continuation of what its first record names.
    Raises :class:`BrokenChain`.
    """
    before: Revision | None = None
    first = count = detailed = 0
    for link in links:
        record = link.record
        if before is None:
            first = record.number
        else:
            _demand(record.number == before.number + 1, record, f"follows revision {before.number}")
            _demand(_previous(record, before) == before.signature, record, "does not continue the record before it")
        _check_signature(record, before, public_key)
        detailed += _check_digests(link, policy_complete_from, workload_complete_from)
        before, count = record, count + 1
    if before is None:
        raise BrokenChain("there is no revision")
    return Checked(first, before.number, count, detailed, before.signature)


def _previous(record: Revision, before: Revision) -> str:
    """What the record says came before it; records made before there were digests do not say."""
    has_digests = record.policy_digest or record.workload_digest or record.previous
    return record.previous if has_digests else before.signature


def _check_signature(record: Revision, before: Revision | None, public_key: bytes) -> None:
    previous = record.previous or (before.signature if before is not None else "")
    _demand(bool(previous) or record.number == 1, record, "does not say what came before it")
    try:
        verify_revision_record(
            public_key,
            record.number,
            chain.signed_text(record),
            bytes.fromhex(previous),
            bytes.fromhex(record.signature),
        )
    except (SignatureError, ValueError) as error:
        raise BrokenChain(f"revision {record.number}: {error}") from None


def _check_digests(link: Link, policy_from: int, workload_from: int) -> bool:
    """Whether every change of the record could be compared."""
    record = link.record
    sorts = (
        (False, policy_from, record.policy_digest, "policy"),
        (True, workload_from, record.workload_digest, "workloads"),
    )
    for workload, complete_from, said, name in sorts:
        changes = [dict(change) for change in link.changes if (change["kind"] in WORKLOADS) == workload]
        if record.number >= complete_from:
            _demand(chain.digest(changes) == said, record, f"its changes of {name} are not those that were signed")
    return record.number >= max(policy_from, workload_from)


def _demand(holds: bool, record: Revision, otherwise: str) -> None:
    if not holds:
        raise BrokenChain(f"revision {record.number}: {otherwise}")
