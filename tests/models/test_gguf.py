"""The header reader: what it reads of a good file, and a clear refusal, never anything else, of a bad one."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import gguf as writer_package
import numpy as np
import pytest

from lsp_server.backends.base import ModelError
from lsp_server.models import gguf_types
from lsp_server.models.gguf import LargeArray, read_header, strings
from lsp_server.models.gguf_parts import read_model
from tests.support.tiny_gguf import MARKERS, write_tiny_gguf


def test_what_a_header_says(tmp_path: Path) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", context=1234)
    header = read_header(path)
    reader = writer_package.GGUFReader(path)
    assert header.architecture == "llama"
    assert header.text("general.name") == "tiny"
    assert header.hyper("context_length") == 1234
    assert header.vocabulary == 256 + 14 + len(MARKERS)
    assert header.file_bytes == path.stat().st_size
    assert header.quantisation == "F32"
    assert [(t.name, list(t.shape), t.offset, t.bytes) for t in header.tensors] == [
        (t.name, t.shape.tolist(), t.data_offset, t.n_bytes) for t in reader.tensors
    ]
    tokens = header.metadata["tokenizer.ggml.tokens"]
    assert isinstance(tokens, LargeArray)
    assert strings(path, tokens)[-len(MARKERS) :] == [marker.encode() for marker in MARKERS]
    types = header.metadata["tokenizer.ggml.token_type"]
    assert isinstance(types, tuple)  # a small array is kept
    assert set(types) == {1, 3}


def test_the_table_of_types_is_that_of_the_format() -> None:
    for type, (block, size) in writer_package.GGML_QUANT_SIZES.items():
        assert gguf_types.TENSOR_TYPES[int(type)] == (type.name, block, size)


def test_a_large_vocabulary_is_stepped_over(tmp_path: Path) -> None:
    """Also across the reader's window, and with strings longer than it."""
    path = tmp_path / "large.gguf"
    writer = writer_package.GGUFWriter(path, "llama")
    texts = [f"token-{number}" * (1 + number % 7) for number in range(60_000)]
    texts[30_000] = "x" * (3 << 20)
    writer.add_token_list(texts)
    writer.add_token_scores([float(number) for number in range(60_000)])
    writer.add_string("after", "here")
    writer.add_tensor("a", np.zeros((4, 64), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header = read_header(path)
    assert header.text("after") == "here"
    assert header.tensors[0].shape == (64, 4)
    tokens = header.metadata["tokenizer.ggml.tokens"]
    assert isinstance(tokens, LargeArray)
    assert strings(path, tokens) == [text.encode() for text in texts]


def _key(name: str, type: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", type) + value


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


ARCHITECTURE = _key("general.architecture", 8, _text("llama"))


def _tensor(shape: tuple[int, ...] = (32,), type: int = 0, offset: int = 0, name: str = "a") -> bytes:
    return _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, type, offset)


def _file(keys: list[bytes], tensors: list[bytes] = [], version: int = 3, data: int = 4096) -> bytes:  # noqa: B006
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys))
    return head + b"".join(keys) + b"".join(tensors) + bytes(data)


HUGE = 1 << 62
BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not a GGUF file"),
    "ggml": (b"lmgg" + bytes(100), "not a GGUF file"),
    "version 1": (_file([ARCHITECTURE], version=1), "format version is 1"),
    "big endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "other byte order"),
    "cut in the version": (b"GGUF\x03", "header ends"),
    "tensor count": (b"GGUF" + struct.pack("<IQQ", 3, HUGE, 0), "number of tensors"),
    "key count": (b"GGUF" + struct.pack("<IQQ", 3, 0, HUGE) + bytes(100), "number of keys"),
    "key length": (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, HUGE) + bytes(100), "the length of a key"),
    "empty key": (_file([_key("", 4, b"0000")]), "empty"),
    "key twice": (_file([ARCHITECTURE, ARCHITECTURE]), "there twice"),
    "unknown value type": (_file([_key("a", 99, b"")]), "unknown type 99"),
    "string length": (_file([_key("a", 8, struct.pack("<Q", HUGE))]), "the length of a "),
    "array count": (_file([_key("a", 9, struct.pack("<IQ", 4, HUGE))]), "number of elements"),
    "array of strings": (_file([_key("a", 9, struct.pack("<IQQ", 8, 1, HUGE))]), "length of a string"),
    "many strings": (_file([_key("a", 9, struct.pack("<IQ", 8, 1 << 60))]), "number of elements"),
    "array in an array": (_file([_key("a", 9, struct.pack("<IQ", 9, 1))]), "array of the type 9"),
    "no architecture": (_file([_key("a", 8, _text("b"))]), "does not name its architecture"),
    "architecture is a number": (_file([_key("general.architecture", 4, bytes(4))]), "does not name"),
    "alignment 0": (_file([_key("general.alignment", 4, bytes(4)), ARCHITECTURE]), "alignment"),
    "alignment 24": (_file([_key("general.alignment", 4, struct.pack("<I", 24)), ARCHITECTURE]), "alignment"),
    "layers": (
        _file([ARCHITECTURE, _key("llama.block_count", 4, struct.pack("<I", 4_000_000_000))]),
        "block_count is 4000000000",
    ),
    "no dimensions": (_file([ARCHITECTURE], [_tensor(())]), "0 dimensions"),
    "five dimensions": (_file([ARCHITECTURE], [_tensor((1, 1, 1, 1, 1))]), "5 dimensions"),
    "no elements": (_file([ARCHITECTURE], [_tensor((0,))]), "impossible shape"),
    "overflow": (_file([ARCHITECTURE], [_tensor((1 << 40, 1 << 40))]), "impossible shape"),
    "half a block": (_file([ARCHITECTURE], [_tensor((33,), type=2)]), "impossible shape"),
    "unknown tensor type": (_file([ARCHITECTURE], [_tensor(type=4)]), "unknown type 4"),
    "crooked offset": (_file([ARCHITECTURE], [_tensor(offset=7)]), "lies at bytes"),
    "outside": (_file([ARCHITECTURE], [_tensor(offset=1 << 20)]), "lies at bytes"),
    "offset wraps": (_file([ARCHITECTURE], [_tensor(offset=(1 << 64) - 32)]), "lies at bytes"),
    "too large": (_file([ARCHITECTURE], [_tensor((4096,))]), "lies at bytes"),
    "long name": (_file([ARCHITECTURE], [_tensor(name="a" * 64)]), "length of a tensor's name"),
    "same name": (_file([ARCHITECTURE], [_tensor(), _tensor()]), "same name"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_header_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    content, words = BAD[name]
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_header(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert words in message
    assert "\n" not in message


def test_every_cut_is_refused(tmp_path: Path) -> None:
    whole = _file([ARCHITECTURE, _key("a", 9, struct.pack("<IQ", 8, 1) + _text("b"))], [_tensor()], data=0)
    path = tmp_path / "cut.gguf"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError):
            read_header(path)
    path.write_bytes(whole + bytes(200))
    assert len(read_header(path).tensors) == 1


@pytest.mark.parametrize(("make", "words"), [(Path.mkdir, "is a folder"), (lambda _: None, "does not exist")])
def test_what_is_no_file(tmp_path: Path, make: Callable[[Path], None], words: str) -> None:
    make(tmp_path / "a.gguf")
    with pytest.raises(ModelError, match=words):
        read_header(tmp_path / "a.gguf")


def _parts(folder: Path, count: int, said: int) -> Path:
    for number in range(count):
        keys = [_key("split.count", 2, struct.pack("<H", said)), _key("split.no", 2, struct.pack("<H", number))]
        path = folder / f"m-{number + 1:05}-of-{count:05}.gguf"
        path.write_bytes(_file([*([] if number else [ARCHITECTURE]), *keys], [_tensor(name=f"t{number}")]))
    return folder / f"m-00001-of-{count:05}.gguf"


def test_the_parts_of_a_model_are_read_together(tmp_path: Path) -> None:
    first = _parts(tmp_path, 3, 3)
    assert [header.tensors[0].name for header in read_model(first)] == ["t0", "t1", "t2"]
    second = tmp_path / "m-00002-of-00003.gguf"
    with pytest.raises(ModelError, match="set `model` to the first part"):
        read_model(second)
    second.write_bytes(b"GGUF")
    with pytest.raises(ModelError, match="m-00002-of-00003"):
        read_model(first)
    second.unlink()
    with pytest.raises(ModelError, match="does not exist"):
        read_model(first)
    with pytest.raises(ModelError, match="its name does not end"):
        read_model(_parts(tmp_path, 2, 4))
