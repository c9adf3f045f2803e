"""Writes a copy of a GGUF file with some keys changed and some tensors cut to some of their rows.

Everything else is copied byte for byte and not quantised again: a row of a quantised tensor consists of whole blocks.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lsp_server.backends.base import ModelError
from lsp_server.models.gguf import ARRAY, FIXED, MAGIC, STRING, Header, Tensor, split_strings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

_COPIED = 16 << 20  # the most bytes in memory at a time
_ARRAY = struct.Struct("<IIQ")  # type of the value, type of the elements, number of elements


def text_value(text: str) -> bytes:
    """A string as the value of a key."""
    return struct.pack("<I", STRING) + _string(text.encode())


def number_value(value: bytes, number: int) -> bytes:
    """An integer as the value of a key, with the type of `value`."""
    (type,) = struct.unpack_from("<I", value)
    return value[:4] + struct.pack(f"<{FIXED[type]}", number)


def array_elements(value: bytes) -> list[bytes]:
    """The elements of an array: strings without their lengths, or numbers as their bytes in the file."""
    _, element, count = _ARRAY.unpack_from(value)
    payload = value[_ARRAY.size :]
    if element == STRING:
        return split_strings(payload, count)
    width = struct.calcsize(f"<{FIXED[element]}")
    return [payload[start : start + width] for start in range(0, width * count, width)]


def array_value(value: bytes, elements: list[bytes]) -> bytes:
    """An array of these elements as the value of a key, with the element type of `value`."""
    _, element, _ = _ARRAY.unpack_from(value)
    payload = b"".join(map(_string, elements)) if element == STRING else b"".join(elements)
    return _ARRAY.pack(ARRAY, element, len(elements)) + payload


def value_of(header: Header, key: str) -> bytes:
    """The bytes of a key's value in the file, with its type. Raises ModelError if the file cannot be read."""
    start, end = header.spans[key]
    try:
        with header.path.open("rb") as file:
            file.seek(start)
            return file.read(end - start)
    except OSError as error:
        raise ModelError(f"model file {header.path} cannot be read: {error.strerror or error}") from None


def written_bytes(header: Header, changes: Mapping[str, bytes | None], rows: Mapping[str, Rows]) -> int:
    """The size of the file that `write` would write."""
    shapes = [_cut(tensor, rows) for tensor in header.tensors]
    return len(_head(header, changes, shapes)) + sum(_padded(size, header.alignment) for _, size in shapes)


def write(
    header: Header,
    target: Path,
    changes: Mapping[str, bytes | None],
    rows: Mapping[str, Rows],
    progress: Callable[[float], bool] = lambda _: True,
) -> None:
    """Writes the copy to `target`.

    changes: new values by key, each with its type; None removes the key, and new keys come last. rows: by tensor name,
    the indices of the rows to keep, ascending. Raises OSError, and ModelError if `progress` returns False.
    """
    shapes = [_cut(tensor, rows) for tensor in header.tensors]
    total = max(1, sum(size for _, size in shapes))
    written = 0
    with header.path.open("rb") as source, target.open("wb") as out:
        out.write(_head(header, changes, shapes))
        for tensor, (_, size) in zip(header.tensors, shapes, strict=True):
            for block in _blocks(source, tensor, rows.get(tensor.name)):
                out.write(block)
                written += len(block)
                if not progress(written / total):
                    raise ModelError("writing was given up")
            out.write(bytes(_padded(size, header.alignment) - size))


def _head(header: Header, changes: Mapping[str, bytes | None], shapes: list[tuple[tuple[int, ...], int]]) -> bytes:
    """All bytes before the tensors, with padding."""
    parts = []
    with header.path.open("rb") as source:
        for key in [*header.spans, *(key for key in changes if key not in header.spans)]:
            value = changes.get(key)
            if key not in changes:
                begin, end = header.spans[key]
                source.seek(begin)
                value = source.read(end - begin)
            if value is not None:
                parts.append(_string(key.encode()) + value)
    start = struct.pack("<IQQ", header.version, len(header.tensors), len(parts))
    offset, described = 0, []
    for tensor, (shape, size) in zip(header.tensors, shapes, strict=True):
        numbers = struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, tensor.type, offset)
        described.append(_string(tensor.name.encode()) + numbers)
        offset += _padded(size, header.alignment)
    head = b"".join([MAGIC, start, *parts, *described])
    return head + bytes(_padded(len(head), header.alignment) - len(head))


def _cut(tensor: Tensor, rows: Mapping[str, Rows]) -> tuple[tuple[int, ...], int]:
    """The shape and size in bytes of a tensor after cutting."""
    kept = rows.get(tensor.name)
    if kept is None:
        return tensor.shape, tensor.bytes
    return (*tensor.shape[:-1], len(kept)), tensor.bytes // tensor.shape[-1] * len(kept)


def _blocks(source: BinaryIO, tensor: Tensor, kept: Rows | None) -> Iterator[bytes]:
    """The bytes of a tensor, or of its kept rows, in blocks."""
    if kept is None:
        source.seek(tensor.offset)
        left = tensor.bytes
        while left:
            block = source.read(min(_COPIED, left))
            if not block:
                raise ModelError(f"{source.name} became shorter while it was read")
            left -= len(block)
            yield block
        return
    import numpy as np

    count = tensor.shape[-1]
    width = tensor.bytes // count
    rows = np.memmap(source, np.uint8, "r", tensor.offset, (count, width))
    step = max(1, _COPIED // width)
    for start in range(0, len(kept), step):
        yield rows[kept[start : start + step]].tobytes()


def _string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def _padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment
