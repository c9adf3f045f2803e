"""LoRA adapters through llama.cpp: they change what is written, go without a trace, and never mix in the cache."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lsp_server.backends import llama
from lsp_server.backends.base import Adapter, ModelError, ModelSpec
from lsp_server.cli import run
from lsp_server.engine.core import EngineCore
from lsp_server.engine.request import Event, Finished, FinishReason, Load, ModelFailed, ModelLoading, ModelReady
from lsp_server.engine.spawn import at_once
from lsp_server.models import admission, lora
from lsp_server.models.gguf import read_header
from lsp_server.settings.fields import Settings, adapter_of
from tests.engine.harness import BLOCK, ask, make_prompt
from tests.support.tiny_gguf import write_tiny_gguf, write_tiny_lora

PROMPTS = ["def area(width", "def area(width, height):\n    return wi", "class Walker:\n    def walk(self):\n" * 6]


class Session:
    """An engine driven by hand, how often a model was really loaded, and what it writes."""

    def __init__(self, spec: ModelSpec) -> None:
        self.events: list[Event] = []
        self.opened = 0
        self.asked = 0
        self.engine = EngineCore(self._load, self.events.append, spawn=at_once)
        self.load(spec)

    def _load(self, spec: ModelSpec, progress: Callable[[float], bool]) -> llama.LlamaBackend:
        self.opened += 1
        return llama.load(spec, progress)

    def load(self, spec: ModelSpec) -> Event:
        self.engine.send(Load(spec, number=len(self.events)))
        self.engine.receive()
        return self.events[-1]

    def run(self, text: str) -> Finished:
        self.asked += 1
        self.engine.send(ask(self.asked, make_prompt("", text), stop=BLOCK, max_tokens=10))
        self.engine.receive()
        while self.engine.step():
            pass
        for model in self.engine.models.values():
            model.cache.check(model.backend.length)
        last = next(event for event in reversed(self.events) if isinstance(event, Finished))
        assert last.reason is not FinishReason.FAILED, last
        return last

    def close(self) -> None:
        for model in self.engine.models.values():
            model.backend.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lora")
    write_tiny_gguf(folder / "base.gguf")
    for seed in (1, 2):
        write_tiny_lora(folder / f"{seed}.gguf", seed=seed)
    return folder


def spec_of(folder: Path, *adapters: str) -> ModelSpec:
    found = tuple(adapter_of(str(folder / each)) for each in adapters)
    return ModelSpec(str(folder / "base.gguf"), 512, 2, gpu_layers=0, adapters=found, threads=1)


SETS: list[tuple[str, ...]] = [
    (),
    ("1.gguf",),
    ("2.gguf",),
    ("1.gguf:0.5",),
    ("1.gguf", "2.gguf"),
    ("1.gguf", "2.gguf:-1"),
]


@pytest.fixture(scope="module")
def cold(folder: Path) -> dict[tuple[str, ...], list[tuple[str, float]]]:
    """What each set of adapters writes behind each prompt in an engine that has seen nothing else."""
    found: dict[tuple[str, ...], list[tuple[str, float]]] = {}
    for chosen in SETS:
        found[chosen] = []
        for text in PROMPTS:
            session = Session(spec_of(folder, *chosen))
            end = session.run(text)
            found[chosen].append((end.text, end.logprob))
            session.close()
    return found


def test_every_set_of_adapters_writes_something_else(cold: dict[tuple[str, ...], Any]) -> None:
    assert len({str(written) for written in cold.values()}) == len(SETS)


def test_adapters_are_exchanged_without_loading_and_never_mix(folder: Path, cold: dict[tuple[str, ...], Any]) -> None:
    """Prompts go on from each other and come again under other adapters; each is as in a cold run, to the digit."""
    rng = random.Random(5)
    session = Session(spec_of(folder))
    reused = 0
    for _ in range(40):
        chosen = rng.choice(SETS)
        assert isinstance(session.load(spec_of(folder, *chosen)), ModelReady)
        first = True
        for index in rng.sample(range(len(PROMPTS)), 2) * 2:
            end = session.run(PROMPTS[index])
            text, logprob = cold[chosen][index]
            assert (end.text, end.logprob) == (text, pytest.approx(logprob, abs=1e-4))
            if first:
                assert end.usage.reused_tokens == 0
            reused += end.usage.reused_tokens
            first = False
    assert reused > 0
    session.close()


def test_only_the_adapters_of_a_change_are_loaded(folder: Path) -> None:
    session = Session(spec_of(folder))
    before = len([event for event in session.events if isinstance(event, ModelLoading)])
    for chosen in SETS[1:]:
        ready = session.load(spec_of(folder, *chosen))
        assert isinstance(ready, ModelReady)
        assert ready.info.adapters == spec_of(folder, *chosen).adapters
    assert session.opened == 1
    assert len([event for event in session.events if isinstance(event, ModelLoading)]) == before
    session.close()


def test_an_exchange_cancels_what_runs(folder: Path) -> None:
    session = Session(spec_of(folder))
    session.engine.send(ask(99, make_prompt("", PROMPTS[2]), stop=BLOCK, max_tokens=10))
    session.engine.receive()
    session.engine.step()
    session.load(spec_of(folder, "1.gguf"))
    (end,) = [event for event in session.events if isinstance(event, Finished)]
    assert (end.id, end.reason) == (99, FinishReason.CANCELLED)
    session.close()


def misfits(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files that cannot be used with the tiny Llama, and a part of what is said about each."""
    whole = folder / "whole.gguf"
    data = write_tiny_lora(whole, seed=3).read_bytes()
    whole.write_bytes(data[:-500])
    return {
        "cut off": (whole, "lies at bytes"),
        "a model": (folder / "base.gguf", "is not a LoRA adapter but a model"),
        "missing": (folder / "no.gguf", "does not exist"),
        "architecture": (
            write_tiny_lora(folder / "a.gguf", architecture="qwen2"),
            "for the architecture qwen2, not llama",
        ),
        "shape": (write_tiny_lora(folder / "w.gguf", width=96), "as 96 by 96, which is 64 by 64 in the model"),
        "tensor": (
            write_tiny_lora(folder / "t.gguf", changes=("attn_x",)),
            "'blk.0.attn_x.weight', which the model does",
        ),
        "kind": (write_tiny_lora(folder / "k.gguf", kind="control"), "of the kind 'control'"),
        "empty": (write_tiny_lora(folder / "e.gguf", changes=()), "changes nothing"),
        "layers of matrices": (write_tiny_lora(folder / "3.gguf", more=(2,)), "as 64 by 64 by 2, which is 64 by 64"),
        "not a number": (write_tiny_lora(folder / "n.gguf", alpha=float("nan")), "not a number"),
        "endless": (write_tiny_lora(folder / "i.gguf", alpha=float("inf")), "not a number"),
        "a pipe": (pipe(folder / "pipe.gguf"), "is not a file but a pipe"),
        **{
            dtype.__name__: (write_tiny_lora(folder / f"{dtype.__name__}.gguf", dtype=dtype), "cannot compute")
            for dtype in (np.float64, np.int8, np.int16, np.int32, np.int64)
        },
    }


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def test_what_does_not_fit_is_explained_in_one_line(folder: Path) -> None:
    cases = misfits(folder)
    for name, (path, words) in cases.items():
        spec = spec_of(folder, str(path))
        with pytest.raises(ModelError) as raised:
            llama.load(spec, lambda _: True)
        assert words in str(raised.value), (name, str(raised.value))
        assert str(path) in str(raised.value) and "\n" not in str(raised.value)
        session = Session(spec_of(folder, "1.gguf"))
        failed = session.load(spec)
        assert isinstance(failed, ModelFailed) and failed.message == str(raised.value)
        assert isinstance(session.load(spec_of(folder)), ModelReady)
        session.close()


@pytest.mark.parametrize(
    ("dtype", "at_load"),
    [(np.float64, False), *((each, True) for each in (np.float64, np.int8, np.int16, np.int32, np.int64))],
)
def test_an_adapter_that_ends_the_process_ends_a_child(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: type[np.generic], at_load: bool
) -> None:
    """As one does that nobody foresaw: here the header is not looked at for its types. Once is enough."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(lora, "_NOT_COMPUTED", frozenset())
    bad = write_tiny_lora(tmp_path / "bad.gguf", dtype=dtype)
    trials = counted(monkeypatch)
    for _ in range(2):
        session = Session(spec_of(folder, *([str(bad)] if at_load else [])))
        failed = session.events[-1] if at_load else session.load(spec_of(folder, str(bad)))
        assert isinstance(failed, ModelFailed), failed
        assert failed.message.startswith(f"{bad} cannot be used: ")
        assert "\n" not in failed.message
        assert isinstance(session.load(spec_of(folder)), ModelReady)
        session.close()
    assert trials.count(str(bad)) == 1


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The adapters that were tried in a child; models, as empty texts."""
    trials: list[str] = []
    real = admission.try_in_child

    def attempt(*arguments: Any) -> tuple[str, bool]:
        trials.append(arguments[4].path if len(arguments) > 4 and arguments[4] else "")
        return real(*arguments)

    monkeypatch.setattr(admission, "try_in_child", attempt)
    return trials


def test_an_adapter_is_tried_once_with_a_model_and_a_scale(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    trials = counted(monkeypatch)
    for chosen in (("1.gguf",), ("1.gguf", "2.gguf"), ("2.gguf", "1.gguf"), ("1.gguf:0.5",), ("1.gguf:0.5",)):
        llama.load(spec_of(folder, *chosen), lambda _: True).close()
    assert [Path(each).name for each in trials] == ["", "1.gguf", "2.gguf", "1.gguf"]


@pytest.mark.parametrize("scale", ["1e", "9" * 400, "-100000", "1001"])
def test_a_scale_beyond_all_measure(folder: Path, scale: str) -> None:
    with pytest.raises(ModelError, match=r"must lie between|does not exist"):
        llama.load(spec_of(folder, f"1.gguf:{scale}"), lambda _: True)


def test_an_adapter_of_half_precision(folder: Path, tmp_path: Path) -> None:
    half = write_tiny_lora(tmp_path / "half.gguf", dtype=np.float16)
    llama.load(spec_of(folder, str(half)), lambda _: True).close()


def test_an_adapter_is_no_model_and_is_not_named_twice(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"is a LoRA adapter, not a model; name it in `lora`"):
        llama.load(ModelSpec(str(folder / "1.gguf")), lambda _: True)
    with pytest.raises(ModelError, match="named twice"):
        llama.load(spec_of(folder, "1.gguf", "1.gguf:0.5"), lambda _: True)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    write_tiny_gguf(tmp_path / "base.gguf")
    write_tiny_lora(tmp_path / "1.gguf", seed=1)
    backend = llama.load(spec_of(tmp_path, "1.gguf"), lambda _: True)

    def row() -> list[float]:
        backend.truncate(0, 0)
        return list(backend.evaluate(0, 0, [1, 2, 3], logits=1)[0][:8])

    first = row()
    write_tiny_lora(tmp_path / "1.gguf", seed=7)
    backend.adapt(spec_of(tmp_path, "1.gguf").adapters)
    assert row() != first
    backend.adapt(())
    bare = row()
    write_tiny_lora(tmp_path / "1.gguf", seed=1)
    backend.adapt(spec_of(tmp_path, "1.gguf").adapters)
    assert row() == first != bare
    with pytest.raises(ModelError):
        backend.adapt((Adapter(str(tmp_path / "no.gguf")),))
    assert row() == first
    backend.close()


@pytest.mark.parametrize(
    ("text", "path", "scale"),
    [
        ("/a/b.gguf", "/a/b.gguf", 1.0),
        ("/a/b.gguf:0.5", "/a/b.gguf", 0.5),
        ("/a/b.gguf:-1", "/a/b.gguf", -1.0),
        ("C:\\a\\b.gguf", "C:\\a\\b.gguf", 1.0),
        ("C:\\a\\b.gguf:.25", "C:\\a\\b.gguf", 0.25),
        ("/a/b.gguf:nan", "/a/b.gguf:nan", 1.0),
        (":2", ":2", 1.0),
    ],
)
def test_how_a_scale_is_written(text: str, path: str, scale: float) -> None:
    assert adapter_of(text) == Adapter(path, scale)
    assert Settings(lora=[text]).model_spec().adapters == (Adapter(path, scale),)


def test_the_list_of_models_has_adapters(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("CACHE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    settings = tmp_path / "config" / "fimble" / "fimble.toml"
    settings.parent.mkdir(parents=True)
    write_tiny_lora(settings.parent / "house style.gguf")
    wide = write_tiny_lora(tmp_path / "wide.gguf", width=96)
    settings.write_text(
        f"model = {json.dumps(str(folder / 'base.gguf'))}\nlora = ['house style.gguf:0.5', {json.dumps(str(wide))}]\n"
    )
    models = tmp_path / "cache" / "fimble" / "models"
    models.mkdir(parents=True)
    write_tiny_lora(models / "x.gguf")
    assert run(["models", "list", "--json"]) == 0
    entries = {Path(one["name"]).name: one for one in json.loads(capsys.readouterr().out)["installed"]}
    style, other, bad = entries["house style.gguf"], entries["x.gguf"], entries["wide.gguf"]
    assert (style["kind"], style["used"], style["scale"], style["problem"]) == ("adapter", True, 0.5, "")
    assert (other["kind"], other["used"]) == ("adapter", False)
    assert "does not fit tiny" in bad["problem"]
    assert entries["base.gguf"]["kind"] == "model"
    assert run(["models", "list"]) == 0
    assert "LoRA × 0.5" in capsys.readouterr().out


def test_the_header_of_an_adapter_fits_its_model(folder: Path) -> None:
    lora.check(read_header(folder / "1.gguf"), [read_header(folder / "base.gguf")])
