"""Messages between processes: what is sent comes out on the other side, and what is no message is refused."""

from __future__ import annotations

import io
from dataclasses import replace
from random import Random
from typing import Any, get_args

import pytest

from lsp_server.backends.base import ModelInfo, ModelSpec
from lsp_server.core.fim_formats import FORMATS, declared_format
from lsp_server.core.hole import find_hole, refined
from lsp_server.core.names.allowed import Members, Receiver
from lsp_server.core.opening import Opening
from lsp_server.core.stopping import find_end, stop_rule
from lsp_server.engine.request import (
    CacheUse,
    Cancel,
    Event,
    Finished,
    FinishReason,
    Keep,
    Load,
    Message,
    ModelFailed,
    ModelIdle,
    ModelLoading,
    ModelReady,
    Ping,
    Pong,
    Priority,
    PromptRead,
    Shutdown,
    TextDelta,
    Usage,
    Working,
)
from lsp_server.engine.wire import LARGEST_FRAME, Hello, WireError, decode, encode, read
from tests.engine.harness import BLOCK, ask, make_prompt
from tests.support.cursor import parse_cursor
from tests.support.effort import scaled


def info(form: Any = FORMATS[0]) -> ModelInfo:
    return ModelInfo("n", "/m.gguf", "qwen2", 1, 2, 3, 4, 5, 6, form, "cpu", "MIT")


def sent(message: Any) -> Any:
    return read(io.BytesIO(encode(message)).read)


EXAMPLES: list[Any] = [
    Hello("1.0"),
    Ping(),
    Pong(),
    ask(1, make_prompt("é", "x"), stop=BLOCK, priority=Priority.WARMING),
    replace(
        ask(2, make_prompt("é", "x")),
        opening=Opening("    ", ("    ",), (), ("if",)),
        members=Members("x = self.", (Receiver("self", frozenset({"größe", "width"}), grows=True),)),
    ),
    Cancel(3),
    Load(ModelSpec("/a.gguf", 512, 2, 3, 4, "on", "qwen")),
    Keep({"chat": 600.0}),
    Shutdown(),
    ModelLoading(0.25),
    ModelReady(info()),
    ModelFailed("no"),
    ModelIdle("not used", 2, "chat"),
    PromptRead(1, 2, 3),
    TextDelta(1, "日", -0.5),
    Working("reading", "chat", 0.5),
    CacheUse((1, 2), 3, 4),
    Finished(1, "text", FinishReason.STOP, Usage(1, 2, 3, 4, 5, 6, 7, 8.0, 9.0, 10.0, 11.0, quick=True), -1.0, "why"),
]


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_is_the_same_on_the_other_side(message: Any) -> None:
    copy = sent(message)
    assert copy == message
    assert type(copy) is type(message)


@pytest.mark.parametrize("form", [*FORMATS, declared_format("<P>", "<S>", "<M>")], ids=lambda form: form.name)
def test_every_format_is_the_same_on_the_other_side(form: Any) -> None:
    copy = sent(ModelReady(info(form)))
    assert copy == ModelReady(info(form))
    assert copy.info.format.layout == form.layout
    assert hash(copy.info.format) == hash(form)


def test_the_examples_leave_no_message_out() -> None:
    assert {type(message) for message in EXAMPLES} == {Hello, Ping, Pong, *get_args(Message), *get_args(Event)}


def test_an_enum_stays_itself() -> None:
    assert sent(ask(1, make_prompt("", ""), priority=Priority.WARMING)).priority is Priority.WARMING
    assert sent(Finished(1, "", FinishReason.STOP, Usage())).reason is FinishReason.STOP


@pytest.mark.parametrize("source", ["# words $0\nx = 1\n", 'def f():\n    """$0"""\n', "if a:\n    $0\n", "f($0)\n"])
def test_where_a_text_ends_is_the_same_on_the_other_side(source: str) -> None:
    document, offset = parse_cursor(source)
    rule = stop_rule(document, refined(document, find_hole(document, offset)), 8)
    copy = sent(ask(1, make_prompt("", ""), stop=rule)).stop
    assert copy == rule
    for text in ("words.\n", "words\n# and more\n", 'words."""', "pass\nx", "a)\n"):
        assert find_end(text, copy) == find_end(text, rule)


def test_a_deadline_goes_as_the_time_that_is_left() -> None:
    frame = encode(ask(1, make_prompt("", ""), deadline=105.0), now=100.0)
    assert decode(frame[4:], now=7.0).deadline == 12.0


def test_frames_follow_each_other() -> None:
    stream = io.BytesIO(b"".join(map(encode, EXAMPLES)))
    assert [read(stream.read) is not None for _ in EXAMPLES] == [True] * len(EXAMPLES)
    assert read(stream.read) is None


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (b"\0\0", "a frame's length was cut"),
        (b"\0\0\0\x05\x01", "cut after 1 of 5 bytes"),
        (b"\xff\xff\xff\xff", "4294967295 bytes"),
        (b"\0\0\0\0", "a frame of 0 bytes"),
        (b"\0\0\0\x01\xff", "no kind"),
        (b"\0\0\0\x02\x03\xc0", "is no Generate"),
        (b"GET / HTTP/1.1\r\n\r\n", "bytes, where"),
    ],
)
def test_what_is_no_frame_is_refused_in_one_line(stream: bytes, words: str) -> None:
    with pytest.raises(WireError, match=words) as caught:
        read(io.BytesIO(stream).read)
    assert "\n" not in str(caught.value)


def test_damaged_frames_are_a_message_or_refused() -> None:
    random = Random(3)
    frames = [encode(message) for message in EXAMPLES]
    refused = 0
    for _ in range(scaled(10_000)):
        frame = bytearray(random.choice(frames))
        for _ in range(random.randint(1, 4)):
            frame[random.randrange(len(frame))] = random.randrange(256)
        cut = frame[: random.randint(0, len(frame))] if random.random() < 0.3 else frame
        try:
            read(io.BytesIO(bytes(cut)).read)
        except WireError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > scaled(1_000)


def test_a_frame_that_is_too_long_is_not_sent() -> None:
    with pytest.raises(WireError, match="too long"):
        encode(TextDelta(1, "x" * (LARGEST_FRAME + 1), 0.0))
