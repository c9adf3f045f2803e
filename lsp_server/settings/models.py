"""Settings that name models: a file's paths are beside it, and a workspace names what the user has installed."""

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
    """A model that a workspace must not name. is_file: whether it is a file, else it is the name of none."""

    def __init__(self, message: str, *, is_file: bool = False) -> None:
        super().__init__(message)
        self.is_file = is_file


def split_scale(text: str) -> tuple[str, str]:
    """The name and the scale, with its colon, of `NAME` or `NAME:SCALE`. A colon that no number follows belongs to
    the name, as on Windows."""
    found = _SCALE.match(text)
    return (found["name"], found["scale"] or "") if found else (text, "")


def placed(key: str, value: Any, folder: Path, *, may_be_path: bool) -> Any:
    """The value of a setting, with the path of each file that it names: one beside the settings, wherever the server
    was started, or an installed model's. A value of another kind stays as it is.

    may_be_path: whether it may be any file. Raises RefusedError if it may not and is one, or ValueError or OSError if
    no path can be so.
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
    except ModelError as error:  # the list of them cannot be read
        raise RefusedError(str(error)) from None
    if found is not None:
        return found
    if may_be_path:
        return str(beside)
    raise RefusedError(
        f"no model called {shown(name)!r} is installed; see `fimble models list`",
        is_file=is_file or name.endswith(".gguf"),
    )
