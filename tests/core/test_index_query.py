"""What of an index is worth being shown in a prompt: by what stands near the hole, by the imports, and by likeness."""

from __future__ import annotations

import pytest

from lsp_server.core.declarations import declarations_of
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import Hole, find_hole
from lsp_server.core.index_choice import Candidate, choose
from lsp_server.core.index_listing import words_of
from lsp_server.core.index_offer import Why
from lsp_server.core.index_query import query_of
from lsp_server.core.pieces import Piece, identifiers_in
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
    lists = {piece: why.score for piece, why in found.items() if why.reason == "names in parts"}
    listed = [name for piece in lists for name in piece.defines]
    assert all(piece.text.decode() == "# " + ", ".join(piece.defines) for piece in lists)
    assert {"make_part_0", "make_part_39"} <= set(listed) and "_hidden" not in listed
    assert "make_part_39" in next(iter(lists)).defines, "what the file uses is in the first list"
    assert len(listed) == len(set(listed))
    assert max(len(piece.text) for piece in lists) < 250
    assert sorted(lists.values(), reverse=True) == list(lists.values())
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
    sizes = [len(piece.text) for piece in found if not piece.uri.endswith("/")]
    assert len(sizes) == 6
    assert max(sizes[1:]) < sizes[0]


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
        "parseHTTPResponse": ("parse", "http", "response"),
        "read_settings_2": ("read", "settings", "2"),
        "größeÄndern": ("größe", "ändern"),
        "XMLFile": ("xml", "file"),
    }


RUST_LIB = "pub struct LineTerminator(u8);\n\npub struct Candidate {\n    path: u8,\n}\n"


@pytest.mark.parametrize(
    ("source", "path", "file"),
    [
        pytest.param(
            "use grep_matcher::LineTerminator;\nfn f(term: $0",
            "crates/printer/src/json.rs",
            "crates/matcher/src/lib.rs",
            id="a crate whose folder has only the end of its name",
        ),
        pytest.param(
            "use crate::LineTerminator;\nfn f(term: $0",
            "crates/glob/src/set.rs",
            "crates/glob/src/lib.rs",
            id="the root of the crate",
        ),
        pytest.param("use crate::LineTerminator;\nfn f(term: $0", "src/set.rs", "src/lib.rs", id="of the only crate"),
        pytest.param(
            "use super::LineTerminator;\nfn f(term: $0", "src/lines/deep.rs", "src/lines/mod.rs", id="the module above"
        ),
        pytest.param(
            "use self::inner::LineTerminator;\nfn f(term: $0", "src/lines/mod.rs", "src/lines/inner.rs", id="one below"
        ),
        pytest.param(
            "fn f(term: crate::lines::$0", "src/main.rs", "src/lines.rs", id="a path that is only written out"
        ),
    ],
)
def test_paths_of_rust_lead_to_files(source: str, path: str, file: str) -> None:
    found = chosen(source, (file, RUST_LIB), path=path)
    assert any("LineTerminator" in piece.defines for piece in found)
    elsewhere = chosen(source, ("other/place.rs", RUST_LIB), path=path, shared=2)
    assert not elsewhere


def test_a_block_that_adds_to_a_type_stands_behind_the_type() -> None:
    types = "".join(
        f"pub struct Part{n} {{\n    size: u8,\n}}\n\nimpl Part{n} {{\n    pub fn turned(&self) {{}}\n}}\n\n"
        for n in range(3)
    )
    source = "use parts::{Part0, Part1, Part2};\nfn f(a: Part0, b: Part1, c: Part2) { let x = $0"
    found = [piece for piece in chosen(source, ("src/parts.rs", types), path="src/main.rs") if piece.uri[-1] != "/"]
    assert [piece.text.startswith(b"impl") for piece in found][:4] == [False] * 3 + [True]
    wanted = "use parts::Part0;\nfn f(part: Part0) { part.$0"
    shown = chosen(wanted, ("src/parts.rs", types), path="src/main.rs")
    assert [b"fn turned" in piece.text for piece in shown][:2] == [False, True], "and its members are shown if wanted"


def test_the_names_of_a_package_are_listed_where_little_else_fits() -> None:
    functions = "".join(f"func partNumber{n}(size int) int {{ return {n} }}\n\n" for n in range(20))
    files = [(f"a/part{n}.go", f"package a\n\n{functions.replace('Number', f'{n}Of')}") for n in range(3)]
    source = "package a\n\nfunc main() {\n\tsize := part0Of3(1)\n\treturn $0\n}\n"
    found = chosen(source, *files, path="a/main.go")
    lists = [piece for piece, why in found.items() if why.reason == "names that the file can use"]
    assert lists and {piece.path for piece in lists} == {"a/"}
    assert chosen(source.replace("part0Of3", "other"), *files, path="b/main.go") == {}
    assert not [
        piece for piece in chosen(source.replace("return $0", "size.$0"), *files, path="a/main.go") if piece in lists
    ]


def test_a_method_of_go_is_shown_behind_a_dot_only() -> None:
    go = 'package a\n\ntype Set struct{}\n\nfunc (s *Set) Name() string { return "" }\n'
    bare = "package a\n\nfunc main() {\n\tx := Name(1)\n\ty := Name($0\n}\n"
    assert chosen(bare, ("a/set.go", go), path="a/main.go") == {}
    of_type = "package a\n\nfunc f(set *Set) {\n\tset.$0\n}\n"
    shown = {piece.defines[0]: why.reason for piece, why in chosen(of_type, ("a/set.go", go), path="a/main.go").items()}
    assert shown["Name"] == "has the receiver Set, in the same folder"
    of_another = "package a\n\nfunc f(other *Other) {\n\tother.$0\n}\n"
    assert "Name" not in names(chosen(of_another, ("a/set.go", go), path="a/main.go"))


def test_the_possible_types_of_what_stands_before_a_dot() -> None:
    source = (
        "first: Circle = 1\nthing = shapes.Square(2)\nnothing = Round()\nCone thing;\n"
        "thing: Optional[Ring] = 3\nthing.$0"
    )
    document, hole = place(source)
    assert query_of(document, hole).types == {"thing", "Thing", "shapes", "Square", "Cone", "Ring"}


def test_names_are_whole_in_every_text() -> None:
    assert identifiers_in(b"a1b = 0xFFF + 12ab3.call_2(__init__)") == ["a1b", "xFFF", "ab3", "call_2", "__init__"]
    assert identifiers_in("größe = 0xFFF".encode()) == ["größe", "xFFF"]
