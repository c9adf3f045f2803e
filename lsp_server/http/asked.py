"""What a client asks for and what it gets, in no client's own words."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, Protocol

from lsp_server.engine.api import Usage

# Of what a client sends, no more is looked at on either side of the cursor.
MOST_BYTES = 1 << 17


class RefusedError(Exception):
    """A request that is not carried out. status: the HTTP status. The text is one line for whoever set up the
    client."""

    def __init__(self, status: int, message: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of another file that a client sends along. path: as the client names it; empty if it does not."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. before, after: the text on both sides of the cursor, as much of it as the client sends. chunks:
    parts of other files, the latest last; None if this client sends none. max_tokens: None for what the settings say.
    wait_ms: how long the client waits for the whole text; None for as long as it takes. only_reads: whether the prompt
    is only to be evaluated. fields: what the answer is to have; empty for all."""

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
class Given:
    """An answer: all of its text so far. is_cut: whether more would have followed, but for a limit. id: the same in
    all pieces of an answer."""

    text: str
    model: str
    usage: Usage = field(default_factory=Usage)
    is_cut: bool = False
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


class Dialect(Protocol):
    """How one kind of client asks, and how it is answered."""

    def asked(self, body: bytes) -> Asked:
        """What a request's body asks for. Raises RefusedError."""
        ...

    def whole(self, asked: Asked, given: Given) -> dict[str, Any]:
        """The answer as one JSON object."""
        ...

    def piece(self, text: str, given: Given) -> bytes:
        """The next piece of a streamed answer."""
        ...

    def last(self, asked: Asked, given: Given) -> bytes:
        """The end of a streamed answer."""
        ...
