"""The files of a model: one, or several parts, which llama.cpp opens by the name of the first part."""

from __future__ import annotations

import re
from pathlib import Path

from lsp_server.models.gguf import MAGIC, Header, NoModelError, read_header
from lsp_server.system.regular_file import open_regular

_SPLIT = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$")


def read_model(path: Path) -> list[Header]:
    """The headers of a model: one, or those of all parts if the file is the first of several.

    llama.cpp opens the other parts by itself, so they are checked too. Raises ModelError.
    """
    first = read_header(path)
    count = first.integer("split.count", 1)
    if _is_joined(first):
        what = f"the {count} parts of a model, joined" if count > 1 else "several GGUF files, joined"
        remedy = "keep them apart under their own names, or join them with `llama-gguf-split --merge`"
        raise NoModelError(f"{path} cannot be used: it is {what} as `cat` does; {remedy}")
    if count <= 1:
        return [first]
    found = _SPLIT.search(path.name)
    number = max(first.integer("split.no") + 1, int(found[1]) if found else 1)
    if number > 1:
        raise NoModelError(f"{path} is part {number} of {count}; set `model` to the first part")
    if found is None or int(found[2]) != count:
        raise NoModelError(f"{path} is one of {count} parts, but its name does not end in -00001-of-{count:05}.gguf")
    return [first, *map(read_header, part_paths(path)[1:])]


def part_paths(path: Path) -> list[Path]:
    """All files of a model, from the name of the first: only that file, or one for each part."""
    if (found := _SPLIT.search(path.name)) is None:
        return [path]
    names = (
        f"{found.string[: found.start()]}-{number:05}-of-{found[2]}.gguf" for number in range(1, int(found[2]) + 1)
    )
    return [path.with_name(name) for name in names]


def _is_joined(header: Header) -> bool:
    """Whether another GGUF file begins after the last tensor of this one."""
    end = max((tensor.offset + tensor.bytes for tensor in header.tensors), default=header.data_offset)
    if end + len(MAGIC) > header.file_bytes:
        return False
    with open_regular(header.path) as file:
        file.seek(end)
        return MAGIC in file.read(header.alignment + len(MAGIC))
