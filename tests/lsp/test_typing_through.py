"""A suggestion that was shown is never taken back while the user types exactly it: through the real server.

Random sessions over real code: a hole, what the model writes there, and keys, words, lines and backspaces within the
suggestion, in whatever pieces it has been written so far.
"""

from __future__ import annotations

import random
import re

import pytest

from lsp_server.core.languages import LANGUAGES
from tests.lsp.played import Played
from tests.support.effort import scaled
from tests.support.holes import cut_holes

SUGGESTIONS = scaled(60)
SEEDS = 3
_WORD, _LINE = re.compile(r"\s*(?:\w+|[^\w\s])"), re.compile(r"[^\n]*\n?")


def next_part(text: str, rng: random.Random) -> str:
    """What is typed or accepted of a suggestion at once: a key, a word, or a line."""
    pattern = rng.choice([None, None, _WORD, _LINE])
    match = pattern.match(text) if pattern is not None else None
    return match.group() if match and match.group() else text[0]


@pytest.mark.parametrize("played", [{}, {"answer_ms": 0}], indirect=True, ids=["whole", "in pieces"])
@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_is_shown_stays(played: Played, seed: int) -> None:
    rng = random.Random(seed)
    typed_through = keys = 0
    for _ in range(SUGGESTIONS // SEEDS):
        language = rng.choice(LANGUAGES)
        (hole,) = cut_holes(language, 1, rng.random())
        uri = played.open(hole.document.path, language.ids[0], hole.document.source.decode())
        text = hole.gold + rng.choice(["", "\n", ")", "\n\n"])
        begun = hole.cursor
        shown = _shown(played, uri, begun, text)
        accepted = ""
        while shown and keys < 10_000:
            keys += 1
            if accepted and rng.random() < 0.2:
                back = accepted[-rng.randrange(1, 1 + min(4, len(accepted))) :]
                accepted = accepted.removesuffix(back)
                expected = back + shown
                here = begun + len(accepted.encode())
                played.type(uri, here, here + len(back.encode()), "")
            else:
                part = next_part(shown, rng)
                expected = shown[len(part) :]
                here = begun + len(accepted.encode())
                accepted += part
                played.type(uri, here, here, part)
            cursor = begun + len(accepted.encode())
            shown = _shown(played, uri, cursor, text[len(accepted) :] if text.startswith(accepted) else "")
            if expected.strip():
                assert shown.startswith(expected), (language.name, seed, hole.gold, accepted, expected, shown)
                typed_through += 1
            else:
                break
        played.close(uri)
    assert typed_through > SUGGESTIONS // SEEDS // 2


def _shown(played: Played, uri: str, offset: int, text: str) -> str:
    items = played.ask(uri, offset, text)["items"]
    return items[0]["insertText"] if items else ""
