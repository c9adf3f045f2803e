"""The project as a whole: lint and types are clean, and the README tells the truth about settings."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lsp_server.config import Settings

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("command", [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]])
def test_clean(command: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_setting_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    missing = [name for name in Settings.__struct_fields__ if f"`{name}`" not in readme]
    assert not missing
