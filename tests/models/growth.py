"""Loads a model in this process and prints how much its memory grew: `python -m tests.models.growth SPEC`.

SPEC: path, context_tokens and sequences, as JSON. Run alone, since memory that was freed once is used again.
"""

from __future__ import annotations

import json
import sys

import numpy  # noqa: F401 - not the model's memory
import psutil

from lsp_server.backends import devices, llama
from lsp_server.backends.base import ModelSpec


def main() -> None:
    path, context, sequences, flash = json.loads(sys.argv[1])
    spec = ModelSpec(path, context, sequences, flash_attention=flash)
    devices.devices()  # the library is not the model's memory either
    process = psutil.Process()
    before = process.memory_info().rss
    backend = llama.open_file(spec, lambda _: True)
    chunk = backend.info.chunk_tokens
    for sequence in range(sequences):
        # One window of a small model is filled: the graph of its last batch is the largest.
        full = sequence == 0 and context <= 4096 and backend.info.bytes < 100 << 20
        for start in range(0, context - chunk + 1 if full else chunk + 1, chunk):
            # As many logits as are ever asked for, once: that memory is one for all sequences.
            backend.evaluate(sequence, start, [97] * chunk, logits=1 if sequence or start else min(32, chunk))
    print(process.memory_info().rss - before)


if __name__ == "__main__":
    main()
