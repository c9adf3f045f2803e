"""How a line may begin, so that it fits into Python's blocks."""

from __future__ import annotations

import ast
import itertools

import pytest

from lsp_server.core.hole import find_hole
from lsp_server.core.languages import find_language
from lsp_server.core.opening import Opening, opening_at
from tests.support.cursor import parse_cursor


def opening(source: str, path: str = "m.py") -> Opening | None:
    document, offset = parse_cursor(source, path=path)
    return opening_at(document, find_hole(document, offset), find_language("", path))


def fits(source: str, line: str) -> bool:
    """Whether a model that writes `line` at the cursor is let through, token by token."""
    found = opening(source)
    if found is None:
        return True
    white = len(line) - len(line.lstrip())
    ends = [white, *range(white + 1, len(line) + 1)]
    return all(found.allows(line[:end]) or found.is_settled(line[: end - 1]) for end in ends if end)


@pytest.mark.parametrize(
    ("source", "right", "wrong"),
    [
        ("def f(x):\n$0\n", ["    return x"], ["return x", "        return x"]),
        ("def f(x):\n    y = x\n$0\n", ["    return y", "def g():"], ["        return y", "  return y"]),
        (
            "def f(x):\n    y = 1\n$0\n        return y\n    return 2\n",
            ["    if x:", "    for a in x:"],
            ["    return 1", "    y = 2", "        if x:", "    iffy = 1", "    if x: return 1"],
        ),
        (
            "def f(x):\n    for a in x:\n$0\n            return a\n",
            ["        if a:"],
            ["        return a", "    if a:", "                if a:", "            b = a"],
        ),
        (
            "def f(x):\n    if x:\n        return 1\n$0\n        return 2\n",
            ["    else:", "    elif x:", "        y = 2"],
            ["    y = 2", "    return 2"],
        ),
        # A docstring has no other below it.
        ('def f(x):\n    """It."""\n$0\n', ["    return 'it'"], ['    """It."""', "    'it'"]),
        ("x = 1\n'''One\nnumber.'''\n$0\n", ["y = '1'"], ['"""It."""']),
        ("def f(x):\n    x = 'a'\n$0\n", ["    'it'.join(x)"], []),
        # Code that returns is a function's, and no block of the module's.
        (
            "def f(x):\n    y = 1\n$0\n    for a in x:\n        return y\n",
            ["    y = 2", "def g(x):", "async def g(x):"],
            ["if __name__ == '__main__':", "for a in x:", "class A:"],
        ),
        ("y = 1\n$0\n    y = 2\n", ["if y:", "for a in y:"], ["y = 3"]),
        ("y = 1\n$0\n    def f(self):\n        return 2\n", ["class A:", "if y:"], ["y = 3"]),
        ("def f(x):\n    $0\n", ["return x"], ["    return x"]),
        (
            "class A:\n    def f(self):\n        return 1\n\n$0\n",
            ["    def g(self):", "        x = 1", "x = 1"],
            ["  x"],
        ),
        ("if a:\n\t$0\n", ["x = 1"], ["\tx = 1"]),
        ("x = {\n    'a': 1,\n}\n$0\n", ["y = 2"], ["    y = 2"]),
        ("def f():\n    x = g(1,\n          2)\n$0\n", ["    y = 2"], ["          y = 2", "      y = 2"]),
        ("def f():  # why: so\n$0\n", ["    return 1"], ["return 1"]),
        ("x = 1  # note:\n$0\ny = 2\n", ["z = 3"], ["    z = 3"]),
    ],
)
def test_a_line_fits_its_block(source: str, right: list[str], wrong: list[str]) -> None:
    assert [line for line in right if not fits(source, line)] == []
    assert [line for line in wrong if fits(source, line)] == []


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("x = f(\n$0\n    2)\n", id="inside brackets"),
        pytest.param('x = """\n$0\n"""\n', id="inside a string"),
        pytest.param("x = 1 + \\\n$0\n", id="a line that goes on"),
        pytest.param("def f():\n    x = $0\n", id="behind code"),
        pytest.param("$0\n", id="an empty file"),
        pytest.param("    y = 1\n$0\n", id="no margin in sight"),
    ],
)
def test_where_the_lines_do_not_tell_anything_may_stand(source: str) -> None:
    assert opening(source) is None


def test_other_languages_say_it_with_brackets() -> None:
    assert opening("function f() {\n$0\n}\n", "m.js") is None


@pytest.mark.parametrize(
    ("text", "may_end"),
    [("", False), ("    if x:", True), ("    if x", False), ("        y = 2", True), ("    if x[1:2]", False)],
)
def test_a_header_ends_with_its_colon(text: str, may_end: bool) -> None:
    found = opening("def f(x):\n    for a in x:\n        y = 1\n$0\n        return y\n")
    assert found is not None
    assert found.may_end(text) == (may_end or text == "")
    found = opening("def f(x):\n    y = 1\n$0\n        return y\n")
    assert found is not None
    assert found.may_end(text) == (may_end and "if" in text)


def test_indentation_is_written_at_once() -> None:
    """Else a model is led into a place from which no likely word fits."""
    found = opening("def f(x):\n    for a in x:\n$0\n")
    assert found is not None
    assert [found.allows(" " * count) for count in (3, 4, 7, 8, 9)] == [False, False, True, True, False]


def test_blank_lines_come_first_only_at_the_margin() -> None:
    assert fits("def f(x):\n    return x\n$0\n", "\n")
    assert not fits("def f(x):\n    if x:\n$0\n    return x\n", "\n")


def test_no_line_is_refused_that_python_takes_and_none_let_through_that_breaks_the_indentation() -> None:
    """All programs of a few lines: the compiler's own word on each line at each indentation."""
    lines = ["if a:", "b = 1"]
    for shape in itertools.product(range(3), repeat=2):
        for texts in itertools.product(lines, repeat=2):
            above = "".join(f"{'    ' * depth}{text}\n" for depth, text in zip(shape, texts, strict=True))
            if shape[1] > shape[0] + 1 or not _compiles(
                above + "    " * (shape[1] + texts[1].startswith("if")) + "pass\n"
            ):
                continue
            for depth, text in itertools.product(range(4), lines):
                line = "    " * depth + text
                if depth > shape[1] + 1:
                    continue  # Python takes it, but it is not a step of the file's
                body = "    " * (depth + 1) + "pass\n" if text.startswith("if") else ""
                assert fits(f"{above}$0\n", line) == _compiles(f"{above}{line}\n{body}"), (above, line)


def _compiles(source: str) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


def test_a_header_needs_a_line_in_its_block() -> None:
    found = opening("def f(x):\n    if x:\n        $0\n    return x\n")
    assert found is not None
    assert found.body
    assert not found.may_end("")
    assert not found.allows("\n")
    assert found.allows("y = 1")
    found = opening("def f(x):\n    y = 1\n    $0\n    return x\n")
    assert found is not None
    assert found.may_end("")
