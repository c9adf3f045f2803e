"""Reads the header of a GGUF file in Python, and checks every size, offset and count against the file.

llama.cpp trusts much of a header, and aborts the process on some headers. So this reader checks every file before
llama.cpp opens it. Large arrays are skipped, not kept: a vocabulary may have 262,144 entries, and most callers do not
need them.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lsp_server.backends.base import ModelError
from lsp_server.models.gguf_types import FILE_TYPES, TENSOR_TYPES
from lsp_server.system.regular_file import open_regular

Scalar = int | float | bool | str

MAGIC = b"GGUF"
VERSIONS = (2, 3)

# Value types by their number in the file: (struct format, bytes). Strings and arrays have sizes of their own.
FIXED = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9

_MOST_KEYS, _MOST_TENSORS = 65_536, 65_536
_LONGEST_KEY, _LONGEST_TENSOR_NAME = 65_535, 63
_MOST_DIMENSIONS, _MOST_LAYERS = 4, 512  # as in llama.cpp, which aborts beyond them
_LARGEST_HEADER = 1 << 30
_KEPT_ELEMENTS, _KEPT_TEXT = 1024, 1 << 20  # arrays and texts up to here are kept as values
_WINDOW = 1 << 20


@dataclass(frozen=True, slots=True)
class LargeArray:
    """An array that was skipped. type: the type number of its elements. offset: of the first element in the file."""

    type: int
    count: int
    offset: int
    bytes: int


Value = Scalar | tuple[Scalar, ...] | LargeArray


@dataclass(frozen=True, slots=True)
class Tensor:
    """shape: the fastest dimension first, as in the file. type: the type number. offset: from the start of the file."""

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int
    bytes: int

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def type_name(self) -> str:
        return TENSOR_TYPES[self.type][0]


@dataclass(frozen=True, slots=True)
class Header:
    """The header of a GGUF file. data_offset: where the tensors begin. file_bytes: the size of the whole file. spans:
    for each key, the start and end of its value in the file; the start is at the value's type number."""

    path: Path
    version: int
    alignment: int
    metadata: Mapping[str, Value]
    tensors: tuple[Tensor, ...]
    data_offset: int
    file_bytes: int
    spans: Mapping[str, tuple[int, int]]

    @property
    def architecture(self) -> str:
        return self.text("general.architecture")

    @property
    def parameters(self) -> int:
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def tensor_bytes(self) -> int:
        return sum(tensor.bytes for tensor in self.tensors)

    @property
    def vocabulary(self) -> int:
        tokens = self.metadata.get("tokenizer.ggml.tokens")
        if isinstance(tokens, LargeArray):
            return tokens.count
        return len(tokens) if isinstance(tokens, tuple) else self.integer(f"{self.architecture}.vocab_size")

    @property
    def quantisation(self) -> str:
        """The file's own name for its mix of types, else the type with the most bytes."""
        named = FILE_TYPES.get(self.integer("general.file_type", -1))
        if named:
            return named
        total: dict[str, int] = {}
        for tensor in self.tensors:
            total[tensor.type_name] = total.get(tensor.type_name, 0) + tensor.bytes
        return max(total, key=lambda name: total[name]) if total else ""

    def text(self, key: str, default: str = "") -> str:
        value = self.metadata.get(key)
        return value if isinstance(value, str) else default

    def integer(self, key: str, default: int = 0) -> int:
        value = self.metadata.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else default

    def hyper(self, key: str, default: int = 0) -> int:
        """An integer key of the architecture: `hyper("block_count")` is `llama.block_count` for a Llama."""
        return self.integer(f"{self.architecture}.{key}", default)

    def per_layer(self, key: str, layers: int, default: int = 0) -> list[int]:
        """A key of the architecture for each layer, whether the file has one value for all layers or one for each."""
        value = self.metadata.get(f"{self.architecture}.{key}")
        if isinstance(value, tuple):
            found = [int(one) if isinstance(one, (int, float)) else default for one in value]
            return (found + [default] * layers)[:layers]
        return [self.hyper(key, default)] * layers


class NoModelError(ModelError):
    """A GGUF file is complete, but is no model by itself."""


def read_header(path: Path) -> Header:
    """The header of `path`. Raises ModelError, one line, if the file is damaged or not a GGUF file."""
    try:
        with open_regular(path) as file:
            size = file.seek(0, 2)
            file.seek(0)
            return _Reader(file, size, path).header()
    except FileNotFoundError:
        raise ModelError(f"model file {path} does not exist; set `model` to a GGUF file") from None
    except IsADirectoryError:
        raise ModelError(f"{path} is a folder; set `model` to a GGUF file in it") from None
    except OSError as error:
        raise ModelError(f"model file {path} cannot be read: {error.strerror or error}") from None


def strings(path: Path, array: LargeArray) -> list[bytes]:
    """The elements of a skipped array of strings."""
    with open_regular(path) as file:
        file.seek(array.offset)
        return split_strings(file.read(array.bytes), array.count)


def split_strings(data: bytes, count: int) -> list[bytes]:
    """The first `count` strings of an array, from its bytes."""
    found, position = [], 0
    for _ in range(count):
        end = position + 8 + struct.unpack_from("<Q", data, position)[0]
        found.append(data[position + 8 : end])
        position = end
    return found


class _Reader:
    """Reads forward through a window over the file, and never beyond its end."""

    def __init__(self, file: BinaryIO, size: int, path: Path) -> None:
        self._file = file
        self._size = size
        self._path = path
        self._window = b""
        self._start = 0  # where the window begins in the file
        self._at = 0  # position in the window

    def header(self) -> Header:
        magic = self._take(min(4, self._size))
        if magic != MAGIC:
            raise ModelError(f"{self._path} is not a GGUF file (it begins with {magic!r}); set `model` to one")
        version = self._number("I", "the version")
        if version not in VERSIONS:
            swapped = int.from_bytes(version.to_bytes(4, "little"), "big") in VERSIONS
            why = "it is for machines of the other byte order" if swapped else f"its format version is {version}"
            raise ModelError(f"{self._path} cannot be used: {why}; set `model` to another GGUF file")
        tensor_count = self._count("tensors", _MOST_TENSORS, 24)
        key_count = self._count("keys", _MOST_KEYS, 13)
        metadata: dict[str, Value] = {}
        spans: dict[str, tuple[int, int]] = {}
        for _ in range(key_count):
            key = self._string("a key", _LONGEST_KEY)
            if not key or key in metadata:
                raise self._damaged(f"key {key!r} is {'there twice' if key else 'empty'}")
            start = self._position
            metadata[key] = self._value(self._number("I", key), key)
            spans[key] = start, self._position
            if self._position > _LARGEST_HEADER:
                raise self._damaged("its header does not end")
        alignment = metadata.get("general.alignment", 32)
        if type(alignment) is not int or not 1 <= alignment <= 1 << 20 or alignment & (alignment - 1):
            raise self._damaged(f"general.alignment is {alignment!r}")
        described = [self._tensor() for _ in range(tensor_count)]
        data = (self._position + alignment - 1) // alignment * alignment
        tensors = tuple(self._placed(tensor, data, alignment) for tensor in described)
        if len({tensor.name for tensor in tensors}) < len(tensors):
            raise self._damaged("two tensors have the same name")
        header = Header(self._path, version, alignment, metadata, tensors, data, self._size, spans)
        self._check_architecture(header)
        return header

    def _check_architecture(self, header: Header) -> None:
        name = header.metadata.get("general.architecture")
        if not isinstance(name, str) or not name:
            if header.integer("split.no") > 0:  # only the first part of a split model has one
                return
            if header.text("general.type") == "imatrix":
                raise NoModelError(f"{self._path} cannot be used: it is an importance matrix, for quantising a model")
            raise self._damaged("it does not name its architecture")
        layers = header.metadata.get(f"{name}.block_count")
        if layers is not None and (type(layers) is not int or not 1 <= layers <= _MOST_LAYERS):
            raise self._damaged(f"{name}.block_count is {layers!r}")

    def _tensor(self) -> Tensor:
        name = self._string("a tensor's name", _LONGEST_TENSOR_NAME)
        dimensions = self._number("I", f"the dimensions of {name}")
        if not 1 <= dimensions <= _MOST_DIMENSIONS:
            raise self._damaged(f"tensor {name!r} has {dimensions} dimensions")
        shape = tuple(self._number("Q", f"the shape of {name}") for _ in range(dimensions))
        type = self._number("I", f"the type of {name}")
        if type not in TENSOR_TYPES:
            raise ModelError(
                f"{self._path} cannot be used: tensor {name!r} has the unknown type {type}; "
                "the file is damaged, or newer than this version of llama.cpp"
            )
        _, block, block_bytes = TENSOR_TYPES[type]
        if min(shape) < 1 or math.prod(shape) >= 1 << 62 or shape[0] % block:
            raise self._damaged(f"tensor {name!r} has the impossible shape {list(shape)}")
        offset = self._number("Q", f"the offset of {name}")
        return Tensor(name, shape, type, offset, math.prod(shape) // block * block_bytes)

    def _placed(self, tensor: Tensor, data: int, alignment: int) -> Tensor:
        """The tensor with its offset from the file's start."""
        start = data + tensor.offset
        if tensor.offset % alignment or start + tensor.bytes > self._size:
            raise self._damaged(f"tensor {tensor.name!r} lies at bytes {start} to {start + tensor.bytes}")
        return Tensor(tensor.name, tensor.shape, tensor.type, start, tensor.bytes)

    # Values ---------------------------------------------------------------------------------------------

    def _value(self, type: int, key: str) -> Value:
        if type in FIXED:
            value: Scalar = self._number(FIXED[type], key)
            return value
        if type == STRING:
            return self._string(key, None)
        if type != ARRAY:
            raise self._damaged(f"key {key!r} has the unknown type {type}")
        element = self._number("I", key)
        if element in FIXED:
            width = struct.calcsize(f"<{FIXED[element]}")
            count = self._count(f"elements of {key}", None, width)
            if count <= _KEPT_ELEMENTS:
                return struct.unpack(f"<{count}{FIXED[element]}", self._take(count * width))
            array = LargeArray(element, count, self._position, count * width)
            self._skip(array.bytes)
            return array
        if element != STRING:
            raise self._damaged(f"key {key!r} is an array of the type {element}")
        count = self._count(f"elements of {key}", None, 8)
        start = self._position
        self._skip_strings(count, key)
        return LargeArray(STRING, count, start, self._position - start)

    def _string(self, what: str, longest: int | None) -> str:
        length = self._number("Q", what)
        if length > (longest if longest is not None else self._left):
            raise self._damaged(f"the length of {what} is {length}")
        if length > _KEPT_TEXT:
            self._skip(length)
            return ""
        return self._take(length).decode("utf-8", "replace")

    def _skip_strings(self, count: int, key: str) -> None:
        """Skips strings. There may be a few hundred thousand, so the loop does little work for each."""
        length_at = struct.Struct("<Q").unpack_from
        while count:
            window, at = self._window, self._at
            last = len(window) - 8
            while count and at <= last:
                end = at + 8 + length_at(window, at)[0]
                if end > len(window):
                    break
                at = end
                count -= 1
            self._at = at
            if count:
                length = self._number("Q", key)
                if length > self._left:
                    raise self._damaged(f"the length of a string in {key} is {length}")
                self._skip(length)
                count -= 1
                self._fill(8)

    # Bytes ----------------------------------------------------------------------------------------------

    @property
    def _position(self) -> int:
        return self._start + self._at

    @property
    def _left(self) -> int:
        return self._size - self._position

    def _count(self, what: str, most: int | None, least_bytes: int) -> int:
        """Reads a count of items that take at least `least_bytes` each."""
        count: int = self._number("Q", f"the number of {what}")
        if (most is not None and count > most) or count * least_bytes > self._left:
            raise self._damaged(f"the number of {what} is {count}")
        return count

    def _number(self, format: str, what: str) -> int:
        width = struct.calcsize(f"<{format}")
        if width > self._left:
            raise self._damaged(f"its header ends where {what} should stand")
        return struct.unpack(f"<{format}", self._take(width))[0]  # type: ignore[no-any-return]

    def _take(self, count: int) -> bytes:
        if count > self._left:
            raise self._damaged("it ends inside its header")
        self._fill(count)
        taken = self._window[self._at : self._at + count]
        if len(taken) < count:
            raise self._damaged("it became shorter while it was read")
        self._at += count
        return taken

    def _skip(self, count: int) -> None:
        if count > self._left:
            raise self._damaged("it ends inside its header")
        self._at += count

    def _fill(self, count: int) -> None:
        """Moves the window so that it has `count` bytes from here on, or fewer at the end of the file."""
        if self._at + count > len(self._window):
            self._start += self._at
            self._at = 0
            self._file.seek(self._start)
            self._window = self._file.read(max(count, _WINDOW))

    def _damaged(self, why: str) -> ModelError:
        shown = why if len(why) <= 160 else why[:160] + "…"
        shown = "".join(character if character.isprintable() else "?" for character in shown)
        return ModelError(f"{self._path} cannot be used: the file is damaged or incomplete ({shown})")
