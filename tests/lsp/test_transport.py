"""Frames out of bytes: however the bytes are split, and what is no frame is refused."""

from __future__ import annotations

import os
import subprocess
import sys

import anyio
import pytest

from lsp_server.lsp import transport
from lsp_server.lsp.transport import FrameDecoder, FrameError
from tests.support.stdio import frame


async def test_the_end_of_a_process_is_seen_where_the_system_does_not_tell_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    monkeypatch.setattr(transport, "LOOK_SECONDS", 0.01)
    stopped: list[int] = []
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(transport.end_with, client.pid, lambda: stopped.append(client.pid))
            tasks.start_soon(transport.end_with, 2**31 - 2, lambda: stopped.append(0))
            await anyio.wait_all_tasks_blocked()
            assert not stopped
            client.kill()
    assert stopped == [client.pid]


BODIES = [b'{"a": 1}', b"", "ü😀\u2028".encode(), b"\r\n\r\nContent-Length: 3\r\n\r\n"]
STREAM = b"".join(map(frame, BODIES))


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_every_split_gives_the_same_messages(cut: int) -> None:
    decoder = FrameDecoder()
    assert decoder.feed(STREAM[:cut]) + decoder.feed(STREAM[cut:]) == BODIES


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_pieces_of_one_size(size: int) -> None:
    decoder = FrameDecoder()
    pieces = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]
    assert [body for piece in pieces for body in decoder.feed(piece)] == BODIES
    assert decoder.feed(b"") == []


@pytest.mark.parametrize(
    "header",
    [
        b"content-length: 2",
        b"CONTENT-LENGTH:2",
        b"Content-Length:   2   ",
        b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: 2",
        b"Content-Length: 2\r\nContent-Type: x",
        b"Content-Length: 0002",
    ],
)
def test_headers_that_are_right(header: bytes) -> None:
    assert FrameDecoder().feed(header + b"\r\n\r\n{}") == [b"{}"]


@pytest.mark.parametrize(
    ("header", "word"),
    [
        (b"Content-Type: x", "Content-Length"),
        (b"", "Content-Length"),
        (b"Content-Length: ", "Content-Length"),
        (b"Content-Length: two", "Content-Length"),
        (b"Content-Length: -2", "Content-Length"),
        (b"Content-Length: 2.0", "Content-Length"),
        (b"Content-Length: \xb2", "Content-Length"),
        (b"Length: 2", "Content-Length"),
        (b"Content-Length: 99999999999", "too long"),
        (b"Content-Length: " + b"9" * 5000, "too long"),
    ],
)
def test_headers_without_a_usable_length(header: bytes, word: str) -> None:
    with pytest.raises(FrameError, match=word):
        FrameDecoder().feed(header + b"\r\n\r\n{}")


def test_bytes_that_never_become_a_header() -> None:
    decoder = FrameDecoder()
    with pytest.raises(FrameError, match="no end of a header"):
        for _ in range(100):
            decoder.feed(b"x" * 1000)


def test_the_messages_before_a_broken_one_are_not_lost() -> None:
    """The client is owed their answers, though the stream cannot go on."""
    decoder = FrameDecoder()
    assert decoder.feed(frame(b"{}") + frame(b"[]")[:5]) == [b"{}"]
    with pytest.raises(FrameError):
        decoder.feed(b"\r\n\r\n")


def test_a_body_of_megabytes_in_small_reads() -> None:
    body = b"x" * (3 << 20)
    decoder, found = FrameDecoder(), []
    data = frame(body) + frame(b"{}")
    for start in range(0, len(data), 1 << 16):
        found += decoder.feed(data[start : start + (1 << 16)])
    assert found == [body, b"{}"]
