"""Reads and writes GGUF files for training: tensors in F32, copies with changes. Needs the package gguf."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np


def open_gguf(path: Path) -> Any:
    """A `gguf.GGUFReader`, which maps the file."""
    import gguf

    return gguf.GGUFReader(path)


def field_of(reader: Any, key: str, default: Any = None) -> Any:
    """A metadata value as a Python object. Raises ValueError if it is missing and there is no default."""
    field = reader.get_field(key)
    if field is None:
        if default is None:
            raise ValueError(f"the GGUF file has no {key}")
        return default
    return field.contents()


def tensors(reader: Any) -> dict[str, np.ndarray]:
    """All tensors by name, dequantised to F32 as llama.cpp does it; a matrix has the shape (outputs, inputs)."""
    import gguf

    return {
        tensor.name: np.asarray(gguf.quants.dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        for tensor in reader.tensors
    }


def write_f32_copy(source: Path, target: Path) -> None:
    """Writes a copy of `source` with all tensors in F32: the same model, but without the rounding of activations that
    llama.cpp does for quantised weights. It has four bytes per weight."""
    write_copy(source, target, lambda _, values: values)


def write_copy(
    source: Path,
    target: Path,
    change: Callable[[str, np.ndarray], np.ndarray],
    fields: Mapping[str, str] | None = None,
) -> None:
    """Writes a copy of `source` with other `fields`. `change` gets the name and the F32 values of each tensor, and
    returns the new tensor."""
    import gguf

    reader = open_gguf(source)
    writer = gguf.GGUFWriter(target, field_of(reader, "general.architecture"))
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name in ("general.architecture", "general.file_type"):
            continue
        value = (fields or {}).get(field.name, field.contents())
        sub_type = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, value, field.types[0], sub_type)
    for name, values in tensors(reader).items():
        writer.add_tensor(name, change(name, values))
    finish(writer)


def finish(writer: Any) -> None:
    """Writes the content of a GGUFWriter, and closes it."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
