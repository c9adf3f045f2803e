"""The process that an engine has for itself: messages from stdin to the core, its events to stdout."""

from __future__ import annotations

import os
import sys
import threading

from lsp_server import __version__
from lsp_server.backends.base import BackendFactory
from lsp_server.engine import wire
from lsp_server.engine.core import EngineCore
from lsp_server.engine.request import Event, Shutdown


def serve(factory: BackendFactory) -> int:
    """Runs a core until stdin ends, or `Shutdown` comes. Returns the exit status: 0, or 1 after a message that is none.

    What else writes to stdout (a native library, a stray print) goes to stderr.
    """
    events = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    writing = threading.Lock()  # the core's thread and those that load a model tell of events

    def post(event: Event | wire.Hello) -> None:
        frame = memoryview(wire.encode(event))
        with writing:
            try:
                while frame:
                    frame = frame[events.write(frame) :]
            except OSError:  # nobody reads any more
                os._exit(0)

    post(wire.Hello(__version__))
    core = EngineCore(factory, post)
    status = 0

    def receive() -> None:
        nonlocal status
        with os.fdopen(0, "rb", buffering=1 << 16, closefd=False) as messages:
            try:
                while (message := wire.read(messages.read)) is not None:
                    core.send(message)
            except wire.WireError as error:
                print(f"fimble: the engine got {error}", file=sys.stderr)  # noqa: T201 - the process's own output
                status = 1
        core.send(Shutdown())

    threading.Thread(target=receive, name="messages", daemon=True).start()
    core.run()
    return status
