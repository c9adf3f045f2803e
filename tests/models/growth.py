"""Loads a model in this process and prints how much its memory grew: `python -m tests.models.growth SPEC`.

SPEC: path, context_tokens, sequences, flash_attention and whether to fill a window, as JSON. Run alone, since memory
that was freed once is used again.
"""

from __future__ import annotations

import json
import sys

import numpy  # noqa: F401 - not the model's memory
import psutil

from lsp_server.backends import devices, llama
from lsp_server.backends.base import ModelSpec


def main() -> None:
    path, context, sequences, flash, filled = json.loads(sys.argv[1])
    spec = ModelSpec(path, context, sequences, flash_attention=flash)
    devices.devices()  # the library is not the model's memory either
    process = psutil.Process()
    before = process.memory_info().rss
    backend = llama.open_file(spec, lambda _: True)
    chunk = backend.info.chunk_tokens
    # The memory of all sequences is written to when it is allocated. What is computed in is that of one step.
    for sequence in sorted({0, sequences - 1}):
        # The graph of the last batch of a full window is the largest.
        for start in range(0, context - chunk + 1 if filled and sequence == 0 else 1, chunk):
            # As many logits as are ever asked for, once: that memory is one for all sequences.
            backend.evaluate(sequence, start, [97] * chunk, logits=1 if sequence or start else min(32, chunk))
    print(process.memory_info().rss - before)


if __name__ == "__main__":
    main()
