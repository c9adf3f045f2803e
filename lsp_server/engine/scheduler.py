"""Which request the model works on next. Plain data on a clock that is passed in: no threads, no model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from lsp_server.engine.request import Priority

JobT = TypeVar("JobT")


@dataclass(slots=True)
class Entry(Generic[JobT]):
    """One request in the queue. order: its arrival number; requests of the same priority are served in this order."""

    id: int
    job: JobT
    priority: Priority
    deadline: float | None
    order: int


class Scheduler(Generic[JobT]):
    """A bounded priority queue. An entry stays until it is removed. So a more urgent request preempts one that has
    begun, which continues later from where it stopped."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._entries: dict[int, Entry[JobT]] = {}
        self._order = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry[JobT]]:
        """In the order of urgency."""
        return iter(sorted(self._entries.values(), key=self._urgency))

    def first(self) -> Entry[JobT] | None:
        """The most urgent entry."""
        return min(self._entries.values(), key=self._urgency, default=None)

    def get(self, id: int) -> JobT | None:
        entry = self._entries.get(id)
        return entry.job if entry else None

    def add(self, id: int, job: JobT, priority: Priority, deadline: float | None) -> Entry[JobT] | None:
        """Adds a request. If the queue is full, removes and returns the least urgent entry, which may be the new one;
        of several, the newest, which has waited the least."""
        self._order += 1
        self._entries[id] = Entry(id, job, priority, deadline, self._order)
        if len(self._entries) <= self.limit:
            return None
        last = max(self._entries.values(), key=self._urgency)
        return self._entries.pop(last.id)

    def remove(self, id: int) -> JobT | None:
        entry = self._entries.pop(id, None)
        return entry.job if entry else None

    def clear(self) -> list[JobT]:
        jobs = [entry.job for entry in self]
        self._entries.clear()
        return jobs

    def expired(self, now: float) -> list[JobT]:
        """The requests whose deadline has passed. They stay until they are removed."""
        return [e.job for e in self if e.deadline is not None and e.deadline <= now]

    @staticmethod
    def _urgency(entry: Entry[JobT]) -> tuple[int, int]:
        return entry.priority, entry.order
