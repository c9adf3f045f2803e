"""A model that stops working while it is in use, and one whose file comes later: said once, and back by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lsp_server.backends.base import Backend, ModelError, ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.engine import retry
from tests.conftest import server_in
from tests.support.inprocess import served
from tests.support.stdio import StdioClient
from tests.support.tiny_gguf import write_tiny_gguf

URI = "file:///w/a.py"


class Device:
    """What a scripted model computes on. lost: whether its steps fail. loads: how often a model was loaded there."""

    def __init__(self) -> None:
        self.lost = False
        self.loads = 0

    def load(self, spec: ModelSpec, progress: Callable[[float], bool]) -> Backend:
        device = self
        device.loads += 1

        class OnDevice(ScriptedBackend):
            def evaluate(self, *arguments, **options):  # type: ignore[no-untyped-def]
                if device.lost:
                    raise ModelError("llama.cpp could not evaluate 16 tokens (code -3): the device is lost")
                return super().evaluate(*arguments, **options)

        return OnDevice(spec, progress)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    monkeypatch.setattr(retry, "PASSING_PAUSE_S", 0.01)
    return Device()


@pytest.fixture
def server(device: Device) -> Iterator[StdioClient]:
    client, process = served(device.load, answer_ms=5000)
    try:
        client.initialize()
        client.open(URI, "x = \n")
        yield client
        assert client.finish() == 0
    finally:
        process.kill()


def errors(server: StdioClient) -> list[str]:
    return [m["message"] for m in server.notifications("window/showMessage") if m["type"] == 1]


def key(server: StdioClient, version: int) -> list[object]:
    """Types another line, and asks behind it."""
    server.change(URI, version, f"x = {version}\ny{version} = \n")
    return server.inline(URI, 1, len(f"y{version} = "))


def test_a_lost_device_is_told_once_however_long_one_types_on(server: StdioClient, device: Device) -> None:
    assert key(server, 2)
    device.lost = True
    version = 3
    while device.loads < 4:  # unloaded, loaded again, and again in vain
        assert key(server, version) == []
        version += 1
    (shown,) = errors(server)
    assert "the device is lost" in shown
    assert "unloaded" in shown
    status = server.status()
    assert status["model"]["state"] in ("failed", "loading", "ready")
    assert status["requests"]["whyLastEmpty"]
    device.lost = False
    while not key(server, version):
        version += 1
    assert server.status()["model"]["state"] == "ready"
    assert len(errors(server)) == 1


def test_in_a_pause_between_two_tries_the_reason_is_given(
    server: StdioClient, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "PASSING_PAUSE_S", 600.0)
    device.lost = True
    for version in range(2, 20):
        key(server, version)
    server.wait(lambda: errors(server), "the error")
    assert key(server, 20) == []
    assert device.loads == 1
    assert "the device is lost" in server.status()["requests"]["whyLastEmpty"]
    assert len(errors(server)) == 1


@pytest.fixture
def llama(tmp_path: Path) -> Iterator[Callable[[Path], StdioClient]]:
    clients: list[StdioClient] = []

    def starter(model: Path) -> StdioClient:
        client = server_in(tmp_path, "serve", "--backend", "llama", "--model", str(model))
        clients.append(client)
        client.initialize(ready=False, initializationOptions={"answer_ms": 5000, "calibrate": False})
        client.wait(lambda: errors(client), "the error")
        client.open(URI, "x = \n")
        return client

    yield starter
    for client in clients:
        client.kill()


def typed_until_ready(server: StdioClient) -> None:
    def ready() -> bool:
        server.inline(URI, 0, 4)
        return bool(server.status()["model"]["state"] == "ready")

    server.wait(ready, "the model")


@pytest.mark.parametrize("before", ["nothing", "half", "text"])
def test_a_model_file_that_comes_or_is_completed_later_is_loaded_at_the_next_key(
    tmp_path: Path, llama: Callable[[Path], StdioClient], before: str
) -> None:
    path, whole = tmp_path / "m.gguf", write_tiny_gguf(tmp_path / "whole").read_bytes()
    if before != "nothing":
        path.write_bytes(whole[: len(whole) // 2] if before == "half" else b"<html>not yet</html>")
    server = llama(path)
    assert server.inline(URI, 0, 4) == []
    (tmp_path / "whole").replace(path)
    typed_until_ready(server)
    assert server.finish() == 0
    assert len(errors(server)) == 1


def test_a_file_that_comes_and_cannot_be_used_is_told(tmp_path: Path, llama: Callable[[Path], StdioClient]) -> None:
    path = tmp_path / "m.gguf"
    server = llama(path)
    path.write_text("no model either\n" * 50)

    def told() -> bool:
        server.inline(URI, 0, 4)
        return len(errors(server)) == 2

    server.wait(told, "the second error")
    assert "does not exist" in errors(server)[0]
    assert "not a GGUF file" in errors(server)[1]
    assert server.finish() == 0
