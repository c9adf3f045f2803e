"""`bench context`: holes are what they say, and one is measured against the other in pairs."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.context import LineScore, line_holes, prompt_with, sources, summarise
from lsp_server.core.fim_formats import PREFIX_ONLY

LIBRARY = Path(__file__).parents[2] / "lsp_server" / "core"


def test_a_hole_is_the_end_of_a_line_and_the_file_without_it_is_given() -> None:
    holes = line_holes(LIBRARY, 30, seed=3)
    whole = {document.uri: document.source for document in sources(LIBRARY)}
    assert [hole.expected for hole in holes] == [hole.expected for hole in line_holes(LIBRARY, 30, seed=3)]
    assert [hole.expected for hole in holes] != [hole.expected for hole in line_holes(LIBRARY, 30, seed=4)]
    for hole in holes:
        document = hole.document
        assert document.edited(hole.cursor, hole.cursor, hole.expected.encode()).source == whole[document.uri]
        assert document.line_end(document.line_at(hole.cursor)) == hole.cursor
        assert len(hole.buffers) == 8
        assert document.uri not in {buffer.uri for buffer in hole.buffers}


def test_what_the_file_imports_counts_as_open() -> None:
    hole = next(hole for hole in line_holes(LIBRARY, 400) if hole.document.path == "core/anchor.py")
    assert {"core/document.py", "core/fim_formats.py", "core/hole.py"} <= {buffer.path for buffer in hole.buffers}
    alone, beside = (prompt_with(hole, PREFIX_ONLY, 2560, tokens) for tokens in (0, 384))
    assert not alone.text("context")
    assert 300 < len(beside.text("context")) <= 3 * 384


def test_a_folder_without_sources_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("x = 1\n" * 200)
    with pytest.raises(ValueError, match="fewer than two"):
        line_holes(tmp_path, 1)
    (tmp_path / "two.py").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="fewer than two"):
        line_holes(tmp_path, 1)


def test_a_summary_compares_hole_by_hole() -> None:
    similarity = {0: [0.5, 0.5, 1.0], 300: [0.4, 1.0, 1.0]}
    scores = [
        LineScore(
            f"a.py:{index}", tokens, "x", "y", similarity[tokens][index] == 1.0, similarity[tokens][index], 100, 0
        )
        for index in range(3)
        for tokens in (0, 300)
    ]
    first, second = summarise(scores)
    assert (first["better"], first["worse"], first["exact"]) == (0, 0, 0.333)
    assert (second["better"], second["worse"], second["exact"], second["similarity"]) == (1, 1, 0.667, 0.8)
