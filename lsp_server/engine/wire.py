"""Messages and events as bytes, for an engine in another process.

A frame is four bytes of length (big-endian), one byte for the kind of message, and the message as MessagePack. The
monotonic clocks of two processes may differ, so a deadline is sent as the remaining time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, get_args

import msgspec

from lsp_server.engine.request import Event, Generate, Message, Ping, Pong

# A prompt for the largest window has about half a megabyte.
LARGEST_FRAME = 16 << 20
_HEAD = 4
_SHOWN_BYTES = 60


class WireError(Exception):
    """The bytes are no valid frame. The message is one line that says why."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The first frame from an engine. version: fimble's."""

    version: str


_KINDS: tuple[Any, ...] = (Hello, Ping, Pong, *get_args(Message), *get_args(Event))
_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}


@cache
def _decoder(number: int) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(_KINDS[number])


def encode(message: Message | Event | Hello | Ping | Pong, now: float | None = None) -> bytes:
    """The frame of a message. now: the time from which the deadline's remaining time is computed; by default the
    present."""
    if isinstance(message, Generate) and message.deadline is not None:
        message = replace(message, deadline=message.deadline - (time.monotonic() if now is None else now))
    body = msgspec.msgpack.encode(message)
    if len(body) + 1 > LARGEST_FRAME:
        raise WireError(f"a {type(message).__name__} of {len(body)} bytes is too long")
    return (len(body) + 1).to_bytes(_HEAD, "big") + bytes([_NUMBERS[type(message)]]) + body


def decode(frame: bytes, now: float | None = None) -> Any:
    """The message in a frame without its length field. Raises WireError."""
    if not frame or frame[0] >= len(_KINDS):
        raise WireError(f"a frame of no kind that there is: {frame[:_SHOWN_BYTES]!r}")
    try:
        message = _decoder(frame[0]).decode(memoryview(frame)[1:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"a frame that is no {_KINDS[frame[0]].__name__}: {error}") from None
    if isinstance(message, Generate) and message.deadline is not None:
        message = replace(message, deadline=message.deadline + (time.monotonic() if now is None else now))
    return message


def read(receive: Callable[[int], bytes]) -> Any:
    """Reads the next message; None at the end of the stream. receive(n): returns n bytes, fewer only at the end. Raises
    WireError."""
    head = receive(_HEAD)
    if not head:
        return None
    length = int.from_bytes(head, "big")
    if len(head) < _HEAD:
        raise WireError("a frame's length was cut")
    if not 0 < length <= LARGEST_FRAME:
        raise WireError(f"a frame of {length} bytes, where 1 to {LARGEST_FRAME} are allowed")
    frame = receive(length)
    if len(frame) < length:
        raise WireError(f"a frame was cut after {len(frame)} of {length} bytes")
    return decode(frame)
