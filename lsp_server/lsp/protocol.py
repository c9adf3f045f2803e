"""pygls' protocol with our own documents: a request keeps the documents of its arrival, and gets exactly one answer."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams
from pygls.protocol import LanguageServerProtocol, lsp_method

from lsp_server.core.document import Document, DocumentSnapshot
from lsp_server.core.hidden_characters import escaped
from lsp_server.lsp.convert import PositionError

if TYPE_CHECKING:
    from lsp_server.core.document_store import DocumentStore
    from lsp_server.lsp.clients import ClientNeeds

logger = logging.getLogger(__name__)

_NO_DOCUMENTS: Mapping[str, Document] = MappingProxyType({})

# The documents at the time when the running request was read. By the time its handler runs, later changes may have been
# read too.
stamped_documents: ContextVar[Mapping[str, Document]] = ContextVar("stamped_documents", default=_NO_DOCUMENTS)


# The method of the running request.
_method: ContextVar[str] = ContextVar("method", default="")
# When the running request was completely read, in seconds of the monotonic clock.
_arrived: ContextVar[float] = ContextVar("arrived", default=0.0)

# The answer about a document or position that does not exist: the document is closed, or a change of it is still on its
# way. Both happen with a correct client, so neither is an error.
_NOTHING: dict[str, Callable[[], Any]] = {
    types.TEXT_DOCUMENT_INLINE_COMPLETION: lambda: types.InlineCompletionList([]),
    types.TEXT_DOCUMENT_COMPLETION: lambda: types.CompletionList(is_incomplete=True, items=[]),
    types.TEXT_DOCUMENT_CODE_ACTION: list,
    types.TEXT_DOCUMENT_HOVER: lambda: None,
}


class NotOpenError(JsonRpcInvalidParams):
    """A request is about a document that is not open."""

    def __init__(self, uri: str) -> None:
        super().__init__(f"the document {uri} is not open")
        self.uri = uri


class TooLargeError(JsonRpcInvalidParams):
    """A request needs the whole text of a document that is too large for it."""


_HAS_NOTHING = (NotOpenError, TooLargeError, PositionError)


def waited_ms() -> float:
    """The time since the running request was read, in ms."""
    return 1000 * (time.monotonic() - _arrived.get())


def stamped(uri: str) -> Document:
    """The document of the running request. Raises NotOpenError."""
    document = stamped_documents.get().get(uri)
    if document is None:
        raise NotOpenError(uri)
    return document


def stamped_document(uri: str) -> DocumentSnapshot:
    """The same, for a request that needs the whole text. Raises NotOpenError and TooLargeError."""
    document = stamped(uri)
    if isinstance(document, DocumentSnapshot):
        return document
    raise TooLargeError(f"{document.path} is larger than `large_document_mb`: there are only completions in it")


@dataclass(frozen=True, slots=True)
class Answer:
    """A result for one version of a document. If a newer version has been read when it is sent, `empty` is sent
    instead."""

    document: Document
    result: Any
    empty: Any


class TakesDocuments(Protocol):
    """Receives the notifications about documents, in the order in which they are read."""

    def opened(self, params: types.DidOpenTextDocumentParams) -> None: ...
    def changed(self, params: types.DidChangeTextDocumentParams) -> None: ...
    def closed(self, params: types.DidCloseTextDocumentParams) -> None: ...
    def notebook_opened(self, params: types.DidOpenNotebookDocumentParams) -> None: ...
    def notebook_changed(self, params: types.DidChangeNotebookDocumentParams) -> None: ...
    def notebook_closed(self, params: types.DidCloseNotebookDocumentParams) -> None: ...
    def not_open(self, uri: str) -> None: ...


class Served(Protocol):
    """The parts of the server that the protocol needs."""

    documents: DocumentStore
    client: ClientNeeds

    @property
    def document_service(self) -> TakesDocuments: ...

    def client_initializes(self, params: types.InitializeParams) -> None: ...
    def refused(self, method: str, reason: str) -> None: ...
    def cancel_action(self, token: str | int) -> None: ...
    def cancel_requests(self) -> None: ...
    def stop(self) -> None: ...


class FimbleProtocol(LanguageServerProtocol):
    """Differs from pygls where pygls would lose a request, keep documents twice, or show a traceback.

    served: the server; it sets this before the first message is read. arrived: when the present message was completely
    read, in seconds of the monotonic clock.
    """

    served: Served
    exit_code: int | None = None
    arrived = 0.0

    def receive(self, body: bytearray) -> None:
        """Handles one message, and empties `body`. A request always gets an answer, whatever it contains."""
        try:
            text = body.decode()
            body.clear()  # it may have 200 MB, and the caller still holds it
            data = json.loads(text)
            del text
        except (ValueError, RecursionError) as error:
            self._send_error(None, types.ErrorCodes.ParseError, f"not JSON: {error}")
            return
        if not isinstance(data, dict):
            self._send_error(None, types.ErrorCodes.InvalidRequest, "not a JSON-RPC message")
            return
        is_request = "method" in data and "id" in data
        data.setdefault("jsonrpc", self.VERSION)
        if is_request and data["jsonrpc"] != self.VERSION:
            self._send_error(data["id"], types.ErrorCodes.InvalidRequest, f"not JSON-RPC {self.VERSION}")
            return
        if is_request and isinstance(data["method"], str) and self.get_message_type(data["method"]) is None:
            data.setdefault("params", None)  # pygls needs this for a method outside the protocol
        if is_request and not self._accepts(data["id"], data["method"]):
            return
        try:
            message = self.structure_message(data)
        except JsonRpcException:
            if is_request:
                self._send_error(
                    data["id"], types.ErrorCodes.InvalidParams, f"{data['method']}: the parameters do not fit"
                )
            elif "method" not in data:
                self._answer_does_not_fit(data.get("id"))
            return
        try:
            self.handle_message(message)
        except Exception as error:
            logger.exception("cannot handle %s", data.get("method"))
            if is_request:
                self._send_error(data["id"], types.ErrorCodes.InternalError, str(error))

    def _accepts(self, id: Any, method: Any) -> bool:
        """Whether the server's state allows this request. If not, sends the error."""
        if self._shutdown:
            self._send_error(id, types.ErrorCodes.InvalidRequest, "the server has been shut down")
            return False
        if self._workspace is not None and method == types.INITIALIZE:
            self._send_error(id, types.ErrorCodes.InvalidRequest, "the server is initialized already")
            return False
        if self._workspace is None and method != types.INITIALIZE:
            self._send_error(id, types.ErrorCodes.ServerNotInitialized, "the server is not initialized")
            return False
        return True

    def _answer_does_not_fit(self, id: Any) -> None:
        """Ends the wait for a client's answer that has the wrong type."""
        future = self._request_futures.pop(id, None) if isinstance(id, int | str) else None
        if future is not None:
            logger.warning("the client's answer to request %s does not fit", id)
            future.set_exception(JsonRpcInvalidParams("the editor's answer does not fit the protocol"))

    def notify(self, method: str, params: Any | None = None) -> None:
        """Escapes hidden characters in messages: they may contain names of models and files, and editors show them as
        they are."""
        if isinstance(params, types.ShowMessageParams | types.LogMessageParams):
            params.message = escaped(params.message)
        super().notify(method, params)

    def _handle_request(self, msg_id: int | str, method_name: str, params: Any) -> None:
        stamped_documents.set(self.served.documents.snapshots())
        _method.set(method_name)
        _arrived.set(self.arrived)
        super()._handle_request(msg_id, method_name, params)

    def _send_handler_result(self, future: Future[Any], *, msg_id: int | str) -> None:
        error = None if future.cancelled() else future.exception()
        nothing = _NOTHING.get(_method.get()) if isinstance(error, _HAS_NOTHING) else None
        if nothing is None:
            super()._send_handler_result(future, msg_id=msg_id)
            return
        self._request_futures.pop(msg_id, None)
        if _method.get() in (types.TEXT_DOCUMENT_INLINE_COMPLETION, types.TEXT_DOCUMENT_COMPLETION):
            self.served.refused(_method.get(), str(error))
        if isinstance(error, NotOpenError):
            self.served.document_service.not_open(error.uri)
        self._send_response(msg_id, nothing())

    def _send_response(self, msg_id: int | str, result: Any = None, error: types.ResponseError | None = None) -> None:
        if error is not None:
            error.data = None  # pygls puts a traceback here, and VS Code shows it
        if isinstance(result, Answer):
            current = self.served.documents.find(result.document.uri) is result.document
            result = result.result if current else result.empty
        super()._send_response(msg_id, result, error)

    def _send_error(self, id: Any, code: types.ErrorCodes, message: str) -> None:
        self._send_data({"jsonrpc": self.VERSION, "id": id, "error": {"code": code.value, "message": message}})

    # Documents live in our own store; pygls' mutable ones are not kept. -----------------------------------

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> None:
        self.served.document_service.opened(params)

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> None:
        self.served.document_service.changed(params)

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> None:
        self.served.document_service.closed(params)

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_OPEN)
    def lsp_notebook_document__did_open(self, params: types.DidOpenNotebookDocumentParams) -> None:
        self.served.document_service.notebook_opened(params)

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_CHANGE)
    def lsp_notebook_document__did_change(self, params: types.DidChangeNotebookDocumentParams) -> None:
        self.served.document_service.notebook_changed(params)

    @lsp_method(types.NOTEBOOK_DOCUMENT_DID_CLOSE)
    def lsp_notebook_document__did_close(self, params: types.DidCloseNotebookDocumentParams) -> None:
        self.served.document_service.notebook_closed(params)

    @lsp_method(types.WINDOW_WORK_DONE_PROGRESS_CANCEL)
    def lsp_work_done_progress_cancel(self, params: types.WorkDoneProgressCancelParams) -> None:
        self.served.cancel_action(params.token)

    # The server's life -----------------------------------------------------------------------------------

    @lsp_method(types.INITIALIZE)
    def lsp_initialize(self, params: types.InitializeParams) -> Generator[Any, Any, types.InitializeResult]:
        self.served.client_initializes(params)
        result = yield from super().lsp_initialize(params)
        if not self.served.client.completion:
            result.capabilities.completion_provider = None
        elif result.capabilities.completion_provider is not None:
            result.capabilities.completion_provider.trigger_characters = list(self.served.client.triggers) or None
        result.capabilities.experimental = {"fimble": {"notifications": ["state", "suggestionGrew"]}}
        result.capabilities.position_encoding = types.PositionEncodingKind(self.served.client.encoding)
        return result

    @lsp_method(types.SHUTDOWN)
    def lsp_shutdown(self, *args: Any) -> None:  # type: ignore[override]
        self._shutdown = True
        self.served.cancel_requests()

    @lsp_method(types.EXIT)
    def lsp_exit(self, *args: Any) -> None:  # type: ignore[override]
        self.exit_code = 0 if self._shutdown else 1
        self.served.stop()
