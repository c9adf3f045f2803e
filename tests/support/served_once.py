"""Has served clients when it is imported, so that processes forked from this one start with compiled converters."""

from __future__ import annotations

import gc
import threading

from lsp_server.backends.scripted import ScriptedBackend
from tests.support.editor import CLIENTS, recorded
from tests.support.inprocess import served
from tests.support.stdio import SECONDS, inline_params


def serve_once() -> None:
    """Handshakes with every recorded client, and one request of each usual kind. Leaves no thread behind."""
    uri = "file:///w/a.py"
    for path in sorted(CLIENTS.glob("*.initialize.json")):
        client, _ = served(ScriptedBackend)
        client.initialize(recorded(path.name.removesuffix(".initialize.json"))["capabilities"])
        client.open(uri, "def f(x):\n    return x\n")
        client.change(uri, 2, "def f(x):\n    return x + 1\n")
        client.inline(uri, 1, 10)
        client.call("textDocument/completion", inline_params(uri, 1, 10))
        start = {"line": 1, "character": 4}
        here = {"textDocument": {"uri": uri}, "range": {"start": start, "end": start}, "context": {"diagnostics": []}}
        client.call("textDocument/codeAction", here)
        client.status()
        assert client.finish() == 0
        client.kill()
    gc.unfreeze()  # a server freezes what there is when its model is ready
    others = set(threading.enumerate()) - {threading.main_thread()}
    for thread in others:
        thread.join(SECONDS)
    assert not any(thread.is_alive() for thread in others), "a process with threads cannot be forked"


serve_once()
