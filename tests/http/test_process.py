"""`fimble serve --http` as a process: what it says, how it ends, and what it does not start for."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from lsp_server.commands import status
from tests.conftest import environment
from tests.http.clients import llama_vim
from tests.support.stdio import AGAIN

SERVE = [sys.executable, "-m", "lsp_server", "serve", "--backend", "scripted"]


def ask(url: str, token: str) -> int:
    body = json.dumps(llama_vim("def area(width, height):\n    return width$0\n")).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    with urllib.request.urlopen(urllib.request.Request(f"{url}/infill", body, headers), timeout=20) as reply:
        assert isinstance(json.load(reply)["content"], str)
        return int(reply.status)


def tells_its_status() -> dict[str, Any]:
    end = time.monotonic() + 20
    while not (found := status.servers()):
        assert time.monotonic() < end
        time.sleep(AGAIN)
    return found[0]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop(
    home: Path, ending: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home))
    command = [*SERVE, "--http", "127.0.0.1:0", "--engine", "in-process"]
    process = subprocess.Popen(
        command, cwd=home, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        first, second, third = (process.stderr.readline() for _ in range(3))
        url, token = re.match(r"fimble: (http://127\.0\.0\.1:\d+)/infill and .*; the token is (\S+)$", first).groups()  # type: ignore[union-attr]
        path = home / "state" / "fimble" / "http-token"
        assert second == f"fimble: it is in {path}\n"
        assert path.read_text().strip() == token
        assert third == "fimble: scripted is ready\n"
        assert ask(url, token) == 200
        found = tells_its_status()
        assert (found["pid"], found["client"], found["requests"]["counts"]["answered"]) == (
            process.pid,
            "over HTTP",
            1,
        )
        assert found["lastTen"][0]["partsMs"]["prompt"] > 0
        process.send_signal(ending)
        stdout, stderr = process.communicate(timeout=20)
        assert (process.returncode, stdout, stderr) == (0, "", "")
        assert status.servers() == []
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--http", "0.0.0.0:8012"], "not an address of this machine alone"),
        (["--http", "8012"], "is not of the form"),
        (["--http", "127.0.0.1:0", "--token-file", "none"], "cannot read the token in none"),
    ],
)
def test_one_line_on_what_is_wrong(home: Path, arguments: list[str], words: str) -> None:
    done = subprocess.run(
        [*SERVE, *arguments], cwd=home, env=environment(home), capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_port_that_is_taken(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            [*SERVE, "--http", address],
            cwd=home,
            env=environment(home),
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert done.returncode == 2
    assert f"cannot listen at http://{address}" in done.stderr


def test_without_the_option_nothing_of_it_is_imported() -> None:
    names = "[name for name in sys.modules if name == 'h11' or name.startswith('lsp_server.http')]"
    code = f"import sys, lsp_server.cli, lsp_server.lsp.server; print({names})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
