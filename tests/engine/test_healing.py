"""Token healing: inside a word it gives what the model would have written, at no cost, nothing doubled."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from lsp_server.backends.base import ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.core.opening import Opening
from lsp_server.engine.healing import MOST_HEALED_TOKENS
from lsp_server.engine.prefix_cache import common_prefix
from lsp_server.engine.request import Finished, FinishReason, Generate, Priority
from lsp_server.engine.vocabulary import Vocabulary
from tests.engine.harness import BLOCK, EngineHarness, Forgetful, Progress, Recurrent, ask, make_prompt
from tests.engine.sessions import MANY_WORDS, PARTS, WHOLE, WORDS, check_equals_cold, editing, play
from tests.support.effort import EFFORT
from tests.support.healing import record_healing

# The vocabulary ------------------------------------------------------------------------------------------


def brute_longer(pieces: Sequence[bytes], start: bytes) -> list[int]:
    return [token for token, piece in enumerate(pieces) if piece.startswith(start) and len(piece) > len(start)]


@pytest.mark.parametrize("seed", range(4))
def test_longer_tokens_are_those_that_looking_at_each_finds(seed: int) -> None:
    rng = random.Random(seed)
    letters = [b"a", b"b", b"\x00", b"\xfe", b"\xff"]

    def some(most: int) -> bytes:
        return b"".join(rng.choices(letters, k=rng.randrange(most)))

    found = 0
    for _ in range(60):
        pieces = [some(5) for _ in range(rng.randrange(80))]  # some are empty, some are alike
        vocabulary = Vocabulary(pieces)
        for start in (b"", b"\xff", b"\xff\xff", b"a\xff", b"\x00", *(some(6) for _ in range(20)), *pieces[:10]):
            tokens = vocabulary.longer_than(start).tolist()
            assert sorted(tokens) == brute_longer(pieces, start)
            assert len(set(tokens)) == len(tokens)
            found += len(tokens)
        assert [vocabulary.piece(token) for token in range(len(pieces))] == pieces
    assert found > 5000


PIECES_OF_HEALED = [
    b"",
    b"r",
    b"ret",
    b"return",
    b"returns",
    b"rest",
    "größe".encode(),
    "größen".encode(),
    b"\xc3",
    b"",
]


@pytest.mark.parametrize(
    ("written", "token", "likely", "expected"),
    [
        pytest.param(b"ret", 2, {2: 1.0, 3: 2.0, 4: 1.5}, 3, id="the likeliest of the longer ones"),
        pytest.param(b"ret", 2, {2: 1.0, 3: 1.5, 4: 2.0}, 4, id="however long it is"),
        pytest.param(b"ret", 2, {2: 3.0, 3: 2.0, 4: 1.5}, None, id="what was typed is likelier"),
        pytest.param(b"ret", 2, {2: 2.0, 3: 2.0}, None, id="as likely is not likelier"),
        pytest.param(b"ret", 1, {1: 1.0, 5: 9.0, 3: 2.0}, 3, id="one that differs later is none"),
        pytest.param(b"return", 3, {2: 9.0, 3: 1.0, 4: 0.5}, None, id="a shorter one is none"),
        pytest.param(b"returns", 4, {3: 9.0}, None, id="there is no longer one"),
        pytest.param(b"x", 1, {3: 9.0}, None, id="nothing begins so"),
        pytest.param("grö".encode(), 1, {6: 2.0, 7: 1.0}, 6, id="characters of two bytes"),
        pytest.param("grö".encode()[:3], 1, {6: 1.0, 7: 2.0}, 7, id="up to half a character"),
        pytest.param("größe".encode(), 6, {0: 9.0, 9: 9.0, 7: 1.0}, 7, id="tokens without text are none"),
    ],
)
def test_what_is_written_instead(written: bytes, token: int, likely: dict[int, float], expected: int | None) -> None:
    logits = np.full(len(PIECES_OF_HEALED), -5.0, dtype=np.float32)
    for index, value in likely.items():
        logits[index] = value
    assert Vocabulary(PIECES_OF_HEALED).healed(logits, written, token) == expected


SPACES = [b" " * count for count in range(9)] + [b" if", b" x"]
IF, X = 9, 10


@pytest.mark.parametrize(
    ("written", "token", "likely", "expected"),
    [
        pytest.param(b" ", 1, {1: 0.0, IF: 2.0, X: 3.0}, X, id="a word takes the last space"),
        pytest.param(b" ", 1, {1: 0.0, 3: 9.0, X: 3.0}, X, id="further indentation is likelier, and does not fit"),
        pytest.param(b"    ", 3, {3: 2.0, 7: 1.0}, None, id="one that fits, less likely than what stands there"),
        pytest.param(b"    ", 3, {3: 1.0, 7: 2.0}, 7, id="one that fits and is likelier, but for the word's space"),
        pytest.param(b"    ", 3, {3: 1.0, 6: 2.0, 5: 3.0}, None, id="no longer one fits"),
    ],
)
def test_what_is_written_instead_of_spaces_fits_the_line(
    written: bytes, token: int, likely: dict[int, float], expected: int | None
) -> None:
    """Behind four spaces, where a statement may stand at four columns or at eight."""
    opening = Opening("    ", ("    ", "        "), (), ("if",))
    logits = np.full(len(SPACES), -5.0, dtype=np.float32)
    for index, value in likely.items():
        logits[index] = value
    vocabulary = Vocabulary(SPACES)
    assert vocabulary.healed(logits, written, token, allows=lambda added: opening.allows(added.decode())) == expected


def test_an_empty_vocabulary_heals_nothing() -> None:
    assert Vocabulary(()).longer_than(b"").tolist() == []
    assert Vocabulary(()).healed(np.zeros(0, dtype=np.float32), b"a", 0) is None


# Holes inside words --------------------------------------------------------------------------------------

LEAD = "twelve bytes = "
LINE = "return self.größe + construct(länge)"


class Reader(ScriptedBackend):
    """Has read LEAD + LINE, and goes on with it behind the very tokens it has read, as a real model would: behind
    a word that is split otherwise it writes anything. Remembers what was evaluated behind what."""

    def __init__(self, spec: ModelSpec, progress: Progress) -> None:
        super().__init__(spec, progress, words=WORDS)
        self.known = self.tokenize(f"{LEAD}{LINE}\n".encode())
        self.evaluated: list[tuple[int, ...]] = []
        self.chunks: list[int] = []

    def evaluate(self, sequence: int, position: int, tokens: Sequence[int], *, logits: int):  # type: ignore[no-untyped-def]
        rows = super().evaluate(sequence, position, tokens, logits=logits)
        cells = self._cells[sequence]
        self.evaluated += [tuple(cells[: end + 1]) for end in range(position, len(cells))]
        self.chunks.append(len(tokens))
        return rows

    def _continuations(self, cells: list[int]) -> list[int]:
        for count in range(len(LEAD), len(self.known)):
            if cells[-count:] == self.known[:count]:
                return [self.known[count]]
        return []


def reading() -> tuple[EngineHarness, Reader]:
    harness = EngineHarness(Reader)
    harness.load(form="prefix-only")
    backend = harness.backend
    assert isinstance(backend, Reader)
    return harness, backend


def key(id: int, typed: str, max_tokens: int = 16) -> Generate:
    """LEAD is what stands before the anchor, `typed` what was typed since."""
    return ask(id, make_prompt(LEAD, typed, "", "prefix-only"), max_tokens=max_tokens)


def unread(typed: str) -> int:
    """How many of the tokens of what was typed are not those that the reader has read."""
    _, backend = reading()
    tokens = backend.tokenize(typed.encode())
    return len(tokens) - common_prefix(tokens, backend.known[len(LEAD) :])


@pytest.mark.parametrize("typed", [LINE[:count] for count in range(len(LINE) + 1)])
def test_a_hole_inside_a_word_is_completed_as_if_it_had_no_split(typed: str) -> None:
    harness, _ = reading()
    finished = harness.run(key(1, typed))
    if unread(typed) > MOST_HEALED_TOKENS:
        assert typed + finished.text != LINE + "\n", "then this test would pass without healing"
        return
    assert typed + finished.text == LINE + "\n"
    assert finished.reason is FinishReason.STOP
    assert "".join(delta.text for delta in harness.deltas(1)) == finished.text
    assert finished.logprob == pytest.approx(0, abs=0.01), "every token was the likeliest by far"


class Rival(Reader):
    """Behind LEAD it would rather have written another word."""

    def _logits(self, cells: list[int]) -> NDArray[np.float32]:
        logits = super()._logits(cells)
        if b"".join(map(self.piece, cells)).endswith(LEAD.encode()):
            (word,) = self.tokenize(b"def ")
            logits[word] = logits.max() + 2
        return logits


def test_how_probable_a_healed_token_is_leaves_out_what_cannot_stand_there() -> None:
    harness = EngineHarness(Rival)
    harness.load(form="prefix-only")
    finished = harness.run(key(1, "ret"))
    assert "ret" + finished.text == LINE + "\n"
    assert finished.logprob == pytest.approx(0, abs=0.01), "the other word does not begin with what was typed"


def test_the_holes_above_take_one_to_four_tokens_back_and_some_more() -> None:
    counts = {unread(LINE[:count]) for count in range(len(LINE) + 1)}
    assert counts >= {0, 1, 2, 3, 4, 5}
    assert MOST_HEALED_TOKENS == 4


def test_healing_adds_no_decode_step() -> None:
    """The healed token is the first of those that are decoded anyway."""
    for count in range(1, len(LINE) + 1):
        typed = LINE[:count]
        if unread(typed) > MOST_HEALED_TOKENS:
            continue
        harness, backend = reading()
        usage = harness.run(key(1, typed)).usage
        tokens = backend.tokenize(typed.encode())
        shared = common_prefix(tokens, backend.known[len(LEAD) :])
        assert usage.decoded_tokens == len(backend.known) - len(LEAD) - shared
        assert backend.chunks == [usage.prompt_tokens, *[1] * (usage.decoded_tokens - 1)]


def type_line(harness: EngineHarness, line: str, max_tokens: int = 16) -> list[Finished]:
    """A request for each character of `line` typed, and one before the first; without those too far into a word."""
    typed = [line[:count] for count in range(len(line) + 1) if unread(line[:count]) <= MOST_HEALED_TOKENS]
    return [harness.run(key(id, text, max_tokens)) for id, text in enumerate(typed)]


def test_a_key_inside_a_healed_word_costs_a_token_at_most() -> None:
    harness, _ = reading()
    costs = [finished.usage.evaluated_tokens for finished in type_line(harness, LINE)]
    assert costs[0] > len(LEAD)
    assert statistics.median(costs[1:]) <= 1


def test_typing_what_was_suggested_evaluates_nothing_a_second_time() -> None:
    """The healed token and what was written behind it are still there at the next key, with their rows as long as
    these are few: then the key needs no typed token at all."""
    harness, backend = reading()
    line = "return self.größe"
    type_line(harness, line, max_tokens=4)
    again = [cells for index, cells in enumerate(backend.evaluated) if cells in backend.evaluated[:index]]
    texts = [b"".join(map(backend.piece, cells[1 + len(LEAD) :])).decode(errors="replace") for cells in again]
    assert texts == []


def test_a_prompt_that_was_warmed_is_healed_for_a_token_at_most() -> None:
    """Warming keeps the rows that healing reads."""
    for typed in ("", "ret", "return se"):
        harness, backend = reading()
        warm = key(0, typed)
        harness.run(Generate(0, warm.prompt, warm.stop, 0, Priority.WARMING))
        before = backend.evaluated_tokens
        finished = harness.run(key(1, typed + LINE[len(typed)]))
        assert typed + LINE[len(typed)] + finished.text == LINE + "\n"
        assert backend.evaluated_tokens - before <= 1 + finished.usage.decoded_tokens
        assert finished.usage.evaluated_tokens <= 1


# What healing must leave alone ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("form", ["qwen", "codestral", "prefix-only"])
def test_what_was_typed_stands_in_the_cells_once(form: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the anchor on, the cells hold what was typed, and behind it what is suggested: nothing twice."""
    rng = random.Random(f"{form} {seed}")
    healed = record_healing(monkeypatch)
    words = [word.encode() for word in WHOLE]
    longest = max(map(len, words))
    for _ in range(60):
        harness = EngineHarness(lambda spec, progress: ScriptedBackend(spec, progress, words=words))
        harness.load(form=form)
        typed = "".join(rng.choice(["r", "re", "ret", "se", "self", "d", "grö", "c", " ", "x", "n"]) for _ in range(5))
        prompt = make_prompt("a = b\n", typed, "\nfoo()\n", form)
        finished = harness.run(ask(1, prompt, stop=BLOCK, max_tokens=6))
        before = finished.usage.prompt_tokens - len(harness.backend.tokenize(typed.encode()))
        cells = harness.engine.cache().tokens(0)
        written = b"".join(map(harness.backend.piece, cells[before:]))
        whole = (typed + finished.text).encode()
        assert whole.startswith(written), (typed, finished.text, written)
        assert len(written) >= len(whole) - longest, "more than the last token has not been evaluated"
    assert len(healed) > 20
    assert any(len(written) > 2 for written, _ in healed)


@pytest.mark.parametrize("typed", ["", "u"])
def test_nothing_before_the_anchor_is_healed(typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A word that stands there before the anchor is frozen, though the model would rather write a longer one."""
    healed = record_healing(monkeypatch)
    harness = EngineHarness(lambda spec, progress: ScriptedBackend(spec, progress, words=[b"return", b"urchin"]))
    harness.load(form="prefix-only")
    prompt = make_prompt("x = 1\nret", typed, "", "prefix-only")
    for id, max_tokens in enumerate((1, 2, 5)):
        harness.run(ask(id, prompt, stop=BLOCK, max_tokens=max_tokens))
    assert bytes(harness.engine.cache().tokens(0)[1:10]) == b"x = 1\nret"
    assert {written for written, _ in healed} <= {typed.encode()} - {b""}


class Spelled(ScriptedBackend):
    """Its special tokens stand for their spelling, as in some files, and it likes nothing better than to write one."""

    never_shown: int

    def piece(self, token: int) -> bytes:
        if token == self.never_shown:
            return b"self special"
        return super().piece(token)

    def _logits(self, cells: list[int]) -> np.ndarray:
        logits = super()._logits(cells)
        logits[self.never_shown] = logits.max() + 10
        return logits


@pytest.mark.parametrize("special", [257, 258, 259, 260])
@pytest.mark.parametrize("typed", ["s", "sel", "self", "self sp"])
def test_a_special_token_is_never_put_in_place_of_what_was_typed(typed: str, special: int) -> None:
    class One(Spelled):
        pass

    One.never_shown = special
    harness = EngineHarness(One)
    harness.load()
    finished = harness.run(ask(1, make_prompt("x", typed), stop=BLOCK, max_tokens=5))
    assert (finished.text, finished.reason) == ("", FinishReason.END)


# The proof of reuse, with healing ------------------------------------------------------------------------


# Each with each of the others once; with more effort, all with all.
SESSIONS = [
    (form, sequences, backend)
    for first, form in enumerate(["qwen", "codestral", "prefix-only"])
    for second, sequences in enumerate([1, 2, 4])
    for third, backend in enumerate([ScriptedBackend, Recurrent, Forgetful])
    if (first + second + third) % 3 == 0 or EFFORT > 1
]


@pytest.mark.parametrize(("form", "sequences", "backend"), SESSIONS)
def test_editing_sessions_with_healing_equal_cold_runs(
    form: str, sequences: int, backend: type[ScriptedBackend], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(f"{form} {sequences} {backend.__name__}")
    harness = EngineHarness(lambda spec, progress: backend(spec, progress, words=MANY_WORDS))
    harness.load(sequences=sequences, form=form, context_tokens=256)
    with monkeypatch.context() as patch:
        healed = record_healing(patch)
        requests = play(harness, editing(rng, form, 130, PARTS), rng)
    for id, request in requests.items():
        check_equals_cold(request, harness.finished(id), MANY_WORDS)
    assert len(healed) > 20
    assert any(len(written) > 1 for written, _ in healed)
    cache = harness.engine.cache()
    assert (cache.forks > 0 and cache.evictions > 0) or sequences == 1
