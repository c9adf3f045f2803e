"""Models that other programs hold are found, used where they are, and never removed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from lsp_server import cli
from lsp_server.models import lock, other_programs
from tests.support.tiny_gguf import write_tiny_gguf

VARIABLES = ("OLLAMA_MODELS", "HF_HOME", "HF_HUB_CACHE", "LLAMA_CACHE", "APPDATA", "XDG_DATA_HOME")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own-cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "own-config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ollama(home: Path, digest: str | None = None) -> Path:
    store = home / ".ollama/models"
    (store / "blobs").mkdir(parents=True)
    data = write_tiny_gguf(home / "a.gguf").read_bytes()
    (home / "a.gguf").unlink()
    digest = digest or hashlib.sha256(data).hexdigest()
    blob = store / "blobs" / f"sha256-{digest}"
    blob.write_bytes(data)
    manifest = store / "manifests/registry.ollama.ai/library/qwen2.5-coder/7b"
    manifest.parent.mkdir(parents=True)
    kinds = {"model": digest, "license": "c" * 64}
    layers = [{"mediaType": f"application/vnd.ollama.image.{k}", "digest": f"sha256:{d}"} for k, d in kinds.items()]
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    (manifest.parent / "broken").write_text("{")
    return blob


def hugging_face(home: Path) -> Path:
    folder = home / ".cache/huggingface/hub/models--someone--Tiny-GGUF"
    (folder / "blobs").mkdir(parents=True)
    blob = folder / "blobs" / ("d" * 64)
    write_tiny_gguf(blob, seed=1)
    link = folder / "snapshots/abc/tiny-Q8_0.gguf"
    link.parent.mkdir(parents=True)
    link.symlink_to(blob)
    (link.parent / "gone.gguf").symlink_to(folder / "blobs/none")
    return link


def plain(home: Path, folder: str, name: str, seed: int) -> Path:
    path = home / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_tiny_gguf(path, seed=seed)


def test_all_holders_are_searched(home: Path) -> None:
    assert other_programs.find_models() == []
    blob, link = ollama(home), hugging_face(home)
    studio = plain(home, ".lmstudio/models/someone/tiny", "tiny.gguf", 2)
    cached = plain(home, ".cache/llama.cpp", "someone_tiny.gguf", 3)
    jan = plain(home, ".config/Jan/data/llamacpp/models/tiny", "model.gguf", 4)
    plain(home, ".cache/llama.cpp", "big-00002-of-00003.gguf", 5)
    plain(home, ".cache/llama.cpp", "mmproj-a.gguf", 6)
    (home / ".cache/llama.cpp/text.gguf").write_text("hello")
    models = {(model.holder, model.name): model.path for model in other_programs.find_models()}
    assert models == {
        ("Ollama", "qwen2.5-coder:7b"): blob,
        ("Hugging Face cache", "someone/Tiny-GGUF/tiny-Q8_0.gguf"): link,
        ("LM Studio", "someone/tiny/tiny.gguf"): studio,
        ("llama.cpp", "someone_tiny.gguf"): cached,
        ("Jan", "tiny/model.gguf"): jan,
    }


def run(*arguments: str) -> int:
    return cli.run(["models", *arguments])


def test_an_imported_model_is_used_where_it_is(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blob = ollama(home)
    assert run("import") == 0
    assert f"Ollama: qwen2.5-coder:7b ({blob.stat().st_size / 1e6:.0f} MB) {blob}" in capsys.readouterr().out
    assert run("import", "qwen2.5-coder:7b") == 0
    assert run("use", "qwen2.5-coder:7b") == 0
    settings = home / "own-config/fimble/fimble.toml"
    assert settings.read_text() == f'model = "{blob}"\n'
    capsys.readouterr()
    assert run("list", "--json") == 0
    (entry,) = [one for one in json.loads(capsys.readouterr().out)["installed"] if one["path"] == str(blob)]
    assert entry["used"]
    assert entry["source"] == "Ollama: qwen2.5-coder:7b"
    assert run("rm", "qwen2.5-coder:7b") == 0
    assert blob.exists()
    assert lock.pins() == {}
    assert run("use", "starter") == 0
    assert settings.read_text() == 'model = ""\n'


def test_a_blob_that_is_not_what_its_name_says(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ollama(home, "e" * 64)
    assert run("import", "qwen2.5-coder:7b") == 2
    assert "is damaged: Ollama names it by another SHA-256" in capsys.readouterr().err
    assert lock.pins() == {}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("import", "nothing"), "no program here holds"),
        (("use", "nothing"), "no model called 'nothing' is pinned"),
        (("rm", "nothing"), "no model called 'nothing' is pinned"),
        (("use", "text.gguf"), "not a GGUF file"),
        (("use", "/no/such.gguf"), "no such file: /no/such.gguf"),
        (("use", "such.gguf"), "no such file: such.gguf"),
        (("use", "./such"), "no such file: such"),
        (("use", "~/such.gguf"), "no such file: "),
        (("use", "test.gguf"), "text.gguf"),
        (("use", "."), "is a folder; name a GGUF file in it, such as text.gguf"),
        (("use", "/dev/null"), "is not a file"),
        (("bench", "/no/such.gguf"), "no such file: /no/such.gguf"),
        (("optimize", "/no/such.gguf"), "no such file: /no/such.gguf"),
        (("use", f"{'x' * 5000}.gguf"), "File name too long"),
        (("use", "someone/Tiny"), "no model called 'someone/Tiny' is pinned"),
        (("use", "someone/Tiny:Q4_0"), "no model called"),
    ],
)
def test_a_mistake_is_one_line(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    (home / "text.gguf").write_text("hello")
    assert run(*arguments) == 2
    shown = capsys.readouterr()
    assert (shown.out, len(shown.err.splitlines())) == ("", 1)
    assert words in shown.err


def test_settings_that_are_not_toml_are_left_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = home / "own-config/fimble/fimble.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("model = [\n")
    assert run("use", "starter") == 2
    assert "nothing was changed" in capsys.readouterr().err
    assert settings.read_text() == "model = [\n"


def test_comments_and_tables_survive(home: Path) -> None:
    settings = home / "own-config/fimble/fimble.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text('# top\nmodel = "old"   # the old one\n\n[unknown]\na = 1 # one\n')
    assert run("use", "starter") == 0
    assert settings.read_text() == '# top\nmodel = ""   # the old one\n\n[unknown]\na = 1 # one\n'
