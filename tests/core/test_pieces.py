"""What a document offers to other prompts: whole small definitions, signatures of large ones, outlines of classes."""

from __future__ import annotations

import gc

import pytest

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.pieces import MOST_PIECE_BYTES, MOST_PIECES, WHOLE_BYTES, Piece, pieces_of

LONG = "    print('a line that makes the body long')\n" * 20
LONG_C = "  // a line that makes the body long\n" * 20


def pieces(source: str, path: str = "m.py") -> list[Piece]:
    return list(pieces_of(DocumentSnapshot.of(f"file:///w/{path}", source.encode(), path=path)))


def shown(source: str, path: str = "m.py") -> list[str]:
    return [piece.text.decode() for piece in pieces(source, path)]


@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        pytest.param("m.py", "import os\nx = 1\nprint(x)\n", ["x = 1"], id="imports and calls are left out"),
        pytest.param("m.py", "def f(a):\n    return a\n", ["def f(a):\n    return a"], id="a small function is whole"),
        pytest.param(
            "m.py",
            f"@cached\ndef f(a: int,\n      b: int) -> int:\n{LONG}",
            ["@cached\ndef f(a: int,\n      b: int) -> int: ..."],
            id="a large one is a signature",
        ),
        pytest.param(
            "m.py",
            f'class A(B):\n    """What it is."""\n    size: int = 0\n    def go(self):\n{LONG}'
            f"    def _own(self): pass\n    def __len__(self):\n        return 1\n",
            ["class A(B):\n    size: int = 0\n    def go(self): ...\n    def __len__(self): ..."],
            id="a class is its outline, without docstrings and private members",
        ),
        pytest.param(
            "m.ts",
            f"import a from 'b';\nexport class A {{\n  n = 1;\n  go(x: string): void {{\n{LONG_C}  }}\n}}\n"
            f"export const twice = (x: number) => 2 * x;\nfunction f(): void {{\n{LONG_C}}}\n",
            [
                "export class A {\n  n = 1;\n  go(x: string): void { ... }\n}",
                "export const twice = (x: number) => 2 * x;",
                "function f(): void { ... }",
            ],
            id="TypeScript",
        ),
        pytest.param(
            "m.go",
            f'package m\nimport "fmt"\ntype P struct {{ X int }}\nfunc (p P) Go() int {{\n{LONG_C}}}\n',
            ["type P struct { X int }", "func (p P) Go() int { ... }"],
            id="Go",
        ),
        pytest.param(
            "m.rs",
            f"use a::b;\nstruct S {{ n: u32 }}\nimpl S {{\n    pub fn go(&self) -> u32 {{\n{LONG_C}    }}\n}}\n",
            ["struct S { n: u32 }", "impl S {\n    pub fn go(&self) -> u32 { ... }\n}"],
            id="Rust",
        ),
        pytest.param(
            "m.h",
            "#ifndef M_H\n#define M_H\n#include <x.h>\n#define TWO 2\nint go(int x);\n#endif\n",
            ["#define M_H", "#define TWO 2", "int go(int x);"],
            id="inside a C include guard",
        ),
        pytest.param(
            "M.java",
            f"import a.B;\nclass M extends B {{\n  int n;\n  int go(int x) {{\n{LONG_C}  }}\n}}\n",
            ["class M extends B {\n  int n;\n  int go(int x) { ... }\n}"],
            id="Java",
        ),
        pytest.param("m.cpp", "namespace a { int go(int x) { return x; } }", ["int go(int x) { return x; }"], id="C++"),
        pytest.param(
            "m.nim",
            f"fun a() = 1\n\nfun b() {{\n{LONG_C[:450]}}}\n \t\n\nval c = 2\n",
            ["fun a() = 1\n\nfun b() {\n" + LONG_C[:450] + "}", "val c = 2"],
            id="without a grammar, what blank lines part",
        ),
        pytest.param("m.py", "", [], id="nothing"),
        pytest.param("m.kt", "\n\n", [], id="nothing but blank lines"),
    ],
)
def test_what_is_shown(path: str, source: str, expected: list[str]) -> None:
    assert [text.rstrip(";") for text in shown(source, path)] == [text.rstrip(";") for text in expected]


@pytest.mark.parametrize(
    ("path", "source", "defines", "members"),
    [
        ("m.py", "class A:\n    n: int = 0\n    def go(self): pass\n", {"A"}, {"n", "go"}),
        ("m.py", "@dataclass\nclass A:\n    pass\n", {"A"}, set()),
        ("m.py", "FIRST, OTHER = 1, 2\n", {"FIRST", "OTHER"}, set()),
        ("m.ts", "export const add = 1, sub = 2;", {"add", "sub"}, set()),
        ("m.ts", "export interface A { area(): number }", {"A"}, {"area"}),
        ("m.js", "export default function go() {}", {"go"}, set()),
        ("m.go", "func (p *P) Go() {}", {"Go"}, set()),
        ("m.go", "type P struct { X int }", {"P"}, set()),
        ("m.rs", "impl Area { fn go(&self) {} }", {"Area"}, {"go"}),
        ("m.c", "static int *go(int x) { return 0; }", {"go"}, set()),
        ("m.c", "typedef struct node { int n; } node_t;", {"node_t"}, set()),
        ("m.kt", "class A\n", {"A"}, set()),
    ],
)
def test_what_a_piece_is_found_by(path: str, source: str, defines: set[str], members: set[str]) -> None:
    (piece,) = pieces(source, path)
    assert set(piece.defines) == defines
    assert set(piece.members) == members


@pytest.mark.parametrize("path", ["m.py", "m.ts", "m.go", "m.rs", "m.java", "m.c", "m.kt"])
def test_pieces_of_broken_and_of_large_files_are_bounded(path: str) -> None:
    """Every prefix of a source is something that a user has open while typing it."""
    source = (
        "class A:\n    def f(self):\n        x = {\n  return 1;\n}\n\n\ndef größe(a, b):\n    return '語' * 3\n"
        + "".join(f"    def method_number_{n}(self, value): return value\n" for n in range(60))
    )
    for end in [*range(0, 120), len(source)]:
        for piece in pieces(source[:end], path):
            assert 0 < len(piece.text) <= MOST_PIECE_BYTES
            piece.text.decode()


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("m.cpp", "namespace a {" * 3000 + "int x;" + "}" * 3000),
        ("m.c", "int " + "*" * 3000 + "x;"),
        ("m.c", "int f" + "(" * 3000 + ")" * 3000 + ";"),
        ("m.h", "#if A\n" * 3000 + "int x;\n" + "#endif\n" * 3000),
        ("m.py", "x = " + "(" * 3000 + ")" * 3000),
        ("m.py", "@a\n" * 3000 + "def f(): pass\n"),
        ("m.ts", "export default " * 3000 + "function f() {}"),
        ("m.kt", "\n \t" * 30000),
    ],
)
def test_deep_nesting_ends(path: str, source: str) -> None:
    assert len(pieces(source, path)) <= 1


def test_the_number_of_pieces_is_bounded() -> None:
    assert len(pieces("".join(f"#define N{n} {n}\n" for n in range(3 * MOST_PIECES)), "m.h")) == MOST_PIECES


def test_a_class_with_many_members_shows_as_many_as_fit() -> None:
    source = "class A:\n" + "".join(f"    def method_{n:03}(self, value): return value\n" for n in range(100))
    (piece,) = pieces(source)
    assert MOST_PIECE_BYTES - 60 < len(piece.text) <= MOST_PIECE_BYTES
    assert len(piece.members) == piece.text.count(b"def ") < 100


def test_the_border_between_whole_and_cut() -> None:
    body = "    return '" + "x" * (WHOLE_BYTES - len("def f():\n    return ''")) + "'"
    assert shown(f"def f():\n{body}\n") == [f"def f():\n{body}"]
    assert shown(f"def f():\n{body} \n\n\ndef g(): pass\n")[1:] == ["def g(): pass"]
    assert shown(f"def f():\n{body}#x\n    y = 1\n") == ["def f(): ..."]


def test_equal_pieces_show_the_same_text_wherever_it_stands() -> None:
    first, second = pieces("def f(): pass\n"), pieces("\n\ndef f(): pass\n")
    assert first == second
    assert first[0].offset != second[0].offset
    assert pieces("def f(): pass\n", "n.py") != first


def test_what_is_kept_of_a_document_is_little_for_the_garbage_collector() -> None:
    """A collection walks over each object that may hold others; the event loop waits for it."""
    source = "".join(f"class Box_{n}(Base):\n    def size_{n}(self, wide, high):\n        ...\n" for n in range(300))
    pieces("x = 1\n")  # loads the grammar
    gc.collect()
    before = len(gc.get_objects())
    kept = pieces(source)
    gc.collect()
    assert len(kept) == 300
    assert all(piece.defines and piece.members and len(piece.names) > 3 for piece in kept)
    assert len(gc.get_objects()) - before < 1.1 * len(kept)
