"""Memory estimates against the growth of a real process, and what is done with them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lsp_server.backends import devices, llama
from lsp_server.backends.base import ModelError, ModelSpec
from lsp_server.models import estimate
from lsp_server.models.gguf_parts import read_model
from tests.models.architectures import write_model

MODELS = {
    "llama": ("llama", "Q4_0"),
    "gemma3": ("gemma3", "Q8_0"),
    "qwen2": ("qwen2", "F16"),
    "mamba": ("mamba", "F16"),
}
SMALL, WIDE, FLASH = (512, 1, "off"), (2048, 6, "off"), (16384, 2, "on")
# A wide window takes seconds to fill. Qwen's attention is Llama's, and Mamba has none whose steps grow with the window.
GROWTH = {
    "llama": [(*SMALL, True), (*WIDE, True), (*FLASH, False)],
    "gemma3": [(*SMALL, True), (*WIDE, True), (*FLASH, False)],
    "qwen2": [(*SMALL, True), (*FLASH, False)],
    "mamba": [(*SMALL, True), (*WIDE, False), (*FLASH, False)],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def model(folder: Path, name: str) -> Path:
    path = folder / f"{name}.gguf"
    return path if path.exists() else write_model(path, *MODELS[name])


def check_growth(path: Path, context: int, sequences: int, flash: str, *, filled: bool = False) -> None:
    argument = json.dumps([str(path), context, sequences, flash, filled])
    done = subprocess.run(
        [sys.executable, "-m", "tests.models.growth", argument],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    measured = int(done.stdout)
    spec = ModelSpec(str(path), context, sequences, flash_attention=flash)  # type: ignore[arg-type]
    need = estimate.estimate(read_model(path), spec, checkpoints=0)  # nothing is remembered in this test
    print(f"{path.name} {context} × {sequences} {flash}: {need.total >> 20} estimated, {measured >> 20} measured", need)
    assert abs(need.total - measured) <= max(measured // 10, 8 << 20), need


@pytest.mark.parametrize(
    ("name", "context", "sequences", "flash", "filled"),
    [(name, *settings) for name, each in GROWTH.items() for settings in each],
)
def test_the_estimate_is_what_a_process_grows_by(
    folder: Path, name: str, context: int, sequences: int, flash: str, filled: bool
) -> None:
    check_growth(model(folder, name), context, sequences, flash, filled=filled)


@pytest.mark.model
def test_the_estimate_of_the_starter_model(starter_file: Path) -> None:
    check_growth(starter_file, 2560, 6, "off")


@pytest.mark.parametrize(("share", "wanted", "layers"), [(2.0, -1, -1), (0.5, -1, 3), (0.001, -1, 0), (0.001, 2, 2)])
def test_as_many_layers_lie_on_the_gpu_as_its_memory_holds(
    folder: Path, share: float, wanted: int, layers: int
) -> None:
    """Unless the user has said how many: then what does not fit is refused."""
    headers = read_model(model(folder, "llama"))
    spec = ModelSpec("", 4096, 6, gpu_layers=wanted)
    whole = estimate.estimate(headers, ModelSpec("", 4096, 6), gpu=True).device
    room = estimate.Room(1 << 40, round(share * whole))
    fitted = estimate.fit_layers(headers, spec, room)
    assert fitted.gpu_layers == layers
    if wanted < 0:
        assert estimate.fits(estimate.estimate(headers, fitted, gpu=fitted.gpu_layers != 0), room)
    else:
        with pytest.raises(ModelError, match="GPU"):
            estimate.check_room(headers, fitted, room)
    assert estimate.fit_layers(headers, spec, estimate.Room(1 << 40)) == spec


def test_a_model_too_large_for_the_gpu_is_loaded_with_fewer_layers(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = model(folder, "llama")
    spec = ModelSpec(str(path), 4096, 6)
    half = estimate.estimate(read_model(path), spec, gpu=True).device // 2
    monkeypatch.setattr(devices, "room", lambda _: estimate.Room(1 << 40, half))
    opened: list[ModelSpec] = []
    monkeypatch.setattr(llama, "open_file", lambda spec, _: opened.append(spec))
    llama.load(spec, lambda _: True)
    assert 0 < opened[0].gpu_layers < read_model(path)[0].hyper("block_count") + 1
