"""Models that cannot be had, through the real llama backend: one clear message, and a server that stays up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import gguf
import pytest

from tests.conftest import server_in
from tests.support.stdio import StdioClient
from tests.support.tiny_gguf import write_tiny_gguf

Start = Callable[..., StdioClient]
URI = "file:///w/a.py"


def _missing(path: Path) -> None:
    pass


def _folder(path: Path) -> None:
    path.mkdir()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _text(path: Path) -> None:
    path.write_text("this is no model\n" * 50)


def _magic_only(path: Path) -> None:
    path.write_bytes(b"GGUF\x03\0\0\0\x05")


def _nonsense_counts(path: Path) -> None:
    path.write_bytes(b"GGUF\x03\0\0\0" + b"\xff" * 64)


def _truncated_header(path: Path) -> None:
    write_tiny_gguf(path)
    path.write_bytes(path.read_bytes()[:3000])


def _truncated_weights(path: Path) -> None:
    write_tiny_gguf(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])


def _unknown_architecture(path: Path) -> None:
    write_tiny_gguf(path, architecture="nosucharch")


def _unreadable(path: Path) -> None:
    path.symlink_to(path)  # a loop of links, which not even root can open


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _part_that_is_a_pipe(path: Path) -> None:
    """The first part of two is whole, the other one is a pipe."""
    first = path.with_name("bad-00001-of-00002.gguf")
    writer = gguf.GGUFWriter(first, "llama")
    for key, value in (("split.no", 0), ("split.count", 2), ("split.tensors.count", 0)):
        writer.add_uint16(key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    os.mkfifo(path.with_name("bad-00002-of-00002.gguf"))
    path.symlink_to(first)


# The file, and a word that its message must have: what is wrong with it.
BAD = [
    (_missing, "does not exist"),
    (_folder, "is a folder"),
    (_empty, "not a GGUF file"),
    (_text, "not a GGUF file"),
    (_magic_only, "header"),
    (_nonsense_counts, "number of tensors"),
    (_truncated_header, "incomplete"),
    (_truncated_weights, "incomplete"),
    (_unknown_architecture, "nosucharch"),
    (_unreadable, "cannot be read"),
    (_pipe, "not a file but a pipe"),
    (_device, "not a file but a pipe or a device"),
]


def errors(server: StdioClient) -> list[str]:
    return [m["message"] for m in server.notifications("window/showMessage") if m["type"] == 1]


def test_the_model_of_the_command_line(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "missing.gguf"
    server = start("serve", "--backend", "llama", "--model", str(path))
    server.initialize(ready=False)
    server.wait(lambda: errors(server), "the error")
    server.open(URI, "x = ")
    assert server.inline(URI, 0, 4) == []
    assert server.finish() == 0
    (shown,) = errors(server)
    assert shown.startswith("fimble: ")
    assert str(path) in shown


@pytest.fixture(scope="module")
def llama_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StdioClient]:
    """One server that is given one bad model after the other, and survives them all."""
    home = tmp_path_factory.mktemp("home")
    client = server_in(home, "serve", "--backend", "llama")
    try:
        client.initialize(ready=False, initializationOptions={"model": str(home / "first")})
        client.wait(lambda: errors(client), "the error about the first")
        client.open(URI, "x = ")
        yield client
        assert client.finish() == 0
        assert len(client.notifications("window/showMessage")) == 1 + len(BAD)
        assert "Traceback" not in client.stderr
    finally:
        client.kill()


@pytest.mark.parametrize(("make", "word"), BAD, ids=[make.__name__ for make, _ in BAD])
def test_one_message_and_empty_answers(
    llama_server: StdioClient, tmp_path: Path, make: Callable[[Path], None], word: str
) -> None:
    server = llama_server
    path = tmp_path / "bad.gguf"
    make(path)
    before = len(errors(server))
    for _ in range(3):  # to say it again is no reason to show it again
        server.notify("workspace/didChangeConfiguration", {"settings": {"fimble": {"model": str(path)}}})
    server.wait(lambda: len(errors(server)) > before, "the error")
    assert server.inline(URI, 0, 4) == []
    assert server.inline(URI, 0, 4) == []
    while (status := server.status())["model"]["state"] == "loading":
        pass  # settings that are said again let a model that failed try again
    assert server.inline(URI, 0, 4) == []
    status = server.status()
    message = status["model"]["message"]
    assert status["model"]["state"] == "failed"
    assert str(path) in message
    assert "\n" not in message
    assert word in message.replace(str(path), "")
    assert status["requests"]["whyLastEmpty"] == message
    assert errors(server)[before:] == [f"fimble: {message} (`model` comes from the editor's settings)"]


def test_from_bad_to_good_to_bad(start: Start, tmp_path: Path) -> None:
    """Naming another model is enough; nothing has to be started again."""
    good = write_tiny_gguf(tmp_path / "good.gguf")
    bad = tmp_path / "bad.gguf"
    _text(bad)
    server = start("serve", "--backend", "llama")

    def use(path: Path) -> None:
        server.notify("workspace/didChangeConfiguration", {"settings": {"fimble": {"model": str(path)}}})

    server.initialize(ready=False, initializationOptions={"model": str(tmp_path / "missing.gguf")})
    server.wait(lambda: len(errors(server)) == 1, "the first error")
    use(good)
    server.model_ready()
    server.open(URI, "x = ")
    server.inline(URI, 0, 4)
    last = server.status()["requests"]["last"]
    assert last["source"] == "model"
    assert last["decodedTokens"] > 0
    use(bad)
    server.wait(lambda: len(errors(server)) == 2, "the second error")
    assert server.inline(URI, 0, 4) == []
    use(good)
    server.model_ready(2)
    assert server.finish() == 0
    assert len(errors(server)) == 2


@pytest.mark.parametrize("setting", ["model", "lora", "a later part"])
def test_a_pipe_holds_up_no_later_setting(start: Start, tmp_path: Path, setting: str) -> None:
    good = write_tiny_gguf(tmp_path / "good.gguf")
    pipe = tmp_path / "pipe.gguf"
    os.mkfifo(pipe)
    if setting == "a later part":
        _part_that_is_a_pipe(tmp_path / "parts.gguf")
        pipe, setting = tmp_path / "bad-00001-of-00002.gguf", "model"
    server = start("serve", "--backend", "llama")
    options = {"model": str(good), setting: [str(pipe)] if setting == "lora" else str(pipe)}
    server.initialize(ready=False, initializationOptions=options)
    server.message(lambda m: m.get("method") == "window/showMessage", "the message about the pipe")
    server.notify("workspace/didChangeConfiguration", {"settings": {"fimble": {setting: "", "model": str(good)}}})
    if setting == "lora":
        server.notify("workspace/didChangeConfiguration", {"settings": {"fimble": {"lora": [], "model": str(good)}}})
    server.wait(lambda: server.status()["model"]["state"] == "ready", "the model")
    assert server.status()["model"]["path"] == str(good)
    assert server.finish() == 0
    assert any("is not a file but a pipe" in m["message"] for m in server.notifications("window/showMessage"))


def test_a_format_the_model_does_not_have(start: Start, tmp_path: Path) -> None:
    good = write_tiny_gguf(tmp_path / "good.gguf")
    server = start("serve", "--backend", "llama", "--model", str(good))
    server.initialize(ready=False, initializationOptions={"fim_format": "nonsense"})
    server.wait(lambda: errors(server), "the error")
    assert server.finish() == 0
    (shown,) = errors(server)
    assert "fim_format" in shown
    assert "nonsense" in shown
