"""Makes the copies of a model that benches need: one that declares FIM tokens, and one quantised as Q4_0."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from bench.sessions.vocabulary import Vocabulary
from lsp_server.backends import llama_library
from lsp_server.backends.base import ModelError

# The keys of FIM tokens in a file; llama-server's /infill does not work without them.
FIM_KEYS = tuple(f"tokenizer.ggml.fim_{part}_token_id" for part in ("pre", "suf", "mid"))

# Control tokens that have a meaning for a model or for a server.
_MEANINGFUL = ("endoftext", "im_start", "im_end", "eos", "bos", "pad", "unk", "mask", "turn", "eot", "</s>", "<s>")
_CONTROL_TYPES = (3, 5)  # control and unused tokens, in GGUF's numbering


def folder() -> Path:
    """The folder of the copies."""
    return user_cache_path("fimble") / "bench"


def with_fim_tokens(model: Path, target_folder: Path | None = None) -> tuple[Path, tuple[str, ...]]:
    """A model file with FIM tokens that llama.cpp knows, and the spellings of the tokens that were declared for it
    here. A file that has FIM tokens is used unchanged. Otherwise writes a copy that declares three unused control
    tokens: prompts then take as long as with a FIM model, but the text is nonsense. Raises ModelError if there are no
    such tokens.
    """
    if min(fim_tokens(model)) >= 0:
        return model, ()
    reader = _gguf().GGUFReader(model)
    chosen = unused_tokens(reader)
    spellings = tuple(spelling for _, spelling in chosen)
    target = _copy_path(model, "fim", target_folder)
    if not target.is_file():
        ids = dict(zip(FIM_KEYS, (token for token, _ in chosen), strict=True))
        _write_whole(target, lambda path: _copy_with(reader, path, ids))
    return target, spellings


def fim_tokens(model: Path) -> tuple[int, int, int]:
    """The ids of the prefix, suffix and middle tokens as llama.cpp finds them; -1 for a missing one."""
    vocabulary = Vocabulary(model)
    try:
        api, vocab = vocabulary._api, vocabulary._vocab
        return api.llama_vocab_fim_pre(vocab), api.llama_vocab_fim_suf(vocab), api.llama_vocab_fim_mid(vocab)
    finally:
        vocabulary.close()


def requantised(model: Path, target_folder: Path | None = None) -> Path:
    """A copy of the model in Q4_0, which llama.cpp repacks for the CPU."""
    target = _copy_path(model, "q4_0", target_folder)
    if target.is_file():
        return target
    api = llama_library.load_library().api
    params = api.llama_model_quantize_default_params()
    params.ftype = api.LLAMA_FTYPE_MOSTLY_Q4_0
    params.allow_requantize = True
    params.nthread = llama_library.default_threads()

    def quantise(path: Path) -> None:
        if api.llama_model_quantize(os.fsencode(model), os.fsencode(path), params) != 0:
            raise ModelError(f"llama.cpp cannot quantise {model}")

    _write_whole(target, quantise)
    return target


def unused_tokens(reader: Any) -> list[tuple[int, str]]:
    """Ids and spellings of three control tokens that a model does not use; tokens named `unused` come first."""
    types: Sequence[int] = reader.fields["tokenizer.ggml.token_type"].contents()
    names = reader.fields["tokenizer.ggml.tokens"]
    control = [(token, str(names.contents(token))) for token, kind in enumerate(types) if kind in _CONTROL_TYPES]
    free = [entry for entry in control if not any(word in entry[1].lower() for word in _MEANINGFUL)]
    free.sort(key=lambda entry: ("unused" not in entry[1].lower(), entry[0]))
    if len(free) < 3:
        raise ModelError("the model declares no FIM tokens and has no unused ones that could stand in for them")
    return free[:3]


def _copy_with(reader: Any, target: Path, integers: dict[str, int]) -> None:
    """Writes a copy of the file with more metadata and the same tensors."""
    gguf = _gguf()
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(target, architecture, endianess=reader.endianess)
    alignment = reader.fields.get("general.alignment")
    if alignment is not None:
        writer.data_alignment = alignment.contents()
    for name, field in reader.fields.items():
        if name == "general.architecture" or name.startswith("GGUF.") or name in integers:
            continue
        inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], sub_type=inner)
    for name, value in integers.items():
        writer.add_uint32(name, value)
    for tensor in reader.tensors:
        shape, kind = tensor.data.shape, tensor.tensor_type
        writer.add_tensor_info(tensor.name, shape, tensor.data.dtype, tensor.data.nbytes, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in reader.tensors:
        writer.write_tensor_data(tensor.data)
    writer.close()


def _copy_path(model: Path, what: str, target_folder: Path | None) -> Path:
    """The path of a copy. It depends on the original, so that a copy of an older file is never used."""
    found = model.stat()
    mark = hashlib.sha256(f"{model.resolve()} {found.st_size} {found.st_mtime_ns}".encode()).hexdigest()[:8]
    return (target_folder or folder()) / f"{model.stem}-{what}-{mark}.gguf"


def _write_whole(target: Path, write: Callable[[Path], None]) -> None:
    """Writes a temporary file and renames it to `target`, so that `target` is always complete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, suffix=".tmp")
    os.close(descriptor)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _gguf() -> Any:
    try:
        return import_module("gguf")
    except ImportError:
        raise ModelError("reading a model's file needs the package gguf: pip install gguf") from None
