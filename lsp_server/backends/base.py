"""The interface between the engine and a backend: tokens in, logits out, and a KV cache with several sequences."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol

from lsp_server.core.fim_formats import FimFormat

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Logits = NDArray[np.float32]

FlashAttention = Literal["auto", "on", "off"]


class ModelError(Exception):
    """A model cannot be loaded or used. The message is one line for the user: what is wrong and what to do."""


class InterruptedEvaluation(Exception):  # noqa: N818 - not an error: somebody asked for it
    """`Backend.interrupt` has ended an evaluation. None of its tokens is in the KV cache."""


class NoRoomError(ModelError):
    """There is not enough free memory for the model now."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter. path: its GGUF file. scale: its weight; 1 is as it was trained."""

    path: str
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Which model to load, and how.

    path: the GGUF file; empty means the starter model.
    chat: the model is asked to follow instructions.
    context_tokens: the window of one sequence.
    sequences: how many prompts stay in the KV cache.
    threads: 0 means as many as pay.
    gpu_layers: -1 means all layers, if there is a GPU.
    fim_format: a name from the format table, used instead of the detected format.
    chunk_tokens: the most prompt tokens evaluated before the engine handles its messages again; 0 means what suits the
    device.
    calibrate: whether to measure once, while nobody needs the model, what steps cost here, and to choose settings by
    that.
    measure_first: measure before the model is ready.
    adapters: LoRA adapters; two specs that differ only in these need no second loading.
    draft: the GGUF file of a draft model for this one; empty means none.
    """

    path: str
    context_tokens: int = 2560
    sequences: int = 6
    threads: int = 0
    gpu_layers: int = -1
    flash_attention: FlashAttention = "auto"
    fim_format: str | None = None
    chunk_tokens: int = 0
    calibrate: bool = False
    chat: bool = False
    adapters: tuple[Adapter, ...] = ()
    draft: str = ""
    measure_first: bool = False

    def of_draft(self) -> ModelSpec:
        """The spec of the draft model. It has the same sequences and window, so that it can follow every resident
        prompt. It is measured before it is used, because only the costs show whether drafts pay."""
        return replace(self, path=self.draft, adapters=(), draft="", measure_first=True)


@dataclass(frozen=True, slots=True)
class StepCosts:
    """The cost of an evaluation on this machine, in ms. ms_at[i][j] is the cost of sizes[j] tokens in a sequence that
    already holds depths[i] tokens, with the logits after the last token. Both axes ascend; there are two depths.
    rows_ms[j]: the additional cost of the logits after all of sizes[j] tokens, for the sizes that were measured; the
    output layer of a small model can cost more than the rest."""

    depths: tuple[int, int]
    sizes: tuple[int, ...]
    ms_at: tuple[tuple[float, ...], tuple[float, ...]]
    rows_ms: tuple[float, ...] = ()

    def ms(self, size: int, depth: int, logits: int = 1) -> float:
        """The cost in ms of `size` tokens at `depth`, with the logits after the last `logits` of them: interpolated
        between the measured sizes, and extrapolated in a straight line beyond them."""
        shallow, deep = (self._of_size(row, size) for row in self.ms_at)
        share = (depth - self.depths[0]) / (self.depths[1] - self.depths[0])
        rows = max(0.0, self._of_size(self.rows_ms, logits)) if logits > 1 and len(self.rows_ms) > 1 else 0.0
        return max(shallow, shallow + share * (deep - shallow)) + rows

    def apart_pays(self, size: int, depth: int, logits: int) -> bool:
        """Whether it is faster to evaluate the last `logits` of `size` tokens, whose logits are wanted, one by one than
        all tokens in one step."""
        first = size - logits + 1
        apart = self.ms(first, depth) + (logits - 1) * self.ms(1, depth + first)
        return logits > 1 and apart < self.ms(size, depth, logits)

    def largest(self, budget_ms: float, depth: int) -> int:
        """The largest number of tokens that costs at most `budget_ms` at `depth` and is within the measured sizes; at
        least 1."""
        return next((n for n in range(self.sizes[-1], 1, -1) if self.ms(n, depth) <= budget_ms), 1)

    def _of_size(self, row: tuple[float, ...], size: int) -> float:
        right = min(max(bisect_left(self.sizes, size), 1), len(row) - 1)
        low, high = self.sizes[right - 1], self.sizes[right]
        return row[right - 1] + (row[right] - row[right - 1]) * (size - low) / (high - low)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a loaded model.

    context_tokens: the window of one sequence.
    chunk_tokens: the most prompt tokens evaluated before the engine handles its messages again.
    bytes: the size of its weights. licence: one line, empty if unknown.
    chat_template: the Jinja2 text in the model's file, which is untrusted input; empty if there is none.
    edit_format: the name of the format for next edits, if the settings name one.
    bos, eos: the spellings of the tokens at the beginning and end of a text.
    costs: None if they have not been measured.
    recurrent: a sequence cannot be cut back to any length.
    adapters: those in use. draft: the name of its draft model, if there is one.
    interruptible: `interrupt` can end a running evaluation.
    token_ms: the prefill time per token when the model was loaded, in ms; 0 if it was not measured.
    specials: the spellings of special tokens that the model may also write as text.
    state_key: states from `save` can be restored by every model with the same key; empty if by none.
    sliding_tokens: how many of the last tokens some layers see; 0 if all layers see all. A saved state has no more
    tokens for those layers. So a longer sequence cannot be cut back below the length at which it was restored.
    place: the name of the endpoint that serves it; empty for a model that fimble has loaded.
    """

    name: str
    path: str
    architecture: str
    parameters: int
    bytes: int
    vocabulary: int
    context_tokens: int
    sequences: int
    chunk_tokens: int
    format: FimFormat
    device: str
    licence: str = ""
    chat_template: str = ""
    edit_format: str = ""
    bos: str = ""
    eos: str = ""
    costs: StepCosts | None = None
    recurrent: bool = False
    adapters: tuple[Adapter, ...] = ()
    draft: str = ""
    interruptible: bool = False
    token_ms: float = 0.0
    specials: tuple[str, ...] = ()
    state_key: str = ""
    sliding_tokens: int = 0
    place: str = ""

    @property
    def is_ours(self) -> bool:
        """Whether fimble itself decodes with it, and so can limit its tokens; False for a model on another server."""
        return self.vocabulary > 0


@dataclass(frozen=True, slots=True)
class SequenceState:
    """The content of one sequence of the KV cache, as bytes that can outlive the model. length: in tokens. checkpoints:
    for a recurrent model, the lengths to which it can be cut back, ascending, each with its state."""

    length: int
    data: memoryview
    checkpoints: tuple[tuple[int, memoryview], ...] = ()


class Backend(Protocol):
    """A loaded model and its KV cache: `info.sequences` sequences of up to `info.context_tokens` tokens.

    Only the model thread calls it, except for `interrupt` and `admit`. Token ids are below `info.vocabulary`.
    """

    info: ModelInfo

    def tokenize(self, text: bytes, *, special: bool = False) -> list[int]:
        """The tokens of a text, without BOS. Special tokens are recognised only with `special`, which is right for the
        text of a template, and never for the text of a file."""
        ...

    def start_tokens(self) -> list[int]:
        """The tokens at the start of every sequence: BOS, if the model wants it."""
        ...

    def marker(self, spelling: str) -> int | None:
        """The id of the special token with this spelling, or None."""
        ...

    def piece(self, token: int) -> bytes:
        """The bytes of `token`; empty for a control token. They may be part of a character."""
        ...

    def special(self, token: int) -> str:
        """The spelling of a token that is never shown, such as a control token; empty for a token of text."""
        ...

    def ends(self, token: int) -> bool:
        """Whether `token` ends a text. Every token that is never shown does."""
        ...

    def evaluate(self, sequence: int, position: int, tokens: Sequence[int], *, logits: int) -> list[Logits]:
        """Evaluates `tokens`, at most `info.chunk_tokens`, from `position` on, which must be the sequence's length.

        Returns the logits after each of the last `logits` tokens: float32 of shape (vocabulary,), valid until the next
        call. Raises ModelError if the evaluation fails, and InterruptedEvaluation.
        """
        ...

    def interrupt(self, wanted: bool) -> None:
        """With True, the running evaluation and all later ones end with InterruptedEvaluation until this is called with
        False. May be called on any thread. Has no effect if the device cannot stop (`info.interruptible`)."""
        ...

    def evaluate_each(self, steps: Sequence[tuple[int, int, int]]) -> list[Logits]:
        """Evaluates one token in each of several sequences, in one batch. steps: (sequence, position, token).

        Returns the logits after each token, as `evaluate` does.
        """
        ...

    def admit(self, adapters: Sequence[Adapter], progress: Callable[[float], bool]) -> None:
        """Checks whether these adapters can be used with the model, which can take seconds. Raises ModelError if one
        cannot, or if `progress` returns False. Another thread may call it, even while the backend is closed."""
        ...

    def adapt(self, adapters: Sequence[Adapter]) -> None:
        """Replaces the adapters in use by these, which have been admitted, also in `info`. Empties all sequences.
        Raises ModelError if one cannot be used; then nothing is changed."""
        ...

    def rest(self) -> bool:
        """Does one small piece of background work; it may replace `info`. Returns False if there is nothing more to
        do."""
        ...

    def checkpoint(self, sequence: int) -> None:
        """Makes a recurrent model save the state of a sequence, so that `truncate` can go back to it."""
        ...

    def truncate(self, sequence: int, length: int) -> int:
        """Cuts a sequence back to `length` tokens and returns the length that is left. For a recurrent model that may
        be less: the last checkpoint before it, or 0 if there is none."""
        ...

    def copy(self, source: int, target: int) -> None:
        """Copies the content of `source` to `target`."""
        ...

    def save(self, sequence: int) -> SequenceState | None:
        """The content of `sequence`, for `restore`; None if it cannot be read."""
        ...

    def restore(self, sequence: int, state: SequenceState) -> int:
        """Puts a saved content into `sequence`, and returns its length. If the state does not fit this model or its
        window, the sequence is empty and 0 is returned."""
        ...

    def length(self, sequence: int) -> int:
        """How many tokens the KV cache holds for `sequence`."""
        ...

    def close(self) -> None:
        """Frees the memory. The backend cannot be used afterwards."""
        ...


# Loads a model. Calls the callback with the progress, from 0 to 1; raises ModelError when it returns False.
BackendFactory = Callable[[ModelSpec, Callable[[float], bool]], Backend]
