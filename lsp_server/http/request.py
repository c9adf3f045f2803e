"""A client's request and its answer, independent of the client's protocol."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, Protocol

from lsp_server.engine.api import Usage

# The text on each side of the cursor is cut to this many bytes.
MOST_BYTES = 1 << 17


class RefusedError(Exception):
    """A request is refused. status: the HTTP status. The text is one line for the person who has set up the client."""

    def __init__(self, status: int, message: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of another file, sent by the client. path: the client's name for the file; empty if unknown."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """One request.

    before, after: the text on both sides of the cursor, as much as the client sends.
    chunks: parts of other files, the latest last; None if this client sends none.
    max_tokens: None: as in the settings.
    wait_ms: how long the client waits for the whole text; None: without a limit.
    only_reads: only evaluate the prompt.
    fields: the fields that the answer should have; empty: all.
    """

    before: str
    after: str
    chunks: tuple[Chunk, ...] | None = None
    max_tokens: int | None = None
    wait_ms: float | None = None
    stops: tuple[str, ...] = ()
    stream: bool = False
    only_reads: bool = False
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CompletionAnswer:
    """An answer: the whole text so far. is_cut: a limit has ended the text. id: the same in all pieces of an answer."""

    text: str
    model: str
    usage: Usage = field(default_factory=Usage)
    is_cut: bool = False
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


class Dialect(Protocol):
    """The protocol of one kind of client."""

    def read(self, body: bytes) -> CompletionRequest:
        """Reads the body of a request. Raises RefusedError."""
        ...

    def whole(self, request: CompletionRequest, answer: CompletionAnswer) -> dict[str, Any]:
        """The answer as one JSON object."""
        ...

    def piece(self, text: str, answer: CompletionAnswer) -> bytes:
        """The next piece of a streamed answer."""
        ...

    def last(self, request: CompletionRequest, answer: CompletionAnswer) -> bytes:
        """The end of a streamed answer."""
        ...
