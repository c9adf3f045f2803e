"""The hole: what is wanted at a cursor, judged by its line."""

from __future__ import annotations

import pytest

from lsp_server.core.hole import TYPED_LIMIT_BYTES, HoleKind, find_hole
from tests.support.cursor import parse_cursor, show_cursor

LINE, BLOCK = HoleKind.LINE, HoleKind.BLOCK


def check(source: str, kind: HoleKind, indent: int = 0) -> None:
    """The hole at `$0` is of this kind, anchored at the line's start, and ends with the line."""
    document, offset = parse_cursor(source)
    hole = find_hole(document, offset)
    line = document.line_at(offset)
    assert (hole.kind, hole.indent) == (kind, indent)
    assert hole.anchor == document.line_start(line)
    assert (hole.cursor, hole.line_end) == (offset, document.line_end(line))


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\r", "\r\n\r\nmore"])
@pytest.mark.parametrize(
    ("source", "kind", "indent"),
    [
        ("$0", BLOCK, 0),
        ("    $0", BLOCK, 4),
        ("\t  $0", BLOCK, 6),
        ("  $0  ", BLOCK, 2),
        ("return a$0", LINE, 0),
        ("a = f($0)", LINE, 0),
        ("    $0return", LINE, 0),
        ("def f():$0", BLOCK, 1),
        ("    def f():  $0", BLOCK, 5),
        ("  if (x) {$0", BLOCK, 3),
        ("call($0", BLOCK, 1),
        ("x = [$0  ", BLOCK, 1),
        ("() =>$0", BLOCK, 1),
        ("f() ->$0", BLOCK, 1),
        ("if (x) {$0 }", LINE, 0),
        ("x = 語 + '😀' $0", LINE, 0),
    ],
)
def test_the_kind_of_hole(source: str, kind: HoleKind, indent: int, end: str) -> None:
    check("before\n" + source + end, kind, indent)


@pytest.mark.parametrize(("between", "inside"), [("a\r\nb", 2), ("a\r\n", 2)])
def test_a_cursor_between_a_line_end_is_in_front_of_it(between: str, inside: int) -> None:
    document, _ = parse_cursor(between + "$0")
    hole = find_hole(document, inside)
    assert (hole.anchor, hole.cursor, hole.line_end) == (0, 1, 1)


@pytest.mark.parametrize("letter", ["a", "é", "語", "😀"])
def test_a_long_line_is_anchored_inside_itself_and_the_anchor_jumps(letter: str) -> None:
    size = len(letter.encode())
    anchors = []
    for count in range(0, 3000 // size, 7):
        document, offset = parse_cursor(f"first\n{letter * count}$0")
        hole = find_hole(document, offset)
        typed = document.source[hole.anchor : hole.cursor].decode()  # raises inside a character
        assert typed == letter * len(typed)
        assert len(typed.encode()) <= TYPED_LIMIT_BYTES + 3
        anchors.append(hole.anchor)
    assert anchors == sorted(anchors)
    assert anchors[0] == len("first\n")
    assert 4 <= len(set(anchors)) <= 8, "the anchor moves with every key"


def test_a_fixture_without_a_cursor_is_refused() -> None:
    for source in ("no cursor", "two $0 cursors $0"):
        with pytest.raises(ValueError, match=r"one \$0"):
            parse_cursor(source)
    document, offset = parse_cursor("é$0x")
    assert (document.source, offset) == ("éx".encode(), 2)
    assert show_cursor(document, offset) == "é$0x"
