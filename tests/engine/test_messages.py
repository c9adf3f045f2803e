"""Every message survives pickle, so that the engine can live in another process."""

from __future__ import annotations

import pickle
from typing import get_args

import pytest

from lsp_server.backends.base import ModelInfo, ModelSpec
from lsp_server.core.formats import FORMATS, declared_format
from lsp_server.engine.request import (
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
    Priority,
    PromptRead,
    Shutdown,
    TextDelta,
    Usage,
    Working,
)
from tests.engine.harness import BLOCK, ask, make_prompt


def info(form: object = FORMATS[0]) -> ModelInfo:
    return ModelInfo("n", "/m.gguf", "qwen2", 1, 2, 3, 4, 5, 6, form, "cpu", "MIT")  # type: ignore[arg-type]


EXAMPLES = [
    ask(1, make_prompt("é", "x"), stop=BLOCK, priority=Priority.WARMING, deadline=1.5),
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
    Finished(1, "text", FinishReason.STOP, Usage(1, 2, 3, 4, 5, 6.0, 7.0, 8.0, 9.0), -1.0, "why"),
]


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
def test_a_message_survives_pickle(message: object, protocol: int) -> None:
    copy = pickle.loads(pickle.dumps(message, protocol))
    assert copy == message
    assert copy is not message
    assert type(copy) is type(message)


@pytest.mark.parametrize("form", [*FORMATS, declared_format("<P>", "<S>", "<M>")], ids=lambda form: form.name)
def test_every_format_survives_pickle(form: object) -> None:
    copy = pickle.loads(pickle.dumps(ModelReady(info(form))))
    assert copy == ModelReady(info(form))
    assert copy.info.format.markers == form.markers  # type: ignore[attr-defined]
    assert hash(copy.info.format) == hash(form)


def test_the_examples_leave_no_message_out() -> None:
    assert {type(message) for message in EXAMPLES} == {*get_args(Message), *get_args(Event)}


def test_an_enum_stays_itself() -> None:
    copy = pickle.loads(pickle.dumps(EXAMPLES[-1]))
    assert copy.reason is FinishReason.STOP
    assert pickle.loads(pickle.dumps(EXAMPLES[0])).priority is Priority.WARMING
