"""YAML files mean what their authors see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from watchword.cli.documents import dump, parse, read, read_mapping
from watchword.cli.failure import ExitCode, Failure


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("22:30", "22:30"),
        ("2026-01-01", "2026-01-01"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("010", 10),
        ("-3", -3),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("true", True),
        ("null", None),
        ("~", None),
        ("", None),
        ("'true'", "true"),
        ("udp/1:65535", "udp/1:65535"),
        ("app=web", "app=web"),
    ],
)
def test_plain_values(text: str, value: Any) -> None:
    (document,) = parse(f"key: {text}\n", "f")
    assert document == {"key": value}
    assert type(document["key"]) is type(value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a: 1\nb: 2\na: 3\n", "f, line 3, column 1: the key 'a' is there twice"),
        ("x:\n  - {a: 1, a: 2}\n", "'a' is there twice"),
        ("1: x\n", "the key 1 is not text"),
        ("a: [1\n", "f, line 2"),
        ("a: &x [*x]\n", "Circular"),
        ("a: 1e999\n", "f, line 1: "),
        ("a: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
        ("a: !!timestamp 2026-01-01\n", "f, line 1: "),
        ("a: \x00\n", "f"),
    ],
)
def test_what_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(Failure) as caught:
        parse(text, "f")
    assert complaint in str(caught.value)
    assert caught.value.code == ExitCode.USAGE


def test_several_documents() -> None:
    assert parse("a: 1\n---\n---\nb: 2\n", "f") == [{"a": 1}, {"b": 2}]


def test_json_is_yaml() -> None:
    assert parse('{"a": ["x", 1, true, null]}', "f") == [{"a": ["x", 1, True, None]}]


def test_what_is_dumped_reads_back() -> None:
    value = {"name": "no", "when": "22:30", "list": [["a=1", "b: 2"]], "n": "010", "t": "true", "empty": ""}
    assert parse(dump(value), "f") == [value]


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("a: 1\n")
    assert read(str(file)) == [{"a": 1}]
    assert read_mapping(str(file)) == {"a": 1}
    file.write_text("- 1\n")
    with pytest.raises(Failure, match="exactly one mapping"):
        read_mapping(str(file))
    file.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(Failure, match="cannot read"):
        read(str(file))
    with pytest.raises(Failure, match="cannot read"):
        read(str(tmp_path / "missing"))
