"""What the figures were measured on: processor, cores, versions."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from lsp_server import __version__


def facts() -> dict[str, Any]:
    """The machine and the versions, for the JSON of a run."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": _cpu_name(),
        "cores": cores,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "fimble": __version__,
        "llama-cpp-python": version("llama-cpp-python"),
    }


def describe(found: dict[str, Any]) -> str:
    """One line of them, for people."""
    return f"{found['cpu']}, {found['cores']} cores, llama-cpp-python {found['llama-cpp-python']}"


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def version(distribution: str) -> str:
    """The version of an installed package, or none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "none"
