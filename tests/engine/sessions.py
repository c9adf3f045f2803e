"""Random editing sessions, and the check that each answer is the one that a cold engine gives."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import find_hole
from lsp_server.core.prompt import PromptBudget
from lsp_server.core.stopping import stop_rule
from lsp_server.engine.request import Cancel, Finished, FinishReason, Generate, Priority
from tests.engine.harness import EngineHarness, cold
from tests.support.formats import format_named
from tests.support.prompts import build_prompt

SOURCE = b"".join(
    b"def function_%d(first, second):\n    total = first * %d\n    return total + second\n\n\n" % (i, i)
    for i in range(12)
)
PIECES = [*(bytes((letter,)) for letter in b"acdefx(=. "), "é".encode(), "😀".encode(), b"\n", b"\n    "]

WHOLE = ("return", "ret", "self", "self.", "def ", "größe", "construct")
# Besides words, tokens that end and begin inside a character: `länge` is l+half of ä, half of ä+nge.
WORDS = (*(word.encode() for word in WHOLE), b"l\xc3", b"\xa4nge")
# More words, and parts of words to type, so that healing joins them again.
MANY_WORDS = (*WORDS, b"re", b"refs", b"turn", b"tuna", b"elf", b"selves", b"delta", b"()", b"( self", b" re", b" def ")
PARTS = (b"r", b"e", b"re", b"tu", b"t", b"s", b"el", b"f", b"d", b" ", b"(", "grö".encode(), b"l", "ä".encode(), b"\n")


def editing(rng: random.Random, form: str, steps: int, pieces: Sequence[bytes] = tuple(PIECES)) -> Iterator[Generate]:
    """Requests as an editor would send them while somebody types, deletes, jumps about and comes back."""
    found = format_named(form)
    document = DocumentSnapshot.of("file:///m.py", SOURCE, path="m.py", language_id="python")
    cursor = len(SOURCE) // 2
    places = [cursor]
    for id in range(steps):
        event = rng.random()
        if event < 0.7:
            piece = rng.choice(pieces)
            document = document.edited(cursor, cursor, piece)
            cursor += len(piece)
        elif event < 0.85:
            start = cursor - 1
            while start > 0 and document.source[start] & 0xC0 == 0x80:
                start -= 1
            document = document.edited(start, cursor, b"")
            cursor = start
        else:
            places = [*places, cursor][-4:]
            cursor = rng.choice(places) if rng.random() < 0.6 else rng.randrange(len(document.source))
            cursor = document.line_end(document.line_at(min(cursor, len(document.source))))
        hole = find_hole(document, cursor)
        prompt = build_prompt(document, hole, found, PromptBudget(before=500, after=100))
        rule = stop_rule(document, hole, 4)
        yield Generate(id, prompt, rule, rng.choice([0, 1, 6, 16]), rng.choice(list(Priority)))


def play(harness: EngineHarness, session: Iterator[Generate], rng: random.Random) -> dict[int, Generate]:
    """Runs a session, some of its requests cancelled on the way, some overtaken by the next. Returns them."""
    requests = {}
    for request in session:
        requests[request.id] = request
        harness.send(request)
        if rng.random() < 0.3:
            for _ in range(rng.randrange(6)):
                harness.step()
            harness.engine.send(Cancel(request.id))
            harness.receive()
        if rng.random() < 0.7:
            harness.drain()  # else the next request comes while this one is under way
    harness.drain()
    return requests


def check_equals_cold(
    request: Generate, finished: Finished, words: tuple[bytes, ...] = (), texts: tuple[bytes, ...] = ()
) -> None:
    """A whole answer equals the cold one; what was cut short is its beginning."""
    truth = cold(request.prompt, request.stop, request.max_tokens, 256, texts, words, request.rank)
    if finished.reason in (FinishReason.CANCELLED, FinishReason.FAILED, FinishReason.DEADLINE):
        assert truth.text.startswith(finished.text)
        return
    assert (finished.text, finished.reason) == (truth.text, truth.reason)
    assert finished.logprob == truth.logprob
    assert finished.usage.prompt_tokens == truth.usage.prompt_tokens
    assert finished.usage.cut_tokens == truth.usage.cut_tokens
