"""What a server tells `fimble status` over its socket: where the time went, and nothing of the code."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from lsp_server.backends.base import ModelError, ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.commands import status
from lsp_server.engine.client import in_this_process
from lsp_server.settings import sources
from lsp_server.status import listener
from lsp_server.status.listener import StatusListener
from lsp_server.status.request_log import RequestLog, fimble_status
from tests.support.buffer import Buffer
from tests.support.stdio import SERVE, StdioClient, inline_params, needs_own_engine, notification, request

Start = Callable[..., StdioClient]
URI = "file:///w/secret_project/größe.py"
LINE = "kundennummer = berechne_die_summe(größte_länge, 'naïve')"


@pytest.fixture(autouse=True)
def runtime(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home))
    return home / "fimble"


def sockets(runtime: Path) -> list[Path]:
    return sorted(runtime.glob("*.status")) if runtime.is_dir() else []


@pytest.fixture
def server(start: Start, home: Path) -> StdioClient:
    (home / "known.py").write_text(f"\n\n{LINE}\n\n\n")
    return begun(start, "--model", str(home / "known.py"))


def begun(start: Start, *arguments: str, **settings: Any) -> StdioClient:
    server = start(*SERVE, *arguments)
    options = {"answer_ms": 20000, "disabled_languages": ["rust"], **settings}
    server.initialize(clientInfo={"name": "an editor"}, initializationOptions=options)
    return server


def asked(server: StdioClient) -> dict[str, Any]:
    """What the server of a test tells. Whether it listens already is known once it tells its status over LSP."""
    (found,) = server.wait(status.servers, "the socket")
    assert "problem" not in found, found
    return dict(found)


def typed(server: StdioClient, text: str) -> Buffer:
    buffer = Buffer(URI, "")
    server.open(URI, "")
    for key in text:
        end = len(buffer.text)
        server.notify("textDocument/didChange", buffer.did_change(buffer.edit(end, end, key)))
        server.inline(URI, *buffer.position(end + 1))
    return buffer


def test_it_tells_model_engine_and_requests(server: StdioClient) -> None:
    typed(server, LINE[:20])
    server.open("file:///w/b.rs", "fn main() { x", "rust")
    server.inline("file:///w/b.rs", 0, 13)
    server.inline("file:///w/not-open.py", 0, 0)
    found = asked(server)
    assert (found["client"], found["models"]["completion"]["state"]) == ("an editor", "ready")
    assert found["engine"]["requests"] == 0
    assert found["requests"]["counts"]["answered"] == 21
    assert found["memory"]["server"] > 1 << 20
    whys = [entry["why"] for entry in found["lastTen"] if entry["appeared"] == "no"]
    assert whys[0] == "the document is not open, or the place is not in it"
    assert whys[1] == "completions are switched off for Rust (setting `disabled_languages`)"
    assert [entry["language"] for entry in found["lastTen"][1:3]] == ["Rust", "Python"]


def test_the_parts_of_a_requests_time_are_the_whole(server: StdioClient) -> None:
    typed(server, LINE[:20])
    of_model = [entry for entry in server.status()["requests"]["lastTen"] if entry["source"] == "model"]
    assert of_model
    for entry in of_model:
        assert sum(entry["partsMs"].values()) == pytest.approx(entry["waitedMs"], abs=0.5)
        assert entry["partsMs"]["transport"] > 0
    assert any(entry["partsMs"]["decode"] for entry in of_model)
    assert any(entry["partsMs"]["shaping"] for entry in of_model)
    assert all(not e["partsMs"] for e in server.status()["requests"]["lastTen"] if e["source"] == "memory")


def test_nothing_of_the_code_or_of_its_place_goes_over_the_socket(start: Start, home: Path, runtime: Path) -> None:
    (home / "known.py").write_text(f"\n\n{LINE}\n\n\n")
    server = start(
        *SERVE, "--model", str(home / "known.py"), waits={"lsp_server.core.names.undefined.MOST_BYTES": 64_000}
    )
    server.initialize(initializationOptions={"answer_ms": 20000, "disabled_files": ["[b]*.rs"]})
    buffer = typed(server, LINE[:20])
    server.open("file:///w/secret_project/b.rs", "fn main() { x", "rust")
    server.inline("file:///w/secret_project/b.rs", 0, 13)
    server.inline("file:///w/secret_project/not-open.py", 0, 0)
    change = buffer.did_change(buffer.edit(20, 20, "x"))
    server.send(
        request("a", "textDocument/inlineCompletion", inline_params(URI, 0, 20)),
        notification("textDocument/didChange", change),
    )
    server.response("a")
    told = server.status()["requests"]["lastTen"]
    assert "is not defined, `berechne_die_summe`" in str(told)
    raw = json.dumps(asked(server), ensure_ascii=False).lower()
    assert "is not defined (setting `check_names`)" in raw
    assert "completions are switched off for this file (setting `disabled_files`)" in raw
    for word in (
        "kundennummer",
        "berechne",
        "größe",
        "größte",
        "naïve",
        "secret_project",
        "[b]*.rs",
        "not-open",
        "file:",
        str(home),
    ):
        assert word not in raw, word


@pytest.mark.anyio
async def test_no_path_with_a_space_in_it_goes_over_the_socket() -> None:
    """No pattern knows where such a path ends."""
    path = "/home/anna/Meine Modelle/kleines modell.gguf"

    def load(spec: ModelSpec, progress: object) -> ScriptedBackend:
        raise ModelError(f"there is no model at {spec.path}; see `fimble models`")

    engine, failed = in_this_process(load), anyio.Event()
    engine.on_model = lambda _, model: failed.set() if model.kind == "failed" else None
    engine.start()
    engine.load(ModelSpec(path))
    with anyio.fail_after(20):
        await failed.wait()
    told = fimble_status(engine, RequestLog(), lambda _: "", [path])
    await engine.stop()
    assert told["models"]["completion"]["message"] == "there is no model at …; see `fimble models`"


def test_the_socket_is_the_users_alone_and_goes_with_the_server(server: StdioClient, runtime: Path) -> None:
    asked(server)
    (path,) = sockets(runtime)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(runtime.stat().st_mode) == 0o700
    assert path.name.startswith(f"{server.process.pid}-")
    assert server.finish() == 0
    assert sockets(runtime) == []


def test_the_socket_of_a_server_that_was_killed_is_removed(start: Start, server: StdioClient, runtime: Path) -> None:
    asked(server)
    server.process.kill()
    server.process.wait(20)
    assert len(sockets(runtime)) == 1
    assert status.servers() == []
    assert sockets(runtime) == []


def test_several_servers_tell_each_of_itself(start: Start, server: StdioClient) -> None:
    other = begun(start)
    both = other.wait(lambda: len(found := status.servers()) == 2 and found, "the second one")
    assert {each["pid"] for each in both} == {server.process.pid, other.process.pid}


def test_a_setting_of_the_user_switches_it_off_and_on(start: Start, runtime: Path) -> None:
    server = begun(start, status_socket=False)
    server.status()
    assert sockets(runtime) == []
    server.notify("workspace/didChangeConfiguration", {"settings": {"fimble": {"status_socket": True}}})
    asked(server)
    server.notify("workspace/didChangeConfiguration", {"settings": {"fimble": {"status_socket": False}}})
    server.wait(lambda: not sockets(runtime), "the end of the socket")
    settings, problems = sources.merge([sources.Source("w/fimble.toml", {"status_socket": False}, users=False)])
    assert settings.status_socket
    assert "set it in your own" in problems[0]


async def test_who_connects_and_does_not_read_is_cut_and_holds_nothing_up(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No socket's buffer takes this answer, so each connection waits for its reader."""
    monkeypatch.setattr(listener, "_READ_SECONDS", 0.2)
    told: list[int] = []
    tasks: list[asyncio.Task[None]] = []

    def start(function: Callable[[], Any]) -> None:
        tasks.append(asyncio.get_running_loop().create_task(function()))

    served = StatusListener(start, lambda: {"all": "x" * 3_000_000, "asked": told.append(1)})  # type: ignore[func-returns-value]
    served.switch(True)
    await tasks[0]
    (path,) = sockets(runtime)
    with ExitStack() as stack:
        idle = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(30)]
        for connection in idle:
            connection.connect(str(path))
        with anyio.fail_after(20):
            while not (read := await anyio.to_thread.run_sync(received, path)):
                await anyio.sleep(0.01)  # as long as those that do not read fill all places
            assert len(read) > 3_000_000
            for connection in idle:  # and their ends have been cut
                while await anyio.to_thread.run_sync(connection.recv, 1 << 16):
                    pass
        assert 1 <= len(told) < 30, "who asks at once gets the same answer"
        await served.close()
    assert sockets(runtime) == []


def received(path: Path) -> bytes:
    content = b""
    with socket.socket(socket.AF_UNIX) as connection, suppress(ConnectionError):
        connection.connect(str(path))
        while data := connection.recv(1 << 20):
            content += data
    return content


@needs_own_engine
def test_a_folder_that_others_can_use_is_not_used(start: Start, runtime: Path) -> None:
    runtime.mkdir()
    runtime.chmod(0o755)
    server = begun(start)
    server.open(URI, "x = ")
    assert server.inline(URI, 0, 4)
    with pytest.raises(ModelError, match="must be a folder that only you can use"):
        status.servers()
    assert server.finish() == 0
    assert sockets(runtime) == []
