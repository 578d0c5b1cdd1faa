"""Questions about unknown badges: few, whatever packets an attacker invents."""

from __future__ import annotations

from watchword.enforcer.badges import BURST, RATE, REMEMBERED, REPEAT, BadgeQuestions


def test_a_badge_is_asked_about_at_once_and_not_again_soon() -> None:
    questions = BadgeQuestions()
    assert questions.ask(7, 100.0)
    assert not questions.ask(7, 100.0 + REPEAT - 0.1)
    assert questions.ask(7, 100.0 + REPEAT)


def test_invented_badges_are_asked_about_at_a_bounded_rate() -> None:
    questions = BadgeQuestions()
    asked = sum(questions.ask(badge, 100.0 + badge / 10_000) for badge in range(100_000))  # for ten seconds
    assert asked <= BURST + 10 * RATE
    assert asked + questions.suppressed == 100_000


def test_a_real_badge_gets_its_question_after_a_flood() -> None:
    questions = BadgeQuestions()
    for badge in range(10_000):
        questions.ask(badge, 100.0)
    assert not questions.ask(1_000_000, 100.0)
    assert questions.ask(1_000_000, 100.0 + 2 / RATE), "being suppressed is not being asked"


def test_memory_is_bounded() -> None:
    questions = BadgeQuestions()
    for badge in range(REMEMBERED * 2):
        questions.ask(badge, 100.0 + badge)
        questions.absent(badge + 10_000_000, 100.0 + badge)
    assert len(questions._asked) <= REMEMBERED


def test_a_badge_that_does_not_exist_is_not_asked_about_again_soon() -> None:
    questions = BadgeQuestions()
    assert questions.ask(7, 100.0)
    questions.absent(7, 104.0)
    assert not questions.ask(7, 106.0)
    assert questions.ask(7, 104.0 + REPEAT)
