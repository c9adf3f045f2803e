"""`pack`: cuts holes into the corpus, tokenises the samples, and packs them into rows of fixed length.

Writes, for each shard of the corpus and epoch, `NNN-EE.tokens.npy` (rows × length, uint16 or uint32) and
`NNN-EE.roles.npy` (the same shape, uint8: what each token is, see `Role`), and last `meta.json`. A row has whole
samples, one after the other, and then padding. Existing shards are not made again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
from collections import Counter, deque
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np

from bench.training import corpus, tokenizer
from bench.training.gguf_files import field_of, open_gguf
from bench.training.holes import Sample, document_of, samples_of
from lsp_server.core.fim_formats import FimFormat, find_format
from lsp_server.core.pieces import Piece, pieces_of

# How many rows are filled at the same time. With more rows there is less padding.
_OPEN_ROWS = 64

# From how many earlier files of the package a sample may show parts.
_OTHER_FILES = 4


class Role(IntEnum):
    """The role of a token in its sample."""

    PADDING = 0
    CONTEXT = 1  # of a prompt
    MIDDLE = 2  # the text that the model must write: a middle with its end, or plain text


@dataclass(frozen=True, slots=True)
class Codec:
    """Turns samples into tokens. start: the tokens at the start of a text."""

    tokenizer: Any
    start: tuple[int, ...]
    end: int
    markers: dict[str, int]

    def encode(self, sample: Sample) -> tuple[list[int], list[int]]:
        """The tokens of a sample and the role of each."""
        context: list[int] = list(self.start)
        typed = b""
        for segment in sample.prompt:
            if segment.kind == "marker":
                context.append(self.markers[segment.text.decode()])
            elif segment.kind == "typed" and sample.joined:
                typed = segment.text
            else:
                context += self._tokens(segment.text)
        middle = self._tokens(typed + sample.middle) + ([self.end] if sample.ends else [])
        return context + middle, [Role.CONTEXT] * len(context) + [Role.MIDDLE] * len(middle)

    def _tokens(self, text: bytes) -> list[int]:
        encoded: list[int] = self.tokenizer.encode(text.decode("utf-8", "replace"), add_special_tokens=False).ids
        return encoded


def codec_of(path: Path, form: FimFormat) -> Codec:
    """The codec of a tokenizer.json, or of a GGUF file. Raises ValueError if a marker of `form` is missing."""
    found = tokenizer.load(path)
    # The spelling of a special token in a text, as in code about tokenizers, stays text.
    found.encode_special_tokens = True
    spellings = dict.fromkeys((*form.spellings, form.file)) if form.file else form.spellings
    markers = {spelling: found.token_to_id(spelling) for spelling in spellings}
    missing = [spelling for spelling, number in markers.items() if number is None]
    if missing:
        raise ValueError(f"{path.name} has no token {missing[0]}, which the format {form.name} needs")
    if path.suffix == ".json":
        return Codec(found, (), found.token_to_id(tokenizer.SPECIAL[0]), markers)
    reader = open_gguf(path)
    start = (field_of(reader, "tokenizer.ggml.bos_token_id"),)
    return Codec(found, start, field_of(reader, "tokenizer.ggml.eos_token_id"), markers)


class Rows:
    """Fills rows of `length` tokens. Each sample goes into the fullest open row that has room for it."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.done: list[tuple[list[int], list[int]]] = []
        self._open: list[tuple[list[int], list[int]]] = []

    def add(self, tokens: list[int], roles: list[int]) -> None:
        fitting = [row for row in self._open if len(row[0]) + len(tokens) <= self.length]
        if fitting:
            row = max(fitting, key=lambda row: len(row[0]))
        else:
            if len(self._open) == _OPEN_ROWS:
                fullest = max(range(_OPEN_ROWS), key=lambda index: len(self._open[index][0]))
                self.done.append(self._open.pop(fullest))
            row = ([], [])
            self._open.append(row)
        row[0].extend(tokens)
        row[1].extend(roles)

    def arrays(self, kind: Any, padding: int) -> tuple[np.ndarray, np.ndarray]:
        """All rows, including those that are not full."""
        rows = self.done + self._open
        tokens = np.full((len(rows), self.length), padding, dtype=kind)
        roles = np.full((len(rows), self.length), Role.PADDING, dtype=np.uint8)
        for index, (numbers, row_roles) in enumerate(rows):
            tokens[index, : len(numbers)] = numbers
            roles[index, : len(row_roles)] = row_roles
        return tokens, roles


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR")
    parser.add_argument("--tokenizer", type=Path, required=True, metavar="FILE", help="tokenizer.json, or Gemma's GGUF")
    parser.add_argument("--format", default="qwen", help="the FIM format, by its name in the server's table")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--split", choices=("train", "held-out"), default="train")
    parser.add_argument("--length", type=int, default=2048, help="tokens in a row")
    parser.add_argument("--epochs", type=int, default=1, help="how often the corpus is gone through, with other holes")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)


def run(options: argparse.Namespace) -> int:
    form = find_format(options.format)
    if form is None or not form.has_fim:
        raise ValueError(f"{options.format} is no FIM format of the server's table")
    options.out.mkdir(parents=True, exist_ok=True)
    shards = corpus.shard_paths(options.corpus, options.split)
    if not shards:
        raise ValueError(f"{options.corpus} has no {options.split} shards; run the stage corpus first")
    tasks = [
        (path, options.out / f"{path.name.partition('.')[0]}-{epoch:02}", options.length, f"{options.seed}/{epoch}")
        for epoch in range(options.epochs)
        for path in shards
    ]
    global _codec, _form  # noqa: PLW0603 - the workers inherit them by forking; Gemma's vocabulary is slow to read
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    codec = _codec = codec_of(options.tokenizer, form)
    _form = form
    with multiprocessing.get_context("fork").Pool(min(options.workers, len(tasks))) as pool:
        for number, stem in enumerate(pool.imap_unordered(_pack, tasks), start=1):
            print(f"{number}/{len(tasks)} {stem}", flush=True)
    counts: Counter[str] = Counter()
    for _, stem, _, _ in tasks:
        counts.update(json.loads(stem.with_suffix(".json").read_text("utf-8")))
    meta = {
        "format": form.name,
        "markers": codec.markers,
        "length": options.length,
        "vocabulary": codec.tokenizer.get_vocab_size(),
        "epochs": options.epochs,
        "seed": options.seed,
        "counts": dict(counts),
    }
    (options.out / "meta.json").write_text(json.dumps(meta, indent=1) + "\n", "utf-8")
    filled = counts["tokens"] / max(1, counts["rows"] * options.length)
    print(f"{counts['rows']} rows, {counts['tokens'] / 1e6:.2f} M tokens, rows {filled:.0%} full: {dict(counts)}")
    return 0


_codec: Codec | None = None
_form: FimFormat | None = None


def _pack(task: tuple[Path, Path, int, str]) -> str:
    """Packs one shard of the corpus. Its counts are written last, to a .json file."""
    path, stem, length, seed = task
    if stem.with_suffix(".json").is_file():
        return f"{stem.name} is there"
    assert _codec is not None and _form is not None
    rows = Rows(length)
    counts: Counter[str] = Counter()
    package = ""
    others: deque[tuple[Piece, ...]] = deque(maxlen=_OTHER_FILES)
    for file in corpus.read_shard(path):
        if file.package != package:
            package = file.package
            others.clear()
        pieces = [piece for other in others for piece in other]
        others.append(pieces_of(document_of(file)))
        for sample in samples_of(file, _form, length, seed, pieces):
            tokens, roles = _codec.encode(sample)
            if len(tokens) > length and sample.ends:
                counts["too long"] += 1
                continue
            rows.add(tokens[:length], roles[:length])
            counts[f"samples: {sample.origin.value}"] += 1
            counts["tokens"] += min(length, len(tokens))
            counts["middle tokens"] += sum(role == Role.MIDDLE for role in roles[:length])
    kind = np.uint16 if _codec.tokenizer.get_vocab_size() <= 1 << 16 else np.uint32
    tokens_array, roles_array = rows.arrays(kind, _codec.end)
    counts["rows"] = len(tokens_array)
    np.save(stem.with_suffix(".tokens.npy"), tokens_array)
    np.save(stem.with_suffix(".roles.npy"), roles_array)
    stem.with_suffix(".json").write_text(json.dumps(counts) + "\n", "utf-8")
    return stem.name
