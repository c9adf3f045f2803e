"""Progress shown by the client for a load or an action: created, reported a few times a second, and ended."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from lsp_server.core.hidden_characters import escaped
from lsp_server.lsp.clients import ClientNeeds

_LEAST_SECONDS = 0.2


def progress_title(title: str, client: ClientNeeds) -> str:
    """The title of a progress, with fimble's name unless the client shows it itself."""
    return escaped(title if client.names_progress else f"fimble: {title}")


class LoadProgress:
    """One `window/workDoneProgress` at a time. Does nothing for a client that does not support it."""

    def __init__(self, server: LanguageServer, clock: Callable[[], float] = time.monotonic) -> None:
        self._server = server
        self._clock = clock
        self._token: str | None = None
        self._reported = 0.0

    def begin(self, title: str) -> None:
        """Begins a progress. Does nothing if the last one has not ended: then this load replaces the one it is
        about."""
        if self._token is not None:
            return
        self._token = token = f"fimble-{uuid.uuid4()}"
        # The client's answer is ignored, and so are reports under a token that it refused.
        self._server.window_work_done_progress_create(types.WorkDoneProgressCreateParams(token))
        self._send(types.WorkDoneProgressBegin(title, cancellable=False, percentage=0))

    def report(self, fraction: float) -> None:
        now = self._clock()
        if self._token is not None and now - self._reported >= _LEAST_SECONDS:
            self._reported = now
            self._send(types.WorkDoneProgressReport(percentage=int(100 * fraction)))

    def end(self, message: str) -> None:
        if self._token is not None:
            self._send(types.WorkDoneProgressEnd(message=escaped(message)))
            self._token = None

    def _send(
        self, value: types.WorkDoneProgressBegin | types.WorkDoneProgressReport | types.WorkDoneProgressEnd
    ) -> None:
        assert self._token is not None
        self._server.progress(types.ProgressParams(self._token, value))


class WorkProgress:
    """The progress of the model's work for completions, if that takes long. One at a time."""

    def __init__(self, server: LanguageServer) -> None:
        self._server = server
        self._token: str | None = None

    def show(self, title: str, message: str, percent: int | None) -> None:
        if self._token is None:
            self._token = f"fimble-{uuid.uuid4()}"
            self._server.window_work_done_progress_create(types.WorkDoneProgressCreateParams(self._token))
            value: Any = types.WorkDoneProgressBegin(title, cancellable=False, message=message, percentage=percent)
        else:
            value = types.WorkDoneProgressReport(message=message, percentage=percent)
        self._server.progress(types.ProgressParams(self._token, value))

    def end(self) -> None:
        if self._token is not None:
            self._server.progress(types.ProgressParams(self._token, types.WorkDoneProgressEnd()))
            self._token = None


class ActionProgress:
    """The progress of one action, which the user can cancel. Does nothing for a client without support.

    token: the client's id of this progress.
    """

    def __init__(
        self, server: LanguageServer, title: str, *, shown: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.token = f"fimble-{uuid.uuid4()}"
        self._server = server
        self._clock = clock
        self._shown = shown
        self._reported = 0.0
        self._phase = ""
        if shown:
            server.window_work_done_progress_create(types.WorkDoneProgressCreateParams(self.token))
            self._send(types.WorkDoneProgressBegin(title, cancellable=True))

    def report(self, message: str, phase: str = "") -> None:
        """Shows a message: at once if the phase is new, else a few times a second."""
        now = self._clock()
        if self._shown and (phase != self._phase or now - self._reported >= _LEAST_SECONDS):
            self._reported, self._phase = now, phase
            self._send(types.WorkDoneProgressReport(cancellable=True, message=message))

    def end(self, message: str) -> None:
        if self._shown:
            self._send(types.WorkDoneProgressEnd(message=escaped(message)))
            self._shown = False

    def _send(
        self, value: types.WorkDoneProgressBegin | types.WorkDoneProgressReport | types.WorkDoneProgressEnd
    ) -> None:
        self._server.progress(types.ProgressParams(self.token, value))
