"""What another model is shown of an answer that was not enough: as data, in whole lines, as far as there is room."""

from __future__ import annotations

import pytest

from lsp_server.features.actions.attempts import Attempt, shown_to_another
from lsp_server.features.actions.prompts import Question
from lsp_server.features.actions.template import Message

ASKED = Question((Message("system", (("message", "Be brief."),)), Message("user", (("message", "Why?"),))), 100)


def text(asked: Question) -> str:
    return "".join(piece for message in asked.messages for _, piece in message.pieces)


def test_it_stands_in_a_longer_fence_than_it_has() -> None:
    asked = shown_to_another(ASKED, Attempt("local", "```\nx = 1\n````", "it  does\nnot parse"), 4096)
    assert [message.role for message in asked.messages] == ["system", "user"]
    assert "`````\n```\nx = 1\n````\n`````\n" in text(asked)
    assert text(asked).endswith(
        "That answer cannot be used: it does not parse. Answer better, with the complete code in one fence and nothing "
        "else."
    )


@pytest.mark.parametrize(("window", "most"), [(400, 420), (1000, 3000), (100_000, 3000)])
def test_it_has_a_size_and_whole_lines(window: int, most: int) -> None:
    lines = [f"line {number} é" for number in range(1000)]
    shown = text(shown_to_another(ASKED, Attempt("local", "\n".join(lines)), window)).split("```\n")[1].split("\n")[:-1]
    assert shown == lines[: len(shown)]
    assert 0 < len("\n".join(shown).encode()) <= most


@pytest.mark.parametrize("answer", ["", "\n", "x" * 5000])
def test_without_a_line_that_fits_the_question_is_as_it_was(answer: str) -> None:
    assert shown_to_another(ASKED, Attempt("local", answer, "it was cut"), 4096) is ASKED


def test_a_reason_is_short() -> None:
    assert len(text(shown_to_another(ASKED, Attempt("local", "x", "y" * 9000), 4096))) < 700


def test_after_a_secret_was_seen_nothing_is_shown() -> None:
    assert shown_to_another(ASKED, Attempt("local", "x = 1", "it was cut", saw_secret=True), 4096) is ASKED


def test_what_is_kept_ends_with_no_half_line_that_would_be_shown() -> None:
    attempt = Attempt("local", "\n" * 3000 + "x = 1\n" * 150 + "y" * 5000)
    assert len(attempt.answer) == 4000
    assert "y" not in text(shown_to_another(ASKED, attempt, 100_000)).split("```\n")[1]
