"""Where a completion ends: fixtures in which `$0` is the cursor and `|` the end that must be found."""

from __future__ import annotations

import pytest

from lsp_server.core.hole import find_hole
from lsp_server.core.stopping import find_end, stop_rule
from tests.support.cursor import parse_cursor

DEF = "def f():$0\nnext_line()\n"
BLANK = "def f():\n    $0\n\nnext_line()\n"


def check(source: str, written: str, max_lines: int = 8, language: str = "python") -> None:
    """At `$0`, a model that writes `written` is stopped at its `|`; without one, it may go on.

    It is also never stopped earlier on the way there, and where it is stopped does not depend on how much
    more it would have written.
    """
    document, offset = parse_cursor(source, language_id=language, path="main")
    rule = stop_rule(document, find_hole(document, offset), max_lines)
    text = written.replace("|", "", 1)
    expected = written.find("|") if "|" in written else None
    assert find_end(text, rule) == expected
    for length in range(len(text)):
        assert find_end(text[:length], rule) in (None, expected)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("source", "written"),
    [
        pytest.param("return a$0", " + b", id="line, still going on"),
        pytest.param("return a$0", " + b|\nmore\n", id="line"),
        pytest.param("return a$0", "|\n", id="line, nothing"),
        pytest.param(DEF, "\n    a = 1\n    return a", id="block, still going on"),
        pytest.param(DEF, "\n    a = 1\n    return a|\nb", id="dedent"),
        pytest.param(DEF, "\n    a = 1\n    return a|\nnext_line()\n", id="dedent to the next line"),
        pytest.param(BLANK, "a = 1\n    return a|\n  b", id="dedent below the cursor's own column"),
        pytest.param(BLANK, "a = 1|\n\n    b", id="blank line"),
        pytest.param(BLANK, "a = 1|\n    \n    b", id="line of spaces"),
        pytest.param(DEF, "\n\n    a = 1", id="blank lines at the beginning"),
        pytest.param("$0\n\nnext_line()\n", "a\nb|\nnext_line()\n", id="repeats the next line"),
        pytest.param("$0\nnext_line()\n", "a|\nb\nnext_line()\n", id="one statement, where code goes on below"),
        pytest.param("$0\nnext_line()\n", "f(\n    a,\n)|\nb\n", id="a statement of several lines"),
        pytest.param("$0\nnext_line()\n", "# a\n# b\nc|\nd\n", id="comments belong to the statement below them"),
        pytest.param("$0\nnext_line()\n", "# a\n# b\n", id="a comment is no statement"),
        pytest.param("$0\nnext_line()\n", "a|\n# b\nc\n", id="a comment behind the statement belongs to the next"),
        pytest.param("$0\nnext_line()\n", "if a:\n    b\n\n    c|\nd\n", id="a statement with its block"),
        pytest.param("$0\nnext_line()\n", "if a:\n    b\nelse:\n    c|\nd\n", id="a statement with two blocks"),
        pytest.param("$0\nnext_line()\n", "if (a) {\n    b\n}|\nc\n", id="a statement with a block in braces"),
        pytest.param("$0\nnext_line()\n", "if (a) {\n    b\n} else {\n    c\n}|\nd\n", id="two blocks in braces"),
        pytest.param("$0\nnext_line()\n", "if a:\n    b\nel", id="it may become an else"),
        pytest.param("$0\n    return b\n", "def f():|\n    a = 1\n", id="a header, where its block stands below"),
        pytest.param("$0\n    return b\n", "# a\ndef f():|\n    a = 1\n", id="a header below a comment"),
        pytest.param("def f():\n$0\n    return b\n", "    a = 1|\n    b = 2\n", id="in front of the indentation"),
        pytest.param("def f():\n    $0\nb\n", "a = 1\n    c = 2|\nb\n", id="the block ends below"),
        pytest.param(
            "$0\n\n\nnext_line()\n", "a\nb|\n   next_line()  \n", id="repeats the next line, otherwise spaced"
        ),
        pytest.param("$0\nnext_line()\n", "|next_line()\n", id="repeats the next line at once"),
        pytest.param("$0\nnext_line()\n", "a\nnext_line", id="may become the next line"),
        pytest.param("$0\n}\n", "a\n}\nb", id="a bracket is no repetition"),
        pytest.param("f(\n\t$0\n)", "a\n\tb|\n)", id="tabs"),
    ],
)
def test_the_end(source: str, written: str, newline: str) -> None:
    source, written = source.replace("\n", newline), written.replace("\n", newline)
    if newline == "\r\n":
        written = written.replace("|\r\n", "\r|\n")  # the \r is white space at the end, which shaping removes
    check(source, written)


@pytest.mark.parametrize(
    ("written", "max_lines"),
    [
        ("a|\n", 1),
        ("a\nb|\n", 2),
        ("a\nb|\nc\nd\n", 2),
        ("a\nb\nc", 3),
        ("\na\nb|\nc\n", 2),
    ],
)
def test_the_limit_counts_lines_that_are_not_blank(written: str, max_lines: int) -> None:
    check("$0\n", written, max_lines)


@pytest.mark.parametrize(
    ("source", "next_line"),
    [
        ("a$0", ""),
        ("a$0 b\n", ""),
        ("a$0\nb\nc", "b"),
        ("a$0\r\n\r\n   b  \r\n", "b"),
        ("a$0\n\n\n", ""),
        ("a$0\n" + "語" * 2000, "語" * 666),
    ],
)
def test_the_next_line_is_the_first_that_is_not_blank(source: str, next_line: str) -> None:
    document, offset = parse_cursor(source)
    assert stop_rule(document, find_hole(document, offset), 8).next_line.rstrip("\ufffd") == next_line


@pytest.mark.parametrize("inside", ["\u2028", "\x85", "\x0b", "\x0c", "\x1c"])
@pytest.mark.parametrize("before", ["", "\x0c"])
def test_a_line_with_other_line_ends_in_it_is_known_again(inside: str, before: str) -> None:
    """They are none in an editor, which knows three; in Python they are."""
    line = f"{before}say('a{inside}b')"
    check(f"$0\n\n{line}\n", f"a|\n{line}\nb")
    check(f"$0\n\n{line}\n", f"|{line}\n")
    check(f"{line}\n$0\n", f"|{line}\nb\n")


@pytest.mark.parametrize(
    ("language", "source", "written"),
    [
        ("elixir", "def f(x) do$0\nend\n", "\n  x + 1|\nend\n"),
        ("elixir", "def f(x) do$0\n", "\n  x + 1\nend|\n\ndef g"),
        ("elixir", "def f(x) do\n  $0\nend\n", "y = x\n  y + 1|\nend\n"),
        ("elixir", "Enum.map(x, fn a ->$0\nend)\n", "\n  a + 1|\nend)\n"),
        ("julia", "function f(x)$0\nend\n", "\n    x + 1|\nend\n"),
        ("fortran", "do i = 1, n$0\nend do\n", "\n  x = i|\nend do\n"),
        ("ocaml", "while a do$0\ndone\n", "\n  f ()|\ndone\n"),
        ("crystal", "x.each do |a|$0\nend\n", "\n  p(a)|\nend\n"),
        ("fish", "for x in a$0\nend\n", "\n    echo|\nend\n"),
        ("vim", "if a$0\nendif\n", "\n  call F()|\nendif\n"),
        ("nothing-known", "loop do$0\nend\n", "\n  a()\n  b()|\nend\n"),
        ("nothing-known", "if a then$0\nendif\n", "\n  a()|\nendif\n"),
    ],
)
def test_what_is_between_words_is_a_block_without_a_grammar_too(language: str, source: str, written: str) -> None:
    check(source, written, language=language)


IMPORT = "from shop import $0\n\nnext_line()\n"


@pytest.mark.parametrize(
    ("language", "source", "written"),
    [
        ("python", "x = inventory$0\n", "_cost_tax|_tax_tax"),
        ("python", "x = inventory_tax_tax$0\n", "|_tax"),
        ("python", "x = $0\n", "a + get_old_tax|_old_tax_old_tax"),
        ("java", "x = $0\n", "newTax|TaxTax"),
        ("python", "x = $0\n", "test|testtest"),
        ("python", "x = $0\n", "a.next.next.next"),
        ("python", "x = $0\n", "a_tax + b_tax + c_tax"),
        ("python", "x = $0\n", "[0, 0, 0, 0], [None, None, None, None]"),
        ("python", "x = $0\n", "inventory_cost, |inventory_cost, inventory_cost, "),
        ("python", IMPORT, "cost, price|, cost,"),
        ("python", IMPORT, "cost, cost_tax|, cost_tax_tax,"),
        ("python", IMPORT, "cost, cost_tax, cost as c"),
        ("python", "from shop import cost, $0\n", "price|, cost\n"),
        ("python", "import os, $0\n", "re|, os\n"),
        ("typescript", "import { $0\n", "cost, price|, cost }"),
        ("rust", "use shop::{$0\n", "cost, price|, cost}"),
        ("python", "def f():\n    $0\n", "assert a == 1\n    assert b == 2|\n    assert a == 1\n"),
        ("python", "def f():\n    $0\n", "self.assertEqual(a, 1)|\n    self.assertEqual(a, 1)\n"),
        ("python", "def f():\n    $0\n", "assert a == 1\n    g()\n    assert a == 1\n    h()"),
        ("python", "$0\n", "import os\nimport re|\nimport os\n"),
        ("c", "$0\n", "#include <a.h>\n#include <b.h>|\n#include <a.h>\n"),
        ("python", "def f():\n    $0\n", "next(a)\n    next(a)\n    b"),
    ],
)
def test_it_ends_where_it_begins_to_go_round(language: str, source: str, written: str) -> None:
    check(source, written, language=language)
