"""Activities: who did what."""

from __future__ import annotations

from typing import Annotated

from watchword.model.declarations import Resource, trait


class Activity(Resource, frozen=True, kw_only=True):
    """Who did what."""

    operation: Annotated[
        str, trait("create, update, delete, import, enrol, evict, test, ping or path.", read_only=True, indexed=True)
    ] = ""
    target_identity: Annotated[str, trait("Kind of resource.", read_only=True, indexed=True)] = ""
    target_id: Annotated[str, trait("Resource.", read_only=True, indexed=True)] = ""
    target_name: Annotated[str, trait("Its name.", read_only=True)] = ""
    author: Annotated[str, trait("Who.", read_only=True, indexed=True)] = ""
    source: Annotated[str, trait("From which address.", read_only=True)] = ""
    message: Annotated[str, trait("In words.", read_only=True)] = ""
    diff: Annotated[
        dict[str, list[str]], trait("Field to [before, after], as JSON; secrets left out.", read_only=True)
    ] = {}
    revision: Annotated[int, trait("Revision it made; 0 for none.", read_only=True)] = 0
