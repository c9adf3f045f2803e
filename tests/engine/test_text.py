"""What reaches the text of a completion: whole characters, and no special token."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lsp_server.backends.base import ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.core.hole import HoleKind
from lsp_server.core.stopping import StopRule
from lsp_server.engine.request import Finished, FinishReason
from tests.engine.harness import BLOCK, EngineHarness, Progress, ask, make_prompt

if TYPE_CHECKING:
    from lsp_server.backends.base import Logits

LEAD = "twelve bytes = "  # what the scripted backend needs to see before it knows the text


def knowing(text: str) -> EngineHarness:
    """An engine whose model continues `text`, one byte a token, and then ends."""
    harness = EngineHarness(lambda spec, progress: ScriptedBackend(spec, progress, texts=[text.encode()]))
    harness.load()
    return harness


@pytest.mark.parametrize("written", ["é", "日本語", "a😀b", "e\u0301 =", "👩‍👩‍👧", "ends with 語"])
def test_characters_split_over_tokens_come_whole(written: str) -> None:
    harness = knowing(LEAD + written)
    finished = harness.run(ask(1, make_prompt("", LEAD), stop=BLOCK, max_tokens=100))
    assert (finished.text, finished.reason) == (written, FinishReason.END)
    deltas = harness.deltas(1)
    assert "".join(delta.text for delta in deltas) == written
    assert [len(delta.text) for delta in deltas] == [1] * len(written)
    assert finished.usage.decoded_tokens == len(written.encode())


@pytest.mark.parametrize("max_tokens", range(1, 8))
def test_a_limit_inside_a_character_leaves_it_out(max_tokens: int) -> None:
    harness = knowing(LEAD + "日本")
    finished = harness.run(ask(1, make_prompt("", LEAD), stop=BLOCK, max_tokens=max_tokens))
    assert finished.text == "日本"[: max_tokens // 3]
    assert "".join(delta.text for delta in harness.deltas(1)) == finished.text


def test_a_delta_has_the_probability_of_all_its_tokens() -> None:
    """A character of three tokens is as likely as the three together, not as its last one."""

    class Unsure(ScriptedBackend):
        def _logits(self, cells: list[int]) -> np.ndarray:
            logits = super()._logits(cells)
            logits[200] = logits.max() - 0.5
            return logits

    text = (LEAD + "日本語").encode()
    harness = EngineHarness(lambda spec, progress: Unsure(spec, progress, texts=[text]))
    harness.load()
    finished = harness.run(ask(1, make_prompt("", LEAD), stop=BLOCK, max_tokens=100))
    total = finished.logprob * finished.usage.decoded_tokens
    assert total < -3
    assert sum(delta.logprob for delta in harness.deltas(1)) == pytest.approx(total)


def test_bytes_that_are_no_character_are_replaced_and_end_nothing() -> None:
    harness = EngineHarness(
        lambda spec, progress: ScriptedBackend(spec, progress, texts=[LEAD.encode() + b"a\xff\xe6b"])
    )
    harness.load()
    assert harness.run(ask(1, make_prompt("", LEAD), stop=BLOCK, max_tokens=10)).text == "a\ufffd\ufffdb"


def writing(tokens: list[int], form: str) -> EngineHarness:
    """An engine whose model writes `tokens`, whatever the prompt."""

    class Writing(ScriptedBackend):
        step = 0

        def _logits(self, cells: list[int]) -> np.ndarray:
            logits = np.zeros(self.info.vocabulary, dtype=np.float32)
            logits[tokens[self.step]] = 9.0
            self.step += 1
            return logits

    def factory(spec: ModelSpec, progress: Progress) -> ScriptedBackend:
        return Writing(spec, progress)

    harness = EngineHarness(factory)
    harness.load(form=form)
    return harness


@pytest.mark.parametrize("form", ["qwen", "codestral", "starcoder2"])
@pytest.mark.parametrize("special", [257, 258, 259])
def test_the_formats_own_tokens_end_the_text_and_do_not_show(form: str, special: int) -> None:
    harness = writing([*b"ab", special, *b"cd"], form)
    finished = harness.run(ask(1, make_prompt("x", "", form=form), stop=BLOCK, max_tokens=5))
    assert (finished.text, finished.reason) == ("ab", FinishReason.END)
    assert [delta.text for delta in harness.deltas(1)] == ["a", "b"]
    # The token that ended it has not been evaluated: it is not part of what comes next.
    harness.check()


def test_a_control_token_that_ends_nothing_has_no_text() -> None:
    harness = writing([*b"ab", 256, *b"cd"], "qwen")
    finished = harness.run(ask(1, "x", stop=BLOCK, max_tokens=5))
    assert (finished.text, finished.reason) == ("abcd", FinishReason.LENGTH)
    assert [delta.text for delta in harness.deltas(1)] == list("abcd")


class Doubtful(ScriptedBackend):
    """Knows a text, and behind its word `or` holds something else for just as likely."""

    def _logits(self, cells: list[int]) -> Logits:
        logits = super()._logits(cells)
        if bytes(cells[-3:]) == b" or":
            logits[ord("?")] = logits.max()
        return logits


def test_a_text_ends_in_front_of_a_token_that_the_rule_doubts() -> None:
    def written(min_logprob: float) -> Finished:
        harness = EngineHarness(lambda spec, progress: Doubtful(spec, progress, texts=[f"{LEAD}one or two".encode()]))
        harness.load()
        stop = StopRule(HoleKind.LINE, 1, min_logprob=min_logprob)
        found = harness.run(ask(1, make_prompt("", LEAD), stop=stop, max_tokens=100))
        assert "".join(delta.text for delta in harness.deltas(1)) == found.text
        harness.check()
        return found

    doubted = written(math.log(0.6))
    assert (doubted.text, doubted.reason, doubted.usage.decoded_tokens) == ("one or", FinishReason.STOP, 6)
    assert written(math.log(0.4)).text == written(-math.inf).text
    assert len(written(-math.inf).text) > len("one or")


@pytest.mark.parametrize(
    ("written", "stop", "text"),
    [
        ("one\ntwo", StopRule(HoleKind.LINE, 1), "one\n"),
        ("one\n    two\nthree", StopRule(HoleKind.BLOCK, 9, indent=4), "one\n    two\nt"),
        ("one\ntwo\nthree\nfour", StopRule(HoleKind.BLOCK, 2), "one\ntwo\n"),
        ("one\n\ntwo", StopRule(HoleKind.BLOCK, 9), "one\n\nt"),
        ("one\nnext\ntwo", StopRule(HoleKind.BLOCK, 9, next_line="next"), "one\nnext\n"),
    ],
)
def test_decoding_stops_as_soon_as_the_end_is_seen(written: str, stop: StopRule, text: str) -> None:
    finished = knowing(LEAD + written).run(ask(1, make_prompt("", LEAD), stop=stop, max_tokens=100))
    assert (finished.text, finished.reason) == (text, FinishReason.STOP)
