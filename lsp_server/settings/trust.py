"""The folders that the user trusts, stored in the user's own state folder, where no workspace can write."""

from __future__ import annotations

import json
import os
from pathlib import Path

from platformdirs import user_state_path

from lsp_server.system.kept_files import write_whole
from lsp_server.system.regular_file import open_regular

_MOST_BYTES = 1 << 20
_MOST_FOLDERS = 1000


def state_path() -> Path:
    return user_state_path("fimble") / "trusted-folders.json"


def answer(folder: Path) -> bool | None:
    """Whether the user trusts a folder; None if there is no answer. The answer is only about this folder, not about
    folders inside it, which may contain files from strangers."""
    return answers().get(_key(folder))


def remember(folder: Path, trusted: bool | None) -> None:
    """Stores the user's answer; None deletes it. Raises OSError."""
    kept = {name: value for name, value in answers().items() if name != _key(folder)}
    if trusted is not None:
        kept[_key(folder)] = trusted
    state_path().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    entries = dict(list(kept.items())[-_MOST_FOLDERS:])
    write_whole(state_path(), json.dumps({"version": 1, "folders": entries}, indent=1).encode())


def answers() -> dict[str, bool]:
    """All answers by folder. Empty if the file is missing or damaged; then the user is asked again."""
    try:
        with open_regular(state_path()) as file:
            folders = json.loads(file.read(_MOST_BYTES))["folders"]
        return {str(name): value for name, value in folders.items() if isinstance(value, bool)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _key(folder: Path) -> str:
    try:
        return os.path.normcase(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # circular links, or a NUL in the name
        return os.path.normcase(folder.absolute())
