"""Finds files that are copies or near copies of others, and files that contain a part of a benchmark.

Near copies are found with MinHash (Broder, 1997) and banding: of 128 minima of the hashed 5-word shingles, 16 bands
of 8 two files with a Jaccard similarity of 0.7 share a band with a probability of 60%, with 0.8 of 95%. Files that
share a band are compared by all 128 minima.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

WORD = re.compile(r"\w+")
SHINGLE_WORDS, PERMUTATIONS, BANDS, SIMILAR = 5, 128, 16, 0.7
BENCHMARK_WORDS = 10

_random = np.random.default_rng(20_240_229)
# Multiply-add hashing of 64-bit words; the high half is used (Dietzfelbinger et al., 1997).
_FACTORS = _random.integers(1, 2**63, PERMUTATIONS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
_TERMS = _random.integers(0, 2**63, PERMUTATIONS, dtype=np.uint64)


def _word_hashes(text: str) -> np.ndarray:
    """A 64-bit hash of each word of `text`."""
    numbers: dict[str, int] = {}
    words = WORD.findall(text)
    for word in words:
        if word not in numbers:
            numbers[word] = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
    return np.fromiter((numbers[word] for word in words), dtype=np.uint64, count=len(words))


def ngram_hashes(text: str, words: int) -> np.ndarray:
    """A 64-bit hash, uint64, of each run of `words` words of `text`; fewer words make no run."""
    hashes = _word_hashes(text)
    count = len(hashes) - words + 1
    if count <= 0:
        return np.empty(0, dtype=np.uint64)
    total = np.zeros(count, dtype=np.uint64)
    for index in range(words):
        total = (total ^ hashes[index : index + count]) * np.uint64(0x9E3779B97F4A7C15)
        total ^= total >> np.uint64(29)
    return total


def minima(text: str) -> np.ndarray:
    """The MinHash signature of `text`: uint32, shape (PERMUTATIONS,)."""
    shingles = np.unique(ngram_hashes(text, SHINGLE_WORDS))
    if not len(shingles):
        shingles = np.unique(_word_hashes(text + " x"))
    lowest = np.full(PERMUTATIONS, 2**32 - 1, dtype=np.uint32)
    for begin in range(0, len(shingles), 4096):
        block = shingles[begin : begin + 4096, None] * _FACTORS + _TERMS
        lowest = np.minimum(lowest, (block >> np.uint64(32)).astype(np.uint32).min(axis=0))
    return lowest


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprint:
    """digest: SHA-256 of the text without white space. minima: its MinHash signature."""

    digest: bytes
    minima: np.ndarray


def fingerprint(text: str) -> Fingerprint:
    return Fingerprint(hashlib.sha256(" ".join(text.split()).encode()).digest(), minima(text))


class Seen:
    """The files kept so far. The first of several copies is kept."""

    def __init__(self) -> None:
        self._exact: set[bytes] = set()
        self._signatures: list[np.ndarray] = []
        self._bands: dict[tuple[int, bytes], list[int]] = {}

    def copy_kind(self, print_of: Fingerprint) -> str:
        """`copy` or `near copy` if such a file was seen before. Else empty, and the file is added."""
        if print_of.digest in self._exact:
            return "copy"
        self._exact.add(print_of.digest)
        signature = print_of.minima
        rows = PERMUTATIONS // BANDS
        keys = [(band, signature[band * rows : (band + 1) * rows].tobytes()) for band in range(BANDS)]
        for other in {index for key in keys for index in self._bands.get(key, ())}:
            if np.mean(self._signatures[other] == signature) >= SIMILAR:
                return "near copy"
        for key in keys:
            self._bands.setdefault(key, []).append(len(self._signatures))
        self._signatures.append(signature)
        return ""


class Benchmarks:
    """The 10-word runs of all texts in a folder's .jsonl and .jsonl.gz files; words are `\\w+`."""

    def __init__(self, folder: Path | None) -> None:
        found = [ngram_hashes(text, BENCHMARK_WORDS) for text in _texts(folder)] if folder else []
        self._runs = np.unique(np.concatenate(found)) if found else np.empty(0, dtype=np.uint64)

    def __len__(self) -> int:
        return len(self._runs)

    def in_text(self, text: str) -> bool:
        """Whether `text` contains one of the runs."""
        if not len(self._runs):
            return False
        hashes = ngram_hashes(text, BENCHMARK_WORDS)
        at = np.minimum(np.searchsorted(self._runs, hashes), len(self._runs) - 1)
        return bool(np.any(self._runs[at] == hashes))


def _texts(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*.jsonl*")):
        raw = path.read_bytes()
        for line in (gzip.decompress(raw) if path.suffix == ".gz" else raw).splitlines():
            yield from _strings(json.loads(line))


def _strings(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        # The parts of one program are joined to one text.
        prompt, solution = value.get("prompt"), value.get("canonical_solution")
        if isinstance(prompt, str) and isinstance(solution, str):
            yield prompt + solution + str(value.get("suffix", ""))
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
