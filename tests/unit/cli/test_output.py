"""What commands print, and what they must not let through."""

from __future__ import annotations

import json

import pytest

from watchword.cli import output
from watchword.cli.failure import MEANINGS, ExitCode, Failure, FieldProblem


@pytest.mark.parametrize("hostile", ["\x1b[2Jgone", "a\rb", "a\nb", "\x9b31m", "\u202eevil", "\x07", "\x00"])
def test_foreign_text_cannot_move_the_cursor(hostile: str, capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["name"], [[hostile]])
    output.facts([("name", hostile)])
    output.say(hostile)
    output.note(hostile)
    output.failure(Failure(hostile, hostile, fields=(FieldProblem(hostile, hostile, hostile),)), as_json=False)
    shown = "".join(capsys.readouterr())
    assert all(character.isprintable() or character == "\n" for character in shown)
    assert "\ufffd" in shown


def test_foreign_text_is_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["name"], [["[red]x[/red]"], ["[link=https://evil]y[/link]"]])
    output.say("[bold]z")
    shown = capsys.readouterr().out
    for text in ("[red]x[/red]", "[link=https://evil]y[/link]", "[bold]z"):
        assert text in shown


def test_nothing_is_cut_when_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["a", "b"], [["x" * 100, "y" * 100]])
    assert "x" * 100 in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "yes"),
        (["a", 1], "a, 1"),
        ({"a": ["b", "c"]}, "a=b, c"),
        (0, "0"),
        ([["a=1"], ["b=2"]], "a=1, b=2"),
    ],
)
def test_values(value: object, text: str) -> None:
    assert output.printable(value) == text


def test_a_failure_for_people_and_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    failure = Failure("no", "do this", ExitCode.REFUSED, (FieldProblem("a.b[0]", "is wrong", "write c"),))
    output.failure(failure, as_json=False)
    assert capsys.readouterr().err == "Error: no\n  a.b[0]: is wrong\n    → write c\n  → do this\n"
    output.failure(failure, as_json=True)
    assert json.loads(capsys.readouterr().err) == {
        "error": "no",
        "remedy": "do this",
        "code": 3,
        "fields": [{"path": "a.b[0]", "detail": "is wrong", "remedy": "write c"}],
    }


def test_every_exit_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(ExitCode)
