"""Which loaded models may stay: a model goes after a time without use, or when another one needs its room."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from lsp_server.engine.request import Role

# A model is not unloaded for another one this soon after its last use, since its user may ask again.
GRACE_SECONDS = 2.0


class Residency:
    """When each model was last used. Plain data on a clock that is passed in, in seconds."""

    def __init__(self) -> None:
        self._used: dict[Role, float] = {}
        self._limits: dict[Role, float] = {}

    def limit(self, seconds: Mapping[Role, float]) -> None:
        """Sets after how many seconds without use a model expires; 0: never."""
        self._limits = dict(seconds)

    def use(self, role: Role, now: float) -> None:
        self._used[role] = now

    def drop(self, role: Role) -> None:
        self._used.pop(role, None)

    def expired(self, now: float) -> list[Role]:
        """The models whose time without use has reached their limit."""
        return [role for role in self._used if (due := self._expiry(role)) is not None and due <= now]

    def to_unload(self, needed: Role, now: float) -> Role | None:
        """The model to unload so that another can be loaded: the least recently used. None if all are in use."""
        others = [role for role, used in self._used.items() if role != needed and now - used >= GRACE_SECONDS]
        return min(others, key=lambda role: self._used[role], default=None)

    def next_due(self, waiting: Collection[Role]) -> float:
        """When the next model expires, or when one could be unloaded for the loads in `waiting`. Infinite if never."""
        due = [expiry for role in self._used if (expiry := self._expiry(role)) is not None]
        for needed in waiting:
            due += [used + GRACE_SECONDS for role, used in self._used.items() if role != needed]
        return min(due, default=math.inf)

    def _expiry(self, role: Role) -> float | None:
        limit = self._limits.get(role, 0.0)
        return self._used[role] + limit if limit > 0 else None
