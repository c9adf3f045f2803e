"""HTTP for endpoints: the client, errors in answers, and the lines of a stream."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import AsyncIterator, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from lsp_server.endpoints.dialects import DialectError, error_text
from lsp_server.engine.endpoint import Endpoint

if TYPE_CHECKING:
    import httpx2

logger = logging.getLogger(__name__)

# Limits for an answer, in bytes: its longest line, the whole of it, and how much of an error is read.
_LONGEST_LINE, _MOST_BYTES, _MOST_ERROR = 1 << 20, 16 << 20, 1 << 16
_CONNECT_SECONDS = 3.0
_LEAST_SECRET = 4


class EndpointError(Exception):
    """A server does not work, or not as it is configured. The message is one line that follows the server's name. wait:
    how many seconds a busy server asks us to wait."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class RefusedError(Exception):
    """The server refuses this request, but may accept others."""


def make_client(endpoint: Endpoint, environ: Mapping[str, str]) -> httpx2.AsyncClient:
    """A client that keeps connections open, follows no redirects, and uses no proxy for a server on this machine.
    Raises EndpointError."""
    import httpx2

    headers = {**endpoint.headers}
    if endpoint.api_key_env:
        key = _key(endpoint, environ)
        if not key:
            raise EndpointError(f"`api_key_env` names {endpoint.api_key_env}, which the server's environment lacks")
        if not (key.isascii() and key.isprintable()):
            raise EndpointError(f"cannot be sent the key in {endpoint.api_key_env}, which has odd characters in it")
        headers["Authorization"] = f"Bearer {key}"
    timeout = httpx2.Timeout(endpoint.timeout_seconds, connect=_CONNECT_SECONDS)
    limits = httpx2.Limits(max_connections=endpoint.concurrency + 2, keepalive_expiry=300.0)
    return httpx2.AsyncClient(headers=headers, timeout=timeout, limits=limits, trust_env=not endpoint.is_here)


def _key(endpoint: Endpoint, environ: Mapping[str, str]) -> str:
    return environ.get(endpoint.api_key_env, "").strip()


def masked(text: str, endpoint: Endpoint, environ: Mapping[str, str]) -> str:
    """A text without our key, without the values of our headers, and without control characters."""
    for secret in (_key(endpoint, environ) if endpoint.api_key_env else "", *endpoint.headers.values()):
        if len(secret) >= _LEAST_SECRET:
            text = text.replace(secret, "…")
    return printable(text)


def url_of(endpoint: Endpoint, path: str) -> str:
    """The URL of a call. Many programs want `/v1` at the end of their base URL, so `endpoint.url` may have it."""
    root = endpoint.url.rstrip("/")
    return root.removesuffix("/v1") + path if path.startswith("/v1/") else root + path


async def check(response: httpx2.Response) -> None:
    """Raises EndpointError or RefusedError if the answer is an error or a page for browsers."""
    status = response.status_code
    if status == 200:
        kind = response.headers.get("content-type", "")
        if kind.startswith("text/html"):
            raise EndpointError("answers with a page for browsers; is `url` right?")
        return
    message = ""
    async for data in response.aiter_bytes(_MOST_ERROR):
        message = data.decode("utf-8", "replace")
        break
    try:
        message = error_text(json.loads(message))
    except ValueError:
        message = "" if message.lstrip().startswith("<") else " ".join(message.split())[:200]
    message = f": {message}" if message else ""
    if refusal := why_refused(status, message):
        raise EndpointError(refusal)
    if status == 404:
        raise EndpointError(f"has no such call or model (404){message}; see `url`, `kind` and `model`")
    if busy := busy_error(status, response.headers.get("retry-after", ""), message):
        raise busy
    if status >= 500:
        raise EndpointError(f"has failed ({status}){message}")
    raise RefusedError(f"refuses the request ({status}){message}")


def why_refused(status: int, message: str = "") -> str:
    """Why a server answers every request with this status, in words after its name; empty for any other status.
    message: the server's message, after a colon."""
    if 300 <= status < 400:
        return f"sends us elsewhere ({status}), where we do not go; correct `url`"
    return f"refuses the key ({status}){message}; see `api_key_env`" if status in (401, 403) else ""


def busy_error(status: int, retry_after: str, message: str = "") -> EndpointError | None:
    """The error of a server that asks to be left alone for a while; None for any other status. retry_after: its
    header, empty if it has none. message: as for `why_refused`."""
    return EndpointError(f"is busy ({status}){message}", _retry_after(retry_after)) if status in (429, 503) else None


def printable(text: str) -> str:
    """A server's text without control characters."""
    return "".join(character for character in text if character.isprintable())


def _retry_after(value: str) -> float:
    """The seconds in a `Retry-After` header, which may be a number or a date; at least one, and one if it is missing or
    is neither."""
    try:
        return max(1.0, float(value))
    except ValueError:
        pass
    try:
        return max(1.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 1.0


async def lines(chunks: AsyncIterator[bytes], *, whole: bool = False) -> AsyncIterator[str]:
    """The lines of a stream; holds no more than one line in memory. whole: yields everything as one line. Raises
    DialectError."""
    rest, size = bytearray(), 0
    async for chunk in chunks:
        size += len(chunk)
        if size > _MOST_BYTES:
            raise DialectError(f"sends more than {_MOST_BYTES >> 20} MB for one answer")
        rest += chunk
        if b"\n" in chunk and not whole:
            *ended, rest = rest.split(b"\n")
            for line in ended:
                yield line.decode("utf-8", "replace").rstrip("\r")
        if len(rest) > _LONGEST_LINE:
            raise DialectError(f"sends a line of more than {_LONGEST_LINE >> 20} MB")
    if rest:
        yield rest.decode("utf-8", "replace")


def is_unsent(error: Exception) -> bool:
    """Whether a connection error means that the server has got nothing."""
    return type(error).__name__ in ("ConnectError", "ConnectTimeout", "ProxyError")


def explained(error: Exception) -> str:
    """A connection error in words that follow the server's name."""
    name = type(error).__name__
    known = {
        "ConnectError": "cannot be reached",
        "ConnectTimeout": "cannot be reached in time",
        "ReadTimeout": "does not answer",
        "LocalProtocolError": "cannot be asked in this way: something in `headers` or the key cannot be sent",
        "ReadError": "broke off its answer",
        "RemoteProtocolError": "broke off its answer",
        "PoolTimeout": "does not answer",
        "InvalidURL": "has a wrong `url`",
        "ProxyError": "cannot be reached by the proxy that is set",
    }
    if name not in known:
        logger.error("an endpoint failed: %s", name)  # its text is left out, since it may contain a key
        return f"failed: {name}"
    detail = "" if name == "LocalProtocolError" else " ".join(str(error).split())[:120]
    return known[name] + (f" ({detail})" if detail else "")
