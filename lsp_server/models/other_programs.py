"""Finds GGUF files of other programs on this machine, to use them in place."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lsp_server.backends.base import ModelError
from lsp_server.models import not_text_models
from lsp_server.models.gguf import MAGIC, NoModelError
from lsp_server.models.gguf_parts import read_model
from lsp_server.system.regular_file import open_regular

_MOST_FILES = 2000
_LATER_PART = re.compile(r"-(?!00001)\d{5}-of-\d{5}\.gguf$")  # recognised without opening it
_OLLAMA_MODEL = "application/vnd.ollama.image.model"


@dataclass(frozen=True, slots=True)
class FoundModel:
    """name: the program's name for the model. holder: the program. sha256: if the program's file names contain it."""

    name: str
    path: Path
    holder: str
    size: int
    sha256: str = ""


def find_models(home: Path | None = None, *, usable: bool = True) -> list[FoundModel]:
    """All models of Ollama, LM Studio, llama.cpp, Jan and the Hugging Face cache, each file once. usable: leave out
    those whose header says that they do not write text."""
    home = home or Path.home()
    found: dict[Path, FoundModel] = {}
    for model in (*_ollama(home), *_hugging_face(home), *_folders(home)):
        found.setdefault(_real(model.path), model)
    models = sorted(found.values(), key=lambda model: (model.holder, model.name))
    return [model for model in models if not usable or _writes_text(model.path)]


def _writes_text(path: Path) -> bool:
    try:
        not_text_models.check(read_model(path))
    except NoModelError:
        return False
    except ModelError:  # damaged: the user is told when it is used
        pass
    return True


def _ollama(home: Path) -> Iterator[FoundModel]:
    """Ollama stores files by their hash in `blobs`, and names in `manifests/HOST/NAMESPACE/MODEL/TAG`."""
    stores = [home / ".ollama/models", Path("/usr/share/ollama/.ollama/models"), Path("/var/lib/ollama/.ollama/models")]
    if os.environ.get("OLLAMA_MODELS"):
        stores.insert(0, Path(os.environ["OLLAMA_MODELS"]))
    for store in stores:
        for manifest in _files(store / "manifests", "*"):
            parts = manifest.relative_to(store / "manifests").parts
            try:
                layers = json.loads(manifest.read_bytes())["layers"]
                digests = [str(layer["digest"]) for layer in layers if layer["mediaType"] == _OLLAMA_MODEL]
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if len(parts) < 3 or not digests or not re.fullmatch(r"sha256:[0-9a-f]{64}", digests[0]):
                continue
            digest = digests[0].partition(":")[2]
            name = f"{'/'.join(parts[1:-1]).removeprefix('library/')}:{parts[-1]}"
            yield from _model(store / "blobs" / f"sha256-{digest}", name, "Ollama", digest)


def _hugging_face(home: Path) -> Iterator[FoundModel]:
    """`models--OWNER--NAME/snapshots/REVISION/FILE`: links to blobs whose names are their SHA-256."""
    base = Path(os.environ.get("HF_HOME") or home / ".cache/huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or base / "hub")
    for path in _files(cache, "*.gguf"):
        parts = path.relative_to(cache).parts
        if len(parts) < 4 or parts[1] != "snapshots":
            continue
        blob = _real(path).name
        owner = parts[0].removeprefix("models--").replace("--", "/")
        digest = blob if re.fullmatch(r"[0-9a-f]{64}", blob) else ""
        yield from _model(path, f"{owner}/{'/'.join(parts[3:])}", "Hugging Face cache", digest)


def _folders(home: Path) -> Iterator[FoundModel]:
    support = home / ("Library/Application Support" if sys.platform == "darwin" else ".config")
    caches = home / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    local = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
    folders = [
        ("LM Studio", home / ".lmstudio/models"),
        ("LM Studio", home / ".cache/lm-studio/models"),
        ("llama.cpp", Path(os.environ.get("LLAMA_CACHE") or caches / "llama.cpp")),
        ("Jan", support / "Jan/data/llamacpp/models"),
        ("Jan", support / "Jan/data/models"),
        ("Jan", local / "Jan/data/llamacpp/models"),
        ("Jan", home / "jan/models"),
    ]
    if os.environ.get("APPDATA"):
        folders.append(("Jan", Path(os.environ["APPDATA"]) / "Jan/data/llamacpp/models"))
    for holder, folder in folders:
        for path in _files(folder, "*.gguf"):
            yield from _model(path, path.relative_to(folder).as_posix(), holder)


def _files(folder: Path, pattern: str) -> Iterator[Path]:
    """The files below a folder; none if it cannot be read. Leaves out later parts of a model."""
    try:
        for count, path in enumerate(folder.rglob(pattern)):
            if count >= _MOST_FILES:
                return
            if path.is_file() and not _LATER_PART.search(path.name):
                yield path
    except OSError:
        return


def _model(path: Path, name: str, holder: str, sha256: str = "") -> Iterator[FoundModel]:
    try:
        with open_regular(path) as file:
            if file.read(4) == MAGIC and not path.name.startswith("mmproj"):
                yield FoundModel(name, path, holder, path.stat().st_size, sha256)
    except OSError:
        return


def _real(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a loop of links
        return path
