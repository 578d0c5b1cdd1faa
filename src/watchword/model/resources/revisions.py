"""Revisions: the published states of policy."""

from __future__ import annotations

from typing import Annotated

from watchword.model.declarations import Resource, trait


class Revision(Resource, frozen=True, kw_only=True):
    """One published policy state. ``ID`` is its number.

    What is signed is :func:`watchword.model.chain.signed_text`; the two digests bind what exactly changed.
    """

    number: Annotated[int, trait("Counts up from 1.", read_only=True, indexed=True)] = 0
    author: Annotated[str, trait("Who made the change.", read_only=True)] = ""
    message: Annotated[str, trait("Why: 'import shop', 'publish web', 'rollback to 7'.", read_only=True)] = ""
    changes: Annotated[list[str], trait("What changed: 'create networkrulesetpolicy /acme shop'.", read_only=True)] = []
    policy_digest: Annotated[
        str, trait("SHA-256 over the changes of policy objects, hexadecimal; empty for none.", read_only=True)
    ] = ""
    workload_digest: Annotated[
        str, trait("SHA-256 over the changes of units and Enforcers; empty for none.", read_only=True)
    ] = ""
    previous: Annotated[str, trait("Signature of the revision before, hexadecimal.", read_only=True)] = ""
    signature: Annotated[str, trait("Signature, hexadecimal, chaining it to the revision before.", read_only=True)] = ""
