"""The hardware of this machine: processor, memory, disk, GPUs. Starts only `nvidia-smi` or `sysctl`; never raises."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from lsp_server import children
from lsp_server.children import programs
from lsp_server.models import catalogue
from lsp_server.models.estimate import available_bytes
from lsp_server.system.control_groups import usable_cores

_VECTORS = ("avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp", "i8mm", "sve")
_SMI_S = 1.5
_VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU that the system reports, whether llama.cpp can use it or not. Sizes are None if unknown."""

    name: str
    vendor: str
    total_bytes: int | None = None
    free_bytes: int | None = None

    @property
    def bandwidth_gbps(self) -> float | None:
        return catalogue.bandwidth_gbps(self.name)


@dataclass(frozen=True, slots=True)
class Cpu:
    name: str
    cores: int
    vectors: tuple[str, ...]


def cpu() -> Cpu:
    if sys.platform == "darwin":
        name, flags = _output("sysctl", "-n", "machdep.cpu.brand_string"), _output("sysctl", "-a").lower()
        found = tuple(
            one for one in ("neon", "dotprod", "i8mm", "sme") if re.search(rf"feat_{one}: 1|\.{one}: 1", flags)
        )
        return Cpu(name or platform.machine(), usable_cores(), found)
    text = _read(Path("/proc/cpuinfo"))
    name = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    words = set(flags[1].split()) if flags else set()
    return Cpu(
        name[1] if name else platform.processor() or platform.machine(),
        usable_cores(),
        tuple(vector for vector in _VECTORS if vector in words),
    )


def gpus(drm: Path = Path("/sys/class/drm"), nvidia: Path = Path("/proc/driver/nvidia/gpus")) -> list[Gpu]:
    """The GPUs of this machine, each once: NVIDIA's from `nvidia-smi`, else from the driver's files; AMD's and Intel's
    from the kernel's files."""
    if sys.platform == "darwin":
        name = _output("sysctl", "-n", "machdep.cpu.brand_string")
        return [Gpu(name, "Apple", _unified_bytes())] if "Apple" in name else []
    found = _nvidia_smi() or _nvidia_files(nvidia)
    has_nvidia = bool(found)
    try:
        cards = sorted(card for card in drm.iterdir() if re.fullmatch(r"card\d+", card.name))
    except OSError:
        cards = []
    for card in cards:
        vendor = _VENDORS.get(_read(card / "device/vendor").strip(), "")
        if not vendor or (vendor == "NVIDIA" and has_nvidia):
            continue
        total, used = (_integer(card / f"device/mem_info_vram_{what}") for what in ("total", "used"))
        free = None if total is None or used is None else total - used
        product = _read(card / "device/product_name").strip() or f"{vendor} GPU ({card.name})"
        found.append(Gpu(product, vendor, total, free))
    return found


def _nvidia_smi() -> list[Gpu]:
    query = "--query-gpu=name,memory.total,memory.free"
    found = []
    for line in _output("nvidia-smi", query, "--format=csv,noheader,nounits").splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 3:
            sizes = [int(part) << 20 if part.isdecimal() else None for part in parts[1:]]
            found.append(Gpu(parts[0], "NVIDIA", *sizes))
    return found


def _nvidia_files(folder: Path) -> list[Gpu]:
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    names = (re.search(r"^Model:\s*(.+)$", _read(entry / "information"), re.MULTILINE) for entry in entries)
    return [Gpu(name[1].strip(), "NVIDIA") for name in names if name]


def vulkan_drivers() -> list[str]:
    """The names of the installed Vulkan drivers, without software renderers."""
    folders = [Path("/usr/share/vulkan/icd.d"), Path("/etc/vulkan/icd.d")]
    names = {path.stem for folder in folders if folder.is_dir() for path in folder.glob("*.json")}
    return sorted(name for name in names if "lvp" not in name and "swrast" not in name)


def ram_bytes() -> tuple[int, int]:
    """Total and available memory, in bytes."""
    import psutil

    return int(psutil.virtual_memory().total), available_bytes()


def disk_free(folder: Path) -> int:
    """The free bytes on the disk of a folder, which need not exist yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0


def profile() -> catalogue.Machine:
    """The data of this machine on which the choice of a model depends."""
    largest = max(gpus(), key=lambda gpu: gpu.total_bytes or 0, default=None)
    vram = largest.total_bytes or 0 if largest else 0
    return catalogue.Machine(vram, ram_bytes()[0], usable_cores(), largest.bandwidth_gbps if largest else None)


def _unified_bytes() -> int | None:
    size = _output("sysctl", "-n", "hw.memsize")
    return int(int(size) * 0.7) if size.isdecimal() else None  # about the share that macOS allows its GPU


def _output(*command: str) -> str:
    program = programs.find(command[0], ())
    if program is None:
        return ""
    try:
        done = children.run([program, *command[1:]], children.Limits(), seconds=_SMI_S)
        return done.stdout.decode().strip() if done.returncode == 0 else ""
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return ""


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _integer(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdecimal() else None
