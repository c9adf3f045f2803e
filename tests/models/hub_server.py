"""A server that speaks as much of the hub's protocol as `pull` uses, and fails where it is told to."""

from __future__ import annotations

import hashlib
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# For 127.0.0.1, signed by itself, with its key; good for nothing else.
CERTIFICATE = Path(__file__).with_name("hub_server.pem")

REVISION = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """files: content by `owner/name/file`. cuts: how many bytes each of the next downloads gives before the line
    goes dead. hashes, sizes: what the hub claims instead of the truth. hold: downloads stop halfway until it is set.
    refusal: the status, and the hub's own code for it, that everything is answered with. tls: whether it speaks HTTPS,
    with a certificate that nobody has signed.
    """

    daemon_threads = True

    def __init__(self, *, tls: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.cuts: list[int] = []
        self.hashes: dict[str, str] = {}
        self.sizes: dict[str, int] = {}
        self.ranges: list[str | None] = []
        self.hold: threading.Event | None = None
        self.halfway = threading.Event()
        self.gone = False
        self.refusal: tuple[int, str] | None = None
        self.tls = tls
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: Any) -> None:
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if self.server.refusal is not None:
            self._fail(*self.server.refusal)
            return
        if path.startswith("/api/models/"):
            self._info("/".join(path.split("/")[3:5]))
        elif "/resolve/" in path:
            repository, _, rest = path.lstrip("/").partition("/resolve/")
            self._file(f"{repository}/{rest.partition('/')[2]}")
        else:
            self._fail(404, "EntryNotFound")

    def _info(self, repository: str) -> None:
        siblings = [
            {
                "rfilename": name.removeprefix(f"{repository}/"),
                "size": self.server.sizes.get(name, len(content)),
                "lfs": {"sha256": self._hash(name), "size": len(content), "pointerSize": 1},
            }
            for name, content in self.server.files.items()
            if name.startswith(f"{repository}/")
        ]
        if not siblings:
            self._fail(404, "RepoNotFound")
            return
        tags = ["license:apache-2.0", "gguf"]
        body = json.dumps({"id": repository, "sha": REVISION, "tags": tags, "siblings": siblings}).encode()
        self._answer(200, body, {"Content-Type": "application/json"})

    def _hash(self, name: str) -> str:
        return self.server.hashes.get(name) or hashlib.sha256(self.server.files[name]).hexdigest()

    def _file(self, name: str) -> None:
        content = self.server.files.get(name)
        if content is None or self.server.gone:
            self._fail(404, "EntryNotFound")
            return
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked else 0
        rest = content[start:]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(rest)))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if self.server.hold is not None:
            self.wfile.write(rest[: len(rest) // 2])
            self.wfile.flush()
            self.server.halfway.set()
            self.server.hold.wait(30)
            self.close_connection = True
        elif self.server.cuts:
            self.wfile.write(rest[: self.server.cuts.pop(0)])
            self.close_connection = True
        else:
            self.wfile.write(rest)

    def _fail(self, status: int, code: str) -> None:
        self._answer(status, b"{}", {"X-Error-Code": code})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving(*, tls: bool = False) -> Iterator[Hub]:
    hub = Hub(tls=tls)
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        if hub.hold is not None:
            hub.hold.set()
        hub.shutdown()
        hub.server_close()
        thread.join()
