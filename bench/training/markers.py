"""`markers`: finds the unused tokens of a vocabulary that differ most, as markers between the parts of a prompt.

Most unused tokens have nearly the same embedding, because no training has changed them.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np

from bench.training.gguf_files import field_of, open_gguf


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base", type=Path, required=True, metavar="FILE", help="the GGUF file of the starter model")
    parser.add_argument("--count", type=int, default=4)


def run(options: argparse.Namespace) -> int:
    for spelling, number, nearest in distinct_markers(options.base, options.count):
        print(f"{number:>7} {spelling:<16} largest cosine to one above {nearest:+.2f}")
    return 0


def distinct_markers(path: Path, count: int) -> list[tuple[str, int, float]]:
    """Unused tokens whose embeddings have low cosines to each other: spelling, id, and the largest cosine to a token
    before it.

    Greedy: the pair with the lowest cosine, then always the token whose largest cosine to those chosen is lowest.
    """
    import gguf

    reader = open_gguf(path)
    pieces: list[str] = field_of(reader, "tokenizer.ggml.tokens")
    unused = [number for number, piece in enumerate(pieces) if re.fullmatch(r"<unused\d+>", piece)]
    table = next(tensor for tensor in reader.tensors if tensor.name == "token_embd.weight")
    embeddings = np.asarray(gguf.quants.dequantize(table.data[unused], table.tensor_type), dtype=np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosines = embeddings @ embeddings.T
    np.fill_diagonal(cosines, 2)
    chosen = [int(index) for index in np.unravel_index(np.argmin(cosines), cosines.shape)]
    while len(chosen) < count:
        largest = cosines[:, chosen].max(axis=1)
        chosen.append(int(largest.argmin()))
    found = []
    for index, row in enumerate(chosen[:count]):
        nearest = float(cosines[row, chosen[:index]].max()) if index else 0.0
        found.append((pieces[unused[row]], unused[row], nearest))
    return found
