"""An index of Python packages whose wheels hold the parts of a file, which fails where it is told to."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NAME, VERSION = "tiny-model-part{}", "1.0.0"


def make_wheel(number: int, part: bytes) -> bytes:
    """A wheel that must never be imported, with one part of a model."""
    module = NAME.format(number).replace("-", "_")
    info = f"{module}-{VERSION}.dist-info"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{module}/__init__.py", "raise SystemExit('imported')\n")
        archive.writestr(f"{module}/data/part{number:02}.bin", part)
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {NAME.format(number)}\nVersion: {VERSION}\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return content.getvalue()


class Index(ThreadingHTTPServer):
    """wheels: content by the part's number. asked: the numbers of the wheels that were asked for, in order. cuts: how
    often the line goes dead halfway, by the number. hold: downloads stop halfway until it is set.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.wheels: dict[int, bytes] = {}
        self.asked: list[int] = []
        self.requests = 0
        self.cuts: dict[int, int] = {}
        self.hold: threading.Event | None = None
        self.halfway = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/simple"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Index

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.server.requests += 1
        path = self.path.strip("/")
        if path.startswith("simple/"):
            self._page(path.removeprefix("simple/"))
        else:
            self._wheel(int(path.rpartition("part")[2].partition("-")[0]))

    def _page(self, name: str) -> None:
        numbers = [number for number in self.server.wheels if NAME.format(number) == name]
        if not numbers:
            self._answer(404, b"", "text/plain")
            return
        file = f"{name.replace('-', '_')}-{VERSION}-py3-none-any.whl"
        self._answer(200, f'<!DOCTYPE html><a href="/{file}">{file}</a>'.encode(), "text/html")

    def _wheel(self, number: int) -> None:
        self.server.asked.append(number)
        content = self.server.wheels[number]
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        cuts = self.server.cuts.get(number, 0)
        if cuts or self.server.hold is not None:
            half = max(start, len(content) // 2)
            self.wfile.write(content[start:half])
            self.wfile.flush()
            start = half
        if cuts:
            self.server.cuts[number] = cuts - 1
            self.close_connection = True
            return
        if (hold := self.server.hold) is not None:
            self.server.halfway.set()
            hold.wait(30)
        self.wfile.write(content[start:])

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving() -> Iterator[Index]:
    index = Index()
    thread = threading.Thread(target=index.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield index
    finally:
        if index.hold is not None:
            index.hold.set()
        index.shutdown()
        index.server_close()
        thread.join()
