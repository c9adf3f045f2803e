"""`fimble doctor`: what it says of machines and set-ups, without a network and without failing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lsp_server.backends import calibration
from lsp_server.backends.base import StepCosts
from lsp_server.backends.devices import Device
from lsp_server.commands import doctor
from lsp_server.features import first_suggestions
from lsp_server.features.first_suggestions import FirstSuggestion
from lsp_server.models import machine
from lsp_server.models.machine import Gpu
from lsp_server.settings import sources, trust
from tests.conftest import environment, server_in
from tests.support.tiny_gguf import MARKERS, write_tiny_gguf

GIB = 1 << 30


def checks(topic: str) -> list[doctor.Check]:
    return [check for check in doctor.examine() if check.topic == topic]


@pytest.mark.parametrize(
    ("gpu", "switch"),
    [
        (Gpu("NVIDIA GeForce RTX 4090", "NVIDIA", 24 * GIB, 20 * GIB), "-DGGML_CUDA=on"),
        (Gpu("AMD GPU (card0)", "AMD", 16 * GIB, 15 * GIB), "-DGGML_VULKAN=on"),
        (Gpu("Intel GPU (card1)", "Intel"), "-DGGML_VULKAN=on"),
    ],
)
def test_a_gpu_that_the_build_cannot_use(monkeypatch: pytest.MonkeyPatch, gpu: Gpu, switch: str) -> None:
    monkeypatch.setattr(machine, "gpus", lambda: [gpu])
    monkeypatch.setattr("lsp_server.backends.devices.devices", list)
    (check,) = checks("GPU")
    assert check.status == "yellow"
    assert gpu.name in check.text
    assert "cannot use it" in check.text
    assert f'CMAKE_ARGS="{switch}"' in check.fix
    assert re.search(r"--force-reinstall .*llama-cpp-python==[\d.]+$", check.fix)


def test_a_gpu_that_the_build_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device("CUDA0", "NVIDIA H200", "CUDA", "GPU", 100 * GIB, 141 * GIB)
    monkeypatch.setattr("lsp_server.backends.devices.devices", lambda: [device])
    (check,) = checks("GPU")
    assert (check.status, check.fix) == ("green", "")
    assert "100.0 GB of 141.0 GB free, bandwidth 4800 GB/s, high" in check.text


@pytest.mark.parametrize(
    ("token_ms", "busy_ms", "status"), [(20.0, 0.0, "green"), (20.0, 90.0, "yellow"), (95.0, 0.0, "yellow")]
)
def test_calibration_against_the_budget(token_ms: float, busy_ms: float, status: str) -> None:
    row = (token_ms, 4 * token_ms)
    calibration.remember(
        "a1",
        calibration.Calibration(
            version=calibration._VERSION,
            machine="this one",
            model="gemma.gguf",
            flash_attention=False,
            threads=2,
            batch_threads=2,
            costs=StepCosts(depths=(0, calibration.DEEP), sizes=(1, 16), ms_at=(row, row)),
            busy_ms=busy_ms,
            prefill_per_second=300.0,
            seconds=3.0,
        ),
    )
    (check,) = checks("calibration")
    assert check.status == status
    assert f"gemma.gguf: {token_ms:.0f} ms a token" in check.text
    assert bool(check.fix) == (status == "yellow")


def set_model(model: Path) -> None:
    settings = sources.settings_files([])[0]
    settings.parent.mkdir(parents=True)
    settings.write_text(f"model = {json.dumps(str(model))}\n")


@pytest.mark.parametrize(
    ("times", "status", "says"),
    [
        ([], "green", "not measured yet with this model"),
        (
            [400, 900, 1200],
            "green",
            "0.9 s where the file is new to the model: the median of the last 3, at worst 1.2 s",
        ),
        ([400, 2000, 2500], "yellow", "2.0 s where the file"),
        ([400, 900, 8000], "yellow", "the median of the last 3, 1 of them not in time, at worst 8.0 s"),
    ],
)
def test_what_a_first_suggestion_costs_here(place: Path, times: list[float], status: str, says: str) -> None:
    """As servers have measured it with the model that is set, and with no other."""
    set_model(place / "mine.gguf")
    for name, ms in [("other.gguf", 9000.0), *(("mine.gguf", ms) for ms in times)]:
        first_suggestions.remember(
            FirstSuggestion(str(place / name), ms, ms >= 8000, True, 200, 180, ms / 2, 1_800_000_000.0)
        )
    (check,) = checks("first suggestion")
    assert (check.status, bool(check.fix)) == (status, status == "yellow")
    assert says in check.text
    if times:
        assert "about 180 tokens are read for it" in check.text
        assert "2027-01-1" in check.text
    assert first_suggestions.path().stat().st_mode & 0o077 == 0


def test_a_server_notes_what_a_first_suggestion_has_cost(place: Path) -> None:
    """Once for the place that is new to the model, and not for the keys that follow."""
    model = place / "mine.gguf"
    model.write_text("def area(width, height):\n    return width * height\n")
    set_model(model)
    server = server_in(place, "serve", "--backend", "scripted", "--model", str(model))
    try:
        server.initialize()
        server.open("file:///w/a.py", "def area(width, height):\n    return width")
        assert len(server.inline("file:///w/a.py", 1, 16)) == 1
        while not first_suggestions.path().exists():
            server.status()
        assert server.finish() == 0
    finally:
        server.kill()
    (check,) = checks("first suggestion")
    assert "the median of the last 1, at worst" in check.text


def test_a_damaged_record_of_first_suggestions_is_begun_anew(place: Path) -> None:
    first_suggestions.path().parent.mkdir(parents=True)
    first_suggestions.path().write_text('[{"model": 3}]')
    (check,) = checks("first suggestion")
    assert "not measured yet" in check.text
    first_suggestions.remember(FirstSuggestion("m", 1.0, False, False, 99, 99, 1.0, 0.0))
    assert len(first_suggestions.remembered()) == 1


def test_a_calibration_that_is_made_anew_is_no_news() -> None:
    calibration.folder().mkdir(parents=True)
    (calibration.folder() / "a1.json").write_text("{")
    (calibration.folder() / "a2.json").write_text('{"version": 0}')
    assert not checks("calibration")


def test_settings_and_where_they_come_from(place: Path) -> None:
    trust.remember(place, True)
    user = place / "config/fimble/fimble.toml"
    user.parent.mkdir(parents=True)
    user.write_text("max_lines = 3\nmax_tokens = 10\n")
    model = write_tiny_gguf(place / "mine.gguf")
    (place / "fimble.toml").write_text('max_lines = 4\nmodel = "mine.gguf"\nansewr_ms = 3\n')
    texts = [(check.status, check.text) for check in checks("settings")]
    assert texts[0] == ("green", f"{user}: max_tokens")
    assert texts[1] == ("green", f"{place / 'fimble.toml'}: max_lines, model")
    assert texts[2][0] == "red"
    assert "did you mean `answer_ms`" in texts[2][1]
    (check,) = checks("model")
    assert check.status == "green"
    assert f"(set in {place / 'fimble.toml'})" in check.text
    assert "FIM format qwen" in check.text
    model.write_bytes(model.read_bytes()[:3000])
    (check,) = checks("model")
    assert check.status == "red"
    assert f"(set in {place / 'fimble.toml'})" in check.text


def test_what_only_a_trusted_folder_may_set(place: Path) -> None:
    (place / "fimble.toml").write_text('model = "mine.gguf"\nmax_lines = "x"\n')
    found = [(check.status, check.text) for check in checks("settings")]
    assert found[0] == ("green", f"{place / 'fimble.toml'}: max_lines")
    assert [status for status, _ in found[1:]] == ["red", "red"]
    assert f"`fimble trust {place}`" in found[2][1]


def test_a_model_that_drafts(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trust.remember(place, True)
    settings = place / "fimble.toml"
    write_tiny_gguf(place / "mine.gguf")
    write_tiny_gguf(place / "small.gguf", name="small")
    settings.write_text('model = "mine.gguf"\n')
    assert checks("draft model") == []
    settings.write_text('model = "mine.gguf"\ndraft_model = "small.gguf"\n')
    (check,) = checks("draft model")
    assert (check.status, check.text.split()[0]) == ("green", "small")
    assert f"(set in {settings})" in check.text
    settings.write_text(settings.read_text() + "calibrate = false\n")
    (check,) = checks("draft model")
    assert check.status == "yellow"
    assert "`calibrate` is off" in check.text
    settings.write_text(settings.read_text().replace("false", "true"))
    write_tiny_gguf(place / "small.gguf", name="small", markers=MARKERS[:3])
    monkeypatch.setattr(doctor, "_PADDING", 3)
    (check,) = checks("draft model")
    assert check.status == "yellow"
    assert "cannot draft" in check.text
    (place / "small.gguf").unlink()
    (check,) = checks("draft model")
    assert check.status == "red"
    assert "does not exist" in check.text


def test_what_breaks_is_a_line_and_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[Gpu]:
        raise RuntimeError("no such luck")

    monkeypatch.setattr(machine, "gpus", broken)
    monkeypatch.setattr(machine, "ram_bytes", broken)
    found = list(doctor.examine())
    assert sum("no such luck" in check.text for check in found) == 2
    assert any(check.topic == "model" for check in found)


def test_gpus_by_the_files_of_the_kernel(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(place))  # no nvidia-smi
    amd = place / "drm/card0/device"
    amd.mkdir(parents=True)
    sizes = {"mem_info_vram_total": str(16 * GIB), "mem_info_vram_used": str(GIB)}
    for name, text in {"vendor": "0x1002\n", **sizes}.items():
        (amd / name).write_text(text)
    (place / "drm/card0-HDMI-A-1").mkdir()
    (place / "drm/card1/device").mkdir(parents=True)
    (place / "drm/card1/device/vendor").write_text("0x1234")
    (place / "nvidia/0000:01:00.0").mkdir(parents=True)
    (place / "nvidia/0000:01:00.0/information").write_text("Model: \t\t NVIDIA GeForce RTX 3060\nIRQ: 1\n")
    assert machine.gpus(place / "drm", place / "nvidia") == [
        Gpu("NVIDIA GeForce RTX 3060", "NVIDIA"),
        Gpu("AMD GPU (card0)", "AMD", 16 * GIB, 15 * GIB),
    ]
    assert machine.gpus(place / "none", place / "none") == []


def test_nvidia_smi_is_asked(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = place / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA RTX A6000, 49140, 48000'\necho 'NVIDIA GB10, [N/A], [N/A]'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}:/usr/bin:/bin")
    assert machine.gpus(place / "none", place / "none") == [
        Gpu("NVIDIA RTX A6000", "NVIDIA", 49140 << 20, 48000 << 20),
        Gpu("NVIDIA GB10", "NVIDIA"),
    ]
    program.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    assert machine.gpus(place / "none", place / "none") == []


def test_whether_editors_find_the_program(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(place))
    (check,) = checks("program")
    assert check.status == "yellow"
    assert "ln -s" in check.fix
    assert "fimble.path" in check.fix
    (place / "fimble").write_text("#!/bin/sh\n")
    (place / "fimble").chmod(0o755)
    (check,) = checks("program")
    assert (check.status, check.fix) == ("green", "")
    assert str(place / "fimble") in check.text


def test_one_editor_that_is_set_up_is_enough(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(place))
    monkeypatch.setenv("HOME", str(place / "home"))
    for name in ("vim", "hx"):
        (place / name).write_text("#!/bin/sh\n")
        (place / name).chmod(0o755)
    assert [check.status for check in checks("editor")] == ["yellow", "yellow"]
    (place / "home" / ".vim").mkdir(parents=True)
    (place / "home" / ".vim" / "coc-settings.json").write_text('{"command": "fimble"}')
    assert [check.status for check in checks("editor")] == ["green", "green"]


def _if_permitted(prefix: list[str]) -> list[str]:
    """What a command is to be put behind; nothing where that program is missing or not allowed."""
    if shutil.which(prefix[0]) is None:
        return []
    return prefix if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0 else []


@pytest.mark.parametrize("command", [["doctor", "--json"], ["models", "list", "--json"]])
def test_no_network_and_nothing_written(place: Path, command: list[str]) -> None:
    """In a namespace without a network, and traced: no internet socket, no file made or changed."""
    log, home = place / "strace.log", place / "home"
    strace = ["strace", "-f", "-o", str(log), "-e", "trace=socket,openat,mkdir,rename,unlink"]
    prefix = [*_if_permitted(["unshare", "-rn"]), *_if_permitted(strace)]
    home.mkdir()
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "lsp_server", *command],
        env=environment(home),
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    json.loads(done.stdout)
    calls = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
    assert not [call for call in calls if "AF_INET" in call]
    written = [call for call in calls if re.search(r"O_(WRONLY|RDWR|CREAT)|\b(mkdir|rename|unlink)\(", call)]
    assert not [call for call in written if "/dev/" not in call and " = -1 " not in call]
    assert list(home.iterdir()) == []
