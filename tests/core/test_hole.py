"""The hole: what is wanted at a cursor. One fixture per rule of the table and family of languages."""

from __future__ import annotations

import pytest

from lsp_server.core.hole import RULES, TYPED_LIMIT_BYTES, HoleKind, find_hole, for_explicit_request, refined
from tests.support.cursor import parse_cursor, show_cursor

NONE, EXPRESSION, LINE, BLOCK = HoleKind.NONE, HoleKind.EXPRESSION, HoleKind.LINE, HoleKind.BLOCK
PROSE = HoleKind.PROSE


def check(source: str, language_id: str, kind: HoleKind, indent: int = 0, *, by_tree: bool = False) -> None:
    """The hole at `$0` is of this kind, anchored at the line's start, and ends with the line."""
    document, offset = parse_cursor(source, language_id=language_id, path="")
    hole = find_hole(document, offset)
    if by_tree:
        hole = refined(document, hole)
    line = document.line_at(offset)
    assert (hole.kind, hole.indent) == (kind, indent)
    assert hole.anchor == document.line_start(line)
    assert (hole.cursor, hole.line_end) == (offset, document.line_end(line))
    assert bool(hole.reason) == (kind is NONE)


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\r", "\r\n\r\nmore"])
@pytest.mark.parametrize(
    ("source", "kind", "indent"),
    [
        ("$0", BLOCK, 0),
        ("    $0", BLOCK, 4),
        ("\t  $0", BLOCK, 6),
        ("  $0  ", BLOCK, 2),
        ("return a$0", LINE, 0),
        ("a = f($0)", EXPRESSION, 0),
        ("    $0return", LINE, 0),
        ("re$0turn", NONE, 0),
        ("def f():$0", BLOCK, 1),
        ("    def f():  $0", BLOCK, 5),
        ("  if (x) {$0", BLOCK, 3),
        ("call($0", BLOCK, 1),
        ("x = [$0  ", BLOCK, 1),
        ("x[1:$0", LINE, 0),
        ("x: int$0", LINE, 0),
        ("x:$0", LINE, 0),
        ("if (x) {$0 }", EXPRESSION, 0),
        ("x = 語 + '😀' $0", LINE, 0),
    ],
)
def test_the_kind_of_hole_by_its_line(source: str, kind: HoleKind, indent: int, end: str) -> None:
    check("before\n" + source + end, "python", kind, indent)


# For each rule, at least one place in Python, in a language with braces, and in one that closes by words.
PLACES = {
    "the cursor is inside a name": [
        ("python", "na$0me = 1\n", NONE, 0),
        ("go", "func ma$0in() {}\n", NONE, 0),
        ("ruby", "na$0me = 1\n", NONE, 0),
        ("html", "<p>wo$0rd</p>\n", NONE, 0),
        ("python", "'na$0me'\n", NONE, 0),
    ],
    "a comment announces code": [
        ("python", "def f():\n    # Then sort them:$0\n", BLOCK, 4),
        ("javascript", "f();\n// Then sort them:$0\n", BLOCK, 0),
        ("lua", "-- Then sort them:$0\n", BLOCK, 0),
    ],
    "the comment asks to be continued": [
        ("python", "x = 1  # TODO$0\n", PROSE, 0),
        ("python", 'def f():\n    """$0"""\n', PROSE, 0),
        ("java", "int x = 1; // TODO: $0\n", PROSE, 0),
        ("java", "/**$0\n */\nclass A {}\n", PROSE, 0),
        ("bash", "# uses (one, $0\n", PROSE, 0),
    ],
    "the comment may go on": [
        ("python", "# words$0\nx = 1\n", PROSE, 0),
        ("python", "x = 1  # words $0\n", PROSE, 0),
        ("python", '"""\nwords\n$0\n"""\n', PROSE, 0),
        ("python", 'def f():\n    """Words $0"""\n', PROSE, 0),
        ("python", 'def f():\n    """Words $0\n    return 1\n', PROSE, 0),
        ("rust", "// words$0\nfn f() {}\n", PROSE, 0),
        ("rust", "/// words$0\nfn f() {}\n", PROSE, 0),
        ("c", "/* words\n * $0\n */\nint x;\n", PROSE, 0),
        ("c", "/* words $0 */ int x;\n", PROSE, 0),
        ("php", "<?php\n# words$0\n$x = 1;\n", PROSE, 0),
        ("ruby", "# words$0\nx = 1\n", PROSE, 0),
        ("html", "<!-- words $0 -->\n", PROSE, 0),
        ("svelte", "<!-- words $0 -->\n<p>more</p>\n", PROSE, 0),
        ("svelte", "<script>\n  // words $0\n</script>\n", PROSE, 0),
        ("elixir", "  # words$0\n", PROSE, 0),
        ("haskell", "{- words\n   more $0\n-}\nx = 1\n", PROSE, 0),
    ],
    "the cursor is inside a comment": [
        ("python", "x = 1  # words $0 more\n", NONE, 0),
        ("python", "# uses (one, $0 and more\n", NONE, 0),
        ("rust", "// words $0 more\nfn f() {}\n", NONE, 0),
        ("c", "/* words $0 more */\n", NONE, 0),
        ("c", "int x; /$0/ words\n", NONE, 0),
        ("svelte", "<!-- words $0 more -->\n", NONE, 0),
    ],
    "the string asks to be continued": [
        ("python", 'x = """$0"""\n', LINE, 0),
        ("python", 'print("total: $0")\n', LINE, 0),
        ("typescript", "log('total: $0');\n", LINE, 0),
        ("ruby", "puts 'total: $0'\n", LINE, 0),
    ],
    "the cursor is inside a string": [
        ("python", 'print("words$0")\n', NONE, 0),
        ("python", 'print("words$0\n', NONE, 0),
        ("python", 'x = """\nwords\n$0\n"""\n', NONE, 0),
        ("python", 'x = 1\n"""words"""; "more$0"\n', NONE, 0),
        ("javascript", "f(`a ${b} c$0`);\n", NONE, 0),
        ("go", 'x := "words $0"\n', NONE, 0),
        ("ruby", 'puts "words $0"\n', NONE, 0),
    ],
    "a bracket is closed behind the cursor": [
        ("python", "f($0)\n", EXPRESSION, 0),
        ("python", 'f"{x$0}"\n', EXPRESSION, 0),
        ("javascript", "f(`a ${b.$0}`);\n", EXPRESSION, 0),
        ("csharp", "class A { int x = f($0); }\n", EXPRESSION, 0),
        ("lua", "f($0)\n", EXPRESSION, 0),
        ("css", "a { width: calc($0); }\n", EXPRESSION, 0),
    ],
    "text stands behind the cursor": [
        ("python", "x = $0 + 1\n", LINE, 0),
        ("kotlin", "val x = $0 + 1\n", LINE, 0),
        ("bash", "cat $0 | sort\n", LINE, 0),
    ],
    "the line is blank": [
        ("python", "def f():\n    # Sort them.\n    $0\n", BLOCK, 4),
        ("python", "def f():\n    a = 1\n    $0\n    return a\n", BLOCK, 4),
        ("swift", "func f() {\n    $0\n}\n", BLOCK, 4),
        ("ruby", "def f\n  $0\nend\n", BLOCK, 2),
        ("yaml", "a:\n  b: 1\n  $0\n", BLOCK, 2),
        ("json", '{\n  "a": 1,\n  $0\n}\n', BLOCK, 2),
        ("markdown", "# Title\n\n$0\n", BLOCK, 0),
        ("markdown", "```python\ndef f():\n    $0\n```\n", BLOCK, 4),
        ("html", "<script>\nfunction f() {\n  $0\n}\n</script>\n", BLOCK, 2),
        ("html", "<style>\np {\n  $0\n}\n</style>\n", BLOCK, 2),
        ("php", "<ul>\n  $0\n</ul>\n<?php f();\n", BLOCK, 2),
    ],
    "the line opens a block": [
        ("python", "class A:\n    def f(self):$0\n", BLOCK, 5),
        ("python", "for x in [1:2]:$0\n", BLOCK, 1),
        ("php", "<?php\nif ($x) {$0\n", BLOCK, 1),
        ("scala", "def f(x: Int) =$0\n", BLOCK, 1),
        ("typescript", "items.map((item) =>$0\n", BLOCK, 1),
        ("lua", "if x then$0\n", BLOCK, 1),
        ("ruby", "items.each do |item|$0\n", BLOCK, 1),
        ("sql", "CREATE TABLE a ($0\n", BLOCK, 1),
        ("toml", "[tool.a]$0\n", BLOCK, 1),
        ("html", "<ul>$0\n", BLOCK, 1),
    ],
    "the line goes on": [
        ("python", "return a$0\n", LINE, 0),
        ("python", "x = {'a':$0\n", LINE, 0),
        ("c", "p->$0\n", LINE, 0),
        ("java", "return a$0\n", LINE, 0),
        ("bash", "cat $0\n", LINE, 0),
        ("markdown", "Some words$0\n", LINE, 0),
        ("markdown", "```python\nx = 'a' + $0\n```\n", LINE, 0),
        ("html", "<script>\nlet x = 'a' + $0\n</script>\n", LINE, 0),
    ],
}


@pytest.mark.parametrize(
    ("rule", "language_id", "source", "kind", "indent"),
    [pytest.param(rule, *place, id=f"{rule}-{place[0]}") for rule, places in PLACES.items() for place in places],
)
def test_the_table(rule: str, language_id: str, source: str, kind: HoleKind, indent: int) -> None:
    check(source, language_id, kind, indent, by_tree=True)
    assert next(r for r in RULES if r.name == rule).kind is kind


def test_every_rule_has_its_places() -> None:
    assert set(PLACES) == {rule.name for rule in RULES}


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("# words$0\n", PROSE),
        ("# words $0 more\n", LINE),
        ("x = 'words$0'\n", LINE),
        ("na$0me\n", NONE),
        ("f($0)\n", EXPRESSION),
    ],
)
def test_who_asks_gets_an_answer_in_strings_and_comments(source: str, kind: HoleKind) -> None:
    document, offset = parse_cursor(source)
    hole = for_explicit_request(refined(document, find_hole(document, offset)))
    assert (hole.kind, bool(hole.reason)) == (kind, kind is NONE)


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
