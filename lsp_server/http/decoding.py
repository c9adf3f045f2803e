"""Decodes JSON bodies into the expected types, with a one-line error."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from lsp_server.http.request import RefusedError

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
    """A JSON value as a server-sent event."""
    return b"data: " + msgspec.json.encode(value) + b"\n\n"
