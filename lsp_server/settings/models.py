"""Settings that name models. A path in a file is relative to that file; a workspace may only name installed models."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from lsp_server.backends.base import ModelError
from lsp_server.models import installed
from lsp_server.settings.toml import shown

ONE, SEVERAL = ("model", "chat_model", "draft_model", "edit_model"), "lora"
_SCALE = re.compile(r"^(?P<name>.+?)(?P<scale>:[+-]?(?:\d+\.?\d*|\.\d+))?\Z", re.DOTALL)


class RefusedError(Exception):
    """A workspace must not name this model. is_file: whether it is a file; else no such model is installed."""

    def __init__(self, message: str, *, is_file: bool = False) -> None:
        super().__init__(message)
        self.is_file = is_file


def split_scale(text: str) -> tuple[str, str]:
    """Splits `NAME` or `NAME:SCALE` into the name, and the scale with its colon. A colon without a number after it
    belongs to the name, as on Windows."""
    found = _SCALE.match(text)
    return (found["name"], found["scale"] or "") if found else (text, "")


def placed(key: str, value: Any, folder: Path, *, may_be_path: bool) -> Any:
    """The value of a setting with the paths of the model files that it names. A name means a file beside the settings
    file, or an installed model. Values of other types are returned unchanged.

    may_be_path: whether any file may be named. Raises RefusedError if a file is named and may not be, ValueError or
    OSError for an impossible path.
    """
    if key in ONE and isinstance(value, str):
        return _path(value, folder, may_be_path)
    if key == SEVERAL and isinstance(value, list):
        return [_adapter(each, folder, may_be_path) for each in value]
    return value


def names_models(key: str) -> bool:
    return key in ONE or key == SEVERAL


def _adapter(text: Any, folder: Path, may_be_path: bool) -> Any:
    if not isinstance(text, str):
        return text
    name, scale = split_scale(text)
    return _path(name, folder, may_be_path) + scale


def _path(name: str, folder: Path, may_be_path: bool) -> str:
    if not name:
        return name
    if installed.is_path(name):
        if not may_be_path:
            raise RefusedError("it names a file", is_file=True)
        return str(folder / Path(name).expanduser())
    beside = folder / name
    is_file = beside.is_file()
    if is_file and may_be_path:
        return str(beside)
    try:
        found = installed.path_of(name)
    except ModelError as error:  # the lock file cannot be used
        raise RefusedError(str(error)) from None
    if found is not None:
        return found
    if may_be_path:
        return str(beside)
    raise RefusedError(
        f"no model called {shown(name)!r} is installed; see `fimble models list`",
        is_file=is_file or name.endswith(".gguf"),
    )
