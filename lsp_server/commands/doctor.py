"""`fimble doctor`: one page about this machine and fimble's set-up, with a fix for everything that is wrong.

It opens no socket, writes nothing, and never fails because of what it finds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from lsp_server.backends.base import ModelError
from lsp_server.system.user_folders import expanded

GREEN, YELLOW, RED = "green", "yellow", "red"
_BUDGET_MS = 80.0
_FIRST_MS = 1500.0
_LITTLE_DISK = 2 << 30
_CALIBRATIONS = 20
_PADDING = 1024  # tokens by which vocabularies within a model family may differ


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the page. topic: its subject. fix: what to do; empty if nothing."""

    topic: str
    status: str
    text: str
    fix: str = ""


def add_arguments(commands: Any, logged: argparse.ArgumentParser) -> None:
    """The arguments of `fimble doctor`."""
    parser = commands.add_parser("doctor", parents=[logged], help="what this machine has, and what is wrong or missing")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Prints the page. Returns 1 if something is red, else 0."""
    checks = list(examine())
    if options.json:
        print(json.dumps({"checks": [asdict(check) for check in checks]}, indent=2))  # noqa: T201
    else:
        _print(checks)
    return 1 if any(check.status == RED for check in checks) else 0


def examine() -> Iterator[Check]:
    """All checks, in the order of the page. A check that raises becomes a line of its own."""
    parts: list[Callable[[], Iterator[Check]]] = [
        _python,
        _llama,
        _hardware,
        _settings,
        _model,
        _draft_model,
        _calibration,
        _saved_prompts,
        _first_suggestion,
        _editors,
    ]
    for part in parts:
        try:
            yield from part()
        except Exception as error:
            yield Check(part.__name__.strip("_"), YELLOW, f"cannot be examined: {type(error).__name__}: {error}")


def _python() -> Iterator[Check]:
    from lsp_server import __version__

    yield Check("fimble", GREEN, f"{__version__}, Python {platform.python_version()} at {sys.executable}")


def _llama() -> Iterator[Check]:
    from importlib import metadata

    from lsp_server.backends import devices
    from lsp_server.models import catalogue, machine

    try:
        usable = devices.devices()
        info = devices.system_info()
    except ModelError as error:
        yield Check("llama.cpp", RED, str(error), "pip install --force-reinstall --no-cache-dir llama-cpp-python")
        return
    backends = sorted({device.backend for device in usable} | {"CPU"})
    version = metadata.version("llama-cpp-python")
    yield Check("llama.cpp", GREEN, f"llama-cpp-python {version}, compiled for {', '.join(backends)}")
    compiled = re.findall(r"(\w+) = 1\b", info)
    processor = machine.cpu()
    missing = "avx2" in processor.vectors and "AVX2" not in compiled
    fix = _install("-DGGML_NATIVE=on") if missing else ""
    text = f"compiled with {', '.join(compiled)}" if compiled else "it does not say what it was compiled with"
    yield Check("vectors", YELLOW if missing else GREEN, text + (", though this CPU has AVX2" if missing else ""), fix)
    seen, on_gpu = machine.gpus(), [device for device in usable if device.kind == "GPU"]
    for device in on_gpu:
        gbps = catalogue.bandwidth_gbps(device.description)
        yield Check(
            "GPU",
            GREEN,
            f"{device.description} by {device.backend}: {_gb(device.free_bytes)} of {_gb(device.total_bytes)} free, "
            f"bandwidth {_bandwidth(gbps)}",
        )
    if on_gpu:
        return
    for gpu in seen:
        memory = f", {_gb(gpu.free_bytes or 0)} of {_gb(gpu.total_bytes)} free" if gpu.total_bytes else ""
        text = f"{gpu.name}{memory}, bandwidth {_bandwidth(gpu.bandwidth_gbps)}: this llama.cpp cannot use it"
        yield Check("GPU", YELLOW, text, _install(gpu_switch(gpu.vendor)))
    if not seen:
        vulkan = machine.vulkan_drivers()
        more = f" (Vulkan drivers: {', '.join(vulkan)})" if vulkan else ""
        yield Check("GPU", GREEN, f"none found{more}; models run on the CPU")


def gpu_switch(vendor: str) -> str:
    """The CMake option that compiles llama.cpp for a maker's GPUs: CUDA, Metal, else Vulkan, which most drivers
    support."""
    return {"NVIDIA": "-DGGML_CUDA=on", "Apple": "-DGGML_METAL=on"}.get(vendor, "-DGGML_VULKAN=on")


def _install(switch: str) -> str:
    from importlib import metadata

    command = f"{shlex.quote(sys.executable)} -m pip install --force-reinstall --no-deps --no-cache-dir"
    return f'CMAKE_ARGS="{switch}" {command} llama-cpp-python=={metadata.version("llama-cpp-python")}'


def _hardware() -> Iterator[Check]:
    from lsp_server.models import lock, machine

    processor = machine.cpu()
    vectors = ", ".join(processor.vectors) or "no vector extensions that llama.cpp gains from"
    known = bool(processor.vectors)
    of = f" of {os.cpu_count()}" if processor.cores < (os.cpu_count() or 1) else ""
    yield Check("CPU", GREEN if known else YELLOW, f"{processor.name}, {processor.cores}{of} cores, {vectors}")
    total, free = machine.ram_bytes()
    little = free < 1 << 30
    fix = "close something, or set `model` to a smaller one" if little else ""
    yield Check("memory", YELLOW if little else GREEN, f"{_gb(free)} of {_gb(total)} free", fix)
    space = machine.disk_free(lock.models_folder())
    fix = "free some space, or set XDG_CACHE_HOME to another disk" if space < _LITTLE_DISK else ""
    status = YELLOW if fix else GREEN
    yield Check("disk", status, f"{_gb(space)} free for models in {lock.models_folder()}", fix)


def _settings() -> Iterator[Check]:
    from lsp_server.settings import sources

    roots = [Path.cwd()]
    _, problems = sources.load(roots)
    for path in sources.settings_files(roots):
        if path.is_file():
            names = [name for name, file in sources.origins(roots).items() if file == str(path)]
            yield Check("settings", GREEN, f"{path}: {', '.join(names) or 'nothing in force'}")
    for problem in problems:
        yield Check("settings", RED, problem, "change or remove it")
    if not any(path.is_file() for path in sources.settings_files(roots)):
        yield Check("settings", GREEN, f"the defaults; there is no {sources.settings_files([])[0]}")


def _model() -> Iterator[Check]:
    from lsp_server.models import admission, estimate, fim, gguf_parts, ledger, not_text_models, starter
    from lsp_server.settings import sources

    settings, _ = sources.load([Path.cwd()])
    spec = settings.model_spec()
    origin = sources.origins([Path.cwd()]).get("model")
    where = f" (set in {origin})" if spec.path and origin else ""
    path = expanded(spec.path) if spec.path else starter.path()
    if not spec.path and not path.exists():
        yield Check("model", RED, "none: no `model` is set and the starter is not here", starter.PULL)
        return
    if not spec.path and starter.is_damaged():
        yield Check("model", RED, f"{path} is damaged: it is not the starter that it should be", starter.PULL)
        return
    try:
        headers = gguf_parts.read_model(path)
        not_text_models.check(headers)
        need = estimate.check_room(headers, spec, estimate.Room(estimate.available_bytes()))
    except ModelError as error:
        yield Check("model", RED, f"{error}{where}", "fimble models list, then fimble models use NAME")
        return
    known = ledger.known_sha256(path)
    state = admission.verdict([known]) if known and len(headers) == 1 else None
    if state:
        yield Check("model", RED, f"{path}{where}: {state}", "fimble models use another")
        return
    form = fim.format_of(headers[0])
    tried = "" if state == "" or not spec.path else "; it is tried in a child process at its first start"
    yield Check(
        "model",
        GREEN,
        f"{headers[0].text('general.name') or path.name} {headers[0].quantisation}, "
        f"{f'FIM format {form}' if form else 'no FIM'}, about {estimate.megabytes(need.total)} MB{where}{tried}",
    )


def _draft_model() -> Iterator[Check]:
    from lsp_server.models import estimate, gguf_parts, starter
    from lsp_server.settings import sources

    settings, _ = sources.load([Path.cwd()])
    if not settings.draft_model:
        return
    origin = sources.origins([Path.cwd()]).get("draft_model")
    where = f" (set in {origin})" if origin else ""
    try:
        small = gguf_parts.read_model(expanded(settings.draft_model))
    except ModelError as error:
        yield Check("draft model", RED, f"{error}{where}", "change or remove `draft_model`; completions work without")
        return
    main = expanded(settings.model) if settings.model else starter.path()
    known, name = small[0].vocabulary, small[0].text("general.name") or small[0].path.name
    wanted = gguf_parts.read_model(main)[0].vocabulary if main.exists() else known
    if abs(known - wanted) > _PADDING:
        text = f"{name} has {known} tokens and the model {wanted}: it cannot draft for it{where}"
        yield Check("draft model", YELLOW, text, "set `draft_model` to a smaller model of the same family")
        return
    if not settings.calibrate:
        text = f"{name} is not used: nobody knows whether it pays while `calibrate` is off{where}"
        yield Check("draft model", YELLOW, text, "set `calibrate` to true")
        return
    need = estimate.estimate(small, settings.model_spec().of_draft())
    size = estimate.megabytes(need.total)
    yield Check("draft model", GREEN, f"{name} {small[0].quantisation}, about {size} MB{where}; compared when it loads")


def _calibration() -> Iterator[Check]:
    from lsp_server.backends import calibration

    folder = calibration.folder()
    for path in sorted(folder.glob("*.json"))[:_CALIBRATIONS] if folder.is_dir() else ():
        found = calibration.remembered(path.stem)
        if found is None:  # of an earlier version, or damaged: measured again when the model is loaded
            continue
        token_ms = found.costs.ms(1, calibration.DEEP)
        busy = f" ({found.busy_ms:.0f} ms beside a busy core)" if found.busy_ms else ""
        slow = max(token_ms, found.busy_ms) > _BUDGET_MS
        yield Check(
            "calibration",
            YELLOW if slow else GREEN,
            f"{found.model}: {token_ms:.0f} ms a token{busy}, of {_BUDGET_MS:.0f} ms there are for a key; "
            f"{found.prefill_per_second:.0f} tokens of a prompt a second, {found.threads} threads, "
            f"flash attention {'on' if found.flash_attention else 'off'}",
            "a smaller model, or a lower context_tokens" if slow else "",
        )


def _saved_prompts() -> Iterator[Check]:
    from lsp_server.settings import sources
    from lsp_server.system import saved_prompt_files

    settings, _ = sources.load([Path.cwd()])
    found, limit = saved_prompt_files.usage(), settings.saved_prompts_mb
    most = f"of {limit} MB there may be" if limit else "though `saved_prompts_mb` is 0"
    text = f"{found.files} evaluated prompts, {found.bytes // 1_000_000} MB {most}, in {saved_prompt_files.folder()}"
    if not limit and not found.files:
        yield Check("prompts", GREEN, "none are kept: `saved_prompts_mb` is 0")
    else:
        yield Check("prompts", GREEN if limit else YELLOW, text, "" if limit else "fimble cache --empty")


def _first_suggestion() -> Iterator[Check]:
    from lsp_server.features import first_suggestions
    from lsp_server.models import starter
    from lsp_server.settings import sources

    spec = sources.load([Path.cwd()])[0].model_spec()
    model = Path(spec.path).expanduser() if spec.path else starter.path()
    cost = first_suggestions.cost(model, first_suggestions.remembered())
    if cost is None:
        text = "not measured yet with this model; that happens in the editor, where a file is new to it"
        yield Check("first suggestion", GREEN, text)
        return
    late = f", {cost.late} of them not in time," if cost.late else ""
    slow = cost.late > 0 or cost.median_ms > _FIRST_MS
    yield Check(
        "first suggestion",
        YELLOW if slow else GREEN,
        f"{cost.median_ms / 1000:.1f} s where the file is new to the model: the median of the last {cost.count}"
        f"{late or ','} at worst {cost.worst_ms / 1000:.1f} s; about {cost.tokens} tokens are read for it, "
        f"{cost.tokens_per_second:.0f} a second; measured until {date.fromtimestamp(cost.last)}",
        "a smaller model (fimble models list)" if slow else "",
    )


def _editors() -> Iterator[Check]:
    from lsp_server.commands import editors

    yield _program()
    installed = [(editor, editor.set_up_in()) for editor in editors.EDITORS if editor.installed]
    # Nobody uses all editors of a machine, so one that is set up is enough.
    missing = YELLOW if all(there is None for _, there in installed) else GREEN
    for editor, there in installed:
        if there is not None:
            yield Check("editor", GREEN, f"{editor.name}: set up in {there}")
        elif missing is YELLOW:
            yield Check("editor", YELLOW, f"{editor.name}: not set up", f"fimble init {editor.name}")
        else:
            yield Check("editor", GREEN, f"{editor.name}: not set up; `fimble init {editor.name}` does it")
    if not installed:
        yield Check("editor", GREEN, "none found on the path")


def _program() -> Check:
    """Whether editors find the program by its name. An editor has the PATH of the program that started it, which is not
    always the shell's."""
    found = shutil.which("fimble")
    if found is not None:
        return Check("program", GREEN, f"fimble is on the PATH of this shell: {found}; editors started from it find it")
    here = Path(sys.executable).parent / ("fimble.exe" if os.name == "nt" else "fimble")
    named = here if here.is_file() else Path("PATH/TO/fimble")
    fix = (
        f"ln -s {shlex.quote(str(named))} ~/.local/bin/, with that folder on the PATH; or name it in the editor's "
        "settings (`cmd` in Neovim, `fimble.path` in VS Code)"
    )
    return Check("program", YELLOW, "fimble is not on the PATH, so editors do not find it", fix)


def _gb(count: int) -> str:
    return f"{count / (1 << 30):.1f} GB"


def _bandwidth(gbps: float | None) -> str:
    from lsp_server.models import catalogue

    known = f"{gbps:.0f} GB/s, " if gbps else ""
    return f"{known}{catalogue.bandwidth_class(gbps)}"


def _print(checks: list[Check]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    marks = {GREEN: "✔", YELLOW: "!", RED: "✘"}
    for check in checks:
        text = Text(check.text)
        if check.fix:
            text.append(f"\n→ {check.fix}", style="bold")
        table.add_row(Text(marks[check.status], style=check.status), check.topic, text)
    # If the output does not go to a terminal, lines are not wrapped, so that commands in it can be copied.
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 400
    Console(highlight=False, markup=False, file=sys.stdout, width=width).print(table)
