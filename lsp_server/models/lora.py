"""Whether a GGUF file is a LoRA adapter, and whether it fits a model: told by the two headers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lsp_server.backends.base import ModelError
from lsp_server.models import ledger, lock
from lsp_server.models.gguf import Header, Tensor, read_header

_FIRST, _SECOND = ".lora_a", ".lora_b"


def is_adapter(header: Header) -> bool:
    return header.text("general.type") == "adapter"


def admit(path: Path, base: Sequence[Header]) -> Header:
    """The header of an adapter that may be used with the model of `base`. Raises ModelError, one line, if it may
    not: the file is damaged or not an adapter, it is not what was pulled, or it is for another model."""
    header = read_header(path)
    check(header, base)
    lock.check(path, ledger.sha256(path))
    return header


def check(header: Header, base: Sequence[Header]) -> None:
    """Raises ModelError if an adapter does not fit the model of `base`."""
    path, model = header.path, base[0]
    if not is_adapter(header):
        raise ModelError(f"{path} is not a LoRA adapter but a model; name it in `model`, not in `lora`")
    if header.text("adapter.type") != "lora":
        raise ModelError(f"{path} is an adapter of the kind {header.text('adapter.type')!r}; only LoRA can be used")
    if "adapter.alora.invocation_tokens" in header.metadata:
        raise ModelError(f"{path} is a LoRA adapter that only some tokens switch on, which fimble cannot use")
    if header.architecture != model.architecture:
        raise _misfit(header, model, f"it is for the architecture {header.architecture}, not {model.architecture}")
    known = {tensor.name: tensor for part in base for tensor in part.tensors}
    pairs: dict[str, dict[str, Tensor]] = {}
    for tensor in header.tensors:
        name, end = tensor.name[: -len(_FIRST)], tensor.name[-len(_FIRST) :]
        if end not in (_FIRST, _SECOND):
            raise ModelError(f"{path} cannot be used: its tensor {tensor.name!r} is not part of a LoRA")
        pairs.setdefault(name, {})[end] = tensor
    if not pairs:
        raise ModelError(f"{path} cannot be used: it changes nothing")
    for name, pair in pairs.items():
        if len(pair) < 2:
            raise ModelError(f"{path} cannot be used: it has only half of what changes {name!r}")
        if name not in known:
            raise _misfit(header, model, f"it changes {name!r}, which the model does not have")
        wanted, found = _shape(known[name]), _changed_shape(name, pair)
        if found != wanted:
            raise _misfit(header, model, f"it changes {name!r} as {_by(found)}, which is {_by(wanted)} in the model")


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tensor.shape[:2]


def _changed_shape(name: str, pair: dict[str, Tensor]) -> tuple[int, ...]:
    """The shape of the matrix that a pair adds up to; empty if the two do not go together."""
    first, second = ((*pair[end].shape, 1)[:2] for end in (_FIRST, _SECOND))
    if name.startswith("token_embd."):  # looked up by rows, so the two are the other way round
        return (second[1], first[1]) if first[0] == second[0] else ()
    return (first[0], second[1]) if first[1] == second[0] else ()


def _by(shape: tuple[int, ...]) -> str:
    return " by ".join(map(str, shape)) or "matrices that do not go together"


def _misfit(header: Header, model: Header, why: str) -> ModelError:
    name = model.text("general.name") or model.path.name
    return ModelError(f"the LoRA adapter {header.path} does not fit {name}: {why}; take it out of `lora`")
