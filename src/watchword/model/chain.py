"""The record of revisions as a chain: the exact text that is signed, and the digests it binds.

Each record is signed together with the signature of the record before it
(:func:`watchword.identity.signatures.sign_revision_record`). Its digests bind what the revision changed, so
neither a record nor a change can be altered, left out or put in between without breaking the chain from
there on.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from watchword.model.resources import Revision

#: Fields of a change that its digest covers, in the spelling of the API.
CHANGE_FIELDS = ("operation", "kind", "ID", "namespace", "name", "before", "after", "version")


def digest(changes: Sequence[dict[str, Any]]) -> str:
    """SHA-256 over changes in their order, hexadecimal; "" for none.

    Each change has exactly :data:`CHANGE_FIELDS`; objects are encoded with sorted keys, so that a
    change read back from anywhere has the same digest.
    """
    if not changes:
        return ""
    listed = [{name: change[name] for name in CHANGE_FIELDS} for change in changes]
    return hashlib.sha256(msgspec.json.encode(listed, order="sorted")).hexdigest()


def signed_text(revision: Revision) -> bytes:
    """What the signature of a record is about, besides its number and the signature before it."""
    if not (revision.policy_digest or revision.workload_digest or revision.previous):
        return _first_text(revision)
    fields = {
        "number": revision.number,
        "createTime": _time(revision.create_time),
        "author": revision.author,
        "message": revision.message,
        "changes": revision.changes,
        "policyDigest": revision.policy_digest,
        "workloadDigest": revision.workload_digest,
    }
    return msgspec.json.encode(fields, order="sorted")


def _first_text(revision: Revision) -> bytes:
    """The text of records made before there were digests."""
    fields = {
        "ID": revision.id,
        "namespace": revision.namespace,
        "createTime": _time(revision.create_time),
        "number": revision.number,
        "author": revision.author,
        "changes": revision.changes,
        "signature": "",
    }
    return msgspec.json.encode(fields)


def _time(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else str(msgspec.to_builtins(moment))
