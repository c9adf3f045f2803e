"""The machine that the figures were measured on: processor, cores, versions."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

from lsp_server import __version__
from lsp_server.models.machine import cpu


def facts() -> dict[str, Any]:
    """The machine and the versions, for the JSON of a run."""
    found = cpu()
    return {
        "cpu": found.name,
        "cores": found.cores,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "fimble": __version__,
        "llama-cpp-python": version("llama-cpp-python"),
    }


def describe(found: dict[str, Any]) -> str:
    """The same in one line, for people."""
    return f"{found['cpu']}, {found['cores']} cores, llama-cpp-python {found['llama-cpp-python']}"


def version(distribution: str) -> str:
    """The version of an installed package, or none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "none"
