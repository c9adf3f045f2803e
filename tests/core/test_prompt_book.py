"""Anchors and contexts together: the whole prompt fits, and a new context takes the window's room, not more."""

from __future__ import annotations

import random

import pytest

from lsp_server.core.context import prompt_budget
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import find_hole
from lsp_server.core.prompt import FimPrompt
from lsp_server.core.prompt_book import PromptBook
from tests.support.cursor import parse_cursor
from tests.support.effort import scaled
from tests.support.formats import format_named

TOKENS = 2560
LINES = "".join(f"value_{n:03} = compute({n})\n" for n in range(400))


def library(path: str, count: int, start: int = 0) -> DocumentSnapshot:
    """A buffer with functions that are shown whole, of about 90 bytes each."""
    names = range(start, start + count)
    source = "\n\n".join(f"def compute_{n}(first, second):\n    return first.scaled(second, by={n})" for n in names)
    return DocumentSnapshot.of(f"file:///w/{path}", source.encode() + b"\n", path=path, folder="w")


def stable(prompt: FimPrompt) -> list[tuple[str, bytes]]:
    return [(segment.kind, segment.text) for segment in prompt.segments if segment.kind != "typed"]


@pytest.mark.parametrize("name", ["qwen", "starcoder2", "deepseek", "codestral", "prefix-only"])
def test_the_window_makes_room_for_the_context(name: str) -> None:
    form = format_named(name)
    budget = prompt_budget(form, TOKENS, 384)
    document, cursor = parse_cursor(LINES + "compute_1(compute_2($0\n" + LINES)
    hole = find_hole(document, cursor)
    book = PromptBook()
    alone = book.choose(document, hole, form, budget).full
    assert not alone.text("context")
    buffers = [library("library.py", 40)]
    better = book.at_rest(document, hole, form, budget, buffers)
    assert better is not None
    assert better.context is not None
    assert book.choose(document, hole, form, budget, buffers).full == alone, "it is used before it has been evaluated"
    book.adopt(better)
    beside = book.choose(document, hole, form, budget, buffers).full
    assert beside == better.prompt
    assert b"def compute_1(" in beside.text("context")
    shown, window = len(beside.text("context")), len(beside.text("before"))
    assert 100 < shown <= budget.context
    assert len(alone.text("before")) - shown - budget.before // 4 <= window <= budget.beside(shown).before + 700
    assert book.at_rest(document, hole, form, budget, buffers) is None
    assert book.context(document.uri) == better.context


@pytest.mark.parametrize("name", ["qwen", "codestral", "prefix-only"])
@pytest.mark.parametrize("seed", range(3))
def test_typing_at_random_places_beside_random_buffers(name: str, seed: int) -> None:
    """What does not depend on the key stays between rests, and no prompt is larger than the window."""
    rng = random.Random(seed)
    form = format_named(name)
    budget = prompt_budget(form, TOKENS, rng.choice([0, 100, 384, 1280]))
    document, cursor = parse_cursor(LINES + "$0" + LINES)
    book, buffers = PromptBook(), [library("library.py", 20)]
    for _ in range(scaled(20)):
        cursor = document.line_end(rng.randrange(document.line_count))
        buffers = [library(f"{rng.randrange(4)}.py", rng.randrange(1, 30), rng.randrange(20)), *buffers][:5]
        context = None
        for key in f" + compute_{rng.randrange(40)}(":
            document = document.edited(cursor, cursor, key.encode())
            cursor += 1
            prompt = book.choose(document, find_hole(document, cursor), form, budget, buffers).full
            now = [entry for entry in stable(prompt) if entry[0] == "context"]
            assert context is None or now == context
            context = now
            shown = len(prompt.text("context"))
            assert shown <= budget.context
            most = budget.before * 5 // 4 + budget.before // 8 + budget.after * 2 + 200
            assert sum(len(segment.text) for segment in prompt.segments) <= most + shown // 2
            assert prompt.text("before").endswith(b"\n") or prompt.text("typed") or form.typed_extends_before
        better = book.at_rest(document, find_hole(document, cursor), form, budget, buffers)
        if better is not None and rng.random() < 0.7:
            book.adopt(better)
            assert book.choose(document, find_hole(document, cursor), form, budget, buffers).full == better.prompt
