"""The messages to the engine and its events. All can be pickled and sent to another process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any, Literal, get_args

from lsp_server.backends.base import ModelInfo, ModelSpec
from lsp_server.core.names.allowed import Members
from lsp_server.core.opening import Opening
from lsp_server.core.prompt import FimPrompt
from lsp_server.core.stopping import StopRule
from lsp_server.engine.endpoint import LOCAL, shown_cost
from lsp_server.engine.retry import FilesState

# The purpose of a model. At most one model is loaded for each role; all run on the same thread.
Role = Literal["completion", "chat", "edit"]
ROLES: tuple[Role, ...] = get_args(Role)
# The roles by the names that the user's setting `routing` has for them.
JOBS: Mapping[str, Role] = {"completion": "completion", "actions": "chat", "edits": "edit"}


class Priority(IntEnum):
    """The order of requests; a smaller number is more urgent."""

    INLINE = 0
    PREPARED = 1
    WARMING = 2  # evaluates the prompt at the user's position: the next key waits for it
    EDIT = 3  # a next edit: not needed while the user types
    ACTION = 4

    @property
    def yields(self) -> bool:
        """Whether it waits after each request that the user's typing causes, and works in short steps."""
        return self >= Priority.EDIT


class FinishReason(str, Enum):
    STOP = "stop"  # the stop rule ended it
    END = "end"  # the model ended it
    LENGTH = "length"  # max_tokens
    DEADLINE = "deadline"  # the deadline passed; the text has the tokens decoded by then
    CANCELLED = "cancelled"
    REJECTED = "rejected"  # the queue was full, or no model is loaded
    FAILED = "failed"


# To the engine ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Generate:
    """Asks for a completion of `prompt`.

    stop: None: only the model itself or max_tokens ends the text.
    max_tokens: with 0 the prompt is only evaluated, so that a later request finds it in the cache.
    deadline: in seconds of the monotonic clock.
    reserve: tokens of the window to leave free after the prompt; the same for warming and completion, or their prompts
    would be cut differently.
    rank: which of the most probable first tokens to begin with, 0 for the best. Requests that differ only in it are
    decoded together, as candidates.
    quick: a smaller prompt for the same position, used if `prompt` takes too long to evaluate.
    opening: how the text may begin; the most probable token that fits is taken.
    members: which names may stand at limited places of the text, such as after `self.`.
    written: the beginning of the text, which exists already; decoding continues after it.
    draft: a text that the answer is expected to resemble; it saves steps, and does not change the answer.
    """

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
    """Ends a request. keep: the running step goes on, because a later request will use what it computes; without it,
    the step is interrupted."""

    id: int
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    """Loads a model in place of the role's present one, and cancels the requests of that one. If only the adapters
    differ, the model stays loaded and only these are replaced.
    number: repeated in the events about this load."""

    spec: ModelSpec
    number: int = 0
    role: Role = "completion"


@dataclass(frozen=True, slots=True)
class Keep:
    """Sets after how many seconds without use a model is unloaded; 0 or a missing role: never. prompt_bytes: how many
    bytes of prompts may be kept on the disk; 0: none, and none is read."""

    seconds: Mapping[Role, float]
    prompt_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Shutdown:
    pass


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks an engine process whether it still reads. It answers with `Pong` at once, also while its engine is busy."""


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
    """notice: what differs from the settings, in one line for the user; empty if nothing does."""

    info: ModelInfo
    load: int = 0
    role: Role = "completion"
    notice: str = ""


@dataclass(frozen=True, slots=True)
class ModelFailed:
    """message: one line for the user, with what to do.
    passing: whether loading may succeed later with the same files.
    worked: whether the model was loaded and worked before.
    files: the state of its files when they were read, from `files_state`."""

    message: str
    load: int = 0
    role: Role = "completion"
    passing: bool = field(default=False, compare=False)
    worked: bool = field(default=False, compare=False)
    files: FilesState = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class ModelIdle:
    """A model was unloaded because it was not used, and can be loaded again. message: the reason, in words."""

    message: str
    load: int = 0
    role: Role = "completion"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a request cost.

    Tokens: prompt = reused + evaluated, unless the request was cancelled before the prompt was complete. decoded tokens
    follow the prompt; cut tokens did not fit the window. accepted tokens are the drafted tokens that were decoded.
    Times in ms: queued is before the first step, prefill and decode are time of the model, total is from submission to
    the end.
    quick: whether the quick prompt was used.
    place: the name of the endpoint that was asked; empty for fimble's own models. cost: in the user's currency; None if
    no price is known. estimated: whether the number of prompt tokens is an estimate, because the server does not report
    it.
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
    place: str = ""
    cost: float | None = None
    estimated: bool = False

    def summary(self) -> dict[str, Any]:
        """The fields for `fimble/status`: place, time, numbers of tokens, and the cost if a price is set."""
        return {
            "place": self.place or LOCAL,
            "roundTripMs": round(self.total_ms, 1),
            "promptTokens": self.prompt_tokens,
            "answerTokens": self.decoded_tokens,
            "cost": self.cost,
            "costText": "" if self.cost is None else shown_cost(self.cost, estimated=self.estimated),
        }


@dataclass(frozen=True, slots=True)
class PromptRead:
    """The progress of a prompt after a step that did not complete it: `tokens` of `prompt_tokens` are in the cache."""

    id: int
    tokens: int
    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of a request's text, in whole characters. logprob: the natural logarithm of the probability of its
    tokens. usage: the cost of the request so far."""

    id: int
    text: str
    logprob: float
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event of a request; each request gets exactly one. text: the whole text, with `Generate.written` at its
    start. logprob: the mean log probability per token."""

    id: int
    text: str
    reason: FinishReason
    usage: Usage
    logprob: float = 0.0
    message: str = ""


def rejected(request: Generate, message: str, reason: FinishReason = FinishReason.REJECTED) -> Finished:
    """The only event of a request that was never worked on. message: the reason, for the user."""
    return Finished(request.id, "", reason, Usage(), message=message)


@dataclass(frozen=True, slots=True)
class CacheUse:
    """What the KV cache of the completion model holds: the number of tokens in each sequence, and the numbers of forks
    and evictions so far. It comes before a request's `Finished`."""

    resident: tuple[int, ...] = ()
    forks: int = 0
    evictions: int = 0


# The engine's activities that are shown to the user.
Activity = Literal["idle", "reading", "writing", "waiting", "measuring"]


@dataclass(frozen=True, slots=True)
class Working:
    """What the engine does now. reading: it evaluates a prompt. writing: it decodes. waiting: an action waits until the
    user stops typing. measuring: it measures the machine. Prepared suggestions and next edits, which nobody asked for,
    count as idle. done: how much of the prompt is in the cache, from 0 to 1."""

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
    """The engine has ended unasked. All messages sent to it are lost. why: in words for the user, such as "was ended by
    SIGKILL"."""

    why: str
