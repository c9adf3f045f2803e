"""Keeps the indexes of a server's workspace folders: starts the processes that build them, and reports changes to them.

Everything but the lookups happens on the event loop, and nothing blocks it.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.abc
import msgspec
from anyio.streams.buffered import BufferedByteReceiveStream

from lsp_server.children import Lifeline, Limits, programs
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import Hole
from lsp_server.core.index_offer import NO_OFFER, Offer
from lsp_server.core.pieces import Piece
from lsp_server.features.index.roots import indexed_roots, path_below, root_of

if TYPE_CHECKING:
    from lsp_server.core.modules import Module
    from lsp_server.features.index.lookup import Lookup

logger = logging.getLogger(__name__)

# How long after a document of a folder is opened the folder is scanned, and after how long again when the user pauses,
# because not every editor reports changes.
_FIRST_SECONDS, _AGAIN_SECONDS = 1.0, 60.0
# Changes within this time are reported together.
_TOGETHER_SECONDS = 0.1
# With more changes than this, the folder is scanned instead.
_MOST_CHANGES = 2000
_MOST_NEAR = 16
_MOST_DOCUMENTS = 64
_MOST_FAILURES = 3
_MOST_LINE_BYTES = 1 << 16
_LIMITS = Limits(data_bytes=1 << 30, file_bytes=2 << 30)
_WORKER = "lsp_server.features.index.worker"

Start = Callable[..., None]


class FolderIndex:
    """The worker process of one folder, and the requests that still have to be sent to it."""

    def __init__(self, root: Path, start: Start) -> None:
        self.root = root
        self._start = start
        self._near: list[str] | None = None
        self._changes: set[str] = set()
        # The imports of documents that the worker was asked for, and those of them that are not sent yet.
        self._imports: dict[str, Any] = {}
        self._unread: dict[str, Any] = {}
        self._running = False
        self._failures = 0
        self._process: anyio.abc.Process | None = None
        self._lifeline: Lifeline | None = None
        self.scanned_at = -1e9
        self.scans = self.changed = 0
        self.problem = ""

    def scan(self, near: Sequence[str], after: float = 0.0) -> None:
        """Requests a scan of the folder, with files near the given ones first."""
        self._near = list(near)
        self._go(after)

    def libraries(self, path: str, modules: Sequence[Module]) -> None:
        """Requests the package files that a document imports, if its imports have changed."""
        wanted = [[each.parts, sorted(each.names)] for each in modules if not each.placed]
        if self._imports.get(path) != wanted:
            self._imports[path] = wanted
            self._unread[path] = wanted
            while len(self._imports) > _MOST_DOCUMENTS:
                gone = next(iter(self._imports))
                del self._imports[gone]
                self._unread.pop(gone, None)
            self._go(0.0)

    def change(self, paths: Iterable[str]) -> None:
        """Requests an update of some files."""
        self._changes.update(paths)
        if len(self._changes) > _MOST_CHANGES:
            self._changes.clear()
            self._near = self._near or []
        self._go(_TOGETHER_SECONDS)

    def stop(self) -> None:
        """Ends the process and drops all requests. The imports of documents are forgotten too, so that `libraries`
        requests them again."""
        self._near, self._changes, self._imports, self._unread = None, set(), {}, {}
        self._end()

    def _end(self) -> None:
        """Ends the process; the next request starts another one."""
        if self._lifeline is not None:
            self._lifeline.cut()
        self._lifeline = self._process = None

    def _go(self, after: float) -> None:
        if not self._running and self._failures < _MOST_FAILURES:
            self._running = True
            self._start(self._run, after)

    async def _run(self, after: float) -> None:
        try:
            await anyio.sleep(after)
            while (asked := self._next()) is not None and self._failures < _MOST_FAILURES:
                try:
                    answer = await self._ask(asked)
                except (OSError, anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, ValueError):
                    self._failed("its process has ended")
                    continue
                if answer.get("problem"):
                    self._failed(str(answer["problem"]))
                    self._near = None
                    continue
                self._failures, self.problem = 0, ""
                self.changed += int(answer["changed"])
                self.scans += "scan" in asked
        finally:
            self._running = False

    def _next(self) -> dict[str, Any] | None:
        """The next request to the process; a scan comes first."""
        if self._near is not None:
            near, self._near, self._changes = self._near, None, set()
            self.scanned_at = time.monotonic()
            return {"scan": near}
        if self._changes:
            paths, self._changes = sorted(self._changes), set()
            return {"paths": paths}
        if self._unread:
            path, modules = self._unread.popitem()
            return {"path": path, "modules": modules}
        return None

    def _failed(self, problem: str) -> None:
        self._failures += 1
        self.problem = problem
        had_process = self._lifeline is not None
        self.stop()
        if had_process:
            self._near = []  # what was lost is unknown, so everything is scanned
        if self._failures == _MOST_FAILURES:
            logger.warning("there is no index of %s: %s", self.root, problem)

    async def _ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self._process is not None and self._process.returncode is not None:
            self._end()  # it has ended because it was idle; what waits goes to the next one
        if self._process is None:
            await self._open()
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        await process.stdin.send(msgspec.json.encode(asked) + b"\n")
        answer = msgspec.json.decode(await self._lines.receive_until(b"\n", _MOST_LINE_BYTES))
        return answer if isinstance(answer, dict) else {"changed": 0, "problem": "it answers nonsense"}

    async def _open(self) -> None:
        # The parent folder of our own package, because Python loads modules from the current folder.
        here = Path(__file__).resolve().parents[3]
        lifeline = Lifeline([sys.executable, "-m", _WORKER, str(self.root)], _LIMITS, cwd=here)
        process = None
        try:
            process = await anyio.open_process(
                lifeline.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=here,
                env=programs.environment([self.root]),
                **lifeline.options,
            )
        finally:
            lifeline.started(process.pid if process is not None else None)
        assert process.stdout is not None
        self._process, self._lifeline = process, lifeline
        self._lines = BufferedByteReceiveStream(process.stdout)


class ProjectIndex:
    """The indexes of a server's folders. start: runs a task. wanted: whether prompts can show any part of them."""

    def __init__(
        self, start: Callable[[Callable[..., Awaitable[None]], float], None], wanted: Callable[[], bool]
    ) -> None:
        self._start, self._wanted = start, wanted
        self._roots: tuple[Path, ...] = ()
        # Created and used on the parsing thread; other threads read only the imports of documents.
        self._lookup: Lookup | None = None
        self._folders: dict[Path, FolderIndex] = {}
        self._enabled = False

    def set_enabled(self, enabled: bool) -> None:
        self._enabled = enabled
        if not enabled:
            self.close()

    def follow(self, roots: Sequence[Path]) -> None:
        """Sets the workspace's current folders."""
        self._roots = indexed_roots(roots)
        for root in [each for each in self._folders if each not in self._roots]:
            self._folders.pop(root).stop()

    def offer(
        self, document: DocumentSnapshot, hole: Hole, buffers: Sequence[DocumentSnapshot], held: Sequence[Piece]
    ) -> Offer:
        """The offer of files that are not open. Must be called on the parsing thread."""
        if not self._enabled or not self._wanted():
            return NO_OFFER
        if self._lookup is None:
            from lsp_server.features.index.lookup import Lookup

            self._lookup = Lookup()
        self._lookup.roots = self._roots
        return self._lookup.offer(document, hole, buffers, held)

    def seen(self, uri: str, near: Iterable[str], *, at_rest: bool) -> None:
        """Records that a document was opened or that the user pauses in it, and scans its folder if that was not done
        recently. near: the open documents."""
        root = root_of(self._roots, uri)
        if root is None or not self._enabled or not self._wanted():
            return
        folder, is_new = self._folders.get(root), root not in self._folders
        if folder is None:
            folder = self._folders[root] = FolderIndex(root, self._start)
        imported = self._lookup.imports.get(root) if self._lookup is not None else None
        if at_rest and imported is not None:
            folder.libraries(*imported)
        if not is_new and (not at_rest or time.monotonic() - folder.scanned_at < _AGAIN_SECONDS):
            return
        paths = [path for each in near if (path := path_below(root, each))]
        folder.scan(paths[:_MOST_NEAR], _FIRST_SECONDS if folder.scans == 0 else 0.0)

    def changed(self, uris: Iterable[str]) -> None:
        """Reports files that have changed, are new or are deleted."""
        for uri in uris:
            root = root_of(self._roots, uri)
            if root is not None and root in self._folders and self._enabled:
                self._folders[root].change([path_below(root, uri).rstrip("/")])

    def close(self) -> None:
        for folder in self._folders.values():
            folder.stop()
        self._folders.clear()

    def status(self) -> list[dict[str, Any]]:
        """The state of each folder's index."""
        return [
            {"folder": str(each.root), "scans": each.scans, "changed": each.changed, "problem": each.problem}
            for each in self._folders.values()
        ]
