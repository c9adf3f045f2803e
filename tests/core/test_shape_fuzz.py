"""Random places and texts: nothing raises, no parse goes on for long, and accepting never brings errors."""

from __future__ import annotations

import random

import pytest

from lsp_server.core import shape as shape_module
from lsp_server.core import syntax
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import find_hole, for_explicit_request, refined
from lsp_server.core.languages import LANGUAGES
from lsp_server.core.overlap import contains
from lsp_server.core.shape import shape
from lsp_server.core.stopping import find_end, stop_rule
from lsp_server.core.text import encode
from tests.support.effort import scaled
from tests.support.holes import SPECIAL_TOKENS, error_count
from tests.support.samples import sample, sample_document

TRIPLES = scaled(1000)  # of a document, a cursor and a model's text
SEEDS = 20
PIECES = (
    *"()[]{}<>\"'`\\:;,.=+-*/#@$%&|!?\n\n\n \t\r\0",
    '"""', "'''", "/*", "*/", "//", "<!--", "-->", "${", "#{", "\\(", "=>", "->", "\r\n", "    ", "\t\t",
    "if", "else", "end", "def f():", "for (;;) {", "return", "class A", "x", "名前", "é", "😀", "\ud83d", "\u2028",
    *SPECIAL_TOKENS, "a" * 500, "(" * 200, "a<b<" * 100, "\n" * 50,
)  # fmt: skip


def damaged(source: bytes, rng: random.Random) -> bytes:
    """The source with up to four random edits, some of which cut characters in two."""
    for _ in range(rng.choice([0, 0, 1, 2, 4])):
        start = rng.randrange(len(source) + 1)
        end = min(len(source), start + rng.choice([0, 0, 1, 3, 40, 400]))
        source = source[:start] + encode(rng.choice([*PIECES, ""])) + source[end:]
    return source


def cut(source: bytes, rng: random.Random) -> tuple[bytes, int, bytes]:
    """The source with a part taken out, where that was, and the part."""
    cursor = rng.randrange(len(source) + 1)
    if rng.random() < 0.5:
        cursor = source.rfind(rng.choice([b"\n", b" ", b"("]), 0, cursor) + 1
    size = rng.choice([0, 5, 20, 100])
    return source[:cursor] + source[cursor + size :], cursor, source[cursor : cursor + size]


def written(source: bytes, gold: bytes, rng: random.Random) -> str:
    """What a model might write: the right text, other text of the file, pieces, and several of them."""
    text = source.decode("utf-8", "replace")
    start = rng.randrange(len(text) + 1)
    parts = [text[start : start + rng.randrange(200)], *(rng.choice(PIECES) for _ in range(rng.randrange(8)))]
    return (gold.decode("utf-8", "replace") if rng.random() < 0.7 else "") + "".join(
        rng.sample(parts, rng.randrange(len(parts) + 1))
    )


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_triples(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0
    parse = syntax.parse

    def counted(*arguments: object) -> object:
        nonlocal steps
        found, used = parse(*arguments)  # type: ignore[arg-type]
        steps += used
        return found, used

    monkeypatch.setattr(syntax, "parse", counted)
    rng = random.Random(seed)
    shows = 0
    for _ in range(TRIPLES // SEEDS):
        language = rng.choice(LANGUAGES)
        source, cursor, gold = cut(damaged(sample(language), rng), rng)
        document: DocumentSnapshot = sample_document(language, source)
        text = written(source, gold, rng)
        steps = 0
        hole = for_explicit_request(refined(document, find_hole(document, cursor)))
        rule = stop_rule(document, hole, rng.choice([1, 8, 30]))
        for length in (0, len(text) // 2, len(text)):
            assert find_end(text[:length], rule) is None or find_end(text[:length], rule) <= length
        suggestion = shape(text, document, hole, rule, specials=SPECIAL_TOKENS)
        # Each parse may go one step over, and the search for what fits stops behind the parse that is too much.
        assert steps <= sum(syntax.WIDE_STEPS) + syntax.PARSE_STEPS + shape_module.MOST_STEPS + 20
        if suggestion is None:
            continue
        shows += 1
        accepted = source[: suggestion.start] + encode(suggestion.text) + source[suggestion.end :]
        assert error_count(language, accepted) <= error_count(language, source), (language.name, cursor, text)
        assert contains(suggestion.text, source[suggestion.start : suggestion.end].decode())
        assert b"\n" not in source[suggestion.start : suggestion.end]
    assert shows > TRIPLES // SEEDS // 20, "hardly anything is shown"
