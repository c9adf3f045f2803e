"""The server's activity as one state for the user, sent by `fimble/state`, or as progress to other clients.

There are eight states: idle, loading, measuring, reading, writing, waiting, off and failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from lsp_server.core.hidden_characters import escaped
from lsp_server.engine.api import Engine
from lsp_server.lsp.progress import WorkProgress, progress_title

if TYPE_CHECKING:
    from lsp_server.lsp.session import Session

# The minimum time between two messages.
LEAST_SECONDS = 0.2
# Shorter work is not reported: between two keys it would only flicker.
NOTICED_SECONDS = 0.5
# A client without `fimble/state` shows a progress for work that takes longer.
_LONG_SECONDS = 1.5

Kind = Literal["idle", "loading", "measuring", "reading", "writing", "waiting", "off", "failed"]
_WORK = ("measuring", "reading", "writing", "waiting")


@dataclass(frozen=True, slots=True)
class State:
    """kind: the activity. what: whether it is for completions or for an action. percent: its progress, if known. text:
    the state in words for the user; empty if there is nothing to say. source: the endpoint that the last answer came
    from, in words; empty for the local model."""

    kind: Kind = "idle"
    what: Literal["completion", "action"] = "completion"
    percent: int | None = None
    text: str = ""
    source: str = ""

    def summary(self) -> dict[str, Any]:
        told = {"state": self.kind, "what": self.what, "percent": self.percent, "text": escaped(self.text)}
        return {**told, "lastFrom": escaped(self.source)} if self.source else told


class StateService:
    """Sends the state to one client: at most one message in `LEAST_SECONDS`, and always the last state.

    acting: whether an action is running. waiting: whether the client waits for a completion. why_off: why completions
    are off; empty if they are on. question: a question that waits for the user's answer; empty if there is none.
    source: the endpoint that the last answer came from, in words; empty for the local model.
    """

    def __init__(
        self,
        session: Session,
        engine: Engine,
        *,
        acting: Callable[[], bool],
        waiting: Callable[[], bool],
        why_off: Callable[[], str],
        question: Callable[[], str] = lambda: "",
        source: Callable[[], str] = lambda: "",
    ) -> None:
        self._session = session
        self._engine = engine
        self._acting, self._waiting, self._why_off = acting, waiting, why_off
        self._question, self._source = question, source
        self._told: State | None = None
        self._working_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._progress: WorkProgress | None = None
        self._live = False

    def begin(self) -> None:
        """The client is initialized and can get messages from now on."""
        self._live = True
        if self._session.client.progress and not self._session.client.shows_state:
            self._progress = WorkProgress(self._session)
        self.changed()

    def end(self) -> None:
        self._live = False
        if self._timer is not None:
            self._timer.cancel()

    def changed(self) -> None:
        """Notes that the state may have changed. Called on the event loop, at any time."""
        if not self._live:
            return
        loop = asyncio.get_running_loop()
        if self.current().kind not in _WORK:
            self._working_since = None
        elif self._working_since is None:
            self._working_since = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(LEAST_SECONDS, self._tell)

    def current(self) -> State:
        """The present state."""
        return replace(self._current(), source=self._source())

    def _current(self) -> State:
        model, chat, working = self._engine.model, self._engine.models["chat"], self._engine.working
        acting = self._acting()
        if acting and chat.kind == "loading":
            return State("loading", "action", int(100 * chat.progress), _loading("the chat model", chat.progress))
        if working.role == "chat" and working.kind != "idle":
            return self._working()
        if acting:
            return State("waiting", "action", text=self._question() or "working on an action")
        if model.kind == "failed":
            return State("failed", text=model.message)
        if off := self._why_off():
            return State("off", text=off)
        if model.kind in ("none", "loading"):
            return State("loading", percent=int(100 * model.progress), text=_loading("the model", model.progress))
        if working.kind != "idle":
            return self._working()
        if self._waiting():
            return State("waiting", text="waiting for the model")
        resting = f"the model is {model.message}; it comes back with the next key"
        return State(text=self._question() or (resting if model.kind == "idle" else ""))

    def _working(self) -> State:
        now = self._engine.working
        what: Literal["completion", "action"] = "action" if now.role == "chat" else "completion"
        if now.kind == "reading":
            percent, read = int(100 * now.done), "question" if now.role == "chat" else "file"
            return State("reading", what, percent, f"reading the {read} ({percent}%)")
        if now.kind == "waiting":
            return State("waiting", what, text="an action waits until nobody types")
        if now.kind == "measuring":
            return State("measuring", text="measuring this machine, once; typing goes first")
        return State(now.kind, what, text=now.kind)

    def _tell(self) -> None:
        self._timer = None
        loop, now = asyncio.get_running_loop(), self.current()
        if now.kind in _WORK and self._working_since is not None:
            noticed = NOTICED_SECONDS if self._progress is None else _LONG_SECONDS
            if loop.time() - self._working_since < noticed:
                # The work may go on for long without another call of `changed`.
                self._timer = loop.call_later(LEAST_SECONDS, self._tell)
                return
        if now == self._told:
            return
        self._told = now
        if self._session.client.shows_state:
            self._session.protocol.notify("fimble/state", now.summary())
        elif self._progress is not None:
            self._show_progress(now)

    def _show_progress(self, now: State) -> None:
        """Shows work for completions. Actions and loads have a progress of their own."""
        assert self._progress is not None
        if now.kind in _WORK and now.what == "completion":
            title = progress_title("completions", self._session.client)
            self._progress.show(title, now.text, now.percent)
        else:
            self._progress.end()


def _loading(what: str, progress: float) -> str:
    return f"loading {what} ({int(100 * progress)}%)" if progress < 1 else f"loading {what}: read, and being made ready"
