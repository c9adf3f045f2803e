"""The delay before decoding."""

from __future__ import annotations

import pytest

from lsp_server.core.debounce import USEFUL_TOKENS_IN_COMMENTS, decode_delay_ms


@pytest.mark.parametrize(
    ("gaps", "step_ms", "typed", "expected"),
    [
        ([], 30, b"a", 0),
        ([50, 50, 50], 30, b"a", 0),
        ([50] * 8, 30, b"a", 50),
        ([50] * 8, 10, b"a", 0),
        ([50] * 8, 30, b"\n", 0),
        ([50] * 8, 30, b"\n    ", 0),
        ([50] * 8, 30, b".", 0),
        ([50] * 8, 30, b"(", 0),
        ([50] * 8, 30, b" ", 0),
        ([50] * 8, 30, b"", 0),
        ([120] * 4 + [50] * 4, 30, b"a", 0),
        ([70] * 8, 300, b"a", 70),
        ([200] * 8, 300, b"a", 80),
        ([5000] * 8, 30, b"a", 0),
        ([5000] * 4 + [50] * 4, 30, b"a", 50),
    ],
)
def test_delay(gaps: list[float], step_ms: float, typed: bytes, expected: float) -> None:
    assert decode_delay_ms(gaps, step_ms, typed) == pytest.approx(expected)


def test_in_a_comment_one_token_is_worth_showing() -> None:
    """It is the rest of a word, and one that the model is not sure of is not decoded."""
    assert decode_delay_ms([50] * 8, 30, b"a") == pytest.approx(50)
    assert decode_delay_ms([50] * 8, 30, b"a", USEFUL_TOKENS_IN_COMMENTS) == 0
    assert decode_delay_ms([50] * 8, 60, b"a", USEFUL_TOKENS_IN_COMMENTS) == pytest.approx(50)


def test_a_faster_model_never_waits_longer() -> None:
    gaps = [40, 90, 120, 60, 75, 200, 45, 80]
    delays = [decode_delay_ms(gaps, step, b"x") for step in range(1, 120)]
    assert delays == sorted(delays)
