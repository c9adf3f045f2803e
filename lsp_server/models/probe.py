"""Loads GGUF files in a process of its own and decodes with each: `python -m lsp_server.models.probe FILE …`.

llama.cpp aborts the process on some files with a well-formed header. This process may be aborted: `admission` starts it
for a file that this machine has not seen before. For each file it prints one line of JSON to stdout: the refusal, empty
if the model works. If it ends before a file's line, that file has killed it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Sequence

from lsp_server.backends.base import Adapter, ModelError, ModelSpec

_CONTEXT, _SEQUENCES = 256, 2
_TEXT = "def größe(länge):\n    return 'é😀' + länge\n\t// <|fim_prefix|> 0x1F\r\n".encode()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m lsp_server.models.probe")
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--gpu-layers", type=int, default=-1)
    parser.add_argument("--lora", help="an adapter to use each with")
    parser.add_argument("--scale", type=float, default=1.0)
    options = parser.parse_args(arguments)
    _leave_no_core_file()
    out = os.dup(1)
    os.dup2(2, 1)  # output of the native library must not mix with the verdicts
    adapters = (Adapter(options.lora, options.scale),) if options.lora else ()
    for file in options.files:
        spec = ModelSpec(file, _CONTEXT, _SEQUENCES, threads=1, gpu_layers=options.gpu_layers, adapters=adapters)
        os.write(out, json.dumps({"refusal": try_model(spec)}).encode() + b"\n")
    return 0


def try_model(spec: ModelSpec) -> str:
    """Loads a model and uses it as the engine does. Returns why it cannot be used; empty if it can."""
    import numpy as np

    from lsp_server.backends import llama

    try:
        backend = llama.open_file(spec, lambda _: True)
        try:
            size = backend.info.vocabulary
            tokens = [*backend.start_tokens(), *backend.tokenize(_TEXT)]
            for token in {*tokens, *range(0, size, max(1, size // 997)), size - 1}:
                backend.piece(token)
                backend.ends(token)
            chunk = [token for token in tokens if 0 <= token < size][: backend.info.chunk_tokens]
            if not chunk:
                return "it makes no tokens of a text"
            logits = backend.evaluate(0, 0, chunk, logits=1)[0]
            chosen = int(np.argmax(logits))
            finite = bool(np.isfinite(logits).all())
            backend.copy(0, 1)
            backend.truncate(1, max(1, len(chunk) - 2))
            length = backend.length(1)
            following = [chosen] * min(4, _CONTEXT - length)
            for row in backend.evaluate(1, length, following, logits=len(following)):
                finite = finite and bool(np.isfinite(row).all())
            return "" if finite else "its weights are damaged: what it computes is not a number"
        finally:
            backend.close()
    except ModelError as error:
        said = str(error)
        for file in (spec.path, *(adapter.path for adapter in spec.adapters)):
            said = said.replace(file, "it")
        return said


def _leave_no_core_file() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):  # Windows has no such limits
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
