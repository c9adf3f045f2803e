"""What is known of the losses of an engine: when the next one is started, and which prompts are to blame."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from lsp_server.core.prompt import FimPrompt

# The pause before an engine is started again, in seconds. Each is twice the one before it, until a model has been ready
# for so long without a loss.
_FIRST_PAUSE, _LONGEST_PAUSE, _CALM = 0.25, 60.0, 60.0
# After so many losses in a row that no model survived until it was ready, loading it counts as failed.
_MOST_LOST_LOADS = 3
# A prompt that was under way at so many losses is not sent again. So many prompts are remembered.
_BLAMED, _REMEMBERED = 2, 64


class Losses:
    """Plain data on a clock that is passed in, in seconds."""

    def __init__(self) -> None:
        self._pauses = 0  # how often the pause has doubled
        self._lost_loads = 0
        self._ready_at: float | None = None  # when a model was ready first, since the last loss
        self._under_way: OrderedDict[FimPrompt, int] = OrderedDict()

    def ready(self, now: float) -> None:
        """Notes that a model is ready."""
        self._lost_loads = 0
        if self._ready_at is None:
            self._ready_at = now

    def lost(self, now: float, under_way: Iterable[FimPrompt]) -> float:
        """Notes a loss, and the prompts of the requests that were under way. Returns how long to wait before a new
        engine is started."""
        if self._ready_at is not None and now - self._ready_at >= _CALM:
            self._pauses = 0
        if self._ready_at is None:
            self._lost_loads += 1
        self._ready_at = None
        for prompt in set(under_way):
            self._under_way[prompt] = self._under_way.pop(prompt, 0) + 1
            if len(self._under_way) > _REMEMBERED:
                self._under_way.popitem(last=False)
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * float(1 << self._pauses))
        self._pauses = min(self._pauses + 1, 16)
        return pause

    @property
    def is_hopeless(self) -> bool:
        """Whether no model gets so far that it is ready."""
        return self._lost_loads >= _MOST_LOST_LOADS

    def is_blamed(self, prompt: FimPrompt) -> bool:
        """Whether a prompt has been under way at so many losses that it is not to be sent again."""
        return self._under_way.get(prompt, 0) >= _BLAMED
