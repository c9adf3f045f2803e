"""An engine home that asks another server over HTTP: it takes the same messages and posts the same events.

Everything runs on the event loop, in one task for each request, which only waits for the network. The HTTP client and
its certificates are loaded on another thread at the first use.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from lsp_server.backends.base import ModelInfo
from lsp_server.endpoints.answer import Answer, MismatchError
from lsp_server.endpoints.dialects import DIALECTS, DialectError, piece_of
from lsp_server.endpoints.http import (
    EndpointError,
    RefusedError,
    check,
    explained,
    is_unsent,
    lines,
    make_client,
    masked,
    url_of,
)
from lsp_server.endpoints.money import MoneyError
from lsp_server.endpoints.probing import probe
from lsp_server.endpoints.rendering import Healed, healed, without_secrets
from lsp_server.endpoints.sent_log import SentLog
from lsp_server.engine.endpoint import Endpoint, shown_cost
from lsp_server.engine.home import Post
from lsp_server.engine.request import (
    Cancel,
    Finished,
    FinishReason,
    Generate,
    Load,
    Message,
    ModelFailed,
    ModelLoading,
    ModelReady,
    Priority,
    Role,
    Usage,
    Working,
)

if TYPE_CHECKING:
    import httpx2

_MOST_WAITING = 64
# The longest pause that a server can ask for, in seconds.
_LONGEST_WAIT = 600.0

MakeClient = Callable[[Endpoint, Mapping[str, str]], "httpx2.AsyncClient"]


class RemoteHome:
    """name: of the endpoint. make: makes the HTTP client, on a worker thread. log: records each request; None: requests
    are not recorded. clock: gives seconds, for deadlines and pauses."""

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        make: MakeClient = make_client,
        environ: Mapping[str, str] = os.environ,
        log: SentLog | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._endpoint = endpoint
        self._make = make
        self._environ = environ
        self._log = log
        self._clock = clock
        self._dialect = DIALECTS[endpoint.kind]
        self._post: Post = lambda _: None
        self._client: httpx2.AsyncClient | None = None
        self._making = asyncio.Lock()  # held while the client is made
        self._tasks: set[asyncio.Task[Any]] = set()
        self._asking: dict[int, asyncio.Task[Any]] = {}
        self._waiting: list[Generate] = []
        self._loads: dict[Role, Load] = {}
        self._info: ModelInfo | None = None
        self._works = False  # no failure since the last successful probe
        self._answered = False  # any text received since then
        self._waited = 0.0  # sum of the seconds that cancelled requests waited for a first text
        self._alone_until = 0.0  # no requests until then, if the server has asked for a pause

    def start(self, post: Post) -> None:
        self._post = post

    def send(self, message: Message) -> None:
        if isinstance(message, Load):
            self._loads[message.role] = message
            self._spawn(self._load(message))
        elif isinstance(message, Generate):
            self._take(message)
        elif isinstance(message, Cancel):
            self._cancel(message.id)

    async def stop(self) -> None:
        self._waiting.clear()  # else each request that ends would start the next one
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._log is not None:
            await self._log.close()
        if self._client is not None:
            with suppress(Exception):
                await self._client.aclose()

    # The model ------------------------------------------------------------------------------------------

    async def _load(self, load: Load) -> None:
        self._post(ModelLoading(0.0, load.number, load.role))
        try:
            if (wait := self._alone_until - self._clock()) > 0:
                raise EndpointError(f"is busy, and asks to be left alone for {wait:.0f} s")
            await self._check_money()
            async with self._making:
                if self._client is None:
                    self._client = await anyio.to_thread.run_sync(self._make, self._endpoint, self._environ)
            self._info = await probe(self._client, self._name, self._endpoint, load.role)
        except EndpointError as error:
            self._respect(error)
            self._fail(str(error), load)
        except Exception as error:
            self._fail(explained(error), load)
        else:
            self._works, self._answered, self._waited = True, False, 0.0
            self._post(ModelReady(self._info, load.number, load.role))

    def _respect(self, error: Exception) -> None:
        """Leaves the server alone for as long as it has asked for, if the error says that it has."""
        if isinstance(error, EndpointError) and error.wait:
            self._alone_until = self._clock() + min(_LONGEST_WAIT, error.wait)

    def _fail(self, what: str, load: Load) -> None:
        message = f"{self._where} {self._safe_text(what)}"
        self._post(ModelFailed(message, load.number, load.role, passing=True, worked=self._answered))

    async def _check_money(self) -> None:
        """Raises EndpointError if the endpoint has cost as much today as it may."""
        limit, spending = self._endpoint.daily_limit, self._log.spending if self._log is not None else None
        if limit is None or spending is None:
            return
        try:
            today = await anyio.to_thread.run_sync(spending.today, abandon_on_cancel=True)
        except MoneyError as error:
            raise EndpointError(f"has a `daily_limit`, and {error}") from None
        if (cost := today.get(self._name, 0.0)) >= limit:
            raise EndpointError(f"has cost {shown_cost(cost)} today, and its `daily_limit` is {limit:g}")

    @property
    def _where(self) -> str:
        return f"endpoint `{self._name}` ({self._endpoint.host})"

    def _safe_text(self, what: str) -> str:
        """A text from or about a server, as users may see it: without our key and headers, which some servers
        repeat."""
        return masked(what, self._endpoint, self._environ)

    def _broken(self, what: str) -> str:
        """Marks the server as not working, for all roles, and ends all waiting requests. Returns the message. One
        failure may end many requests, but it is counted once."""
        message = f"{self._where} {self._safe_text(what)}"
        if self._works:
            self._works = False
            for load in self._loads.values():
                self._fail(what, load)
            waiting, self._waiting = self._waiting, []
            for request in waiting:
                self._post(Finished(request.id, "", FinishReason.FAILED, Usage(), message=message))
        return message

    # Requests -------------------------------------------------------------------------------------------

    def _take(self, request: Generate) -> None:
        if (request.max_tokens == 0 and not self._dialect.warms) or request.rank > 0:
            # Another candidate would need logits, and evaluating a prompt in advance would cost money without a gain.
            reason = FinishReason.LENGTH if request.max_tokens == 0 else FinishReason.END
            self._post(Finished(request.id, "", reason, Usage()))
            return
        if not self._works:
            message = f"{self._where} does not work now"
            self._post(Finished(request.id, "", FinishReason.FAILED, Usage(), message=message))
            return
        self._waiting.append(request)
        self._waiting.sort(key=lambda each: (each.priority, each.id))
        if len(self._waiting) > _MOST_WAITING:
            dropped = self._waiting.pop()
            message = f"more than {_MOST_WAITING} requests wait for {self._where}"
            self._post(Finished(dropped.id, "", FinishReason.REJECTED, Usage(), message=message))
        self._next()

    def _next(self) -> None:
        while self._waiting and len(self._asking) < self._endpoint.concurrency:
            request = self._waiting.pop(0)
            answer = Answer(request, self._post, self._name, self._endpoint, self._clock)
            task = self._asking[request.id] = self._spawn(self._answer(request, answer))
            # A task that is cancelled before its first step runs none of its own code; this callback runs in any case.
            task.add_done_callback(partial(self._ended, request, answer))
        if not self._asking:
            self._post(Working())

    def _ended(self, request: Generate, answer: Answer, task: asyncio.Task[tuple[FinishReason, str]]) -> None:
        """Posts a request's `Finished`, and starts the next request."""
        reason, message = (FinishReason.CANCELLED, "") if task.cancelled() else task.result()
        del self._asking[request.id]
        if answer.has_begun:
            self._answered, self._waited = True, 0.0
        elif reason is FinishReason.CANCELLED and request.priority is Priority.INLINE and request.max_tokens:
            # While keys come faster than answers, each request is cancelled before it is late; so their waiting times
            # are added.
            self._waited += answer.seconds
            if self._waited > self._endpoint.late_ms / 1000:
                self._broken(self._late)
        self._note(answer, reason)
        self._post(answer.finished(reason, message))
        self._next()

    def _note(self, answer: Answer, reason: FinishReason) -> None:
        if self._log is not None and answer.is_sent:
            self._log.note(answer.sent(reason))

    @property
    def _late(self) -> str:
        return f"has written nothing within {self._endpoint.late_ms} ms (`late_ms`)"

    def _cancel(self, id: int) -> None:
        if (task := self._asking.get(id)) is not None:
            task.cancel()
        for request in [each for each in self._waiting if each.id == id]:
            self._waiting.remove(request)
            self._post(Finished(id, "", FinishReason.CANCELLED, Usage()))

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _answer(self, request: Generate, answer: Answer) -> tuple[FinishReason, str]:
        """Runs a request. Returns why it has ended, and a message."""
        if request.priority is not Priority.EDIT:
            self._post(Working("reading" if request.priority is Priority.ACTION else "writing", request.role))
        try:
            reason, message = await self._asked(request, answer)
            # A slow next edit tells nothing about completions, which the same server answers.
            if reason is FinishReason.DEADLINE and request.priority is not Priority.EDIT:
                self._broken("did not write to the end in time")
            return reason, message
        except RefusedError as error:
            answer.problem = str(error)
            return FinishReason.FAILED, f"{self._where} {self._safe_text(str(error))}"
        except (EndpointError, DialectError) as error:
            self._respect(error)
            answer.problem = str(error)
            return FinishReason.FAILED, self._broken(str(error))
        except Exception as error:
            answer.problem = explained(error)
            answer.is_free = is_unsent(error)
            return FinishReason.FAILED, self._broken(answer.problem)

    async def _asked(self, request: Generate, answer: Answer) -> tuple[FinishReason, str]:
        if self._client is None or self._info is None:
            return FinishReason.REJECTED, f"{self._where} has not been reached yet"
        left = request.deadline - self._clock() if request.deadline is not None else self._endpoint.timeout_seconds
        with anyio.move_on_after(max(0.0, left)):
            await self._check_money()
            whole = Healed(without_secrets(request.prompt))
            cut = healed(whole.prompt) if request.max_tokens and not self._endpoint.is_chat else whole
            try:
                return await self._stream(request, cut, answer), ""
            except MismatchError:
                self._note(answer, FinishReason.CANCELLED)
                answer.begin_again()
                return await self._stream(request, whole, answer), ""
        return FinishReason.DEADLINE, ""

    async def _check(self, response: httpx2.Response, answer: Answer) -> None:
        try:
            await check(response)
        except (EndpointError, RefusedError):
            answer.is_free = True
            raise

    async def _stream(self, request: Generate, cut: Healed, answer: Answer) -> FinishReason:
        """Sends a request and takes the pieces of its answer, until it ends or no more is wanted."""
        assert self._client is not None and self._info is not None
        answer.begins = cut.begins
        body = self._dialect.body(self._endpoint, cut.prompt, request.max_tokens, cut.begins)
        body["model"] = self._info.path
        stops: tuple[str, ...] = ()
        if self._dialect.markers and request.role != "edit":
            stops = *self._info.format.markers, *self._info.format.stops
        elif self._dialect.markers:
            stops = tuple(dict.fromkeys(part.text.decode() for part in cut.prompt.segments if part.kind == "marker"))
        url = url_of(self._endpoint, self._dialect.path)
        is_late = anyio.CancelScope()
        if request.max_tokens and not request.priority.yields:
            is_late.deadline = anyio.current_time() + self._endpoint.late_ms / 1000
        answer.is_sent = True
        answer.sent_bytes = sum(len(part.text) for part in cut.prompt.segments)
        with is_late:
            async with self._client.stream("POST", url, json=body) as response:
                await self._check(response, answer)
                events = 0
                async for line in lines(response.aiter_bytes(), whole=self._dialect.whole):
                    piece = piece_of(self._dialect, line)
                    if piece is None:
                        continue
                    events += 1
                    if request.max_tokens == 0:
                        continue  # only the prompt was to be evaluated
                    if piece.text:
                        is_late.deadline = float("inf")
                    if (reason := answer.take(piece.text, piece.logprob, piece.prompt_tokens, stops)) is not None:
                        return reason
                    if piece.reason:
                        return FinishReason.LENGTH if piece.reason in ("length", "limit") else FinishReason.END
                if not events:
                    raise DialectError("answers without saying anything; are `url` and `kind` right?")
                return FinishReason.END if request.max_tokens else FinishReason.LENGTH
        raise EndpointError(self._late)
