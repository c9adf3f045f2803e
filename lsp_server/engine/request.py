"""The messages to and from the engine. All survive pickle, so that the engine can live in another process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Literal, get_args

from lsp_server.backends.base import ModelInfo, ModelSpec
from lsp_server.core.allowed_names import Members
from lsp_server.core.opening import Opening
from lsp_server.core.prompt import FimPrompt
from lsp_server.core.stopping import StopRule
from lsp_server.engine.retry import FilesState

# What a model is there for. One is held for each, all on the same thread.
Role = Literal["completion", "chat", "edit"]
ROLES: tuple[Role, ...] = get_args(Role)


class Priority(IntEnum):
    """What goes first; a smaller number is more urgent."""

    INLINE = 0
    PREPARED = 1
    WARMING = 2  # of the place where the user types: the next key waits for it
    EDIT = 3  # a next edit, which nobody has asked for as long as somebody types
    ACTION = 4

    @property
    def yields(self) -> bool:
        """Whether it rests after everything that the user's typing asks for, and works in short steps."""
        return self >= Priority.EDIT


class FinishReason(str, Enum):
    STOP = "stop"  # the stop rule ended it
    END = "end"  # the model ended it
    LENGTH = "length"  # max_tokens
    DEADLINE = "deadline"  # the time was up; the text is what there was
    CANCELLED = "cancelled"
    REJECTED = "rejected"  # the queue was full, or no model is loaded
    FAILED = "failed"


# To the engine ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Generate:
    """Asks for a completion of `prompt`. deadline is in seconds of the monotonic clock. With max_tokens 0
    the prompt is only evaluated, so that a later request finds it in the cache. reserve: tokens of the
    window to leave free behind the prompt; the same for both, or they would be cut differently. Without
    a stop rule only the model itself or max_tokens ends it. rank: which of the likeliest first tokens to begin
    with, 0 for the best; requests that differ in it alone are written together, as candidates. quick: a smaller
    prompt for the same place, which is answered from as long as `prompt` takes too long to evaluate. opening: how the
    text may begin; the likeliest token with which it does is taken. members: which names may stand in it behind
    others. written: a beginning of the text that stands already; what is decoded goes on with it. draft: a text that
    the answer is expected to be like; it costs fewer steps, and changes nothing in what is written."""

    id: int
    prompt: FimPrompt
    stop: StopRule | None
    max_tokens: int
    priority: Priority = Priority.INLINE
    deadline: float | None = None
    reserve: int = 0
    role: Role = "completion"
    rank: int = 0
    quick: FimPrompt | None = None
    opening: Opening | None = None
    members: Members | None = None
    written: str = ""
    draft: str = ""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Ends a request. keep: what its step under way computes is wanted all the same, by a request that is still to
    come; without it, the step is interrupted."""

    id: int
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    """Loads a model in place of the one that has this role; what was running for that one is cancelled. If only
    the adapters differ, the model stays and they are exchanged.
    number: comes back in the events about this load."""

    spec: ModelSpec
    number: int = 0
    role: Role = "completion"


@dataclass(frozen=True, slots=True)
class Keep:
    """Sets how long models stay loaded without being used, in seconds; 0 and roles left out: for ever. prompt_bytes:
    how much of prompts may be kept on the disk; 0: nothing, and none is read."""

    seconds: Mapping[Role, float]
    prompt_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Shutdown:
    pass


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks a process that has an engine whether it still reads. It answers with `Pong` at once, whatever its engine
    does."""


Message = Generate | Cancel | Load | Keep | Shutdown


# From the engine ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModelLoading:
    """progress: from 0 to 1."""

    progress: float
    load: int = 0
    role: Role = "completion"


@dataclass(frozen=True, slots=True)
class ModelReady:
    """notice: one line for the user on what is not as it was asked for; empty if all is."""

    info: ModelInfo
    load: int = 0
    role: Role = "completion"
    notice: str = ""


@dataclass(frozen=True, slots=True)
class ModelFailed:
    """message: one line for the user, with what to do. passing: whether it may work later though no file has changed.
    worked: whether the model was loaded and worked before. files: what those it was loaded from were like, as
    `files_state` tells."""

    message: str
    load: int = 0
    role: Role = "completion"
    passing: bool = field(default=False, compare=False)
    worked: bool = field(default=False, compare=False)
    files: FilesState = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class ModelIdle:
    """A model has been unloaded because it was not used, and can be loaded again. message: why, in words."""

    message: str
    load: int = 0
    role: Role = "completion"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a request cost. Tokens: prompt = reused + evaluated, unless it was cancelled on the way;
    decoded came after it, and cut did not fit the window. Of the drafted tokens, the accepted are among the
    decoded. Times in ms: queued before its
    first step, prefill and decode are model time, total is from submission to the end. quick: whether it was answered
    from the smaller prompt.
    """

    prompt_tokens: int = 0
    reused_tokens: int = 0
    evaluated_tokens: int = 0
    cut_tokens: int = 0
    decoded_tokens: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    queued_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0
    total_ms: float = 0.0
    quick: bool = False


@dataclass(frozen=True, slots=True)
class PromptRead:
    """How far a request's prompt is in the cache, after a step that was not its last: `tokens` of `prompt_tokens`."""

    id: int
    tokens: int
    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of a request's text. Whole characters; logprob is the natural logarithm of the
    probability of its tokens, usage what the request has cost so far."""

    id: int
    text: str
    logprob: float
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of every request, exactly one. text: all of it, with what was written before. logprob: the mean
    per token."""

    id: int
    text: str
    reason: FinishReason
    usage: Usage
    logprob: float = 0.0
    message: str = ""


def rejected(request: Generate, message: str, reason: FinishReason = FinishReason.REJECTED) -> Finished:
    """The only event of a request that no work was done for. message: why, for the user."""
    return Finished(request.id, "", reason, Usage(), message=message)


@dataclass(frozen=True, slots=True)
class CacheUse:
    """What the KV cache of the completion model holds: the tokens of each sequence, and how many forks and evictions
    there have been. It comes before a request's `Finished`."""

    resident: tuple[int, ...] = ()
    forks: int = 0
    evictions: int = 0


# What a user may want to know of the engine's work.
Activity = Literal["idle", "reading", "writing", "waiting", "measuring"]


@dataclass(frozen=True, slots=True)
class Working:
    """What the engine does now: it reads a prompt, writes, waits with an action until nobody types, or measures the
    machine. What is prepared unasked counts as nothing. done: how much of the prompt has been read, from 0 to 1."""

    kind: Activity = "idle"
    role: Role = "completion"
    done: float = 0.0


Event = ModelLoading | ModelReady | ModelFailed | ModelIdle | PromptRead | TextDelta | Finished | Working | CacheUse


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to `Ping`."""


# From the engine's home ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EngineLost:
    """The engine has ended without having been asked to. All that it had been sent is lost. why: in words for the user,
    such as "was ended by SIGKILL"."""

    why: str
