"""A cut vocabulary: text in the kept scripts goes through exactly as before, other text goes through, and the rows of
the kept tokens are the same bytes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import gguf
import numpy as np
import pytest

from lsp_server.backends import llama
from lsp_server.backends.base import ModelError, ModelSpec
from lsp_server.models import gguf_writer, trim
from lsp_server.models.gguf import Header, read_header
from lsp_server.models.writing_scripts import Alphabet, parse
from tests.support.tiny_gguf import MARKERS, byte_characters, write_tiny_gguf

WORDS = ("return", "self", "def ", "    ", "größe", "länge", "привет", "мир", "データ", "→")
LATIN = "def größe(self):\n    return self.länge → ½ “x”\n"
OTHER = "def привет(мир):\n\treturn 'データ', 'größe', '한국어', '😀', '\u200d'\n"
ASCII = "def walk(self, path):\n    return [self.x for x in path]  # <|fim_prefix|> \t!?\n\n\n"


def merges_of(words: tuple[str, ...], *, spm: bool) -> tuple[str, ...]:
    """Merges that make each word, from left to right, out of its bytes or its characters."""
    table = byte_characters()
    found = {}
    for word in words:
        text = word.replace(" ", "▁") if spm else "".join(table[byte] for byte in word.encode())
        found.update(dict.fromkeys(f"{text[:end]} {text[end]}" for end in range(1, len(text))))
    # Words of other letters, so that there is something to cut, and behind them ASCII, so that ids change.
    alphabets = ("абвгдежзийклмнопрстуфхцчшщ", "アイウエオカキクケコ")
    more = [(first, second) for letters in alphabets for first in letters for second in letters]
    if spm:
        found.update(dict.fromkeys(f"{first} {second}" for first, second in more))
    else:
        for first, second in more:
            left, right = ("".join(table[byte] for byte in one.encode()) for one in (first, second))
            whole = [f"{one[:end]} {one[end]}" for one in (left, right) for end in range(1, len(one))]
            found.update(dict.fromkeys((*whole, f"{left} {right}")))
    return (*found, "p a", "t h", "pa th")


@pytest.fixture(scope="module", params=["spm", "bpe", "bpe-q8_0"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    spm = request.param == "spm"
    outer = gguf.GGMLQuantizationType.Q8_0 if request.param.endswith("q8_0") else gguf.GGMLQuantizationType.F32
    path = tmp_path_factory.mktemp("models") / f"{request.param}.gguf"
    return write_tiny_gguf(path, merges=merges_of(WORDS, spm=spm), spm=spm, outer=outer)


def cut(path: Path, scripts: str, target: Path) -> trim.Trim:
    header = read_header(path)
    plan = trim.plan(header, parse(scripts))
    gguf_writer.write(header, target, plan.changes, plan.rows)
    assert target.stat().st_size == gguf_writer.written_bytes(header, plan.changes, plan.rows)
    return plan


Opened = Callable[[Path], llama.LlamaBackend]


@pytest.fixture
def opened() -> Iterator[Opened]:
    backends: list[llama.LlamaBackend] = []

    def open_file(path: Path) -> llama.LlamaBackend:
        backends.append(llama.open_file(ModelSpec(str(path), 256, 1, gpu_layers=0), lambda _: True))
        return backends[-1]

    yield open_file
    for backend in backends:
        backend.close()


@pytest.mark.parametrize("scripts", ["ascii", "latin", "cyrillic,latin", "all"])
def test_kept_text_is_tokenised_as_before(model: Path, tmp_path: Path, opened: Opened, scripts: str) -> None:
    plan = cut(model, scripts, tmp_path / "cut.tmp")
    before, after = opened(model), opened(tmp_path / "cut.tmp")
    kept = plan.kept.tolist()
    assert after.info.vocabulary == len(kept)
    assert (len(kept) == plan.count) == (scripts == "all")
    texts = [ASCII] + ([LATIN] if scripts != "ascii" else []) + ([OTHER] if scripts == "all" else [])
    for text in texts:
        for special in (False, True):
            found = after.tokenize(text.encode(), special=special)
            assert [kept[token] for token in found] == before.tokenize(text.encode(), special=special)
    assert [after.piece(token) for token in range(len(kept))] == [before.piece(token) for token in kept]
    assert [after.ends(token) for token in range(len(kept))] == [before.ends(token) for token in kept]
    assert [kept[token] for token in after.start_tokens()] == before.start_tokens()
    for marker in MARKERS:
        token, old = after.marker(marker), before.marker(marker)
        assert token is not None
        assert kept[token] == old
    assert after.info.format == before.info.format
    assert (after.info.bos, after.info.eos) == (before.info.bos, before.info.eos)


def test_other_text_becomes_bytes_and_none_is_lost(model: Path, tmp_path: Path, opened: Opened) -> None:
    plan = cut(model, "ascii", tmp_path / "cut.tmp")
    before, after = opened(model), opened(tmp_path / "cut.tmp")
    for text in (LATIN, OTHER):
        found = after.tokenize(text.encode())
        assert b"".join(map(after.piece, found)).decode() == text
        assert all(0 <= token < len(plan.kept) for token in found)
    assert len(before.tokenize("щщ".encode())) == 1
    assert len(after.tokenize("щщ".encode())) > 1


def test_kept_tokens_have_their_logits(model: Path, tmp_path: Path, opened: Opened) -> None:
    plan = cut(model, "ascii", tmp_path / "cut.tmp")
    before, after = opened(model), opened(tmp_path / "cut.tmp")
    tokens = after.tokenize(ASCII.encode())[:16]
    rows = after.evaluate(0, 0, tokens, logits=len(tokens))
    old_rows = before.evaluate(0, 0, [int(plan.kept[token]) for token in tokens], logits=len(tokens))
    for row, old in zip(rows, old_rows, strict=True):
        np.testing.assert_allclose(row, old[plan.kept], rtol=1e-5, atol=1e-5)


def test_the_file_is_what_another_reader_expects(model: Path, tmp_path: Path) -> None:
    plan = cut(model, "ascii", tmp_path / "cut.gguf")
    old, new = gguf.GGUFReader(model), gguf.GGUFReader(tmp_path / "cut.gguf")
    changed = {name for name, field in old.fields.items() if field.contents() != new.fields[name].contents()}
    expected = {"tokenizer.ggml.tokens", "tokenizer.ggml.token_type", "llama.vocab_size"}
    assert changed >= expected
    assert changed - expected <= {"tokenizer.ggml.scores", "tokenizer.ggml.merges", "tokenizer.ggml.eos_token_id"}
    assert [field.types for name, field in old.fields.items()] == [field.types for field in new.fields.values()]
    for first, second in zip(old.tensors, new.tensors, strict=True):
        rows = plan.kept if first.name in ("token_embd.weight", "output.weight") else slice(None)
        assert (first.name, first.tensor_type) == (second.name, second.tensor_type)
        assert np.array_equal(first.data[rows], second.data)
    assert len(plan.kept) % 64 == 0


def test_nothing_that_is_kept_goes_through_what_is_not(model: Path, tmp_path: Path) -> None:
    plan = cut(model, "latin", tmp_path / "cut.gguf")
    fields = gguf.GGUFReader(tmp_path / "cut.gguf").fields
    tokens = set(fields["tokenizer.ggml.tokens"].contents())
    merges = fields["tokenizer.ggml.merges"].contents() if "tokenizer.ggml.merges" in fields else []
    for merge in merges:
        first, second = merge.split(" ")
        assert {first, second, first + second} <= tokens
    if merges:
        old = gguf.GGUFReader(model).fields["tokenizer.ggml.merges"].contents()
        made = {merge.replace(" ", "") for merge in old}
        assert made & tokens == {merge.replace(" ", "") for merge in merges}  # and each can still be made
    assert len(plan.kept) < plan.count


def test_an_unchanged_copy_is_the_same_file(model: Path, tmp_path: Path) -> None:
    header = read_header(model)
    gguf_writer.write(header, tmp_path / "copy.gguf", {}, {})
    assert (tmp_path / "copy.gguf").read_bytes() == model.read_bytes()


def test_keys_are_added_and_left_out(model: Path, tmp_path: Path) -> None:
    header = read_header(model)
    changes = {"general.name": None, "fimble.changes": gguf_writer.text_value("größer")}
    gguf_writer.write(header, tmp_path / "copy.gguf", changes, {})
    copy = read_header(tmp_path / "copy.gguf")
    assert copy.text("fimble.changes") == "größer"
    assert set(copy.metadata) == {*header.metadata, "fimble.changes"} - {"general.name"}


def test_writing_can_be_given_up(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="given up"):
        gguf_writer.write(read_header(model), tmp_path / "copy.gguf", {}, {}, lambda _: False)


def changed(tmp_path: Path, **changes: bytes | None) -> Header:
    """A tiny SPM model with other keys of its tokeniser."""
    path = write_tiny_gguf(tmp_path / "whole.gguf", merges=merges_of(WORDS, spm=True), spm=True)
    named = {f"tokenizer.{name.replace('__', '.')}": value for name, value in changes.items()}
    gguf_writer.write(read_header(path), tmp_path / "changed.gguf", named, {})
    return read_header(tmp_path / "changed.gguf")


def test_what_is_not_understood_is_left_alone(tmp_path: Path) -> None:
    header = changed(tmp_path)
    types, tokens = (gguf_writer.value_of(header, f"tokenizer.ggml.{name}") for name in ("token_type", "tokens"))
    header = changed(tmp_path, ggml__model=gguf_writer.text_value("bert"))
    with pytest.raises(trim.UncutError, match="its tokeniser, bert, is not SPM or BPE"):
        trim.plan(header, ("ascii",))
    header = changed(tmp_path, ggml__model=gguf_writer.text_value("gpt2"))
    with pytest.raises(trim.UncutError, match="no merges"):
        trim.plan(header, ("ascii",))
    with pytest.raises(trim.UncutError, match=r"not understood, tokenizer\.ggml\.weights"):
        trim.plan(changed(tmp_path, ggml__weights=types), ("ascii",))
    without = [one.replace(b"<0x41>", b"<0xyz>") for one in gguf_writer.array_elements(tokens)]
    with pytest.raises(trim.UncutError, match="no tokens for single bytes"):
        trim.plan(changed(tmp_path, ggml__tokens=gguf_writer.array_value(tokens, without)), ("ascii",))


def test_a_byte_that_is_no_token_is_found(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "bpe.gguf", merges=merges_of(WORDS, spm=False))
    tokens = gguf_writer.value_of(read_header(path), "tokenizer.ggml.tokens")
    elements = gguf_writer.array_elements(tokens)
    lead = byte_characters()["п".encode()[0]].encode()
    elements[elements.index(lead)] = b"[gone]"
    gguf_writer.write(
        read_header(path),
        tmp_path / "gone.gguf",
        {"tokenizer.ggml.tokens": gguf_writer.array_value(tokens, elements)},
        {},
    )
    with pytest.raises(trim.UncutError, match="not every byte"):
        trim.plan(read_header(tmp_path / "gone.gguf"), ("ascii",))


def test_ids_in_lists_and_another_programs_tokeniser(tmp_path: Path) -> None:
    types = gguf_writer.value_of(changed(tmp_path), "tokenizer.ggml.token_type")
    count = len(gguf_writer.array_elements(types))
    ids = [2, count - 100, count - 1]  # the one in the middle is no Latin token
    listed = gguf_writer.array_value(types, [token.to_bytes(4, "little") for token in ids])
    header = changed(tmp_path, ggml__suppress_tokens=listed, huggingface__json=gguf_writer.text_value("{}"))
    plan = trim.plan(header, ("ascii",))
    left = [
        int.from_bytes(one, "little")
        for one in gguf_writer.array_elements(plan.changes["tokenizer.ggml.suppress_tokens"] or b"")
    ]
    assert [int(plan.kept[token]) for token in left] == [2, count - 1]
    assert plan.changes["tokenizer.huggingface.json"] is None


@pytest.mark.parametrize(
    ("scripts", "text", "held"),
    [
        ("ascii", "self.x", True),
        ("ascii", "é", False),
        ("ascii", "→", False),
        ("latin", "Größe ﬁ ½ → “x” 😀 ª", True),
        ("latin", "мир", False),
        ("cyrillic", "мир – Größe", False),
        ("cyrillic,latin", "мир – Größe", True),
        ("han,hiragana,katakana", "日本語のデータ、", True),
        ("han", "の", False),
        ("latin", "한", False),
        ("hangul", "한", True),
    ],
)
def test_characters_of_scripts(scripts: str, text: str, held: bool) -> None:
    assert Alphabet(parse(scripts)).can_hold(text.encode()) == held


@pytest.mark.parametrize(
    ("part", "held"),
    [
        (b"\xc3", True),  # the first byte of é
        (b"\xa9x", True),  # its last one
        (b"\xd0", False),  # the first byte of Cyrillic letters
        (b"\xe2\x86", True),  # two bytes of an arrow
        (b"\x86\x92", True),
        (b"\xe4\xb8", False),  # two bytes of a Chinese character
        (b"x\xff", False),
        (b"\xc3x", False),
        (b"\xa9\xa9\xa9\xa9", False),
    ],
)
def test_parts_of_characters(part: bytes, held: bool) -> None:
    assert Alphabet(("latin",)).can_hold(part) == held


@pytest.mark.parametrize("seed", range(20))
def test_of_what_can_be_held_every_part_can(seed: int) -> None:
    """On which it rests that no kept token is cut off from the tokens that it is made of."""
    chosen = random.Random(seed)
    alphabet = Alphabet(("han", "latin"))
    text = "".join(chosen.choice("ab é½→😀日本“ß") for _ in range(6)).encode()
    for start in range(len(text)):
        for end in range(start + 1, len(text) + 1):
            assert alphabet.can_hold(text[start:end]), text[start:end]


def test_names_of_scripts() -> None:
    assert parse(" Latin,ascii, CYRILLIC ") == ("cyrillic", "latin")
    assert parse("ascii") == ("ascii",)
    assert parse("latin,all") == ("all",)
    for wrong in ("klingon", "", "latin,", "latn"):
        with pytest.raises(ModelError, match="there is no script called"):
            parse(wrong)
