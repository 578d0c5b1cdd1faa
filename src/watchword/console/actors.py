"""Who calls the API, and what they may do: a credential, its namespace and its roles.

A credential works in its own namespace and below. Changing a namespace itself needs rights in its
parent, so that nobody lifts the limits set for them from above.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from watchword.console.changes import Author
from watchword.console.problems import Problem
from watchword.policy.namespaces import ROOT, reaches

ADMINISTRATOR: Final = "namespace.administrator"
VIEWER: Final = "namespace.viewer"


@dataclass(frozen=True, slots=True)
class Actor:
    """One authenticated caller."""

    id: str
    name: str
    namespace: str
    roles: tuple[str, ...]
    source: str

    def author(self) -> Author:
        """How activities and revisions call the caller."""
        return Author(f"appcredential {self.namespace} {self.name}", self.source, self.namespace)

    def sees(self, namespace: str) -> bool:
        """Whether ``namespace`` is the caller's own or below it."""
        return reaches(self.namespace, True, namespace or ROOT)

    def demand_reading(self, namespace: str) -> None:
        """Raise :class:`Problem` unless the caller may read in ``namespace``."""
        if not self.sees(namespace) or not {ADMINISTRATOR, VIEWER} & set(self.roles):
            raise Problem("forbidden", f"the credential may not read in namespace {namespace or ROOT}")

    def demand_writing(self, namespace: str) -> None:
        """Raise :class:`Problem` unless the caller may change things in ``namespace``."""
        if not self.sees(namespace) or ADMINISTRATOR not in self.roles:
            raise Problem(
                "forbidden",
                f"the credential may not change anything in namespace {namespace or ROOT}; "
                f"it needs the role {ADMINISTRATOR} there",
            )
