"""Properties of what is shown: over holes cut from real code in every language, whatever a model writes there."""

from __future__ import annotations

import random
import re

import pytest

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import find_hole, for_explicit_request, refined
from lsp_server.core.insertion import Insertion
from lsp_server.core.languages import LANGUAGES
from lsp_server.core.languages.entry import Language
from lsp_server.core.reuse import Place
from lsp_server.core.shape import Suggestion, shape
from lsp_server.core.stopping import stop_rule
from tests.support.effort import scaled
from tests.support.holes import SPECIAL_TOKENS, CutHole, closed_holes, cut_holes, error_count, model_texts
from tests.support.keys import final, keys_typed

HOLES = scaled(12)  # for each language


def shown_at(hole: CutHole, text: str, *, replaces: bool = True) -> Suggestion | None:
    document = hole.document
    found = for_explicit_request(refined(document, find_hole(document, hole.cursor)))
    rule = stop_rule(document, found, 8, replaces=replaces)
    return shape(text, document, found, rule, specials=SPECIAL_TOKENS)


def check(
    hole: CutHole, language: Language, text: str, errors: int, rng: random.Random, checked: set[Suggestion]
) -> Suggestion | None:
    """What is shown of `text` fits, and so does what is shown of it where nothing can be replaced. checked: what has
    been shown at this hole, which is the same for many texts."""
    suggestion = shown_at(hole, text)
    if suggestion is None:
        return None
    if suggestion.end > suggestion.start and (without := shown_at(hole, text, replaces=False)) is not None:
        assert without.start == without.end
        if without not in checked:
            check_fit(hole, language, without, errors)
    if suggestion not in checked:
        check_fit(hole, language, suggestion, errors)
        check_typed_through(hole.document, suggestion, rng)
    checked.add(suggestion)
    return suggestion


def check_fit(hole: CutHole, language: Language, suggestion: Suggestion, errors: int) -> None:
    shown, source, cursor = suggestion.text, hole.document.source, hole.cursor
    assert suggestion.start == cursor <= suggestion.end
    replaced = source[cursor : suggestion.end].decode()
    behind = iter(shown)
    assert all(character in behind for character in replaced), "it replaces what it does not contain"
    assert "\n" not in replaced
    right, _, below = source[suggestion.end :].decode().partition("\n")
    left = source[:cursor].decode().rpartition("\n")[2]
    if shown.endswith("\n" + left) and not left.strip():
        assert right.strip(), "a line end where nothing stands behind it"
        assert shown == f"{shown.rstrip()}\n{left}"
    else:
        assert shown == shown.rstrip() + (" " if shown[-1] == " " and right[:1].isidentifier() else "")
    assert shown.strip()
    accepted = final(hole.document, suggestion)
    assert error_count(language, accepted) <= errors, f"more errors with {shown!r} for {replaced!r}"
    if right.strip()[:1] in (*")]}\"'`",) and shown.endswith(right.strip()[0]):
        without = source[:cursor] + shown[:-1].encode() + source[suggestion.end :]
        assert error_count(language, without) >= error_count(language, accepted), f"doubled in {shown!r}"
    next_line = next((line.strip() for line in below.split("\n") if line.strip()), "")
    last = (source[:cursor].decode().rpartition("\n")[2] + shown).split("\n")[-1].strip()
    if not right.strip() and len(next_line) > 2 and not language.closes_block(next_line):
        assert last != next_line, "the next line is doubled"
    if language.reindents and re.search(r"^ ", source.decode(), re.MULTILINE) is None and "\n\t" in source.decode():
        assert not re.search(r"\n {4}", shown), "spaces in a file of tabs"
    elif language.reindents and "\n\t" not in source.decode() and "\n  " in source.decode():
        assert "\n\t" not in shown, "tabs in a file of spaces"


def check_typed_through(document: DocumentSnapshot, suggestion: Suggestion, rng: random.Random) -> None:
    """Whatever is left of it at a key, accepting that makes what accepting it whole would have made."""
    place, insertion = Place.of(document, suggestion.start), Insertion.of(suggestion, document)
    accepted = final(document, suggestion)
    for now, cursor in keys_typed(document, suggestion.start, suggestion.text[:40], rng, closes=False):
        typed = place.typed_since(now, cursor)
        rest = typed and typed.rest_of(insertion)
        if typed and rest and not typed.closers:
            assert final(now, rest.at(cursor)) == accepted, f"{rest} behind {typed} of {insertion}"


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
def test_what_is_shown_fits(language: Language) -> None:
    rng = random.Random(language.name)
    answered = golds = 0
    for hole in cut_holes(language, HOLES):
        errors = error_count(language, hole.document.source)
        checked: set[Suggestion] = set()
        for number, text in enumerate(model_texts(hole, rng)):
            shown = check(hole, language, text, errors, rng, checked)
            golds += number == 0
            answered += number == 0 and shown is not None
        if not re.search("[\"'`]", hole.document.source[: hole.cursor].decode().rpartition("\n")[2] + hole.gold):
            spelled = f"{hole.gold} {rng.choice(SPECIAL_TOKENS)}"
            assert shown_at(hole, spelled) == shown_at(hole, hole.gold.rstrip()), "a special token that is spelled out"
    assert answered > 0.8 * golds, f"only {answered} of {golds} right answers are shown at all"


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)
def test_what_goes_on_over_closed_brackets_fits(language: Language) -> None:
    """Holes behind a bracket that an editor has closed: of the rest of the line it has only what closes brackets."""
    rng = random.Random(f"closed {language.name}")
    for hole in closed_holes(language, HOLES):
        errors = error_count(language, hole.document.source)
        checked: set[Suggestion] = set()
        for text in model_texts(hole, rng):  # the right one first
            check(hole, language, text, errors, rng, checked)


def test_right_answers_behind_closed_brackets_come_out_right() -> None:
    """What its author wrote goes on over the bracket, or ends in front of it: both make the author's line."""
    replacing = right = count = 0
    for language in LANGUAGES:
        for hole in closed_holes(language, HOLES):
            shown = shown_at(hole, hole.gold + "\n")
            if shown is None:
                continue
            count += 1
            replacing += shown.end > shown.start
            wanted = hole.document.source[: hole.cursor] + hole.gold.encode()
            right += final(hole.document, shown).startswith(wanted)
    assert replacing > count // 4
    assert right > 0.9 * count, f"{right} of {count}"
