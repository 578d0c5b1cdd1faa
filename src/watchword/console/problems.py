"""What goes wrong with a request, as RFC 9457 problem documents.

Each kind of problem has a stable type. A problem's text may repeat what the client sent, except
secrets; it never tells of the inside of the Console.

::

    Problem          stop: the client has to change something (status 4xx)
    Invalid          (model.problems) the same for one field; becomes a Problem of type validation
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from watchword.model.problems import Invalid

TYPE_PREFIX = "urn:watchword:problem:"

#: Stable type to status and title.
TYPES: dict[str, tuple[int, str]] = {
    "malformed": (400, "The request cannot be read"),
    "unauthenticated": (401, "The request has no valid credential"),
    "forbidden": (403, "The credential does not allow this"),
    "not-found": (404, "There is no such thing"),
    "method-not-allowed": (405, "This cannot be done here"),
    "conflict": (409, "The request does not fit the present state"),
    "breaks-test": (409, "A policy test would no longer hold"),
    "changed-meanwhile": (412, "The resource has changed since it was read"),
    "too-large": (413, "The request is too large"),
    "unsupported-media-type": (415, "The request's body has the wrong type"),
    "validation": (422, "The request has invalid fields"),
    "protected": (423, "The resource is protected"),
    "too-many-requests": (429, "Too many failures from this address"),
    "too-many-pings": (429, "Too many pings in a short time"),
    "internal": (500, "The Console failed; its log says why"),
}


class Problem(Exception):  # noqa: N818 - the word of RFC 9457
    """A request that cannot be served as it is."""

    def __init__(
        self, kind: str, detail: str, errors: Sequence[Invalid] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.status, self.title = TYPES[kind]
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    def document(self) -> dict[str, Any]:
        """The body of the answer."""
        document: dict[str, Any] = {
            "type": TYPE_PREFIX + self.kind,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            document["errors"] = [
                {"path": error.path, "message": error.message, "remedy": error.remedy} for error in self.errors
            ]
        return document


def invalid(*errors: Invalid) -> Problem:
    """A problem of type ``validation``; the first error is its detail."""
    return Problem("validation", str(errors[0]), errors)
