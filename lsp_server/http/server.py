"""The HTTP server: its connections, and the handler for each path."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress

import anyio
import anyio.abc

from lsp_server.http.completions import Completions
from lsp_server.http.guard import Guard
from lsp_server.http.infill import Infill
from lsp_server.http.metrics import Metrics
from lsp_server.http.openai import OpenAi
from lsp_server.http.request import CompletionAnswer, CompletionRequest, Dialect, RefusedError
from lsp_server.http.wire import GONE, Connection, Head

logger = logging.getLogger(__name__)

MOST_CONNECTIONS = 32
# How long a connection may wait for a request, for the rest of a body, and for the client to read an answer.
IDLE_SECONDS, BODY_SECONDS, WRITE_SECONDS = 30.0, 10.0, 10.0

_DIALECTS: Mapping[str, Dialect] = {"/infill": Infill(), "/v1/completions": OpenAi()}
_HEALTH = ("/health", "/v1/health")
_MODELS = ("/v1/models", "/models")
_METRICS = "/metrics"


class HttpServer:
    """Answers the connections of one listener. Owned by the event loop's thread."""

    def __init__(self, completions: Completions, guard: Guard, metrics: Metrics | None = None) -> None:
        self._completions = completions
        self._guard = guard
        self._metrics = metrics
        self._open = 0

    async def serve(self, stream: anyio.abc.ByteStream) -> None:
        """Serves one connection to its end. An error ends only this connection."""
        self._open += 1
        try:
            async with stream:
                connection = Connection(stream)
                if self._open > MOST_CONNECTIONS:
                    await _refuse(connection, RefusedError(503, f"more than {MOST_CONNECTIONS} connections are open"))
                else:
                    await self._serve(connection)
                await connection.close_gently()
        except GONE:
            logger.debug("a client has gone")
        except Exception:
            logger.exception("a connection failed")
        finally:
            self._open -= 1

    async def _serve(self, connection: Connection) -> None:
        while True:
            head = None
            try:
                with anyio.move_on_after(IDLE_SECONDS):
                    head = await connection.head()
                if head is None:
                    return
                await self._answer(connection, head)
            except RefusedError as error:
                # A request that is refused early may have a body, which is not read.
                await _refuse(connection, error)
            if not connection.next():
                return

    async def _answer(self, connection: Connection, head: Head) -> None:
        self._guard.check_place(head.headers)
        dialect = _DIALECTS.get(head.path)
        metrics = self._metrics if head.path == _METRICS else None
        if dialect is None and metrics is None and head.path not in (*_HEALTH, *_MODELS):
            raise RefusedError(404, "there are /infill, /v1/completions, /v1/models and /health")
        method = "GET" if dialect is None else "POST"
        if head.method != method:
            raise RefusedError(405, f"{head.path} takes {method}", (("Allow", method),))
        if head.path not in _HEALTH:
            self._guard.check_token(head.headers)
        if dialect is not None and not _is_json(head):
            raise RefusedError(415, "the body must be sent as `Content-Type: application/json`")
        body = None
        with anyio.move_on_after(BODY_SECONDS) as limit:
            body = await connection.body()
        if limit.cancelled_caught:
            raise RefusedError(408, f"the body did not come within {BODY_SECONDS:g} s")
        if body is None:
            return
        if dialect is None:
            with anyio.fail_after(WRITE_SECONDS):
                if metrics is not None:
                    await connection.answer_text(metrics.text(), metrics.content_type)
                else:
                    await connection.answer(200, self._content_of(head.path))
            return
        request = dialect.read(body)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_end_with, connection, tasks.cancel_scope)
            with suppress(*GONE):
                await (self._stream if request.stream else self._whole)(connection, dialect, request)
            tasks.cancel_scope.cancel()

    async def _whole(self, connection: Connection, dialect: Dialect, request: CompletionRequest) -> None:
        try:
            answer = await self._completions.answer(request)
        except RefusedError as error:
            await _refuse(connection, error, last=False)
            return
        with anyio.fail_after(WRITE_SECONDS):
            await connection.answer(200, dialect.whole(request, answer))

    async def _stream(self, connection: Connection, dialect: Dialect, request: CompletionRequest) -> None:
        """Sends the pieces of the text as they come. The head of the response is sent with the first piece, because
        until then the request may still be refused."""
        began = False

        async def send(text: str, answer: CompletionAnswer) -> None:
            nonlocal began
            with anyio.fail_after(WRITE_SECONDS):
                if not began:
                    began = True
                    await connection.begin_events()
                await connection.send_event(dialect.piece(text, answer))

        answer = CompletionAnswer("", self._completions.model)
        try:
            answer = await self._completions.answer(request, send)
        except RefusedError as error:
            if not began:
                await _refuse(connection, error, last=False)
                return
            # The text sent so far stays, and ends here.
        with anyio.fail_after(WRITE_SECONDS):
            if not began:
                await connection.begin_events()
            await connection.send_event(dialect.last(request, answer))
            await connection.end_events()

    def _content_of(self, path: str) -> dict[str, object]:
        if path in _HEALTH:
            return {"status": "ok"}
        name = self._completions.model
        models = [{"id": name, "object": "model", "created": 0, "owned_by": "fimble"}] if name else []
        return {"object": "list", "data": models}


def _is_json(head: Head) -> bool:
    """Whether the body is declared as JSON. A web page can send other types to another site without a preflight
    request, but not this one."""
    types = head.headers.get("content-type", ())
    return len(types) == 1 and types[0].partition(";")[0].strip().lower() == "application/json"


async def _refuse(connection: Connection, error: RefusedError, *, last: bool = True) -> None:
    """Sends an error in OpenAI's format, if a response can still begin."""
    if connection.can_answer():
        about = {"code": error.status, "message": str(error), "type": "fimble"}
        with anyio.move_on_after(WRITE_SECONDS):
            await connection.answer(error.status, {"error": about}, error.headers, last=last)


async def _end_with(connection: Connection, scope: anyio.CancelScope) -> None:
    """Cancels the work for a client that goes away."""
    await connection.left()
    scope.cancel()
