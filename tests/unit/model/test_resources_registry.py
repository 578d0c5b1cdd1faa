"""The declarations: what the API promises to derive from them is really in them."""

from __future__ import annotations

import re

import msgspec
import pytest

from watchword.model import registry
from watchword.model.declarations import wire_name


def test_names_are_unique_and_found() -> None:
    for kind in registry.KINDS:
        for name in (kind.singular, kind.plural, kind.alias, kind.singular.upper()):
            assert registry.kind(name) is kind
    names = [name for kind in registry.KINDS for name in (kind.singular, kind.plural, kind.alias)]
    assert len(set(names)) == len(names)
    with pytest.raises(KeyError, match="networkrulesetpolicy"):
        registry.kind("netpolicy")


@pytest.mark.parametrize(
    ("attribute", "wire"),
    [
        ("id", "ID"),
        ("enforcer_id", "enforcerID"),
        ("fqdn", "FQDN"),
        ("machine_id", "machineID"),
        ("default_pu_incoming_traffic_action", "defaultPUIncomingTrafficAction"),
        ("protocol_ports", "protocolPorts"),
        ("native_context_id", "nativeContextID"),
        ("source_ip", "sourceIP"),
        ("name", "name"),
    ],
)
def test_wire_names(attribute: str, wire: str) -> None:
    assert wire_name(attribute) == wire


@pytest.mark.parametrize("kind", registry.KINDS, ids=lambda kind: kind.singular)
def test_every_declaration_is_complete(kind: registry.Kind) -> None:
    assert kind.description
    assert {"ID", "namespace", "createTime"} <= set(kind.fields)
    for field in kind.fields.values():
        assert field.description.endswith("."), field.name
        assert re.fullmatch(r"[a-zA-Z]+", field.name)
        assert not (field.secret and not field.read_only), field.name
    if "create" not in kind.verbs and "update" not in kind.verbs:
        assert all(field.read_only for field in kind.fields.values())
    required = {field.name for field in kind.fields.values() if field.required}
    sample = dict.fromkeys(required)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**sample, "colour": "red"}, kind.type)


def test_the_root_of_errors_is_an_unknown_field_anywhere() -> None:
    ruleset = registry.kind("networkrulesetpolicy").type
    good = {"name": "r", "subject": [["a=b"]], "incomingRules": [{"object": [["a=b"]], "protocolPorts": ["any"]}]}
    msgspec.convert(good, ruleset)
    for bad in ({**good, "x": 1}, {**good, "incomingRules": [{"object": [["a=b"]], "protocolPorts": ["any"], "x": 1}]}):
        with pytest.raises(msgspec.ValidationError, match="unknown field"):
            msgspec.convert(bad, ruleset)


def test_empty_selectors_are_refused_by_type() -> None:
    ruleset = registry.kind("networkrulesetpolicy").type
    for bad in ({"name": "r", "subject": []}, {"name": "r"}, {"name": "", "subject": [["a=b"]]}):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(bad, ruleset)
