"""`tokenizer`: trains the byte-level BPE of the model from scratch; also loads tokenizers that equal llama.cpp's.

Text is split by the rule of Qwen2's tokenizer, which llama.cpp knows by name. Each digit is a token. A line end is one
token with the blank lines around it. The last space of a run belongs to the word after it, so each usual depth of
indentation is one token.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bench.training import corpus
from bench.training.gguf_files import field_of, open_gguf

PRE_TOKENIZER = "qwen2"
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# Qwen's spellings, which every tool recognises. The first ends a text.
SPECIAL = (
    "<|endoftext|>",
    "<|fim_prefix|>",
    "<|fim_middle|>",
    "<|fim_suffix|>",
    "<|fim_pad|>",
    "<|repo_name|>",
    "<|file_sep|>",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--corpus", type=Path, required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="tokenizer.json")
    parser.add_argument("--size", type=int, default=16384, help="tokens in the vocabulary, special ones included")
    parser.add_argument("--most-mb", type=float, default=300, help="how much of the corpus to learn from")


def run(options: argparse.Namespace) -> int:
    if options.out.is_file():
        print(f"{options.out} is there; remove it to train it again")
        return 0
    tokenizer = train(_texts(options.corpus, options.most_mb), options.size)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(options.out))
    held = "".join(file.text for file, _ in zip(corpus.read(options.corpus, "held-out"), range(50), strict=False))
    tokens = tokenizer.encode(held, add_special_tokens=False).ids
    print(
        f"{tokenizer.get_vocab_size()} tokens; {len(held.encode()) / max(1, len(tokens)):.2f} bytes a token, held out"
    )
    return 0


def train(texts: Iterable[str], size: int) -> Any:
    """A `tokenizers.Tokenizer` of `size` tokens, the special ones last."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken(spelling, normalized=False, special=True) for spelling in SPECIAL])
    return tokenizer


def load(path: Path) -> Any:
    """The tokenizer of a tokenizer.json, or of a GGUF file with a SentencePiece vocabulary."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(path)) if path.suffix == ".json" else of_sentencepiece_gguf(path)


def of_sentencepiece_gguf(path: Path) -> Any:
    """A tokenizer with the same tokens as llama.cpp for Gemma's vocabulary, without llama.cpp.

    llama.cpp repeatedly joins the pair whose joined piece has the highest score (the leftmost of equal ones), and
    writes the rest as bytes. That is BPE with the merges ordered by the score of their result. User-defined pieces
    (runs of line ends or spaces, tags) are found first, the longest at each place, like added tokens.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

    reader = open_gguf(path)
    pieces: list[str] = field_of(reader, "tokenizer.ggml.tokens")
    scores: list[float] = field_of(reader, "tokenizer.ggml.scores")
    kinds: list[int] = field_of(reader, "tokenizer.ggml.token_type")
    normal, defined = 1, 4
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    joinable = {piece for piece, kind in zip(pieces, kinds, strict=True) if kind == normal}
    merges = [
        (-scores[number], number, piece[:cut], piece[cut:])
        for number, (piece, kind) in enumerate(zip(pieces, kinds, strict=True))
        if kind == normal
        for cut in range(1, len(piece))
        if piece[:cut] in joinable and piece[cut:] in joinable
    ]
    merges.sort(key=lambda merge: merge[:2])
    pairs = [(left, right) for _, _, left, right in merges]
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs, byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    spelled = [piece for piece, kind in zip(pieces, kinds, strict=True) if kind == defined]
    tokenizer.add_tokens([AddedToken(piece.replace("▁", " "), normalized=False) for piece in spelled])
    return tokenizer


def _texts(folder: Path, most_mb: float) -> Iterator[str]:
    room = most_mb * 1e6
    for file in corpus.read(folder, "train"):
        yield file.text
        room -= len(file.text)
        if room < 0:
            return
