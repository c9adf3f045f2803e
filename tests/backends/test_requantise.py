"""The starter's chat model in a quantisation that suits this CPU: made once, whole or not at all, never required."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import gguf
import pytest

from lsp_server.backends import llama, requantise, starter
from lsp_server.backends.base import ModelError, ModelSpec
from lsp_server.cli import run
from lsp_server.models.gguf import read_header
from tests.support.tiny_gguf import write_tiny_gguf

HASH = hashlib.sha256(b"tiny").hexdigest()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "fimble" / "models"


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A tiny model in Q4_1, as the starter's is."""
    return write_tiny_gguf(tmp_path / "tiny.Q4_1.gguf", quantisation=gguf.GGMLQuantizationType.Q4_1)


def test_a_copy_is_made_once_and_says_of_what(slow: Path, cache: Path) -> None:
    told: list[float] = []
    found = requantise.for_this_cpu(slow, HASH, lambda fraction: told.append(fraction) is None)
    assert found == cache / "tiny.Q4_0.gguf"
    header = read_header(found)
    assert header.quantisation == "Q4_0"
    assert {tensor.type_name for tensor in header.tensors if "ffn" in tensor.name and "norm" not in tensor.name} == {
        "Q4_0"
    }
    assert (header.text(requantise.SOURCE_KEY), header.text(requantise.SHA256_KEY)) == (slow.name, HASH)
    assert told == [0.0, 1.0]
    stamp = found.stat().st_mtime_ns
    assert requantise.for_this_cpu(slow, HASH, lambda _: False) == found
    assert found.stat().st_mtime_ns == stamp
    assert [path.name for path in cache.iterdir()] == [found.name]


def test_a_copy_of_another_version_or_half_a_copy_is_made_again(slow: Path, cache: Path) -> None:
    found = requantise.for_this_cpu(slow, "0" * 64, lambda _: True)
    assert requantise.for_this_cpu(slow, HASH, lambda _: True) == found
    assert read_header(found).text(requantise.SHA256_KEY) == HASH
    found.write_bytes(found.read_bytes()[:-1000])
    requantise.for_this_cpu(slow, HASH, lambda _: True)
    assert read_header(found).quantisation == "Q4_0"


@pytest.mark.parametrize("kind", ["F32", "Q4_0", "Q8_0"])
def test_what_is_fast_already_is_used_as_it_is(tmp_path: Path, cache: Path, kind: str) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", quantisation=gguf.GGMLQuantizationType[kind])
    assert requantise.for_this_cpu(path, HASH, lambda _: False) == path
    assert not cache.exists()


def test_without_a_place_to_write_the_original_is_used(slow: Path, cache: Path) -> None:
    cache.parent.parent.mkdir(parents=True)
    cache.parent.write_text("a file where the folder should be")
    assert requantise.for_this_cpu(slow, HASH, lambda _: True) == slow


def test_what_llama_cannot_write_leaves_nothing(slow: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = requantise.quantise
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    monkeypatch.setattr(requantise, "quantise", lambda source, target, entries: real(source, full, entries))
    assert requantise.for_this_cpu(slow, HASH, lambda _: True) == slow
    assert not list(cache.iterdir())


def test_it_can_be_given_up(slow: Path, cache: Path) -> None:
    with pytest.raises(ModelError, match="given up"):
        requantise.for_this_cpu(slow, HASH, lambda _: False)
    assert not cache.exists()


@pytest.mark.model
@pytest.mark.skipif(not starter.is_installed(starter.CHAT), reason="needs the starter models")
def test_the_starter_for_chat_is_loaded_so(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backend = llama.load(ModelSpec("", 512, 1, chat=True, gpu_layers=0), lambda _: True)
    try:
        assert backend.info.path == str(cache / "SmolLM2-135M-Instruct.Q4_0.gguf")
        assert "Apache" in backend.info.licence
        text = b"def add(a, b):\n    return a +"
        row = backend.evaluate(0, 0, backend.tokenize(text), logits=1)[0]
        assert backend.piece(int(row.argmax())) == b" b"
    finally:
        backend.close()
    assert run(["models", "list", "--json"]) == 0
    (entry,) = [one for one in json.loads(capsys.readouterr().out)["installed"] if "Q4_0" in one["name"]]
    assert entry["source"] == "made of SmolLM2-135M-Instruct.Q4_1.gguf"
    shutil.rmtree(cache)
