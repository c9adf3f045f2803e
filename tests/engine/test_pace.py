"""How fast prompts are evaluated here is learned from the steps."""

from __future__ import annotations

import pytest

from lsp_server.engine.pace import Pace


def test_without_a_figure_nothing_takes_time() -> None:
    pace = Pace()
    assert (pace.seconds(1000, 0), pace.tokens(1.0, 0)) == (0.0, None)


def test_what_loading_measured_holds_until_a_step_was_run() -> None:
    pace = Pace(prior_ms=10.0)
    assert pace.seconds(100, 0) == pytest.approx(1.0)
    assert pace.tokens(0.5, 2000) == 50
    pace.learn(64, 0, 0.32)
    assert pace.seconds(100, 0) == pytest.approx(0.5)


def test_deep_tokens_have_a_figure_of_their_own() -> None:
    pace = Pace()
    pace.learn(64, 0, 0.64)
    pace.learn(64, 1024, 1.28)
    assert pace.token_ms(0) == pytest.approx(10.0)
    assert pace.token_ms(1100) == pytest.approx(20.0)
    assert pace.seconds(1024 + 100, 0) == pytest.approx(0.01 * 1024 + 0.02 * 100)


def test_a_machine_that_becomes_slow_is_slow_at_all_depths() -> None:
    pace = Pace()
    pace.learn(64, 0, 0.64)
    pace.learn(64, 1024, 1.28)
    for _ in range(20):
        pace.learn(64, 0, 6.4)
    assert pace.token_ms(0) == pytest.approx(100.0, rel=0.05)
    assert pace.token_ms(1024) == pytest.approx(200.0, rel=0.05)


def test_steps_of_a_few_tokens_say_nothing() -> None:
    pace = Pace(prior_ms=1.0)
    pace.learn(4, 0, 1.0)
    pace.learn(64, 0, 0.0)
    assert pace.token_ms(0) == 1.0
