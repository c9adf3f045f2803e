"""A server whose engine has a process of its own: it may die at any moment, and the editor's session goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import psutil
import pytest

from tests.support.effort import scaled
from tests.support.stdio import StdioClient, inline_params

Start = Callable[..., StdioClient]
URI = "file:///w/a.py"
KNOWN = "def rectangle_area(width, height):\n    return width * height\n"


@pytest.fixture
def server(start: Start, tmp_path: Path) -> StdioClient:
    known = tmp_path / "known.py"
    known.write_text(KNOWN)
    client = start("serve", "--backend", "scripted", "--engine", "process", "--model", str(known))
    client.initialize(initializationOptions={"answer_ms": 20_000})
    client.open(URI, "")
    return client


def engine_of(server: StdioClient) -> psutil.Process:
    for process in psutil.Process(server.process.pid).children(recursive=True):
        with suppress(psutil.Error):
            if process.name() != "" and process.cmdline()[2:4] == ["lsp_server", "engine"]:
                return process
    raise AssertionError("the server has no engine process")


def test_killed_at_random_moments_of_typing(server: StdioClient) -> None:
    """Each request has its one answer, no message box appears, the text is whole, and suggestions come again."""
    random = Random(11)
    text, version = "", 1
    for number in range(scaled(3)):
        asked: list[int] = []
        line = f"# {number}\ndef rectangle_area(width, height):\n    return wi"
        kill_at = random.randrange(1, len(line))
        for at, key in enumerate(line):
            text, version = text + key, version + 1
            server.change(URI, version, text)
            asked.append(server.ask("textDocument/inlineCompletion", inline_params(URI, *_end(text))))
            if at == kill_at:
                os.kill(engine_of(server).pid, random.choice([signal.SIGKILL, signal.SIGSEGV]))
        for id in asked:
            assert "error" not in server.response(id)
        server.model_ready(number + 2)
        (item,) = server.inline(URI, *_end(text))
        assert item["insertText"] == "dth * height"
        text, version = text + "dth * height\n", version + 1
        server.change(URI, version, text)
    assert server.notifications("window/showMessage") == []
    assert server.status()["model"]["home"] == "process"
    told = [message["message"] for message in server.notifications("window/logMessage")]
    assert sum("the engine was ended by SIG" in message for message in told) == scaled(3)
    assert server.finish() == 0


def _end(text: str) -> tuple[int, int]:
    return text.count("\n"), len(text) - text.rfind("\n") - 1


def test_a_killed_server_leaves_no_engine(server: StdioClient) -> None:
    server.model_ready()
    engine = engine_of(server)
    os.kill(server.process.pid, signal.SIGKILL)
    assert psutil.wait_procs([engine], timeout=server.seconds)[1] == []


def test_a_workspace_does_not_choose_where_the_engine_lives(start: Start, tmp_path: Path) -> None:
    (tmp_path / "fimble.toml").write_text('engine = "process"\n')
    client = start()
    client.initialize(rootUri=tmp_path.as_uri())
    status = client.status()
    assert any("`engine`" in problem and "does not count" in problem for problem in status["problems"])
