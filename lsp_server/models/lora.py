"""Checks from two headers whether a GGUF file is a LoRA adapter, and whether it fits a model."""

from __future__ import annotations

from collections.abc import Sequence

from lsp_server.backends.base import ModelError
from lsp_server.models.gguf import Header, Tensor

_FIRST, _SECOND = ".lora_a", ".lora_b"
_NOT_COMPUTED = frozenset({"F64", "I8", "I16", "I32", "I64"})


def is_adapter(header: Header) -> bool:
    return header.text("general.type") == "adapter"


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
        if tensor.type_name in _NOT_COMPUTED:
            raise ModelError(
                f"{path} cannot be used: its tensor {tensor.name!r} is of the type {tensor.type_name}, "
                "with which llama.cpp cannot compute"
            )
        pairs.setdefault(name, {})[end] = tensor
    if not pairs:
        raise ModelError(f"{path} cannot be used: it changes nothing")
    for name, pair in pairs.items():
        if len(pair) < 2:
            raise ModelError(f"{path} cannot be used: it has only half of what changes {name!r}")
        if name not in known:
            raise _misfit(header, model, f"it changes {name!r}, which the model does not have")
        wanted, found = _trimmed(known[name].shape), _changed_shape(name, pair)
        if found != wanted:
            raise _misfit(header, model, f"it changes {name!r} as {_by(found)}, which is {_by(wanted)} in the model")


def _trimmed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without trailing dimensions of size 1, but with at least two dimensions."""
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return shape if len(shape) > 1 else (*shape, 1)


def _changed_shape(name: str, pair: dict[str, Tensor]) -> tuple[int, ...]:
    """The shape of the matrix that a pair of tensors multiplies to; empty if the two do not match."""
    first, second = (_trimmed(pair[end].shape) for end in (_FIRST, _SECOND))
    if first[2:] != second[2:]:  # a mixture of experts has one pair for each expert
        return ()
    if name.startswith("token_embd."):  # looked up by rows, so the two are swapped
        return (second[1], first[1], *first[2:]) if first[0] == second[0] else ()
    return (first[0], second[1], *first[2:]) if first[1] == second[0] else ()


def _by(shape: tuple[int, ...]) -> str:
    return " by ".join(map(str, shape)) or "matrices that do not go together"


def _misfit(header: Header, model: Header, why: str) -> ModelError:
    name = model.text("general.name") or model.path.name
    return ModelError(f"the LoRA adapter {header.path} does not fit {name}: {why}; take it out of `lora`")
