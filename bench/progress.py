"""Shows the progress of a bench: a bar on a terminal; in a log, a line from time to time."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

_LINE_SECONDS = 20.0

# The exit status of a bench that the user has interrupted.
INTERRUPTED = 130


def progress_bar(console: Console) -> Progress:
    """A context manager that shows the progress of tasks, and removes it at the end."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    kind = Progress if console.is_terminal else _Lines
    return kind(*columns, console=console, transient=True)


class _Lines(Progress):
    """Progress as lines, for an output that is not a terminal, where a bar would appear only at the end."""

    _began = _told = 0.0

    def start(self) -> None:
        self._began = self._told = time.monotonic()

    def stop(self) -> None:
        pass

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        self._tell(task_id)

    def update(self, task_id: TaskID, **options: Any) -> None:
        super().update(task_id, **options)
        self._tell(task_id)

    def _tell(self, task_id: TaskID) -> None:
        now = time.monotonic()
        task = next((each for each in self.tasks if each.id == task_id), None)
        if task is None or now - self._told < _LINE_SECONDS:
            return
        self._told = now
        total = f" of {task.total:g}" if task.total is not None else ""
        self.console.print(f"{task.description}: {task.completed:g}{total}, {now - self._began:.0f} s", markup=False)
