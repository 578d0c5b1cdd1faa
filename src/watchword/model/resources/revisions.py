"""Revisions: the published states of policy."""

from __future__ import annotations

from typing import Annotated

from watchword.model.declarations import Resource, trait


class Revision(Resource, frozen=True, kw_only=True):
    """One published policy state. ``ID`` is its number."""

    number: Annotated[int, trait("Counts up from 1.", read_only=True, indexed=True)] = 0
    author: Annotated[str, trait("Who made the change.", read_only=True)] = ""
    changes: Annotated[list[str], trait("What changed: 'create networkrulesetpolicy /acme shop'.", read_only=True)] = []
    signature: Annotated[str, trait("Signature, hexadecimal, chaining it to the revision before.", read_only=True)] = ""
