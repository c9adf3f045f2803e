"""`bench project`: its holes are uses of what another file defines, and it tells where the index finds that."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.project import NameHole, measure, name_holes, summarise

SHAPES = "class Circle:\n    def area(self):\n        return 3\n\n\ndef unit_square():\n    return 1\n"
MAIN = '''from shapes import Circle, unit_square


def total(values):
    """Circle is a word here."""
    number = len(values) + unit_square()
    return number  # Circle
'''


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "shapes.py").write_text(SHAPES)
    (tmp_path / "main.py").write_text(MAIN)
    return tmp_path


def of_kind(holes: list[NameHole], kind: str) -> list[NameHole]:
    return [hole for hole in holes if hole.kind == kind]


def test_a_hole_is_a_use_of_what_another_file_defines(repository: Path) -> None:
    (hole,) = of_kind(name_holes(repository, 5, seed=1), "definition")
    assert (hole.name, hole.path, hole.document.path) == ("unit_square", "shapes.py", "main.py")
    line = hole.document.line_at(hole.cursor)
    assert hole.document.line(line) == b"    number = len(values) + "


def test_a_name_that_two_files_define_is_none(repository: Path) -> None:
    (repository / "other.py").write_text("def unit_square(): ...\n")
    assert of_kind(name_holes(repository, 5, seed=1), "definition") == []


def test_a_block_of_rust_that_adds_to_a_type_does_not_define_it(repository: Path) -> None:
    (repository / "nice.rs").write_text("impl Shown for Duration {\n    fn shown(&self) {}\n}\n")
    (repository / "main.rs").write_text("use std::time::Duration;\n\nfn f(x: u8) -> Duration {\n    x\n}\n")
    assert not [hole for hole in of_kind(name_holes(repository, 5, seed=1), "definition") if hole.name == "Duration"]


def test_what_the_index_finds_is_told(repository: Path) -> None:
    holes = of_kind(name_holes(repository, 5, seed=1), "definition")
    (found,) = measure(repository, holes, 400, None, 2560)
    assert (found.place, found.found, found.signed, found.segments) == ("main.py:6", True, True, 2)
    (row,) = summarise("r", [("r", found)])
    assert (row["holes"], row["found"], row["silent"]) == (1, "100%", "0%")
    (none,) = measure(repository, holes, 0, None, 2560)
    assert (none.found, none.offered, none.segments) == (False, True, 0)
