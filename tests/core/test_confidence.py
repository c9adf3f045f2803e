"""How sure a model is of a text, and of its parts."""

from __future__ import annotations

import math

import pytest

from lsp_server.core.confidence import NOTHING_KNOWN, Confidence, solid_length

# "return", " width", " *", " height"
TOKENS = Confidence(((6, math.log(0.9)), (12, math.log(0.3)), (14, math.log(0.8)), (21, math.log(0.6))))


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        pytest.param(0, 21, 0.3, id="all"),
        pytest.param(0, 6, 0.9, id="a beginning"),
        pytest.param(0, 7, 0.3, id="a beginning that ends in a token"),
        pytest.param(12, 21, 0.6, id="the rest"),
        pytest.param(11, 21, 0.3, id="the rest, from the middle of a token"),
        pytest.param(12, 14, 0.8, id="a token"),
        pytest.param(-3, 99, 0.3, id="more than there is"),
        pytest.param(21, 21, 1.0, id="nothing"),
        pytest.param(30, 40, 1.0, id="what nothing is known of"),
    ],
)
def test_the_least_probable_token_decides(start: int, end: int, expected: float) -> None:
    assert TOKENS.between(start, end) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["if a:\n    b = 1", "if a:\r\n\tb = 1", " if a :\n  b=1"])
def test_line_ends_and_indentation_do_not_change_where_a_token_ends(text: str) -> None:
    assert solid_length(text) == len("ifa:\nb=1")


def test_behind_so_many_bytes_of_a_text() -> None:
    known = Confidence(((5, math.log(0.3)), (6, math.log(0.8)), (7, math.log(0.6))))
    assert known.behind("größe = 1", len("größe".encode())) == pytest.approx(0.6)
    assert known.behind("größe = 1", len("größ".encode())) == pytest.approx(0.3)
    assert known.behind("größe = 1", len("größe = ".encode())) == pytest.approx(0.6)
    assert known.behind("größe =", len("größe".encode())) == pytest.approx(0.8)


def test_a_text_that_nothing_is_known_of_is_shown() -> None:
    assert NOTHING_KNOWN.between(0, 10) == 1.0
