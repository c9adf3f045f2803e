"""The delay before decoding."""

from __future__ import annotations

import pytest

from lsp_server.core.debounce import decode_delay_ms


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


def test_a_faster_model_never_waits_longer() -> None:
    gaps = [40, 90, 120, 60, 75, 200, 45, 80]
    delays = [decode_delay_ms(gaps, step, b"x") for step in range(1, 120)]
    assert delays == sorted(delays)
