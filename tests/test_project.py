"""The project as a whole: lint and types are clean, and the set-up imports what there is."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("command", [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]])
def test_clean(command: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_set_up_imports_of_ours_is_there() -> None:
    """Its programs are texts, which neither the linter nor the type checker looks into."""
    found = re.findall(r"from (lsp_server[.\w]*) import ([\w, ]+)", (ROOT / ".ci" / "setup").read_text("utf-8"))
    assert len(found) >= 2
    for package, names in found:
        for name in names.split(", "):
            module = importlib.import_module(package)
            assert hasattr(module, name) or importlib.import_module(f"{package}.{name}")
