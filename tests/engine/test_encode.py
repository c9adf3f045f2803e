"""From segments to tokens: what is cut when a prompt is too long, and what is remembered."""

from __future__ import annotations

import random

import pytest

from lsp_server.backends.base import ModelError, ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.core.prompt import FimPrompt, Segment
from lsp_server.engine.encode import Encoded, Encoder
from tests.engine.harness import make_prompt

BOS = 256


class Counting(ScriptedBackend):
    """Counts the texts it is asked to tokenise."""

    def __init__(self) -> None:
        super().__init__(ModelSpec("", fim_format="qwen-fim"), lambda _: True)
        self.texts: list[bytes] = []

    def tokenize(self, text: bytes, *, special: bool = False) -> list[int]:
        self.texts.append(text)
        return super().tokenize(text, special=special)


def test_the_tokens_of_a_small_prompt() -> None:
    backend = Counting()
    prefix, suffix, middle = (backend.marker(f"<|fim_{name}|>") for name in ("prefix", "suffix", "middle"))
    encoded = Encoder(backend).encode(make_prompt("ab", "cd", "ef", "qwen-fim"), 100)
    assert encoded == Encoded([BOS, prefix, *b"ab", suffix, *b"ef", middle, *b"cd"], typed=2, cut=0, stable=(8,))


def test_a_key_tokenises_what_was_typed_and_nothing_else() -> None:
    backend = Counting()
    encoder = Encoder(backend)
    for typed in ("r", "re", "ret"):
        encoder.encode(make_prompt("ab", typed, "ef", "qwen-fim"), 100)
    assert backend.texts == [b"ab", b"ef", b"r", b"re", b"ret"]


@pytest.mark.parametrize(
    ("room", "before", "after", "typed", "cut"),
    [
        pytest.param(104, 40, 40, 20, 0, id="fits to the token"),
        pytest.param(103, 40, 15, 20, 25, id="a quarter of the room, off the suffix's end"),
        pytest.param(80, 40, 0, 20, 40, id="two quarters: all of the suffix"),
        pytest.param(60, 35, 0, 20, 45, id="then the beginning of the prefix"),
        pytest.param(24, 0, 0, 16, 84, id="then all of it, and the rest of the quarter"),
        pytest.param(20, 0, 0, 15, 85, id="then the beginning of what was typed"),
        pytest.param(8, 0, 0, 4, 96, id="a few tokens are left"),
    ],
)
def test_what_is_cut(room: int, before: int, after: int, typed: int, cut: int) -> None:
    texts = {"b": "b" * 40, "a": "a" * 40, "t": "0123456789" * 2}
    encoded = Encoder(Counting()).encode(make_prompt(texts["b"], texts["t"], texts["a"], "qwen-fim"), room)
    assert (encoded.cut, encoded.typed) == (cut, typed)
    shown = bytes(token for token in encoded.tokens if token < 256)
    assert shown == b"b" * before + b"a" * after + texts["t"].encode()[20 - typed :]
    assert len(encoded.tokens) == 104 - cut <= room


@pytest.mark.parametrize(
    ("room", "shown", "cut"),
    [
        pytest.param(128, "cCr" + "1" * 9 + "2" * 9 + "b" * 40 + "a" * 40 + "t" * 20, 0, id="fits to the token"),
        pytest.param(127, "b" * 40 + "a" * 40 + "t" * 20, 23, id="all of the other files, and their markers"),
        pytest.param(105, "b" * 40 + "a" * 40 + "t" * 20, 23, id="that is enough"),
        pytest.param(104, "b" * 40 + "a" * 14 + "t" * 20, 23 + 26, id="then a quarter of the room"),
    ],
)
def test_other_files_are_cut_first(room: int, shown: str, cut: int) -> None:
    backend = ScriptedBackend(ModelSpec("", fim_format="qwen"), lambda _: True)
    whole = make_prompt("b" * 40, "t" * 20, "a" * 40)
    files = [
        *(Segment("marker", b"<|repo_name|>"), Segment("context", b"cCr")),
        *(Segment("marker", b"<|file_sep|>"), Segment("context", b"1" * 9), Segment("context", b"2" * 9)),
    ]
    encoded = Encoder(backend).encode(FimPrompt("qwen", (*files, *whole.segments)), room)
    order = bytes(token for token in encoded.tokens if token < 256).decode()
    assert sorted(order) == sorted(shown)
    assert encoded.cut == cut
    assert len(encoded.tokens) <= room
    separators = encoded.tokens.count(backend.marker("<|file_sep|>") or 0)
    assert separators == (2 if order.startswith("cCr") else 1), "the document's own marker stays"


@pytest.mark.parametrize(
    ("form", "typed", "count"),
    [
        pytest.param("qwen-fim", "", 0, id="nothing typed: the middle marker is not typed"),
        pytest.param("prefix-only", "", 0, id="nothing typed: the text before is not"),
        pytest.param("codestral", "", 0, id="nothing typed, suffix first"),
        pytest.param("codestral", "é", 2, id="the bytes of a character"),
        pytest.param("prefix-only", "cde", 3, id="behind the text before"),
    ],
)
def test_how_many_tokens_were_typed(form: str, typed: str, count: int) -> None:
    backend = ScriptedBackend(ModelSpec("", fim_format=form), lambda _: True)
    assert Encoder(backend).encode(make_prompt("ab", typed, "ef", form), 100).typed == count


@pytest.mark.parametrize("room", [-50, 0, 3])
def test_a_room_that_is_too_small_is_an_error(room: int) -> None:
    with pytest.raises(ModelError, match="context_tokens"):
        Encoder(Counting()).encode(make_prompt("ab", "cd", "ef", "qwen-fim"), room)


def test_an_unknown_marker_is_an_error() -> None:
    prompt = FimPrompt("odd", (Segment("marker", b"<odd>"), Segment("before", b"a")))
    with pytest.raises(ModelError, match="<odd>"):
        Encoder(Counting()).encode(prompt, 100)


def test_random_prompts_fit_and_say_how_much_was_cut() -> None:
    rng = random.Random(1)
    encoder = Encoder(Counting())
    for _ in range(2000):
        before, typed, after = ("xyz"[i] * rng.randrange(200) for i in range(3))
        room = rng.randrange(4, 400)
        encoded = encoder.encode(make_prompt(before, typed, after, "qwen-fim"), room)
        whole = 4 + len(before) + len(typed) + len(after)
        assert len(encoded.tokens) + encoded.cut == whole
        assert len(encoded.tokens) <= room
        assert (encoded.cut == 0) == (whole <= room)
        assert encoded.tokens[0] == BOS
        assert encoded.typed == encoded.tokens.count(ord("y")), "other tokens than the typed ones may be healed"


def test_the_cut_stays_where_it_is_while_the_user_types() -> None:
    encoder = Encoder(Counting())
    changes, last = 0, None
    for count in range(50):
        tokens = encoder.encode(make_prompt("b" * 300, "t" * count, "a" * 100, "qwen-fim"), 200).tokens
        head = tokens[: tokens.index(ord("t"))] if count else None
        changes += head != last
        last = head
    assert changes <= 3


def test_small_pieces_of_other_files_are_together_worth_going_back_to() -> None:
    """A recurrent model goes back to these lengths; without one, a new anchor evaluates the context again."""
    backend = ScriptedBackend(ModelSpec("", fim_format="qwen-fim"), lambda _: True)
    whole = make_prompt("b" * 400, "t", "a" * 300, "qwen-fim")
    pieces = tuple(Segment("context", letter * 60) for letter in (b"1", b"2", b"3"))
    stable = Encoder(backend).encode(FimPrompt("qwen-fim", (*pieces, *whole.segments)), 2000).stable
    context, before, after = 1 + 3 * 60, 1 + 400, 1 + 300
    assert stable == (context, context + before, context + before + after, context + before + after + 1)


class Words(Counting):
    """A vocabulary in which a word's token has the space or tab in front of it, and those in front of that are one
    token: 1000 and the number of spaces, or 2000 and the number of tabs."""

    def tokenize(self, text: bytes, *, special: bool = False) -> list[int]:
        bare = text.rstrip(b" \t")
        white = text[len(bare) :]
        if not special and text.endswith((b"  x", b"\t\tx")):
            return [*self.tokenize(text[:-2]), 999]
        first = 2000 if b"\t" in white else 1000
        return [first + len(white)] if white and not bare else super().tokenize(text, special=special)


@pytest.mark.parametrize(
    ("typed", "tokens"),
    [
        ("        ", [1007, 1001]),
        ("  ", [1001, 1001]),
        (" ", [1001]),
        ("        x", [1007, 999]),
        ("\t\t\t", [2002, 2001]),
        ("\t", [2001]),
        ("\t\tx", [2001, 999]),
    ],
)
def test_the_space_of_a_word_that_is_to_come_is_a_token_of_its_own(typed: str, tokens: list[int]) -> None:
    """So the key that follows finds the same tokens before its word, and a model is asked what it has seen."""
    encoded = Encoder(Words()).encode(make_prompt("ab", typed, "ef", "qwen-fim"), 100)
    assert encoded.tokens[-encoded.typed :] == tokens


def test_where_words_have_no_space_indentation_is_one_piece() -> None:
    encoded = Encoder(Counting()).encode(make_prompt("ab", "    ", "ef", "qwen-fim"), 100)
    assert encoded.tokens[-4:] == [*b"    "]
