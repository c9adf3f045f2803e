"""Informs a client about the completion model: loading with its progress, ready, or why it failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsprotocol import types

from lsp_server.engine.api import ModelState
from lsp_server.lsp.progress import LoadProgress, progress_title

if TYPE_CHECKING:
    from lsp_server.lsp.session import Session


class ModelNews:
    """The news for one client. origin: where the setting `model` comes from; empty if it is not set."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._progress: LoadProgress | None = None
        self._worked = False
        self.origin = ""

    def begin(self) -> None:
        """Called when the client's capabilities are known."""
        if self._session.client.progress:
            self._progress = LoadProgress(self._session)

    def tell(self, model: ModelState) -> None:
        """Tells the client the model's new state."""
        if model.kind == "loading":
            self._loading(model)
            return
        if self._progress is not None:
            self._progress.end(model.info.name if model.info else model.message)
        if model.kind == "failed":
            self._failed(model)
        elif model.info is not None:
            self._worked = True
            licence = f" ({model.info.licence})" if model.info.licence else ""
            self._session.log(types.MessageType.Info, f"{model.info.name} is ready{licence}")
            if model.message:
                self._session.show_once(types.MessageType.Warning, model.message)

    def _loading(self, model: ModelState) -> None:
        if model.message and model.news:  # the engine was lost
            self._session.log(types.MessageType.Warning, model.message)
        if self._progress is not None:
            if model.news or model.progress > 0:
                self._progress.begin(progress_title("loading the model", self._session.client))
            self._progress.report(model.progress)

    def _failed(self, model: ModelState) -> None:
        """Shows a failure, unless it was shown already. Shows it again if the model has worked since."""
        message = model.message + (f" (`model` comes from {self.origin})" if self.origin else "")
        if model.news and self._worked:
            self._session.shown.discard(message)
        self._worked = False
        if model.news:
            self._session.show_once(types.MessageType.Error, message)
