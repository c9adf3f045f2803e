"""Trees of whole files: what is read from them frees what it takes, and takes no more than in proportion."""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lsp_server.core import outline, parsing, shape, syntax
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import find_hole, for_explicit_request, refined
from lsp_server.core.languages import find_language
from lsp_server.core.parsing import parse
from lsp_server.core.pieces import pieces_of
from lsp_server.core.stopping import stop_rule
from lsp_server.core.syntax import WINDOW_BYTES, raises_errors, text_of, view_of
from tests.support.cursor import parse_cursor

PYTHON = find_language("python", "m.py")
PART = "class Box{n}(Base):\n    def size_{n}(self, width, height):\n        return area(width) * height\n\n"
SOURCE = "".join(PART.replace("{n}", str(number)) for number in range(2000)).encode()

READERS: dict[str, Callable[[bytes], object]] = {
    "definitions": lambda source: outline.definitions(PYTHON, source),
    "names": lambda source: outline.names_in(PYTHON, source),
    "calls": lambda source: outline.called_in(PYTHON, source, 0, len(source)),
    "leaves": lambda source: outline.leaves_in(PYTHON, source, 0, len(source)),
    "pieces": lambda source: pieces_of(DocumentSnapshot.of("file:///w/m.py", source, path="m.py")),
}


class Counted:
    """A parser that counts how much of a text is asked for, while it parses and when its tree is read."""

    def __init__(self, parser: Any) -> None:
        self._parser, self.given = parser, 0

    def parse(self, read: Callable[[int, object], bytes], **options: Any) -> Any:
        def counted(offset: int, point: object) -> bytes:
            part = read(offset, point)
            self.given += len(part)
            return part

        return self._parser.parse(counted, **options)


@pytest.mark.parametrize("name", READERS)
def test_what_reads_a_tree_takes_no_more_than_in_proportion(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is read once, not once for each of its names, and of a tree that was read no node is left."""
    outline._tree_of.cache_clear()
    outline.definitions.cache_clear()
    counted = Counted(parsing.parser_of(PYTHON))
    monkeypatch.setattr(parsing, "parser_of", lambda language: counted)
    tracemalloc.start()
    try:
        assert READERS[name](SOURCE)
        outline.definitions.cache_clear()
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(SOURCE) <= counted.given < 2 * len(SOURCE)
    assert kept < 50 * len(SOURCE)  # the tree, of 33 times the text, is kept


@pytest.mark.parametrize("most_steps", [5, 100_000], ids=["given up", "whole"])
def test_a_parse_keeps_nothing_of_its_text(most_steps: int) -> None:
    source = SOURCE[:100_000]
    parse(PYTHON, source, most_steps)
    tracemalloc.start()
    try:
        for _ in range(10):
            parse(PYTHON, source, most_steps)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < len(source) // 10


def test_parses_at_the_same_time_read_their_own_texts() -> None:
    sources = [b"name_%s = 1\n" % (b"x" * number) * 8_000 for number in range(4)]
    with ThreadPoolExecutor(4) as threads:
        trees = list(threads.map(lambda source: parse(PYTHON, source, 10**6)[0], sources))
    for source, tree in zip(sources, trees, strict=True):
        assert tree is not None
        assert not tree.root_node.has_error
        assert tree.root_node.child_count == 8_000
        assert tree.root_node.end_byte == len(source)


def test_text_of_a_node() -> None:
    source = "größe = 'é'\n".encode()
    tree, _ = parse(PYTHON, source)
    assert tree is not None
    stack, texts = [tree.root_node], []
    while stack:
        node = stack.pop()
        texts.append(text_of(node, source).decode())
        stack.extend(node.children)
    assert {"größe", "=", "'é'", "é"} <= set(texts)


@pytest.mark.parametrize("deep", [b"- " * 400, b"".join(b" " * level + b"a:\n" for level in range(400)), b"? " * 400])
def test_what_its_grammar_crashes_on_is_not_parsed(deep: bytes) -> None:
    """In a process of its own, which a parse would end."""
    read = (
        "import sys; from lsp_server.core.syntax import parse; from lsp_server.core.languages import find_language; "
        "print(parse(find_language('yaml'), sys.stdin.buffer.read())[0] is None)"
    )
    for source, is_given_up in ((deep, b"True"), (b"a:\n- b: 1\n", b"False")):
        done = subprocess.run([sys.executable, "-c", read], input=source, capture_output=True, check=False)
        assert (done.returncode, done.stdout.strip()) == (0, is_given_up)


LINE = "print('A line of ordinary code, which has more letters than tokens.')\n"


def opened(around: str, line: str) -> tuple[DocumentSnapshot, int, int]:
    """A document with a window's size of lines on either side of `line`: with its number, and where that ends."""
    half = around * (WINDOW_BYTES // len(around))
    document = DocumentSnapshot.of("file:///w/m.py", f"{half}{line}\n{half}".encode(), path="m.py")
    number = half.count("\n")
    return document, number, document.line_end(number)


@pytest.mark.parametrize(
    ("around", "text", "raised"),
    [
        (LINE, b"area(2)", False),
        (LINE, b"area(2", True),
        (LINE * 30 + "height = = 2\n", b"area(2)", False),
        ("width = = 1\n", b"area(2)", True),  # among so many errors nobody can tell
    ],
)
def test_errors_in_a_wider_window(around: str, text: bytes, raised: bool) -> None:
    document, line, end = opened(around, "total = ")
    assert raises_errors(document, line, end, end, text) is raised


def test_among_errors_without_end_no_wider_window_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    document, line, end = opened("width = = 1\n", "total = ")
    assert len(view_of(document, line).errors) > 64
    monkeypatch.setattr(syntax, "parse", lambda *_: pytest.fail("another parse"))
    assert raises_errors(document, line, end, end, b"area(2)")


@pytest.mark.parametrize("raised", [False, True])
def test_what_brings_errors_into_a_wider_window_is_not_shown(raised: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    document, _, end = opened(LINE * 30 + "height = = 2\n", "total = ")
    monkeypatch.setattr(shape, "raises_errors", lambda *_: raised)
    hole = for_explicit_request(refined(document, find_hole(document, end)))
    shown = shape.shape("area(2)", document, hole, stop_rule(document, hole, 8))
    assert (shown is None) is raised


@pytest.mark.parametrize("functions", [20, 1000])
@pytest.mark.parametrize("begun", [False, True])
def test_a_condition_that_begins_far_above_is_not_ended_by_another(begun: bool, functions: int) -> None:
    """In the window its `#endif` seems to end what is written; only the whole file tells that it does not."""
    function = "int f(int width)\n{\n    return width;\n}\n\n"
    above, below = function * functions, function * 10
    source = ("#ifdef WIDE\n" if begun else "") + f"{above}$0\n\n{below}#endif\n\n{below}"
    document, end = parse_cursor(source, path="a.c", language_id="c")
    hole = for_explicit_request(refined(document, find_hole(document, end)))
    shown = shape.shape("#ifndef OTHER", document, hole, stop_rule(document, hole, 8))
    assert (shown is not None) == (not begun)
