"""JSON bodies: decoded into what they must be, with one line on what is wrong."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from lsp_server.http.asked import RefusedError

T = TypeVar("T")


def decoded(body: bytes, kind: type[T]) -> T:
    """The body as a `kind`. Raises RefusedError."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise RefusedError(400, f"the request is not as it should be: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RefusedError(400, f"the body is not JSON: {error}") from None
    except RecursionError:
        raise RefusedError(400, "the body is nested too deeply") from None


def event(value: Any) -> bytes:
    """A server-sent event with a JSON value."""
    return b"data: " + msgspec.json.encode(value) + b"\n\n"
