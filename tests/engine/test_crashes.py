"""When a lost engine is started again, and which prompts are not sent to it again."""

from __future__ import annotations

from lsp_server.engine.crashes import Losses
from tests.engine.harness import make_prompt

BAD, GOOD = make_prompt("bad", ""), make_prompt("good", "")


def test_the_pause_doubles_from_loss_to_loss_and_has_an_end() -> None:
    losses = Losses()
    pauses = [losses.lost(0.0, []) for _ in range(12)]
    assert pauses[:4] == [0.25, 0.5, 1.0, 2.0]
    assert pauses[-1] == 60.0


def test_the_pause_is_short_again_after_a_calm_minute() -> None:
    losses = Losses()
    losses.lost(0.0, [])
    losses.ready(1.0)
    assert losses.lost(20.0, []) == 0.5
    losses.ready(21.0)
    assert losses.lost(90.0, []) == 0.25


def test_a_prompt_is_blamed_for_two_losses_and_others_are_not() -> None:
    losses = Losses()
    losses.lost(0.0, [BAD, BAD, GOOD])
    assert not losses.is_blamed(BAD)
    losses.lost(1.0, [BAD])
    assert losses.is_blamed(BAD)
    assert not losses.is_blamed(GOOD)


def test_only_some_prompts_are_remembered() -> None:
    losses = Losses()
    losses.lost(0.0, [BAD])
    losses.lost(1.0, [make_prompt(str(number), "") for number in range(64)])
    losses.lost(2.0, [BAD])
    assert not losses.is_blamed(BAD)


def test_a_model_that_never_becomes_ready_is_hopeless_after_three_losses() -> None:
    losses = Losses()
    for now in range(2):
        losses.lost(now, [])
        assert not losses.is_hopeless
    losses.lost(3.0, [])
    assert losses.is_hopeless
    losses.ready(4.0)
    assert not losses.is_hopeless
