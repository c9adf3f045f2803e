"""What the rest of fimble knows of an engine: a protocol in text and events. Whoever uses a model imports this alone.

An engine may live in this process, in one of its own, or elsewhere. Nothing here tells which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from lsp_server.backends.base import ModelInfo, ModelSpec
from lsp_server.core.allowed_names import Members
from lsp_server.core.opening import Opening
from lsp_server.core.prompt import FimPrompt
from lsp_server.core.stopping import StopRule
from lsp_server.engine.endpoint import LOCAL as LOCAL  # noqa: PLC0414
from lsp_server.engine.endpoint import Endpoint
from lsp_server.engine.request import ROLES as ROLES  # noqa: PLC0414

# The events, told here as part of the interface.
from lsp_server.engine.request import CacheUse as CacheUse  # noqa: PLC0414
from lsp_server.engine.request import Finished as Finished  # noqa: PLC0414
from lsp_server.engine.request import FinishReason as FinishReason  # noqa: PLC0414
from lsp_server.engine.request import Priority as Priority  # noqa: PLC0414
from lsp_server.engine.request import PromptRead as PromptRead  # noqa: PLC0414
from lsp_server.engine.request import Role as Role  # noqa: PLC0414
from lsp_server.engine.request import TextDelta as TextDelta  # noqa: PLC0414
from lsp_server.engine.request import Usage as Usage  # noqa: PLC0414
from lsp_server.engine.request import Working as Working  # noqa: PLC0414

# Where the engine that holds the models lives: on a thread of this process, in a process of its own, or in one that all
# servers of the user with the same model share.
HomeKind = Literal["in-process", "process", "shared"]


@dataclass(frozen=True, slots=True)
class ModelState:
    """What is known of the model of one role.

    kind: `none` before a model was asked for; `idle` if it was unloaded because nobody used it, until `wake`.
    progress: 0 to 1 while loading. message: why it failed or is idle, or what is not as asked for though it is ready;
    while loading, why it is loaded again. news: whether the user should be told, which is so once for each cause; False
    for repeated attempts to load a model that failed, as long as they may fail for the same reason.
    """

    kind: Literal["none", "loading", "ready", "failed", "idle"] = "none"
    progress: float = 0.0
    info: ModelInfo | None = None
    message: str = ""
    news: bool = True


class Engine(Protocol):
    """Holds a model for each role and answers requests. All methods are for the event loop's thread, and none blocks.

    on_model: called with every change of a model's state. on_working: called when `working` has changed. on_work:
    called with each event of a request except the last: how much of its prompt is evaluated, or what it has written.
    """

    on_model: Callable[[Role, ModelState], None] | None
    on_working: Callable[[], None] | None
    on_work: Callable[[PromptRead | TextDelta], None]

    @property
    def models(self) -> Mapping[Role, ModelState]:
        """The state of the model of each role."""
        ...

    @property
    def working(self) -> Working:
        """What the engine does now."""
        ...

    @property
    def cache(self) -> CacheUse:
        """What the KV cache of the engine's own models holds, as it was told last."""
        ...

    @property
    def evaluated_tokens(self) -> int:
        """Tokens of prompts, of all requests that have ended, warming and abandoned ones included."""
        ...

    @property
    def decoded_tokens(self) -> int:
        """Tokens written, of the same requests."""
        ...

    @property
    def model(self) -> ModelState:
        """The state of the model that completes code."""
        ...

    @property
    def home(self) -> HomeKind:
        """Where the engine lives."""
        ...

    @property
    def running(self) -> int:
        """How many requests have not ended."""
        ...

    def start(self) -> None:
        """Takes the running event loop as the one that gets the events."""
        ...

    def settle(self, home: HomeKind) -> None:
        """Moves the engine to this home, if it is in another one. Requests under way end as cancelled, and models have
        to be loaded again."""
        ...

    def load(self, spec: ModelSpec, role: Role = "completion") -> None:
        """Loads a model in place of the one that has this role. Its progress shows in `models`."""
        ...

    def wake(self, role: Role = "completion") -> None:
        """Loads a model again that was unloaded because nobody used it, or that failed, if it is time to try again or
        its files have changed. Does nothing to any other."""
        ...

    def keep(self, seconds: Mapping[Role, float], prompt_bytes: int = 0) -> None:
        """Sets how long models stay loaded without being used, in seconds; 0 for ever. prompt_bytes: how much of
        evaluated prompts may be kept on the disk; 0 for nothing."""
        ...

    def submit(
        self,
        prompt: FimPrompt,
        stop: StopRule | None,
        max_tokens: int,
        listener: Callable[[TextDelta | Finished], None],
        *,
        priority: Priority = Priority.INLINE,
        deadline: float | None = None,
        reserve: int = 0,
        role: Role = "completion",
        rank: int = 0,
        quick: FimPrompt | None = None,
        opening: Opening | None = None,
        members: Members | None = None,
        written: str = "",
        draft: str = "",
    ) -> int:
        """Starts a request and returns its id. The parameters are those of `Generate`. The listener gets the request's
        events on the event loop; the last one, and only that, is `Finished`."""
        ...

    def cancel(self, id: int, *, keep: bool = False) -> None:
        """Asks the engine to end a request; its `Finished` comes all the same. keep: as in `Cancel`."""
        ...

    def token_ms(self, role: Role = "completion") -> float:
        """How long a token of a prompt takes, in ms: in the requests that have ended lately, or when the model was
        loaded. 0 if that is not known."""
        ...

    async def stop(self) -> None:
        """Ends the engine. Waits for the step that it is in, but never longer than a few seconds."""
        ...


class RoutedEngine(Engine, Protocol):
    """An engine whose roles are answered by the first of several places that works: endpoints, or the local model."""

    def route(self, endpoints: Mapping[str, Endpoint], order: Mapping[Role, Sequence[str]]) -> None:
        """Sets the endpoints that there are, and for each role the names of its places, the best first. An endpoint is
        asked what it is at once; nothing else is sent to it before a request."""
        ...

    def places(self, role: Role) -> list[tuple[str, ModelState, bool]]:
        """The places of a role: name, state, and whether it is the one in use."""
        ...
