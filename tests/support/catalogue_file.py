"""A catalogue of one model, whose file and packages are known exactly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HUB_ID, FILE = "someone/Tiny-GGUF", "tiny-q4_k_m.gguf"
_ENTRY = """
[[model]]
name = "{model}"
hub = "{hub}"
use = "code"
fim = "qwen"
parameters = 0.001
licence = "apache-2.0"
quants = ["Q4_K_M", "Q8_0"]

[model.file]
quant = "Q4_K_M"
name = "{file}"
size = {size}
sha256 = "{sha256}"
"""
_PACKAGES = """
[model.file.packages]
name = "{name}"
version = "{version}"
part = "{part}"
part_bytes = {part_bytes}
wheels = {wheels}
"""


def write_catalogue(
    path: Path,
    content: bytes,
    model: str,
    *,
    packages: tuple[str, str, str] = ("", "", ""),
    wheels: Sequence[bytes] = (),
    **changes: Any,
) -> Path:
    """Describes a model and, if there are any, the wheels that hold its content in equal parts. packages: their name,
    version and part, as in the catalogue. changes: other values than the true ones."""
    true: dict[str, Any] = {"model": model, "hub": HUB_ID, "file": FILE, "size": len(content)}
    true |= {"sha256": hashlib.sha256(content).hexdigest()}
    text = _ENTRY
    if wheels:
        true |= dict(zip(("name", "version", "part"), packages, strict=True))
        true |= {"part_bytes": part_bytes(content, len(wheels)), "wheels": json.dumps(list(map(_sha256, wheels)))}
        text += _PACKAGES
    path.write_text(text.format(**true | changes))
    return path


def part_bytes(content: bytes, count: int) -> int:
    """How large the parts are, but for the last one, if there are `count`."""
    return len(content) // count + 1


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
