"""What is done with a large text takes no more than in proportion to its size, counted in lines of Python."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lsp_server.core import outline
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.edits import Replacement, applied, minimal_edits
from lsp_server.core.hole import find_hole
from lsp_server.core.languages import find_language
from lsp_server.core.stopping import stop_rule
from lsp_server.core.syntax import window_at
from lsp_server.features.actions.offers import subject_at
from tests.support.lines import lines_run

PYTHON, JAVASCRIPT = find_language("python", "m.py"), find_language("javascript", "m.js")


def names_of_a_list(count: int) -> object:
    names = ",\n".join(f"name_{number}" for number in range(count))
    return outline.names_in(PYTHON, f"all_of_them = [\n{names}\n]\n".encode())


def names_in_brackets(count: int) -> object:
    return outline.names_in(JAVASCRIPT, f"var x = {'[a,' * count}b{']' * count};".encode())


def everything_selected(count: int) -> object:
    source = "".join(f"def part_{number}():\n    pass\n" for number in range(count)).encode()
    return subject_at(DocumentSnapshot.of("file:///w/m.py", source, path="m.py"), 0, len(source))


@pytest.mark.parametrize("work", [names_of_a_list, names_in_brackets, everything_selected])
def test_four_times_the_text_takes_four_times_the_work(work: Callable[[int], object]) -> None:
    work(10)  # loads the grammar
    small, large = (lines_run(lambda count=count: work(count)) for count in (100, 400))
    assert 3 * small < large < 5 * small


def among_blank_lines(document: DocumentSnapshot) -> object:
    line = document.line_count // 2
    return window_at(document, line), window_at(document, line, 24 << 10)


def rule_among_blank_lines(document: DocumentSnapshot) -> object:
    return stop_rule(document, find_hole(document, len(document.source) // 2), 20)


@pytest.mark.parametrize("work", [among_blank_lines, rule_among_blank_lines])
def test_a_key_takes_no_more_in_a_larger_file(work: Callable[[DocumentSnapshot], object]) -> None:
    """Not even in one that is blank as far as one can see."""
    small, large = (
        lines_run(lambda document=document: work(document))
        for size in (50_000, 200_000)
        for document in [DocumentSnapshot.of("file:///w/m.py", b"def f():\n" + b"\n" * size + b"    x", path="m.py")]
    )
    assert large < 1.1 * small


def test_a_diff_of_many_equal_lines_is_one_edit() -> None:
    """The best takes their number to the third power: 16 s for 1,400 of them."""
    old, new = b"    x,\n" * 400, b"    x,\n    y,\n" * 300
    edits: list[Replacement] = []
    assert lines_run(lambda: edits.extend(minimal_edits(old, new))) < 20_000
    assert applied(old, edits) == new
    small = minimal_edits(old, old[:2100] + b"    y,\n" + old[2100:])
    assert [(edit.end - edit.start, edit.text) for edit in small] == [(0, b"    y,\n")]
