"""What code actions ask of a whole file: what it defines, what a part of it names and calls, and where it is broken."""

from __future__ import annotations

import pytest

from lsp_server.core.languages import find_language
from lsp_server.core.outline import broken_at, called_in, definitions, names_in, nodes_in, root_of
from lsp_server.core.syntax import error_spans

PYTHON = find_language("python")


def test_deep_nesting_is_data() -> None:
    """A walk to each definition's parents would take the square of the depth."""
    language = find_language("javascript")
    source = b"function f(){" * 1000 + b"}" * 1000 + b"function last(){}"
    found = definitions(language, source)
    assert found[-1].name == "last"
    assert 50 < len(found) < 200


@pytest.mark.parametrize(
    ("source", "broken", "all_errors"),
    [
        (b"a = 1\n", [], 0),
        (b"def f(:\n  return )\n(", [(6, 6), (10, 18), (19, 20)], 3),
        (b"{ ) ( } x y", [(0, 11)], 3),
        (b"if a:\n    print(')')return c\nd = 1\n", [(20, 20)], 1),  # a line end is missing
    ],
)
def test_errors_inside_others_count_for_a_suggestion_only(
    source: bytes, broken: list[tuple[int, int]], all_errors: int
) -> None:
    root = root_of(PYTHON, source)
    assert root is not None
    assert broken_at(PYTHON, source) == broken
    assert len(error_spans(root)) == all_errors


def test_what_stands_in_a_part() -> None:
    """Nodes that only touch the part are not in it."""
    source = b"first(a)\nsecond(b, c.d())\nthird = e\n"
    start, end = source.index(b"second"), source.index(b"third")
    assert called_in(PYTHON, source, start, end) == ["second", "d"]
    assert names_in(PYTHON, source, start, end) == ({"second", "b", "c"}, set())
    assert names_in(PYTHON, source, end) == ({"e"}, {"third"})
    kinds = {node.type for node in nodes_in(PYTHON, source, start, end - 1)}
    assert kinds >= {"call", "attribute", "argument_list"}
    assert "assignment" not in kinds
