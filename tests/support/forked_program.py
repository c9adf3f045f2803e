"""A program `fimble` that starts in milliseconds, for editors.

It lends its descriptors to a process that is forked from one that has served once (see `forked`), and ends as that one
ends. What it lacks is the start of the interpreter, and that the server is a child of the editor.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import multiprocessing
import multiprocessing.connection
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Sequence
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path

from tests.support import forked

# Runs without site-packages. It ends when the process has ended; when it is ended itself, the other end sees that.
_RELAY = """\
import json, os, socket, sys
other = socket.socket(socket.AF_UNIX)
other.connect(sys.argv[1])
asked = json.dumps([sys.argv[2:], os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(other, [len(asked).to_bytes(4, "big")], [0, 1, 2])
other.sendall(asked)
for descriptor in (0, 1, 2):
    os.close(descriptor)
os._exit(int(other.recv(20) or b"1"))
"""


def write(path: Path, serve: Sequence[str]) -> Path:
    """Writes the program. serve: arguments that it puts behind `serve`."""
    more = " ".join(f"'{argument}'" for argument in serve)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "#!/bin/sh\n"
        f'if [ "$1" = serve ]; then shift; set -- serve {more} "$@"; fi\n'
        f"exec '{sys.executable}' -I -S '{_listening() / 'relay.py'}' '{_listening() / 's'}' \"$@\"\n"
    )
    path.chmod(0o755)
    return path


@cache
def _listening() -> Path:
    """The folder with the socket where this process forks for others, and with their end of it."""
    forked.ready()  # or it would take some seconds of those that the editor's first server is waited for
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "relay.py").write_text(_RELAY)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "s"))
    listener.listen()
    threading.Thread(target=_accept, args=[listener], daemon=True).start()
    return folder


def _accept(listener: socket.socket) -> None:
    while True:
        threading.Thread(target=_run, args=[listener.accept()[0]], daemon=True).start()


def _run(relay: socket.socket) -> None:
    """Runs what the relay asks for to its end, or until the relay has ended."""
    with relay:
        header, descriptors, _, _ = socket.recv_fds(relay, 4, 3)
        ends = [Connection(descriptor) for descriptor in descriptors]
        with relay.makefile("rb") as sent:
            arguments, cwd, env = json.loads(sent.read(int.from_bytes(header, "big")))
        process = forked.start(arguments, Path(cwd), env, {}, ends)
        for end in ends:
            end.close()
        multiprocessing.connection.wait([process.sentinel, relay])
        if process.is_alive():
            process.kill()
        process.join()
        status = process.exitcode or 0
        with contextlib.suppress(OSError):  # the relay may have ended
            relay.sendall(b"%d" % (status if status >= 0 else 128 - status))
