"""Properties of what is shown: over holes cut from real code in every language, whatever a model writes there."""

from __future__ import annotations

import random
import re

import pytest

from lsp_server.core.hole import asked, find_hole, refined
from lsp_server.core.language_entry import Language
from lsp_server.core.languages import LANGUAGES
from lsp_server.core.shape import shape
from lsp_server.core.stopping import stop_rule
from tests.support.effort import scaled
from tests.support.holes import SPECIAL_TOKENS, CutHole, cut_holes, error_count, model_texts

HOLES = scaled(25)  # for each language


def shown_at(hole: CutHole, text: str) -> str | None:
    document = hole.document
    found = asked(refined(document, find_hole(document, hole.cursor)))
    suggestion = shape(text, document, found, stop_rule(document, found, 8))
    if suggestion is None:
        return None
    assert (suggestion.start, suggestion.end) == (hole.cursor, hole.cursor)
    return suggestion.text


def check(hole: CutHole, language: Language, text: str, errors: int) -> bool:
    """What is shown of `text` fits; returns whether anything is."""
    shown = shown_at(hole, text)
    if shown is None:
        return False
    source, cursor = hole.document.source, hole.cursor
    right, _, below = source[cursor:].decode().partition("\n")
    assert shown == shown.rstrip() + (" " if shown[-1] == " " and right[:1].isidentifier() else "")
    assert shown.strip()
    assert not any(token in shown for token in SPECIAL_TOKENS)
    accepted = source[:cursor] + shown.encode() + source[cursor:]
    assert error_count(language, accepted) <= errors, f"more errors with {shown!r}"
    if right.strip()[:1] in (*")]}\"'`",) and shown.endswith(right.strip()[0]):
        without = source[:cursor] + shown[:-1].encode() + source[cursor:]
        assert error_count(language, without) >= error_count(language, accepted), f"doubled in {shown!r}"
    next_line = next((line.strip() for line in below.split("\n") if line.strip()), "")
    last = (source[:cursor].decode().rpartition("\n")[2] + shown).split("\n")[-1].strip()
    if not right.strip() and len(next_line) > 2 and not language.closes_block(next_line):
        assert last != next_line, "the next line is doubled"
    if language.reindents and re.search(r"^ ", source.decode(), re.MULTILINE) is None and "\n\t" in source.decode():
        assert not re.search(r"\n {4}", shown), "spaces in a file of tabs"
    elif language.reindents and "\n\t" not in source.decode() and "\n  " in source.decode():
        assert "\n\t" not in shown, "tabs in a file of spaces"
    return True


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
def test_what_is_shown_fits(language: Language) -> None:
    rng = random.Random(language.name)
    answered = golds = 0
    for hole in cut_holes(language, HOLES):
        errors = error_count(language, hole.document.source)
        for number, text in enumerate(model_texts(hole, rng)):
            shows = check(hole, language, text, errors)
            golds += number == 0
            answered += number == 0 and shows
    assert answered > 0.8 * golds, f"only {answered} of {golds} right answers are shown at all"
