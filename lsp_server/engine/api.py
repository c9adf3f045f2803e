"""The interface of an engine: a protocol of methods, texts and events. Code that uses a model imports only this module.

The interface is the same for an engine in this process, in a process of its own, or on another server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from lsp_server.backends.base import ModelInfo, ModelSpec
from lsp_server.core.names.allowed import Members
from lsp_server.core.opening import Opening
from lsp_server.core.prompt import FimPrompt
from lsp_server.core.stopping import StopRule
from lsp_server.engine.endpoint import LOCAL as LOCAL  # noqa: PLC0414
from lsp_server.engine.endpoint import Endpoint as Endpoint  # noqa: PLC0414
from lsp_server.engine.request import JOBS as JOBS  # noqa: PLC0414
from lsp_server.engine.request import ROLES as ROLES  # noqa: PLC0414

# The events, re-exported as part of the interface.
from lsp_server.engine.request import CacheUse as CacheUse  # noqa: PLC0414
from lsp_server.engine.request import Finished as Finished  # noqa: PLC0414
from lsp_server.engine.request import FinishReason as FinishReason  # noqa: PLC0414
from lsp_server.engine.request import Priority as Priority  # noqa: PLC0414
from lsp_server.engine.request import PromptRead as PromptRead  # noqa: PLC0414
from lsp_server.engine.request import Role as Role  # noqa: PLC0414
from lsp_server.engine.request import TextDelta as TextDelta  # noqa: PLC0414
from lsp_server.engine.request import Usage as Usage  # noqa: PLC0414
from lsp_server.engine.request import Working as Working  # noqa: PLC0414

# Where the engine that holds the models runs: on a thread of this process, in a process of its own, or in a process
# that all servers of the user with the same model share.
HomeKind = Literal["in-process", "process", "shared"]


@dataclass(frozen=True, slots=True)
class ModelState:
    """What is known of the model of one role.

    kind: `none` until a model is asked for; `idle` after the model was unloaded because nobody used it, until `wake`.
    progress: 0 to 1 while loading.
    message: in state `failed` or `idle`, the reason; in state `ready`, what differs from the settings; in state
    `loading`, why the model is loaded again.
    news: whether the user should be told. True once for each cause; False for repeated attempts to load a model that
    failed, as long as they may fail for the same reason.
    """

    kind: Literal["none", "loading", "ready", "failed", "idle"] = "none"
    progress: float = 0.0
    info: ModelInfo | None = None
    message: str = ""
    news: bool = True


class Engine(Protocol):
    """Holds a model for each role and answers requests. All methods are called on the event loop's thread, and none
    blocks.

    on_model: called with every change of a model's state.
    on_working: called when `working` has changed.
    on_work: called with each event of a request except the last: how much of its prompt is evaluated, or the text that
    it has decoded.
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
        """What the KV cache of the engine's own completion model holds, as of the last `CacheUse` event."""
        ...

    @property
    def evaluated_tokens(self) -> int:
        """The number of prompt tokens evaluated for all requests that have ended, with warming and cancelled
        requests."""
        ...

    @property
    def decoded_tokens(self) -> int:
        """The number of tokens decoded for the same requests."""
        ...

    @property
    def model(self) -> ModelState:
        """The state of the model that completes code."""
        ...

    @property
    def home(self) -> HomeKind:
        """Where the engine runs."""
        ...

    @property
    def running(self) -> int:
        """How many requests have not ended."""
        ...

    def start(self) -> None:
        """Binds the engine to the running event loop, which gets the events."""
        ...

    def move_to(self, home: HomeKind) -> None:
        """Moves the engine to this home, if it is in another one. Running requests end as cancelled, and models have to
        be loaded again."""
        ...

    def load(self, spec: ModelSpec, role: Role = "completion") -> None:
        """Loads a model for a role, in place of the role's present model. `models` shows the progress."""
        ...

    def wake(self, role: Role = "completion") -> None:
        """Loads a model again if it was unloaded because nobody used it. Also loads a model that failed, if its pause
        is over or its files have changed. Does nothing to a model in another state."""
        ...

    def keep(self, seconds: Mapping[Role, float], prompt_bytes: int = 0) -> None:
        """Sets after how many seconds without use a model is unloaded; 0: never. prompt_bytes: how many bytes of
        evaluated prompts may be kept on the disk; 0: none."""
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
        events on the event loop; the last event, and only that, is `Finished`."""
        ...

    def cancel(self, id: int, *, keep: bool = False) -> None:
        """Asks the engine to end a request. The request still gets its `Finished`. keep: as in `Cancel`."""
        ...

    def token_ms(self, role: Role = "completion") -> float:
        """The time to evaluate one prompt token, in ms: measured in requests that have ended lately, or else when the
        model was loaded. 0 if unknown."""
        ...

    def at(self, place: str) -> Engine | None:
        """The engine of one place, by the place's name. No other place answers its requests. None if there is no such
        place."""
        ...

    async def stop(self) -> None:
        """Ends the engine. Waits for the running step, for a few seconds at most."""
        ...


class RoutedEngine(Engine, Protocol):
    """An engine that sends each role's requests to the first of several places that works. A place is an endpoint or
    the local model.

    on_place: called when the state of a place has changed, or the set of places.
    """

    on_place: Callable[[], None] | None

    def route(
        self,
        endpoints: Mapping[str, Endpoint],
        order: Mapping[Role, Sequence[str]],
        by_name: Sequence[str] = (),
    ) -> None:
        """Sets the endpoints, and for each role the names of its places, the best first. Each endpoint is asked at once
        which model it serves; nothing else is sent to it before a request. by_name: further endpoints, which get only
        requests by their names, through `at`."""
        ...

    def places(self, role: Role) -> list[tuple[str, ModelState, bool]]:
        """The places of a role, each with its name, its model's state, and whether it is in use."""
        ...
