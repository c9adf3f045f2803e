"""What of an index is worth being shown in a prompt: by what stands near the hole, by the imports, and by likeness."""

from __future__ import annotations

import pytest

from lsp_server.core.declarations import declarations_of
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import Hole, find_hole
from lsp_server.core.index_offer import Why
from lsp_server.core.index_query import Candidate, choose, query_of, words_of
from lsp_server.core.pieces import Piece
from tests.support.cursor import parse_cursor

SHAPES = """class Circle:
    radius: float

    def __init__(self, radius: float) -> None:
        self.radius = radius

    def area(self) -> float:
        return 3 * self.radius * self.radius

    def grown(self, factor: float) -> "Circle":
        return Circle(self.radius * factor)

    def described(self, prefix: str, suffix: str, repeated: int = 1, separator: str = ", ") -> str:
        return separator.join(f"{prefix} a circle of radius {self.radius} {suffix}" for _ in range(repeated))


def unit_square():
    return 1
"""
COLOURS = """class Colour:
    name: str = 'red'

    def area(self): ...


def mix_colours(first, second):
    return first
"""
READING = """def read_settings(path):
    with path.open() as handle:
        text = handle.read()
    values = parse_settings(text)
    return merged_settings(defaults, values)
"""


def candidates(*files: tuple[str, str], shared: int = 0) -> list[Candidate]:
    found = []
    for path, source in files:
        document = DocumentSnapshot.of(f"file:///w/{path}", source.encode(), path=path, folder="w")
        found += [Candidate(document.uri, path, each, shared, alike=True) for each in declarations_of(document)]
    return found


def place(source: str, path: str = "main.py") -> tuple[DocumentSnapshot, Hole]:
    document, cursor = parse_cursor(source, path=path, language_id="")
    return document, find_hole(document, cursor)


def chosen(
    source: str, *files: tuple[str, str], path: str = "main.py", shared: int = 0, held: tuple[Piece, ...] = ()
) -> dict[Piece, Why]:
    document, hole = place(source, path)
    return choose(query_of(document, hole), document, hole, candidates(*files, shared=shared), held)


def names(found: dict[Piece, Why]) -> list[str]:
    return [piece.defines[0] for piece in found]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("from shapes import Circle\nx = $0", ["Circle"], id="what is imported by name"),
        pytest.param("import shapes\nx = shapes.unit_square($0", ["unit_square"], id="of a module that is imported"),
        pytest.param("from shapes import *\nx = unit_square($0", ["unit_square"], id="and used, if all of it is"),
        pytest.param("import os\nx = unit_square($0", [], id="not what only has the same name"),
        pytest.param("from shapes import Circle\nclass Circle:\n    x = $0", [], id="not what is defined here"),
        pytest.param("x = 1\n$0", [], id="nothing where nothing fits"),
        pytest.param("from elsewhere import Circle\nx = Circle($0", [], id="not what another file has of that name"),
    ],
)
def test_what_is_chosen(source: str, expected: list[str]) -> None:
    assert names(chosen(source, ("shapes.py", SHAPES), ("colours.py", COLOURS))) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("from paint import Circle\nx = $0", ["Circle"], id="by its name"),
        pytest.param("import paint\nx = paint.$0", ["Circle", "unit_square"], id="all that stands behind its name"),
        pytest.param("import paint as p\nx = p.$0", ["Circle", "unit_square"], id="or the name that it is given"),
        pytest.param("import other\nx = other.$0", [], id="but of no other"),
    ],
)
def test_a_package_hands_on_what_its_files_define(source: str, expected: list[str]) -> None:
    assert sorted(names(chosen(source, ("src/paint/_shapes.py", SHAPES)))) == expected


@pytest.mark.parametrize(
    "given", ["circle = Circle(3)", "def f(circle: Circle):\n    pass", "circle: Circle | None = None"]
)
def test_of_a_class_that_the_hole_asks_for_a_member_of_all_members_are_shown(given: str) -> None:
    (piece,) = chosen(f"from shapes import Circle\n{given}\ncircle.$0", ("shapes.py", SHAPES))
    assert {"area", "grown", "described"} <= set(piece.members)
    (other,) = chosen(f"from shapes import Circle\n{given}\nthing.$0", ("shapes.py", SHAPES))
    assert "described" not in other.members


def test_behind_the_name_of_a_large_module_stands_a_list_of_its_names() -> None:
    """For signatures of all there would be no room."""
    functions = "".join(f"def make_part_{n}(size, colour):\n    return size\n\n\n" for n in range(60))
    large = f"Size = int\n_hidden = 3\n\n\n{functions}"
    found = chosen("import parts\nx = parts.make_part_39(1, 2)\ny = parts.$0", ("parts.py", large))
    ((piece, why),) = [each for each in found.items() if each[1].reason == "names in parts"]
    assert piece.text.decode() == "# " + ", ".join(piece.defines)
    assert {"make_part_0", "make_part_39"} <= set(piece.defines)
    assert not {"Size", "_hidden"} & set(piece.defines), "a function is more likely behind the dot"
    assert len(piece.text) < 700
    assert why.score > 4
    few = chosen("import shapes\ny = shapes.$0", ("shapes.py", SHAPES))
    assert "names in shapes" not in {each.reason for each in few.values()}


def test_what_has_its_words_near_is_shown_if_it_is_imported_or_beside() -> None:
    go = "package shapes\n\nfunc readUnitSquare() int { return 1 }\n"
    source = "package shapes\n\n// Reads the square of a unit.\nfunc readUnit(square int) {\n\tx := $0\n}\n"
    found = chosen(source, ("a/square.go", go), path="a/main.go")
    assert [why.reason for why in found.values()] == [
        "defines readUnitSquare, of which the words are near, in the same folder"
    ]
    assert chosen(source, ("b/square.go", go), path="a/main.go") == {}


def test_what_is_far_down_the_list_is_shown_briefly() -> None:
    files = [(f"m{n}.py", SHAPES.replace("Circle", f"Circle{n}").replace("unit", f"unit{n}")) for n in range(6)]
    source = "".join(f"from m{n} import Circle{n}\n" for n in range(6)) + "x = Circle0($0"
    found = chosen(source, *files)
    assert names(found)[0] == "Circle0"
    sizes = [len(piece.text) for piece in found]
    assert len(sizes) == 6
    assert max(sizes[3:]) < min(sizes[:3])


def test_what_is_near_the_hole_stands_before_what_is_only_imported() -> None:
    source = (
        "from colours import Colour\nfrom shapes import Circle\n" + "y = compute_all_of_it(1)\n" * 200 + "x = Circle($0"
    )
    found = chosen("z = Colour()\n" + source, ("colours.py", COLOURS), ("shapes.py", SHAPES))
    assert names(found) == ["Circle", "Colour"]
    assert [why.reason for why in found.values()] == [
        "defines Circle, which is imported",
        "defines Colour, which is imported",
    ]


def test_of_a_class_its_constructor_and_what_is_used_of_it_is_shown() -> None:
    (piece,) = chosen("from shapes import Circle\ncircle = Circle(3)\ncircle.grown($0", ("shapes.py", SHAPES))
    assert piece.text.decode().splitlines() == [
        "class Circle:",
        "    radius: float",
        "    def __init__(self, radius: float) -> None: ...",
        '    def grown(self, factor: float) -> "Circle": ...',
        "    ...",
    ]


def test_the_language_says_whether_what_is_beside_is_seen() -> None:
    go = "package shapes\n\nfunc UnitSquare() int { return 1 }\n"
    source = "package shapes\n\nfunc main() {\n\tx := UnitSquare($0\n}\n"
    assert names(chosen(source, ("a/square.go", go), path="a/main.go")) == ["UnitSquare"]
    assert names(chosen(source, ("b/square.go", go), path="a/main.go")) == []


def test_code_like_that_before_the_hole_is_shown_unless_it_is_the_same() -> None:
    like = (
        "def read_values(path):\n    with path.open() as handle:\n        text = handle.read()\n    values = parse_$0"
    )
    found = chosen(like, ("settings.py", READING))
    assert [(piece.defines, why.reason) for piece, why in found.items()] == [
        (("read_settings",), "like the code before the cursor")
    ]
    assert chosen(READING + "\n$0", ("copy.py", READING)) == {}


def test_of_near_duplicates_one_is_shown() -> None:
    source = "from shapes import Circle\nx = Circle($0"
    found = chosen(source, ("shapes.py", SHAPES), ("old/shapes.py", SHAPES))
    assert names(found) == ["Circle"]


def test_what_is_shown_stays_as_it_is_until_more_of_it_is_wanted() -> None:
    before = "from shapes import Circle\ncircle = Circle(3)\n"
    (first,) = chosen(before + "circle.grown($0", ("shapes.py", SHAPES))
    (same,) = chosen(before + "x = Circle($0", ("shapes.py", SHAPES), held=(first,))
    assert same == first
    (more,) = chosen(before + "circle.area($0", ("shapes.py", SHAPES), held=(first,))
    assert more != first and b"def area" in more.text
    (changed,) = chosen(before + "x = $0", ("shapes.py", SHAPES.replace("grown", "larger")), held=(first,))
    assert b"grown" not in changed.text


def test_a_name_that_many_define_is_worth_less() -> None:
    source = "class Here:\n    def run(self, thing):\n        thing.unit_square($0"
    go = "package main\n\nfunc main() {\n\tx := UnitSquare($0\n}\n"
    square = ("square.go", "package main\n\nfunc UnitSquare() int { return 1 }\n")
    few, many = (next(iter(chosen(go, square, path="main.go", shared=n).values())).score for n in (0, 3))
    assert few == pytest.approx(2 * many, rel=0.02)
    assert chosen(source, ("shapes.py", SHAPES)) == {}


def test_identifiers_are_divided_into_words() -> None:
    found = {name: words_of(name) for name in ("parseHTTPResponse", "read_settings_2", "größeÄndern", "XMLFile")}
    assert found == {
        "parseHTTPResponse": ["parse", "http", "response"],
        "read_settings_2": ["read", "settings", "2"],
        "größeÄndern": ["größe", "ändern"],
        "XMLFile": ["xml", "file"],
    }
