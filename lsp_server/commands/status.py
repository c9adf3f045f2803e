"""`fimble status`: asks each running server of this user, over its Unix socket, what it does."""

from __future__ import annotations

import argparse
import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from lsp_server.backends.base import ModelError
from lsp_server.commands.output import tell
from lsp_server.system import user_sockets

# How long a server may take to answer. One whose event loop hangs does not answer.
_SECONDS = 2.0
_MOST_SERVERS, _MOST_BYTES = 64, 1 << 20
_AGAIN_SECONDS = 1.0


def add_arguments(commands: Any, common: argparse.ArgumentParser) -> None:
    """The arguments of `fimble status`."""
    parser = commands.add_parser(
        "status",
        parents=[common],
        help="what your running servers do, and where the time of the last requests went",
        description="Shows your running servers: model, memory, queue, the last ten requests, where their time went, "
        "and why nothing appeared. No code is in it.",
    )
    parser.add_argument("--watch", action="store_true", help="draw it again each second, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="print JSON: a list of servers; with --watch, a line each")


def run(options: argparse.Namespace) -> int:
    """Raises ModelError, one line, on systems without Unix sockets."""
    if not user_sockets.is_possible():
        raise ModelError("this system has no Unix sockets; ask in the editor: the command `fimble.why`, or its status")
    if options.json:
        for found in _again(options.watch):
            tell(json.dumps(found, indent=None if options.watch else 2))
        return 0
    from lsp_server.commands import status_page

    if options.watch:
        status_page.watch(_again(watch=True))
    else:
        from lsp_server.commands.costs import costs_today

        status_page.show(servers(), costs_today())
    return 0


def _again(watch: bool) -> Iterator[list[dict[str, Any]]]:
    yield servers()
    while watch:
        time.sleep(_AGAIN_SECONDS)
        yield servers()


def servers() -> list[dict[str, Any]]:
    """The answer of each server with its memory, the longest running first. For a server that does not answer, only
    that fact. Raises ModelError."""
    try:
        folder = user_sockets.folder()
    except user_sockets.FolderError as error:
        raise ModelError(str(error)) from None
    paths = user_sockets.sweep(sorted(folder.glob(f"*{user_sockets.STATUS}")))[:_MOST_SERVERS]
    if not paths:
        return []
    # All connections are opened first, so that the servers answer at the same time.
    connections = [(path, user_sockets.connected(path, _SECONDS)) for path in paths]
    end = time.monotonic() + _SECONDS
    found = [each for path, connection in connections if (each := _answer_of(path, connection, end)) is not None]
    sharing = [
        each for each in found if isinstance(engine := each.get("engine"), dict) and engine.get("home") == "shared"
    ]
    if sharing:
        shared = _shared_engines(folder)
        for each in sharing:
            each["memory"]["sharedEngines"] = shared
    return sorted(found, key=lambda each: -_number(each.get("runsSeconds")))


def _answer_of(path: Path, connection: socket.socket | None, end: float) -> dict[str, Any] | None:
    """The answer of the server at a path, up to a time of the monotonic clock; None if the server has ended."""
    from lsp_server.commands.status_page import NONSENSE

    try:
        if connection is None:
            raise OSError
        with connection:
            told = json.loads(_read(connection, end))
        if isinstance(told, dict):
            return {**told, "memory": _memory(told.get("pid"))}
        problem = NONSENSE
    except OSError:
        problem = f"does not answer within {_SECONDS:g} s"
    except ValueError:
        problem = NONSENSE
    return {"problem": problem} if path.exists() else None


def _read(connection: socket.socket, end: float) -> bytes:
    """All bytes until the other end closes. Raises OSError if that takes too long or is too much."""
    content = b""
    while len(content) <= _MOST_BYTES:
        connection.settimeout(max(0.001, end - time.monotonic()))
        if not (data := connection.recv(1 << 16)):
            return content
        content += data
    raise OSError


def _memory(pid: object) -> dict[str, int]:
    """How many bytes a server and its child processes use; empty if that cannot be read."""
    import psutil

    found = {}
    if isinstance(pid, int):
        with suppress(psutil.Error, OverflowError, ValueError):
            process = psutil.Process(pid)
            found["server"] = process.memory_info().rss
            found["children"] = sum(_resident(child) for child in process.children(recursive=True))
    return found


def _shared_engines(folder: Path) -> int:
    """How many bytes the shared engines use that listen in this folder."""
    import psutil

    found = 0
    for process in psutil.process_iter(["cmdline"]):
        places = [each for before, each in pairwise(process.info["cmdline"] or []) if before == "--listen"]
        if places and Path(places[0]).parent == folder:
            found += _resident(process)
    return found


def _resident(process: Any) -> int:
    import psutil

    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
