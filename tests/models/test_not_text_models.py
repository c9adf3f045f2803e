"""GGUF files that are whole and still no model that writes text: one line says what they are, before they are tried."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest

from lsp_server import cli
from lsp_server.backends import llama
from lsp_server.backends.base import ModelError, ModelSpec
from lsp_server.commands import doctor
from lsp_server.models import admission, not_text_models, other_programs
from lsp_server.models.gguf import NoModelError
from lsp_server.models.gguf_parts import read_model
from tests.support.tiny_gguf import write_tiny_gguf


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("CACHE", "CONFIG", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    for name in ("OLLAMA_MODELS", "HF_HOME", "HF_HUB_CACHE", "LLAMA_CACHE", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def untried(monkeypatch: pytest.MonkeyPatch) -> None:
    def tried(*_: object) -> None:
        raise AssertionError("it was tried")

    monkeypatch.setattr(admission, "try_in_child", tried)


Change = Callable[[gguf.GGUFWriter], None]


def write(path: Path, architecture: str, *tensors: str, change: Change = lambda _: None) -> Path:
    """A small file of an architecture, with tensors of these names besides the usual ones."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("something")
    writer.add_block_count(1)
    writer.add_token_list(["a", "b"])
    change(writer)
    for name in ("token_embd.weight", "blk.0.attn_q.weight", *tensors):
        writer.add_tensor(name, np.zeros((4, 8), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def pooling(kind: gguf.PoolingType) -> Change:
    return lambda writer: writer.add_pooling_type(kind)


EMBEDS, RANKS, SEES = "an embedding model", "a reranking model", "sees images"
KINDS: list[tuple[str, tuple[str, ...], Change, str]] = [
    *((name, (), lambda _: None, EMBEDS) for name in ("bert", "nomic-bert", "modern-bert", "gemma-embedding")),
    ("t5encoder", (), lambda _: None, EMBEDS),
    ("qwen3", (), pooling(gguf.PoolingType.LAST), EMBEDS),
    ("llama", (), pooling(gguf.PoolingType.MEAN), EMBEDS),
    ("qwen2", (), pooling(gguf.PoolingType.CLS), EMBEDS),
    ("llama", (), lambda writer: writer.add_causal_attention(False), EMBEDS),
    ("qwen3", ("cls.output.weight",), pooling(gguf.PoolingType.RANK), RANKS),
    ("bert", ("cls.weight",), pooling(gguf.PoolingType.RANK), RANKS),
    ("jina-bert-v2", (), pooling(gguf.PoolingType.RANK), RANKS),
    ("llama", ("cls.output.weight",), lambda _: None, RANKS),
    ("dream", (), lambda writer: writer.add_causal_attention(False), "a diffusion model"),
    ("llada-moe", (), lambda _: None, "a diffusion model"),
    ("wavtokenizer-dec", (), lambda _: None, "makes sounds"),
    ("clip", (), lambda _: None, SEES),
    ("llama", (), lambda writer: writer.add_type("mmproj"), SEES),
    ("gemma3", ("v.blk.0.attn_q.weight", "mm.mm_input_projection.weight"), lambda _: None, SEES),
    ("mistral3", ("mm.0.weight",), lambda _: None, SEES),
    ("qwen25vl", ("v.patch_embd.weight",), lambda _: None, "as Ollama has them"),
]


@pytest.mark.parametrize(("architecture", "tensors", "change", "what"), KINDS)
def test_what_it_is_is_said_wherever_it_is_named(
    home: Path,
    capsys: pytest.CaptureFixture[str],
    architecture: str,
    tensors: tuple[str, ...],
    change: Change,
    what: str,
) -> None:
    path = write(home / ".cache/llama.cpp/m.gguf", architecture, *tensors, change=change)
    with pytest.raises(ModelError) as caught:
        llama.load(ModelSpec(str(path)), lambda _: True)
    message = str(caught.value)
    assert message.startswith(f"{path} cannot be used: it is ")
    assert what in message
    assert "\n" not in message
    assert cli.run(["models", "use", str(path)]) == 2
    assert capsys.readouterr().err == f"fimble: {message}\n"
    assert other_programs.find_models(home) == []
    assert cli.run(["models", "import", "m.gguf"]) == 2
    assert capsys.readouterr().err == f"fimble: {message}\n"
    settings = home / "config/fimble/fimble.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f"model = {json.dumps(str(path))}\n")
    (check,) = [check for check in doctor.examine() if check.topic == "model"]
    assert (check.status, message in check.text) == ("red", True)
    cli.run(["models", "list", "--json"])
    (entry,) = [one for one in json.loads(capsys.readouterr().out)["installed"] if one["path"] == str(path)]
    assert entry["problem"] == message


def test_an_importance_matrix(home: Path) -> None:
    writer = gguf.GGUFWriter(home / "m.gguf", "x")
    writer.kv_data[0].pop("general.architecture")
    writer.add_type("imatrix")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(NoModelError, match="an importance matrix"):
        read_model(home / "m.gguf")


def parts(folder: Path, count: int = 3) -> list[Path]:
    """The parts of a model, under their names."""
    folder.mkdir(parents=True)
    made = []
    for number in range(count):

        def split(writer: gguf.GGUFWriter, number: int = number) -> None:
            writer.add_uint16("split.no", number)
            writer.add_uint16("split.count", count)

        made.append(write(folder / f"m-{number + 1:05}-of-{count:05}.gguf", "llama", f"t{number}", change=split))
    return made


@pytest.mark.parametrize("padding", [0, 16])
def test_parts_that_were_joined_as_cat_does(home: Path, padding: int) -> None:
    made = parts(home / "parts")
    joined = home / ".cache/llama.cpp/model.gguf"
    for name in ("model.gguf", "m-00001-of-00003.gguf"):
        joined = joined.with_name(name)
        joined.parent.mkdir(parents=True, exist_ok=True)
        joined.write_bytes((b"\0" * padding).join(part.read_bytes() for part in made))
        with pytest.raises(
            ModelError, match=r"the 3 parts of a model, joined as `cat` does; .*llama-gguf-split --merge"
        ):
            llama.load(ModelSpec(str(joined)), lambda _: True)
    assert other_programs.find_models(home) == []


def test_a_model_and_its_projector_joined(home: Path) -> None:
    model, sees = write_tiny_gguf(home / "a.gguf"), write(home / "b.gguf", "clip")
    model.write_bytes(model.read_bytes() + sees.read_bytes())
    with pytest.raises(NoModelError, match="several GGUF files, joined"):
        read_model(model)


@pytest.mark.parametrize("name", ["m-00002-of-00003.gguf", "second.gguf"])
def test_a_later_part(home: Path, name: str) -> None:
    parts(home / ".cache/llama.cpp")[1].replace(home / ".cache/llama.cpp" / name)
    (home / ".cache/llama.cpp/m-00001-of-00003.gguf").unlink()
    with pytest.raises(ModelError, match="is part 2 of 3; set `model` to the first part"):
        llama.load(ModelSpec(str(home / ".cache/llama.cpp" / name)), lambda _: True)
    assert not [model for model in other_programs.find_models(home) if model.path.name == name]


def test_a_model_that_writes_is_none_of_these(home: Path) -> None:
    not_text_models.check(read_model(write_tiny_gguf(home / "a.gguf")))
    plain = write(home / "b.gguf", "qwen3", change=pooling(gguf.PoolingType.NONE))
    not_text_models.check(read_model(plain))
    causal = write(home / "c.gguf", "llama", "vision.weight", change=lambda writer: writer.add_causal_attention(True))
    not_text_models.check(read_model(causal))
