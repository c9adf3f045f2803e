"""What the engine asks of a backend: tokens in, logits out, and a KV cache of several sequences."""

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
    """A model that cannot be had. The message is one line for the user: what is wrong and what to do."""


class InterruptedEvaluation(Exception):  # noqa: N818 - not an error: somebody asked for it
    """An evaluation that `Backend.interrupt` has ended. None of its tokens is in the KV cache."""


class NoRoomError(ModelError):
    """A model for which there is not enough free memory now."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter. path: its GGUF file. scale: how much it counts; 1 is as it was trained."""

    path: str
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Which model to load, and how.

    path: the GGUF file; empty means the starter model. chat: it is asked to follow instructions. context_tokens: the
    window of one sequence.
    sequences: how many prompts stay resident. threads: 0 means as many as pay. gpu_layers: -1 means all if
    there is a device. fim_format: a name from the format table instead of the detected one. chunk_tokens:
    how much of a prompt is evaluated between two looks at the queue; 0 means what suits the device.
    calibrate: whether to measure what steps cost here, once, while nobody needs the model, and to choose by that;
    measure_first: before the model is ready.
    adapters: what changes the model; two specs that differ in these alone need no second loading.
    draft: the GGUF file of a small model that drafts for this one; empty means none.
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
        """How the model that drafts is loaded: as this one, so that it follows every resident prompt. It is measured
        first, since only that tells whether drafts pay."""
        return replace(self, path=self.draft, adapters=(), draft="", measure_first=True)


@dataclass(frozen=True, slots=True)
class StepCosts:
    """What an evaluation costs on this machine, in ms: ms_at[i][j] is that of sizes[j] tokens in a sequence
    that holds depths[i] already, with the logits behind the last. Both axes ascend; there are two depths.
    rows_ms[j]: what the logits behind all of sizes[j] tokens cost beyond that, as far as it was measured; a small
    model's output layer can cost more than the rest of it."""

    depths: tuple[int, int]
    sizes: tuple[int, ...]
    ms_at: tuple[tuple[float, ...], tuple[float, ...]]
    rows_ms: tuple[float, ...] = ()

    def ms(self, size: int, depth: int, logits: int = 1) -> float:
        """The cost of `size` tokens at `depth`, with the logits behind the last `logits` of them: interpolated
        between sizes, and on in a straight line beyond what was measured."""
        shallow, deep = (self._of_size(row, size) for row in self.ms_at)
        share = (depth - self.depths[0]) / (self.depths[1] - self.depths[0])
        rows = max(0.0, self._of_size(self.rows_ms, logits)) if logits > 1 and len(self.rows_ms) > 1 else 0.0
        return max(shallow, shallow + share * (deep - shallow)) + rows

    def apart_pays(self, size: int, depth: int, logits: int) -> bool:
        """Whether it takes less time to evaluate the tokens one by one whose logits are wanted, the last
        `logits` of `size`, than all in one step."""
        first = size - logits + 1
        apart = self.ms(first, depth) + (logits - 1) * self.ms(1, depth + first)
        return logits > 1 and apart < self.ms(size, depth, logits)

    def largest(self, budget_ms: float, depth: int) -> int:
        """The most tokens that cost at most `budget_ms` at `depth`, and no more than were measured; at
        least 1."""
        return next((n for n in range(self.sizes[-1], 1, -1) if self.ms(n, depth) <= budget_ms), 1)

    def _of_size(self, row: tuple[float, ...], size: int) -> float:
        right = min(max(bisect_left(self.sizes, size), 1), len(row) - 1)
        low, high = self.sizes[right - 1], self.sizes[right]
        return row[right - 1] + (row[right] - row[right - 1]) * (size - low) / (high - low)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a loaded model is. context_tokens: the window of one sequence. chunk_tokens: how much of a prompt
    is evaluated between two looks at the queue. bytes: the size of its weights. licence: one line, empty
    if we do not know it. interruptible: whether `interrupt` ends an evaluation that is under way. token_ms: what a
    token of a prompt took when the model was loaded, in ms; 0 if that was not measured. chat_template: the Jinja2
    text that the model brings along, which is untrusted input; empty if it has none. edit_format: the name of the
    format in which it is asked for next edits, where that was set with it. bos, eos: how the tokens around a text are
    spelled. specials: how the special tokens are that a model may spell out. costs: None if they have not
    been measured. recurrent: whether a sequence cannot be cut back to any length. adapters: those in use.
    draft: the name of the model that drafts for it, if there is one. state_key: states that `save` has given can be
    restored by every model with the same key; empty if by none. sliding_tokens: how many of the last tokens some layers
    see; 0 if all see all. What is saved of such a model holds no more for those layers, so a sequence of more tokens
    cannot be cut back behind where it was restored.
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

    @property
    def is_ours(self) -> bool:
        """Whether fimble itself decodes with it, and so can limit its tokens; not the model of another server."""
        return self.vocabulary > 0


@dataclass(frozen=True, slots=True)
class SequenceState:
    """What a sequence of the KV cache holds, as bytes that outlive the model. length: in tokens. checkpoints: of a
    recurrent model, the lengths that it can be cut back to, ascending, each with what that takes."""

    length: int
    data: memoryview
    checkpoints: tuple[tuple[int, memoryview], ...] = ()


class Backend(Protocol):
    """A loaded model and its KV cache: `info.sequences` sequences of up to `info.context_tokens` tokens.

    Only the model thread calls it, but for `interrupt`. Token ids are below `info.vocabulary`.
    """

    info: ModelInfo

    def tokenize(self, text: bytes, *, special: bool = False) -> list[int]:
        """The tokens of a text, nothing added. Special tokens are recognised in it only if asked for, which
        is right for what a template has written and never for a file's text."""
        ...

    def start_tokens(self) -> list[int]:
        """What every sequence begins with: the BOS token, if the model wants one."""
        ...

    def marker(self, spelling: str) -> int | None:
        """The id of the special token spelled so, or None."""
        ...

    def piece(self, token: int) -> bytes:
        """The bytes that `token` stands for; none for a control token. May be part of a character."""
        ...

    def special(self, token: int) -> str:
        """How a token is spelled that is never shown, such as a control token; empty for one of text."""
        ...

    def ends(self, token: int) -> bool:
        """Whether `token` ends a text, as every token does that is never shown."""
        ...

    def evaluate(self, sequence: int, position: int, tokens: Sequence[int], *, logits: int) -> list[Logits]:
        """Evaluates `tokens`, at most `info.chunk_tokens`, at `position` on, which must be the sequence's length.

        Returns the logits behind each of the last `logits` tokens, float32 of shape (vocabulary,); they are
        valid until the next call. Raises ModelError if the model cannot go on, and InterruptedEvaluation.
        """
        ...

    def interrupt(self, wanted: bool) -> None:
        """Makes the evaluation under way, and all that begin later, end with InterruptedEvaluation until this is called
        with False. For any thread. Without effect where the device cannot stop (`info.interruptible`)."""
        ...

    def evaluate_each(self, steps: Sequence[tuple[int, int, int]]) -> list[Logits]:
        """Evaluates one token in each of several sequences, in one batch: (sequence, position, token).

        Returns the logits behind each, as `evaluate` does.
        """
        ...

    def admit(self, adapters: Sequence[Adapter], progress: Callable[[float], bool]) -> None:
        """Finds out whether these can be used with the model, which can take seconds. Raises ModelError if one cannot,
        or if `progress` says to give up. The only method that another thread may call, also when it is closed."""
        ...

    def adapt(self, adapters: Sequence[Adapter]) -> None:
        """Makes these, which have been admitted, and no others, change what the model computes, and `info` name them.
        Empties all sequences. Raises ModelError if one cannot be used; then all is as it was."""
        ...

    def rest(self) -> bool:
        """One small piece of what is to be done while nobody needs the model; `info` may be another one afterwards.
        False if there is nothing more to do."""
        ...

    def checkpoint(self, sequence: int) -> None:
        """Makes a recurrent model remember where a sequence is, so that `truncate` can go back to it."""
        ...

    def truncate(self, sequence: int, length: int) -> int:
        """Cuts a sequence back to `length` tokens and returns what is really left: less if the model is
        recurrent and the last checkpoint lies further back, or 0 if there is none."""
        ...

    def copy(self, source: int, target: int) -> None:
        """Makes `target` hold what `source` holds."""
        ...

    def save(self, sequence: int) -> SequenceState | None:
        """What `sequence` holds, for `restore`; None if it cannot be had."""
        ...

    def restore(self, sequence: int, state: SequenceState) -> int:
        """Makes `sequence` hold what was saved, and returns its length. 0 if the state does not fit this model or its
        window; then the sequence is empty."""
        ...

    def length(self, sequence: int) -> int:
        """How many tokens the KV cache really holds for `sequence`."""
        ...

    def close(self) -> None:
        """Gives the memory back. The backend is of no use afterwards."""
        ...


# Loads a model; reports progress from 0 to 1, and stops with ModelError when the callback returns False.
BackendFactory = Callable[[ModelSpec, Callable[[float], bool]], Backend]
