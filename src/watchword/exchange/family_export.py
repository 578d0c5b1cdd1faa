"""An export as a file of the product family (``APIVersion: 1``), where it can say the same.

The other way round of :mod:`watchword.exchange.family`. What the family has no word for is listed; where leaving it
out would allow more there (an alternative of a rule that rejects), the export is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from watchword.exchange.family import Translated
from watchword.exchange.notes import Note, Unreadable

_COMMON = {"name", "description", "annotations", "protected", "associatedTags", "metadata"}

#: The kinds that the family has, and their fields there.
_FIELDS: dict[str, set[str]] = {
    "namespaces": {
        *("type", "defaultPUIncomingTrafficAction", "defaultPUOutgoingTrafficAction", "organizationalMetadata"),
        *("tagPrefixes", "defaultEnforcerVersion"),
    },
    "externalnetworks": {"entries", "propagate"},
    "networkrulesetpolicies": {"subject", "incomingRules", "outgoingRules", "propagate", "fallback", "disabled"},
    "namespacemappingpolicies": {"subject", "mappedNamespace", "disabled"},
    "enforcerprofiles": {
        *("targetNetworks", "targetUDPNetworks", "excludedNetworks", "excludedInterfaces", "ignoreExpression"),
        *("trustedCAs", "propagate", "syslogEnabled", "syslogEndpoint", "syslogFacility", "syslogFormat"),
        *("syslogEndpointTLSServerCA",),
    },
    "enforcerprofilemappingpolicies": {"subject", "object", "propagate", "fallback", "disabled"},
}
_RULE = {"name", "action", "object", "protocolPorts", "logsDisabled", "observationEnabled"}

_TYPES = {
    "$type=Pod": "$type=Docker",
    "$type=Container": "$type=Docker",
    "$type=Process": "$type=LinuxService",
    "$type=Service": "$type=LinuxService",
}

#: Characters of a rule's name there.
_NAME_LIMIT = 16


def to_family(document: Mapping[str, Any], namespace: str = "/") -> Translated:
    """An export of ``namespace`` for the family's command line. Raises :class:`Unreadable`."""
    exporting = _Export(namespace)
    data = {}
    for plural, items in document.get("data", {}).items():
        kept = [
            each for index, item in enumerate(items)
            if (each := exporting.item(plural, item, f"data.{plural}[{index}] ({item.get('name')})")) is not None
        ]  # fmt: skip
        if kept:
            data[plural] = kept
    found = {"APIVersion": 1, "label": document.get("label") or "watchword", "data": data}
    return Translated(found, exporting.notes)


class _Export:
    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self.notes: list[Note] = []

    def _lost(self, place: str, message: str) -> None:
        self.notes.append(Note(place, message))

    def item(self, plural: str, item: Mapping[str, Any], place: str) -> dict[str, Any] | None:
        """One resource as the family has it; ``None`` if it has no such thing."""
        fields = _FIELDS.get(plural)
        if fields is None:
            self._lost(place, "there is no such resource in the family")
            return None
        if not self._is_here(plural, item, place):
            return None
        rejects = self._rejects(item)
        kept: dict[str, Any] = {}
        for name, value in item.items():
            where = f"{place}.{name}"
            if name not in _COMMON | fields:
                if name != "namespace":
                    self._lost(where, "there is no such field in the family")
            elif name in ("subject", "object", "ignoreExpression"):
                kept[name] = self._expression(value, where, must=rejects)
            elif name in ("incomingRules", "outgoingRules"):
                rules = [self._rule(rule, f"{where}[{index}]") for index, rule in enumerate(value)]
                kept[name] = [rule for rule in rules if rule is not None]
            elif plural == "namespaces" and name == "name":
                kept[name] = value.rpartition("/")[2]
            else:
                kept[name] = value
        if any(name in ("subject", "object") and kept[name] == [] for name in kept):
            self._lost(place, "has no alternative left; left out")
            return None
        return kept

    def _is_here(self, plural: str, item: Mapping[str, Any], place: str) -> bool:
        if plural == "namespaces":
            parent = str(item["name"]).rpartition("/")[0] or "/"
            if item["name"] == "/":
                self._lost(place, "the family's root namespace is not imported; set its defaults there by hand")
                return False
        else:
            parent = item.get("namespace", self._namespace)
        if parent != self._namespace:
            self._lost(place, f"is in {parent}, and the family imports into one namespace; export that one by itself")
            return False
        return True

    @staticmethod
    def _rejects(item: Mapping[str, Any]) -> bool:
        rules = [*item.get("incomingRules", ()), *item.get("outgoingRules", ())]
        return any(rule.get("action") == "Reject" and not rule.get("observationEnabled") for rule in rules)

    def _rule(self, rule: Mapping[str, Any], place: str) -> dict[str, Any] | None:
        rejects = rule.get("action") == "Reject" and not rule.get("observationEnabled")
        kept = {name: value for name, value in rule.items() if name in _RULE}
        for name in rule:
            if name not in _RULE:
                self._lost(f"{place}.{name}", "there is no such field in the family")
        kept["object"] = self._expression(rule["object"], f"{place}.object", must=rejects)
        if len(kept.get("name", "")) > _NAME_LIMIT:
            kept["name"] = kept["name"][:_NAME_LIMIT]
            self.notes.append(Note(f"{place}.name", f"is cut to {_NAME_LIMIT} characters", lost=False))
        if not kept["object"]:
            self._lost(place, "has no alternative left; left out")
            return None
        return kept

    def _expression(self, value: list[list[str]], place: str, *, must: bool) -> list[list[str]]:
        kept: list[list[str]] = []
        for index, alternative in enumerate(value):
            operators = [clause for clause in alternative if clause.startswith("!") or clause.endswith("*")]
            if operators:
                message = f"{', '.join(operators)} cannot be said in the family, where tags are compared exactly"
                if must:
                    raise Unreadable(f"{place}[{index}]", message, "the rule rejects: name the tags one by one")
                self._lost(f"{place}[{index}]", message)
                continue
            words = list(dict.fromkeys(_TYPES.get(clause, clause) for clause in alternative))
            if words not in kept:
                kept.append(words)
        return kept
