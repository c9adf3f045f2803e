"""The starter model's file: what it must be, checked once for each state of it; never fetched by a server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lsp_server.backends import llama
from lsp_server.backends.base import ModelError, ModelSpec
from lsp_server.cli import run
from lsp_server.commands import doctor
from lsp_server.models import catalogue, ledger, starter
from tests.conftest import environment
from tests.support import forked
from tests.support.catalogue_file import FILE, HUB_ID, write_catalogue
from tests.support.stdio import StdioClient
from tests.support.tiny_gguf import write_tiny_gguf

MISSING = (
    "there is no model yet: `fimble models pull starter` fetches the starter (qwen2.5-coder-0.5b, 0 MB, licence "
    "apache-2.0); or set `model` to a GGUF file"
)
CATALOGUE = "lsp_server.models.catalogue.CATALOGUE"


@pytest.fixture
def described(tmp_path: Path) -> Path:
    """A catalogue whose starter is a tiny model."""
    content = write_tiny_gguf(tmp_path / "tiny.gguf").read_bytes()
    return write_catalogue(tmp_path / "catalogue.toml", content, catalogue.STARTER)


@pytest.fixture
def file(tmp_path: Path, described: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The starter's file in an empty home."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(catalogue, "CATALOGUE", described)
    path = tmp_path / "cache" / "fimble" / "models" / HUB_ID / FILE
    path.parent.mkdir(parents=True)
    (tmp_path / "tiny.gguf").rename(path)
    return path


def flip_last_bit(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def test_it_is_read_to_its_end_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Path] = []
    hash_file = ledger.hash_file

    def counting(path: Path, size: int, progress: Callable[[float], bool] = lambda _: True) -> str:
        hashed.append(path)
        return hash_file(path, size, progress)

    monkeypatch.setattr(ledger, "hash_file", counting)
    for _ in range(2):
        llama.load(ModelSpec("", 512, 1), lambda _: True).close()
    assert hashed == [file]


@pytest.mark.parametrize("damage", [flip_last_bit, lambda path: path.write_bytes(path.read_bytes()[:-4])])
def test_a_damaged_one_is_never_loaded(file: Path, damage: Callable[[Path], None]) -> None:
    assert starter.model_file() == file
    damage(file)
    for _ in range(2):
        with pytest.raises(ModelError, match=r"is damaged: .* `fimble models pull starter` mends it"):
            llama.load(ModelSpec(""), lambda _: True)
    (check,) = [check for check in doctor.examine() if check.topic == "model"]
    assert (check.status, check.fix) == ("red", "fimble models pull starter")
    assert "is damaged" in check.text


def test_reading_it_can_be_given_up(file: Path) -> None:
    with pytest.raises(ModelError, match="given up"):
        starter.model_file(lambda _: False)


def test_without_it_each_command_says_how_to_get_it(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = file.parent / "place.py"
    place.write_text("def f():\n    return 1\n")
    file.unlink()
    for command in (["complete", f"{place}:1"], ["action", "explain", f"{place}:1"], ["models", "bench"]):
        assert run(command) != 0
        shown = capsys.readouterr()
        assert (shown.out, shown.err) == ("", f"fimble: {MISSING}\n")
    (check,) = [check for check in doctor.examine() if check.topic == "model"]
    assert (check.status, check.fix) == ("red", "fimble models pull starter")
    assert run(["models", "use", "starter"]) == 0
    assert "not here yet: fimble models pull starter" in capsys.readouterr().out


def test_a_server_says_it_once_and_takes_it_when_it_is_there(home: Path, described: Path, tmp_path: Path) -> None:
    process = forked.ForkedProcess(["serve"], home, environment(home), {CATALOGUE: described})
    server = StdioClient(process=process)
    try:
        server.initialize(ready=False)
        server.wait(lambda: server.notifications("window/showMessage"), "the message")
        server.open("file:///w/a.py", "x = ")
        assert server.inline("file:///w/a.py", 0, 4) == []
        assert [message["message"] for message in server.notifications("window/showMessage")] == [f"fimble: {MISSING}"]
        assert list((home / "cache").rglob("*.gguf")) == []
        target = home / "cache" / "fimble" / "models" / HUB_ID / FILE
        target.parent.mkdir(parents=True)
        (tmp_path / "tiny.gguf").rename(target)
        server.notify("workspace/didChangeConfiguration", {"settings": {"fimble": {}}})
        server.wait(lambda: server.status()["model"]["state"] == "ready", "the model")
        assert server.finish() == 0
    finally:
        server.kill()
