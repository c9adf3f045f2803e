"""The history of engine losses: when the next engine is started, and which prompts are to blame."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from lsp_server.core.prompt import FimPrompt

# The pause before an engine is started again, in seconds: it doubles with each loss, up to the second figure. It starts
# from the first again once a model has been ready for `_CALM` seconds without a loss.
_FIRST_PAUSE, _LONGEST_PAUSE, _CALM = 0.25, 60.0, 60.0
# After this many losses in a row before any model was ready, loading counts as failed.
_MOST_LOST_LOADS = 3
# A prompt that was running at this many losses is not sent again. And how many prompts are remembered.
_BLAMED, _REMEMBERED = 2, 64


class Losses:
    """Plain data on a clock that is passed in, in seconds."""

    def __init__(self) -> None:
        self._pauses = 0  # how often the pause has doubled
        self._lost_loads = 0
        self._ready_at: float | None = None  # when the first model became ready after the last loss
        self._under_way: OrderedDict[FimPrompt, int] = OrderedDict()

    def ready(self, now: float) -> None:
        """Notes that a model is ready."""
        self._lost_loads = 0
        if self._ready_at is None:
            self._ready_at = now

    def lost(self, now: float, under_way: Iterable[FimPrompt]) -> float:
        """Notes a loss, and the prompts of the requests that were running. Returns the pause before a new engine is
        started, in seconds."""
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
        """Whether the engine was lost `_MOST_LOST_LOADS` times in a row before a model was ready."""
        return self._lost_loads >= _MOST_LOST_LOADS

    def is_blamed(self, prompt: FimPrompt) -> bool:
        """Whether a prompt was running at so many losses that it must not be sent again."""
        return self._under_way.get(prompt, 0) >= _BLAMED
