"""What a session leaves behind: no memory, no sockets, no files outside the user's folders."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.conftest import environment
from tests.support.buffer import Buffer
from tests.support.effort import scaled
from tests.support.stdio import SERVE, StdioClient, inline_params, needs_own_engine, notification, request

Start = Callable[..., StdioClient]
CODE = "def total(values):\n    result = 0\n    for value in values:\n        result += value\n    return result\n\n\n"


def type_and_ask(server: StdioClient, buffer: Buffer, keys: int) -> None:
    """A request at each key; when the document has grown long, its text is replaced by the beginning."""
    for number in range(keys):
        if len(buffer.text) > 1000:
            change = buffer.edit(0, len(buffer.text), "")
            server.notify("textDocument/didChange", buffer.did_change(change))
        end = len(buffer.text)
        change = buffer.edit(end, end, CODE[number % len(CODE)])
        id = f"{buffer.version}"
        params = inline_params(buffer.uri, *buffer.position(end + 1))
        server.send(
            notification("textDocument/didChange", buffer.did_change(change)),
            request(id, "textDocument/inlineCompletion", params),
        )
        server.response(id)
        server.messages.clear()  # or each look for an answer would go through all before it


def test_requests_keep_no_memory(start_anew: Start) -> None:
    server = start_anew()
    server.initialize(initializationOptions={"max_tokens": 8})
    buffer = Buffer("file:///w/a.py", "")
    server.open(buffer.uri, buffer.text)
    process = psutil.Process(server.process.pid)
    first, requests = 400, scaled(200)
    type_and_ask(server, buffer, first)  # fills the caches, which have their limits
    before = process.memory_info().rss
    type_and_ask(server, buffer, requests)
    grown = process.memory_info().rss - before
    counts = server.status()["requests"]["counts"]
    assert counts["answered"] == first + requests
    assert grown < 3500 * requests, f"{grown >> 10} KB more after {requests} requests"


METHOD = """def area_{n}(width, height):
    size = width * height
    return size + {n}


"""


def file_of(size: int) -> str:
    return "".join(METHOD.replace("{n}", str(number)) for number in range(size // len(METHOD)))


def type_with_actions(server: StdioClient, buffers: list[Buffer], keys: int) -> None:
    """Inside each buffer in turn, letters are typed and deleted again; each key brings the requests that an
    editor with code actions on sends."""
    for number in range(keys):
        buffer = buffers[number % len(buffers)]
        at = buffer.text.index("return size + 15\n")
        change = buffer.edit(at, at, "v") if number % 20 < 10 else buffer.edit(at - 1, at, "")
        row, column = buffer.position(buffer.text.index("return size + 15\n"))
        point = {"line": row, "character": column}
        document = {"textDocument": {"uri": buffer.uri}}
        server.send(
            notification("textDocument/didChange", buffer.did_change(change)),
            request(f"i{number}", "textDocument/inlineCompletion", inline_params(buffer.uri, row, column)),
            request(f"h{number}", "textDocument/hover", {**document, "position": point}),
            request(
                f"a{number}",
                "textDocument/codeAction",
                {**document, "range": {"start": point, "end": point}, "context": {"diagnostics": []}},
            ),
        )
        for kind in "iha":
            assert "error" not in server.response(f"{kind}{number}")
        server.messages.clear()


def test_keys_in_files_of_real_sizes_keep_no_memory(start_anew: Start) -> None:
    """What is kept of each parse shows where a text is large: of one of 100 KB, a copy is 2 MB after 40 keys."""
    server = start_anew()
    server.initialize(initializationOptions={"max_tokens": 8, "buffers_tokens": 300})
    buffers = [Buffer(f"file:///w/of_{size}.py", file_of(size)) for size in (3_000, 100_000)]
    for buffer in buffers:
        server.open(buffer.uri, buffer.text)
    process = psutil.Process(server.process.pid)
    type_with_actions(server, buffers, 80)
    keys, grown = scaled(40), []
    for _ in range(3):  # what is imported late, or kept once, grows in one of them
        before = process.memory_info().rss
        type_with_actions(server, buffers, keys)
        grown.append(process.memory_info().rss - before)
    assert min(grown) < 12_000 * keys, f"{[size >> 10 for size in grown]} KB more after each {keys} keys"


def test_a_document_of_many_megabytes_is_held_once(start_anew: Start) -> None:
    server = start_anew()
    server.initialize(initializationOptions={"max_tokens": 8})
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    content = file_of(30_000_000)
    server.open("file:///w/big.py", content)
    for number in range(10):
        place = {"line": 5 * (2000 + number), "character": 0}
        server.change("file:///w/big.py", number + 2, {"range": {"start": place, "end": place}, "text": "v"})
        server.inline("file:///w/big.py", place["line"], 1)
    assert process.memory_info().rss - before < 2 * len(content)
    with Path(f"/proc/{process.pid}/status").open() as status:
        (most,) = [int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM")]
    assert most - before < 3.5 * len(content)


STRACE = ["-f", "-e", "trace=socket,bind,connect,open,openat,creat,mkdir,mkdirat,rename,renameat2,unlink,unlinkat"]


@needs_own_engine
def test_no_network_and_no_files_elsewhere(start_anew: Start, home: Path, tmp_path: Path) -> None:
    strace, log = shutil.which("strace"), tmp_path / "strace.log"
    if strace is None:
        pytest.skip("strace is not installed")
    tried = subprocess.run([strace, "-e", "trace=none", "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"strace may not trace here: {tried.stderr[:100]!r}")
    known = home / "known.py"
    known.write_text(f"{CODE}print(total([2, 3]))\n")
    serve = [sys.executable, "-m", "lsp_server", *SERVE, "--model", str(known)]
    server = start_anew(command=[strace, *STRACE, "-o", str(log), *serve])
    server.initialize()
    buffer = Buffer("file:///w/a.py", f"{CODE}print(total")
    server.open(buffer.uri, buffer.text)
    assert server.inline(buffer.uri, *buffer.position(len(buffer.text)))
    type_and_ask(server, buffer, 20)
    assert server.finish() == 0
    calls = log.read_text("utf-8", "replace").splitlines()
    assert any("openat(" in call for call in calls)  # it has traced something
    assert not [call for call in calls if re.search(r"socket\((?!AF_UNIX)", call)]
    bound = [call for call in calls if re.search(r"\bbind\(", call)]
    assert len(bound) == 1, "for `fimble status`, and for nothing else"
    assert f'sun_path="{home}/fimble/' in bound[0]
    assert not [call for call in calls if re.search(r"\bconnect\(", call)]
    changing = [call for call in calls if _changes_files(call)]
    assert not [call for call in changing if not _is_allowed(call, home)], changing
    assert str(environment(home)["HOME"]) == str(home)


def _changes_files(call: str) -> bool:
    if " = -1 " in call:
        return False
    return bool(re.search(r"O_(WRONLY|RDWR|CREAT)|\b(creat|mkdir|mkdirat|rename\w*|unlink\w*)\(", call))


def _is_allowed(call: str, home: Path) -> bool:
    paths = re.findall(r'"([^"]*)"', call)
    return all(path.startswith((str(home), "/dev/null", "/dev/tty", "/proc/self/")) for path in paths)
