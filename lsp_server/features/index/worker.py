"""The process that keeps the index of one workspace folder: `python -m lsp_server.features.index.worker FOLDER`.

It reads one line of JSON for each request, and answers each with one line. `{"scan": [PATH…]}` reads all changed files,
those near the paths first; `{"paths": [PATH…]}` reads some files; `{"path": PATH, "modules": [[PARTS, NAMES]…]}` reads
the package files that a document imports. It runs at the lowest priority, so that typing and the model go first. It
ends with its input, or when it was idle for a while. Nothing in the folder is run.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lsp_server.core.modules import Module
from lsp_server.features.index.build import Builder
from lsp_server.features.index.store import StoreError

_IDLE_SECONDS = 90.0
_MOST_WAITING = 16


def main(arguments: Sequence[str]) -> int:
    _make_way()
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asked: queue.Queue[str] = queue.Queue(_MOST_WAITING)
    threading.Thread(name="index requests", target=_listen, args=(asked,), daemon=True).start()
    builder = Builder(Path(arguments[0]))
    while True:
        try:
            line = asked.get(timeout=_IDLE_SECONDS)
        except queue.Empty:
            return 0
        if not line:
            return 0
        print(json.dumps(_answer(builder, json.loads(line))), file=out, flush=True)


def _answer(builder: Builder, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        if "modules" in asked:
            modules = [Module(tuple(parts), frozenset(names)) for parts, names in asked["modules"]]
            changed = builder.libraries(asked["path"], modules)
        else:
            changed = builder.update(asked["paths"]) if "paths" in asked else builder.scan(asked.get("scan", ()))
    except StoreError as error:
        return {"changed": 0, "problem": str(error)}
    return {"changed": changed, "problem": ""}


def _listen(asked: queue.Queue[str]) -> None:
    """Puts each line of the input into the queue, and an empty one at the end."""
    for line in sys.stdin:
        asked.put(line)
    asked.put("")


def _make_way() -> None:
    with suppress(OSError, AttributeError, ImportError):
        import psutil

        process = psutil.Process()
        process.nice(psutil.IDLE_PRIORITY_CLASS if sys.platform == "win32" else 19)
        process.ionice(psutil.IOPRIO_VERYLOW if sys.platform == "win32" else psutil.IOPRIO_CLASS_IDLE)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
