"""Finds models by the names that users give, and makes one the completion model."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from lsp_server.backends.base import ModelError
from lsp_server.commands.output import tell
from lsp_server.system.user_folders import expanded

if TYPE_CHECKING:
    from lsp_server.models.lock import Pin


def resolve(name: str) -> str:
    """The path that a name means; empty for the starter model. Raises ModelError."""
    from lsp_server.models import lock

    if name in ("", "starter"):
        return ""
    path = expanded(name)
    try:
        for file in (path.absolute(), lock.models_folder() / name):
            if file.is_file():
                return str(file)
    except OSError as error:
        raise ModelError(f"{name[:200]} cannot be read: {error.strerror}") from None
    try:
        return str(lock.path_of(pinned(name)))
    except ModelError:
        if _is_path(name):
            raise ModelError(_no_file(path)) from None
        raise


def _is_path(name: str) -> bool:
    """Whether a name is meant as a file's path. A model's name may have one slash in it, too."""
    return name.lower().endswith(".gguf") or name.startswith(("/", "~", ".", "\\")) or Path(name).is_absolute()


def _no_file(path: Path) -> str:
    if path.is_dir():
        beside = sorted(each.name for each in path.glob("*.gguf"))
        there = f", such as {beside[0]}" if beside else ""
        return f"{path} is a folder; name a GGUF file in it{there}"
    if path.exists():
        return f"{path} is not a file"
    parent = path.absolute().parent
    names = [each.name for each in sorted(parent.glob("*.gguf"))] if parent.is_dir() else []
    near = difflib.get_close_matches(path.name, names, 1, 0.7)
    return f"no such file: {path}" + (f"; there is {parent / near[0]}" if near else "")


def use(name: str) -> int:
    """Tries a model and writes it into the user's settings. Raises ModelError."""
    from lsp_server.models import admission, estimate, starter
    from lsp_server.settings import editing, sources

    path = resolve(name)
    settings, _ = sources.load([])
    if not path and not starter.path().is_file():
        tell(f"note: the starter is not here yet: {starter.PULL}")
    if path:
        headers = admission.admit(Path(path), gpu_layers=settings.gpu_layers)
        need = estimate.estimate(headers, settings.model_spec())
        tell(
            f"{headers[0].text('general.name') or Path(path).name} loads and works here; with your settings it takes "
            f"about {estimate.megabytes(need.total)} MB"
        )
    target = sources.settings_files([])[0]
    before = editing.set_value(target, "model", path)
    was = f" (it was {json.dumps(before)})" if before is not None else ""
    tell(f"{target}: model = {json.dumps(path)}{was}")
    workspace = sources.origins([Path.cwd()]).get("model")
    if workspace not in (None, str(target)):
        tell(f"note: {workspace} names another model, and counts in this folder")
    return 0


def pinned(name: str) -> Pin:
    """The pin that a name means: by its exact name, by a part of its source, or by its file name. Raises ModelError."""
    from lsp_server.models import catalogue, installed, lock

    meant = installed.matching(name)
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise ModelError(f"{name!r} is not one model: {', '.join(pin.name for pin in meant)}")
    if catalogue.find(name):
        raise ModelError(f"{name} is not here yet: `fimble models pull {name}`")
    pins = lock.pins()
    there = f"; there are {', '.join(pins)}" if pins else "; none has been pulled or imported"
    raise ModelError(f"no model called {name!r} is pinned{there}")
