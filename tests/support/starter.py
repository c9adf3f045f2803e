"""The real starter model: fetched once for the machine, into the user's own cache, and lent to the homes of tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from platformdirs import user_cache_path

from lsp_server.models import starter

_ROOT = Path(__file__).resolve().parents[2]
# Of the user who runs the tests; while these run, the user's folders are others.
_ENVIRONMENT, _CACHE = dict(os.environ), user_cache_path("fimble")
_LONGEST_S = 1800


def fetched() -> Path:
    """The file, which has its SHA-256. Skips the test if it is not here and there is no network."""
    command = [sys.executable, "-m", "lsp_server", "models", "pull", "starter"]
    environment = {**_ENVIRONMENT, "PYTHONPATH": str(_ROOT)}
    done = subprocess.run(
        command, cwd=_ROOT, env=environment, capture_output=True, text=True, timeout=_LONGEST_S, check=False
    )
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1]
        if re.search(r"cannot be reached|`offline` is true", reason):
            pytest.skip(f"the starter model is not here: {reason}")
        pytest.fail(reason)
    return _CACHE / "models" / starter.pin().name


def lend(file: Path, cache: Path) -> None:
    """Puts the starter's file where a process looks for it whose user's cache folder is `cache`."""
    place = cache / "fimble" / "models" / starter.pin().name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(file)
