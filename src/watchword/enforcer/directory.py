"""Who a badge, an address or a rule is, for people who look at a host: from the revision on its disk.

Needs no running agent. Never for verdicts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watchword.enforcer import credential
from watchword.enforcer.addressbook import AddressBook
from watchword.enforcer.errors import EnforcerError
from watchword.enforcer.settings import Settings
from watchword.enforcer.store import RevisionStore
from watchword.policy.compile import compile as compiled
from watchword.policy.tables import Tables
from watchword.wire.policy import PolicyDocument, RuleEntry


class Directory:
    """The names of a policy document, and those that earlier ones had. Pure, but for :func:`stored`."""

    def __init__(self, document: PolicyDocument) -> None:
        self._identities: dict[int, dict[str, Any]] = {}
        self._rules: dict[str, RuleEntry] = {}
        self.learn(document)

    def learn(self, document: PolicyDocument) -> None:
        """Another document is in force; who has left is remembered."""
        self._document = document
        self._book: AddressBook | None = None
        self._units = {unit.badge: (key, unit) for key, unit in document.units.items()}
        for badge, peer in document.peers.items():
            self._identities[badge] = _identity(badge, peer.unit, peer.name, peer.namespace, [])
        for badge, (key, unit) in self._units.items():
            self._identities[badge] = _identity(badge, key, unit.name, unit.namespace, list(unit.tags))
        self._rules.update(document.rules)

    @property
    def revision(self) -> int:
        """The revision of the document in force."""
        return self._document.revision

    def unit(self, badge: int) -> dict[str, Any] | None:
        """One identity: what the document says of it. Tags are known of this host's units only."""
        if not badge:
            return None
        return self._identities.get(badge) or _identity(badge, "", "", "", [])

    def network(self, address: str) -> str:
        """The name of the external network that speaks for an address; "" when there is none."""
        if not self._document.networks:
            return ""
        if self._book is None:
            self._book = AddressBook()
            tables: Tables = compiled(self._document)
            self._book.update(self._document, tables)
        found = self._document.networks.get(self._book.network(address))
        return found.name if found else ""

    def rule(self, key: str) -> dict[str, str]:
        """A rule by its key: its ruleset's name and its own; of one that is gone the key alone."""
        entry = self._rules.get(key)
        if entry is None:
            return {"key": key, "ruleset": "", "namespace": "", "name": ""}
        return {"key": key, "ruleset": entry.ruleset_name, "namespace": entry.namespace, "name": entry.name}

    def badges(self, name: str) -> list[int]:
        """The badges of whom ``name`` may mean, this host's units first: a name, a native ID, a Console ID."""
        own = [badge for badge, (key, unit) in self._units.items() if name in (key, unit.name, unit.native_id)]
        return own or [badge for badge, peer in self._document.peers.items() if name in (peer.unit, peer.name)]

    def unit_names(self) -> list[str]:
        """The names of this host's units."""
        return sorted(unit.name for _, unit in self._units.values())

    def own_badges(self, name: str) -> list[int]:
        """The badges of this host's units with that name, native ID or Console ID."""
        return [badge for badge in self.badges(name) if badge in self._units]


def stored(settings: Settings) -> Directory:
    """The directory of the revision on disk; an empty one when there is none yet. Raises as :func:`document` does."""
    return Directory(document(settings))


def document(settings: Settings) -> PolicyDocument:
    """The revision on disk; an empty one when there is none yet.

    Raises :class:`EnforcerError` for anybody but root, and when what is there cannot be used.
    """
    try:
        enrolled = credential.enrolled(settings.data)
        signed = RevisionStore(settings.data, enrolled.console_public, enrolled.enforcer).load() if enrolled else None
    except PermissionError:
        raise EnforcerError(f"{settings.data} is for root only; use sudo") from None
    return signed.document if signed else PolicyDocument(0)


def _identity(badge: int, unit: str, name: str, namespace: str, tags: list[str]) -> dict[str, Any]:
    return {"badge": badge, "id": unit, "name": name, "namespace": namespace, "tags": tags}


def identity_text(identity: Mapping[str, Any] | None) -> str:
    """An identity in few words."""
    if identity is None:
        return ""
    return str(identity["name"]) or f"badge {identity['badge']:#010x}"
