"""Models whose thinking stands between control tokens, which are no text: the answer comes, without the thinking."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lsp_server.backends.base import ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.core.prompt import FimPrompt, Segment
from lsp_server.core.thinking import PAIRS, written_as
from lsp_server.engine.request import FinishReason
from lsp_server.features.actions.asking import ActionFailedError, Progress
from tests.engine.harness import EngineHarness, ask
from tests.features.actions.test_runner import ANSWER, CASE, opened

_END, _ASSISTANT = 257, list(b"<assistant>\n")


class Thinker(ScriptedBackend):
    """Has control tokens that are spelled so, and answers with `reply`, in which they are spelled out."""

    def __init__(self, spec: ModelSpec, progress: object, *, controls: tuple[str, ...], reply: str) -> None:
        super().__init__(replace(spec, path=""), lambda _: True)
        first = self.info.vocabulary
        self.controls = {spelling: first + index for index, spelling in enumerate(controls)}
        self.info = replace(self.info, vocabulary=first + len(controls))
        split = re.split("(" + "|".join(map(re.escape, controls)) + ")", reply)
        self.reply = [
            token for part in split for token in ([self.controls[part]] if part in controls else part.encode())
        ]

    def marker(self, spelling: str) -> int | None:
        return self.controls.get(spelling, super().marker(spelling))

    def ends(self, token: int) -> bool:
        return super().ends(token) or token in self.controls.values()

    def _continuations(self, cells: list[int]) -> list[int]:
        starts = (at for at in range(len(cells), -1, -1) if cells[max(0, at - len(_ASSISTANT)) : at] == _ASSISTANT)
        said = len(cells) - next(starts, len(cells))
        return [self.reply[said] if said < len(self.reply) else _END]


def maker(controls: tuple[str, ...], reply: str) -> Callable[..., Thinker]:
    return lambda spec, progress: Thinker(spec, progress, controls=controls, reply=reply)


def chats(controls: tuple[str, ...], reply: str) -> Callable[..., Thinker]:
    def make(spec: ModelSpec, progress: object) -> Thinker:
        made = Thinker(spec, progress, controls=controls, reply=reply)
        made.info = replace(made.info, chat_template=TEMPLATE)
        return made

    return make


TEMPLATE = (
    "{% for message in messages %}<{{ message.role }}>\n{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>\n{% endif %}"
)
CHANNELS = ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>")
COHERE = ("<|START_THINKING|>", "<|END_THINKING|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>")
PROMPT = FimPrompt("chat", (Segment("message", bytes(_ASSISTANT)),))
THOUGHT = "Let me think: `x = 1`?"
REPLIES = [
    *((pair, f"{pair[0]}{THOUGHT}{pair[1]}\n{ANSWER}") for pair in PAIRS if pair[0] in ("<think>", "[THINK]")),
    (COHERE, f"<|START_THINKING|>{THOUGHT}<|END_THINKING|><|START_RESPONSE|>{ANSWER}<|END_RESPONSE|>nonsense"),
    (COHERE, f"<|START_RESPONSE|>{ANSWER}<|END_RESPONSE|>nonsense"),
    (
        CHANNELS,
        f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}<|return|>x",
    ),
    (("[THINK]", "[/THINK]", "[INST]"), f"[THINK][/THINK]{ANSWER}[INST]nonsense"),
]


@pytest.mark.parametrize(("controls", "reply"), REPLIES, ids=[reply[:34] for _, reply in REPLIES])
async def test_an_action_gets_its_answer(tmp_path: Path, controls: tuple[str, ...], reply: str) -> None:
    phases: list[Progress] = []
    async with opened(tmp_path) as bench:
        bench.make = chats(controls, reply)
        assert await bench.act(report=phases.append) == CASE.expected()
    if THOUGHT in reply:
        assert "thinking" in [progress.phase for progress in phases]


async def test_thinking_that_never_ends_is_no_answer(tmp_path: Path) -> None:
    async with opened(tmp_path) as bench:
        bench.make = chats(("[THINK]", "[/THINK]"), f"[THINK]{THOUGHT}")
        with pytest.raises(ActionFailedError):
            await bench.act()


@pytest.mark.parametrize("controls", [("[THINK]",), ("<|end|>", "<|channel|>"), ("<|im_start|>", "<|user|>")])
async def test_any_other_control_token_ends_an_answer(tmp_path: Path, controls: tuple[str, ...]) -> None:
    """Half of a pair, and half of a family's tokens, have some other meaning."""
    async with opened(tmp_path) as bench:
        bench.make = chats(controls, f"{ANSWER}{controls[0]}nonsense\n```\nmore = 1\n```")
        assert await bench.act() == CASE.expected()


def test_a_completion_that_begins_to_think_is_over() -> None:
    harness = EngineHarness(maker(("[THINK]", "[/THINK]"), "[THINK]no code[/THINK]"))
    harness.load()
    prompt = PROMPT
    finished = harness.run(ask(1, prompt))
    assert (finished.text, finished.reason) == ("", FinishReason.END)
    asked = harness.run(replace(ask(2, prompt), stop=None, max_tokens=40))
    assert asked.text == "<think>no code</think>"


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0])
def test_every_family_thinks_between_the_same_tags(pair: tuple[str, str]) -> None:
    harness = EngineHarness(maker(pair, f"{pair[0]}so{pair[1]}x"))
    harness.load()
    asked = replace(ask(1, PROMPT), stop=None, max_tokens=40)
    assert harness.run(asked).text == "<think>so</think>x"


def test_tokens_that_are_text_anyway_stay_as_they_are_spelled() -> None:
    ids = {"<thinking>": 300, "</thinking>": 301, "<|start|>": 302}
    assert written_as(ids.get) == {300: b"<think>", 301: b"</think>"}

    class Plain(Thinker):
        def piece(self, token: int) -> bytes:
            spelled = {id: spelling for spelling, id in self.controls.items()}
            return spelled[token].encode() if token in spelled else super().piece(token)

        def ends(self, token: int) -> bool:
            return token == _END

    reply = "<thinking>so</thinking>x"
    harness = EngineHarness(lambda spec, p: Plain(spec, p, controls=("<thinking>", "</thinking>"), reply=reply))
    harness.load()
    asked = replace(ask(1, PROMPT), stop=None, max_tokens=40)
    assert harness.run(asked).text == reply
