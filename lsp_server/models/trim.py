"""Cuts a model's vocabulary to the scripts that its user writes in, so that its output layer has fewer rows.

The output layer is the largest matrix of a small model. Text in the kept scripts is tokenised exactly as before, since
for every kept token the tokens from which it is merged are kept too. Other text is split into smaller tokens, in the
end into bytes, and nothing is lost. The cut model cannot write a removed token as one token, but it can write its
bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lsp_server.backends.base import ModelError
from lsp_server.core.fim_formats import FORMATS
from lsp_server.models import gguf_writer as writer
from lsp_server.models.gguf import Header, LargeArray
from lsp_server.models.writing_scripts import ALL, Alphabet

if TYPE_CHECKING:
    from lsp_server.models.gguf_writer import Rows

_TOKENS, _TYPES, _MERGES = (f"tokenizer.ggml.{name}" for name in ("tokens", "token_type", "merges"))
_BY_TOKEN = (_TOKENS, _TYPES, "tokenizer.ggml.scores")
_ID_LISTS = ("tokenizer.ggml.suppress_tokens",)
_WHOLE_TOKENIZER = "tokenizer.huggingface.json"  # for another program; it would not match the cut vocabulary

# Tensors with one row for each token, of all architectures in llama.cpp.
_ROWS = re.compile(
    r"(?:(?:token_embd|output|per_layer_token_embd)\.weight|output\.bias"
    r"|blk\.\d+\.(?:nextn\.(?:embed_tokens|shared_head_head)|ffn_gate_tid2eid)\.weight)"
)

_NORMAL, _CONTROL, _UNUSED = 1, 3, 5
# llama.cpp assumes low ids for BOS, EOS and the unknown token if a file does not name them, so these ids stay
# unchanged.
_FIRST_IDS = 256
# The number of rows stays a multiple of this, as llama.cpp's faster layouts and GPUs need.
_MULTIPLE = 64
# Spellings of markers, which are kept whatever type the file gives them.
_MARKER = re.compile(rb"[\xe2\x96\x81_]*(?:<.*>|\[.*\])", re.DOTALL)
_SPACE = "▁".encode()


@dataclass(frozen=True, slots=True)
class Trim:
    """How to cut a model's file. kept: the ids of the kept tokens, ascending. count: the present number of tokens.
    changes, rows: as `gguf_writer.write` takes them."""

    scripts: tuple[str, ...]
    count: int
    kept: Rows
    changes: Mapping[str, bytes | None]
    rows: Mapping[str, Rows]

    @property
    def share(self) -> float:
        """The kept share of the vocabulary."""
        return len(self.kept) / self.count


class UncutError(ModelError):
    """The vocabulary cannot be cut. The message says why; the model may still be optimised in other ways."""


def plan(header: Header, scripts: Sequence[str]) -> Trim:
    """Computes which tokens are kept for text in `scripts`. Raises UncutError."""
    import numpy as np

    vocabulary = _Vocabulary(header)
    kept = vocabulary.kept(Alphabet(scripts)) if tuple(scripts) != (ALL,) else set(range(vocabulary.count))
    ids: Rows = np.array(sorted(kept), dtype=np.int64)
    rows = {tensor.name: ids for tensor in header.tensors if _ROWS.fullmatch(tensor.name)}
    for tensor in header.tensors:
        if tensor.name in rows and tensor.shape[-1] != vocabulary.count:
            raise UncutError(f"{tensor.name} has {tensor.shape[-1]} rows for {vocabulary.count} tokens")
    return Trim(tuple(scripts), vocabulary.count, ids, dict(vocabulary.changes(ids.tolist())), rows)


class _Vocabulary:
    """The tokens of a file, and the keys that depend on them."""

    def __init__(self, header: Header) -> None:
        if header.integer("split.count", 1) > 1:
            raise UncutError("the model comes in several parts; join them with llama.cpp's llama-gguf-split --merge")
        kind, tokens = header.text("tokenizer.ggml.model"), header.metadata.get(_TOKENS)
        if not isinstance(tokens, LargeArray) or kind not in ("llama", "gpt2", "gemma4"):
            raise UncutError(f"its tokeniser, {kind or 'which it does not name'}, is not SPM or BPE")
        self._header = header
        self._values = {key: writer.value_of(header, key) for key in header.spans if key.startswith("tokenizer.")}
        self.texts = writer.array_elements(self._values[_TOKENS])
        self.count = len(self.texts)
        self._ids = {text: token for token, text in enumerate(self.texts)}
        self._types = [_NORMAL] * self.count
        if _TYPES in self._values:
            found = writer.array_elements(self._values[_TYPES])
            self._types = [int.from_bytes(one, "little", signed=True) for one in found]
        for key in self._values:
            array = header.metadata[key]
            by_token = isinstance(array, LargeArray | tuple) and _length(array) == self.count
            if by_token != (key in _BY_TOKEN) and key not in (_MERGES, *_ID_LISTS):
                raise UncutError(f"it has a table that is not understood, {key}")
        self._merges: list[tuple[bytes, bytes]] = []
        by_byte_tokens = self._has_byte_tokens()
        if kind != "llama":
            if _MERGES not in self._values:
                raise UncutError("its BPE tokeniser has no merges")
            self._merges = [_halves(merge) for merge in writer.array_elements(self._values[_MERGES])]
        elif not by_byte_tokens:
            raise UncutError("it has no tokens for single bytes, so that other text would be lost")
        # In a BPE vocabulary each byte is written as one character, unless it has tokens for bytes like an SPM
        # vocabulary.
        self._of_bytes = kind != "llama" and not by_byte_tokens
        self._bytes_of = _byte_values()

    def kept(self, alphabet: Alphabet) -> set[int]:
        """The ids of the kept tokens."""
        always = {spelling.encode() for form in FORMATS for spelling in (*form.spellings, *form.stops, form.file)}
        named = set(self._special_ids())
        kept = set(range(min(_FIRST_IDS, self.count))) | named
        single: set[int] = set()
        needed: set[int] = set()
        for token, (text, type) in enumerate(zip(self.texts, self._types, strict=True)):
            if text in always:
                kept.add(token)
            elif type != _NORMAL:
                if type != _UNUSED and not (type == _CONTROL and b"unused" in text):
                    kept.add(token)
            else:
                part = self._bytes(text)
                if self._of_bytes and part is not None:
                    if len(part) == 1:
                        single.add(part[0])
                    needed.update(part)
                if part is None or len(part) == 1 or _MARKER.fullmatch(text) or alphabet.can_hold(part):
                    kept.add(token)
        if needed - single:
            raise UncutError("not every byte of its tokens is a token, so that other text would be lost")
        missing = -len(kept) % _MULTIPLE
        for token in self._others(kept):
            if missing == 0:
                break
            kept.add(token)
            missing -= 1
        return kept

    def changes(self, kept: Sequence[int]) -> Iterator[tuple[str, bytes | None]]:
        """The keys that change if the file has only these tokens."""
        new = {old: index for index, old in enumerate(kept)}
        for key, value in self._values.items():
            if key in _BY_TOKEN:
                elements = writer.array_elements(value)
                yield key, writer.array_value(value, [elements[token] for token in kept])
            elif key in _ID_LISTS:
                ids = [int.from_bytes(one, "little") for one in writer.array_elements(value)]
                yield key, writer.array_value(value, [new[old].to_bytes(4, "little") for old in ids if old in new])
            elif key == _MERGES:
                left = {self.texts[token] for token in kept}
                pairs = zip(writer.array_elements(value), self._merges, strict=True)
                yield key, writer.array_value(value, [merge for merge, pair in pairs if left.issuperset(_all(pair))])
            elif key.endswith("_token_id") and self._header.integer(key, -1) in new:
                yield key, writer.number_value(value, new[self._header.integer(key)])
        if _WHOLE_TOKENIZER in self._values:
            yield _WHOLE_TOKENIZER, None
        size = f"{self._header.architecture}.vocab_size"
        if size in self._header.spans:
            yield size, writer.number_value(writer.value_of(self._header, size), len(kept))

    def _special_ids(self) -> Iterator[int]:
        for key in self._values:
            token = self._header.integer(key, -1) if key.endswith("_token_id") else -1
            if 0 <= token < self.count:
                yield token

    def _others(self, kept: set[int]) -> Iterator[int]:
        """More tokens to keep, in an order in which each can be merged from tokens before it."""
        if not self._merges:
            yield from (token for token in range(self.count) if token not in kept)
            return
        left = {self.texts[token] for token in kept}
        for first, second in self._merges:
            token = self._ids.get(first + second)
            if token is not None and token not in kept and {first, second} <= left:
                left.add(first + second)
                yield token

    def _bytes(self, text: bytes) -> bytes | None:
        """The bytes of a token; None if it is not spelled like text of this vocabulary."""
        if not self._of_bytes:
            return text.replace(_SPACE, b" ")
        try:
            return bytes(self._bytes_of[character] for character in text.decode())
        except (KeyError, UnicodeDecodeError):
            return None

    def _has_byte_tokens(self) -> bool:
        return all(b"<0x%02X>" % byte in self._ids for byte in range(256))


def _length(array: LargeArray | tuple[object, ...]) -> int:
    return array.count if isinstance(array, LargeArray) else len(array)


def _halves(merge: bytes) -> tuple[bytes, bytes]:
    """The two parts that a merge joins. The first part may itself begin with a space."""
    at = merge.find(b" ", 1)
    return (merge[:at], merge[at + 1 :]) if at > 0 else (b"", b"")


def _all(pair: tuple[bytes, bytes]) -> tuple[bytes, bytes, bytes]:
    return (*pair, pair[0] + pair[1])


def _byte_values() -> dict[str, int]:
    """The byte for each character of a byte-level BPE vocabulary, as in GPT-2: printable characters stand for
    themselves, and the characters from 256 on stand for the other bytes in order."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in plain}
    others = (byte for byte in range(256) if byte not in plain)
    return {**table, **{chr(256 + index): byte for index, byte in enumerate(others)}}
