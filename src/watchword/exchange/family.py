"""Files written for the product family's command line (``APIVersion: 1``, ``label``, ``data``), read as they are.

An expression means there what it says: whole tags, compared exactly. Where the same text would mean more here (a
trailing ``*``, a leading ``!``), or nothing, the translation keeps the meaning and says so. Everything without a
counterpart is listed: unknown resources and fields, the older access policies, schedules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from watchword.exchange.kinds import exchanged_kind
from watchword.exchange.notes import Note
from watchword.model.declarations import Part
from watchword.model.registry import Kind
from watchword.model.resources import NetworkRule

#: Why whole kinds of resource stay behind.
_UNITS = "processingunits"
_KINDS = {
    "networkaccesspolicies": "the older form, which has had no effect since rulesets; write networkrulesetpolicies",
    "infrastructurepolicies": "describes a cloud's own rules and enforces nothing",
    _UNITS: "units make themselves when their Enforcer sees them",
    "enforcers": "Enforcers make themselves when they enrol",
    "hostservices": "a host is a unit here and needs no services of its own",
    "hostservicemappingpolicies": "a host is a unit here and needs no services of its own",
    "services": "services behind proxies have no counterpart; write rulesets about the units behind them",
    "servicedependencypolicies": "services behind proxies have no counterpart",
    "appcredentials": "gives access; make credentials by hand",
    "apiauthorizationpolicies": "gives access; make credentials by hand",
    "roles": "gives access; make credentials by hand",
    "oidcproviders": "gives access",
    "samlproviders": "gives access",
    "ldapproviders": "gives access",
}

#: Fields that the family's own Console writes; nobody imports them there either.
_BOOKKEEPING = {
    *("ID", "namespace", "createTime", "updateTime", "normalizedTags", "archived", "controller", "zone", "zHash"),
    *("createIdempotencyKey", "updateIdempotencyKey", "migrationsLog", "importLabel", "importHash", "networks"),
}

#: Fields without which an object would be in force when it should not be: it stays behind as a whole.
_CONDITIONS = ("activeSchedule", "activeDuration", "expirationTime")

_EXPRESSIONS = {"subject", "object", "ignoreExpression"}

_TYPES = {
    "$type=Docker": ("$type=Container", "$type=Pod"),
    "$type=LinuxService": ("$type=Process", "$type=Service"),
    "$type=HostService": ("$type=Service",),
}

_GENERATED = {
    *("$identity", "$name", "$namespace", "$type", "$image", "$controller", "$enforcerid", "$enforcername"),
}


@dataclass(slots=True)
class Translated:
    """Imports for a Console, and what is to be said about them.

    ``origins`` leads from the path of an imported resource (``data.externalnetworks[0]``) to its place in the source.
    """

    document: dict[str, Any]
    notes: list[Note] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)


def translate(document: Mapping[str, Any], namespace: str = "/", *, units: bool = False) -> Translated:
    """One document of the family as an import into ``namespace``.

    With ``units``, for those who ask no Console, what it says of processing units is carried over as it stands.
    """
    return _Translation(namespace, units).document(document)


class _Translation:
    def __init__(self, namespace: str, units: bool) -> None:
        self._namespace = namespace
        self._units = units
        self._result = Translated({})

    def _lost(self, place: str, message: str) -> None:
        self._result.notes.append(Note(place, message))

    def _said(self, place: str, message: str) -> None:
        self._result.notes.append(Note(place, message, lost=False))

    def document(self, document: Mapping[str, Any]) -> Translated:
        """Fill in the result."""
        result = self._result
        for name, value in document.items():
            if name in ("APIVersion", "label", "mode"):
                result.document[name] = value
            elif name == "data" and isinstance(value, dict):
                result.document["data"] = self._data(value)
            elif name == "data":
                result.document["data"] = value  # the Console says what is wrong with it
            elif name == "identities" or not value:
                self._said(name, "says what was exported, and decides nothing")
            else:
                self._lost(name, "is no part of an import here")
        return result

    def _data(self, data: Mapping[str, Any]) -> dict[str, Any]:
        carried: dict[str, Any] = {}
        for name, items in data.items():
            if self._units and name.lower() == _UNITS:
                carried[_UNITS] = items
                continue
            kind = exchanged_kind(name.lower())
            if kind is None or not isinstance(items, list):
                self._left_out(name, items)
                continue
            there = carried.setdefault(kind.plural, [])
            for index, item in enumerate(items):
                place = f"data.{name}[{index}]"
                translated = self._item(kind, item, place) if isinstance(item, dict) else item
                if translated is not None:
                    self._result.origins[f"data.{kind.plural}[{len(there)}]"] = place
                    there.append(translated)
        return carried

    def _left_out(self, name: str, items: Any) -> None:
        reason = _KINDS.get(name.lower(), "there is no such resource here")
        listed = items if isinstance(items, list) else [items]
        for index, item in enumerate(listed):
            named = f" ({item['name']})" if isinstance(item, dict) and isinstance(item.get("name"), str) else ""
            self._lost(f"data.{name}[{index}]{named}", reason)

    def _item(self, kind: Kind, item: Mapping[str, Any], place: str) -> dict[str, Any] | None:
        for name in _CONDITIONS:
            if name not in kind.fields and item.get(name):
                self._lost(place, f"is only in force at times ({name}), which cannot be said here; left out as a whole")
                return None
        carried: dict[str, Any] = {}
        for name, value in item.items():
            if name in kind.fields and not kind.fields[name].read_only:
                carried[name] = self._value(name, value, f"{place}.{name}")
            else:
                self._unknown(name, value, f"{place}.{name}")
        if any(name in _EXPRESSIONS and carried.get(name) == [] and item[name] for name in carried):
            self._lost(place, "can match nothing here; left out")
            return None
        if (
            kind.singular == "externalnetwork"
            and not carried.get("associatedTags")
            and isinstance(item.get("name"), str)
        ):
            carried["associatedTags"] = [f"externalnetwork:name={item['name']}"]
            self._said(place, f"had no tag of its own; gets {carried['associatedTags'][0]}")
        return carried

    def _unknown(self, name: str, value: Any, place: str) -> None:
        if not value or (name, value) == ("type", "Subnet"):
            return  # it says what would be so without it
        if name in _BOOKKEEPING:
            self._said(place, "is set by the Console")
        elif name == "propagationHidden":
            self._said(place, "decides nothing; what propagates is shown in the namespaces below")
        else:
            self._lost(place, "there is no such field here")

    def _value(self, name: str, value: Any, place: str) -> Any:
        if name in _EXPRESSIONS:
            return self._expression(value, place)
        if name in ("incomingRules", "outgoingRules") and isinstance(value, list):
            rules = [self._rule(rule, f"{place}[{index}]") for index, rule in enumerate(value)]
            return [rule for rule in rules if rule is not None]
        if name in ("associatedTags", "metadata") and isinstance(value, list):
            return [tag for index, tag in enumerate(value) if self._keeps(tag, f"{place}[{index}]")]
        if name == "mappedNamespace" and isinstance(value, str) and not value.startswith("/"):
            return f"{self._namespace.rstrip('/')}/{value}"
        return value

    def _keeps(self, tag: Any, place: str) -> bool:
        if isinstance(tag, str) and (tag.startswith(("!", "@auth:", "@org:")) or tag.endswith("*")):
            self._lost(place, f"{tag!r} is no tag that can be set here")
            return False
        return True

    def _rule(self, rule: Any, place: str) -> Any:
        if not isinstance(rule, dict):
            return rule
        carried: dict[str, Any] = {}
        for name, value in rule.items():
            if name in _RULE_FIELDS:
                carried[name] = self._value(name, value, f"{place}.{name}")
            else:
                self._unknown(name, value, f"{place}.{name}")
        if carried.get("object") == [] and rule["object"]:
            self._lost(place, "can match nothing here; left out")
            return None
        return carried

    def _expression(self, value: Any, place: str) -> Any:
        if not isinstance(value, list):
            return value
        carried: list[Any] = []
        for index, alternative in enumerate(value):
            where = f"{place}[{index}]"
            for each in self._alternatives(alternative, where):
                if each not in carried:
                    carried.append(each)
        return carried

    def _alternatives(self, alternative: Any, place: str) -> list[Any]:
        """What stands for one alternative: itself, several, or none if it can match nothing here."""
        if not isinstance(alternative, list) or not all(isinstance(clause, str) for clause in alternative):
            return [alternative]
        found: list[list[str]] = [[]]
        for clause in alternative:
            if clause.startswith("!") or clause.endswith("*"):
                self._lost(place, f"{clause!r} names one tag exactly there, and nothing has that tag here")
                return []
            words = _TYPES.get(clause, (clause,))
            if words != (clause,):
                self._said(place, f"{clause} is {' or '.join(words)} here")
            self._remark(clause, place)
            found = [[*each, word] for each in found for word in words]
        return found

    def _remark(self, clause: str, place: str) -> None:
        key = clause.partition("=")[0]
        if key == "$id":
            self._lost(place, f"{clause} names an object of another Console; nothing has that identifier here")
        elif key.startswith("$") and key not in _GENERATED:
            self._lost(place, f"nothing has a tag {key} here")


def _wire_names(part: type[Part]) -> frozenset[str]:
    return frozenset(field.encode_name for field in msgspec.structs.fields(part))


_RULE_FIELDS = _wire_names(NetworkRule)
