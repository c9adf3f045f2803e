"""What an index keeps of a file: signatures, members, the first line of documentation, and the place."""

from __future__ import annotations

import pytest

from lsp_server.core.declarations import Declaration, declarations_of
from lsp_server.core.document import DocumentSnapshot

PYTHON = (
    '''
import os
from shapes import Circle

LIMIT = 3


@cached
def scaled(circle: Circle, factor: float = 1.0) -> Circle:
    """
    A circle that is larger.

    And more words.
    """
    radius = circle.radius * factor
'''
    + "".join(f"    radius += {n}\n" for n in range(60))
    + '''    return Circle(radius)


class Store:
    """Keeps circles."""

    name: str = "store"

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def find(self, name: str) -> Circle | None:
        return None

    def _hidden(self) -> None: ...
'''
)

TYPESCRIPT = """
import { Circle } from "./shapes";

/** Makes one.
 *  At once. */
export async function make(name: string): Promise<Circle> { return new Circle(name); }

// Keeps circles.
export class Store extends Base {
  limit: number;
  constructor(limit: number) { super(); this.limit = limit; }
  find(name: string): Circle | undefined { return undefined; }
}
export declare function declared(a: number): string;
declare namespace Inner { function deep(): void; }
"""

GO = """
package shapes

// Area is its size.
func Area(radius float64) float64 { return radius }

type Circle struct { Radius float64 }

func (c *Circle) Grow(by float64) error { return nil }
"""


def declared(path: str, source: str) -> dict[str, Declaration]:
    document = DocumentSnapshot.of(f"file:///w/{path}", source.encode(), path=path)
    return {name: each for each in declarations_of(document) for name in each.defines}


@pytest.mark.parametrize(
    ("path", "source", "heads"),
    [
        pytest.param(
            "a.py",
            PYTHON,
            {
                "LIMIT": ("LIMIT = 3", ""),
                "scaled": (
                    "@cached\ndef scaled(circle: Circle, factor: float = 1.0) -> Circle: ...",
                    "A circle that is larger.",
                ),
                "Store": ("class Store:", "Keeps circles."),
            },
            id="Python",
        ),
        pytest.param(
            "a.ts",
            TYPESCRIPT,
            {
                "make": ("export async function make(name: string): Promise<Circle> { ... }", "Makes one."),
                "Store": ("export class Store extends Base {", "Keeps circles."),
                "declared": ("export declare function declared(a: number): string;", ""),
                "deep": ("function deep(): void;", ""),
            },
            id="TypeScript",
        ),
        pytest.param(
            "a.go",
            GO,
            {
                "Area": ("func Area(radius float64) float64 { ... }", "Area is its size."),
                "Circle": ("type Circle struct { Radius float64 }", ""),
                "Grow": ("func (c *Circle) Grow(by float64) error { ... }", ""),
            },
            id="Go",
        ),
    ],
)
def test_signatures_and_first_lines_of_documentation(path: str, source: str, heads: dict[str, tuple[str, str]]) -> None:
    found = declared(path, source)
    assert {name: (each.head.decode(), each.doc) for name, each in found.items()} == heads


def test_a_declaration_says_where_it_is() -> None:
    assert {name: PYTHON.splitlines()[each.line] for name, each in declared("a.py", PYTHON).items()} == {
        "LIMIT": "LIMIT = 3",
        "scaled": "@cached",
        "Store": "class Store:",
    }


def test_a_small_definition_is_kept_whole_and_a_large_one_is_not() -> None:
    found = declared("a.py", PYTHON)
    assert found["LIMIT"].whole == b"LIMIT = 3"
    assert found["scaled"].whole == b""


@pytest.mark.parametrize(
    ("path", "source", "members"),
    [
        ("a.py", PYTHON, {"name": False, "__init__": True, "find": True}),
        ("a.ts", TYPESCRIPT, {"limit": False, "constructor": True, "find": True}),
    ],
)
def test_the_members_of_a_class_are_lines_of_their_own_and_private_ones_are_left_out(
    path: str, source: str, members: dict[str, bool]
) -> None:
    store = declared(path, source)["Store"]
    assert {name: each.method for each in store.members for name in each.names} == members
    assert all(source.count(each.text.decode().split(" {")[0].split(": ...")[0].strip()) for each in store.members)


def test_a_text_without_a_grammar_declares_nothing() -> None:
    assert declared("a.unknown", PYTHON) == {}


@pytest.mark.parametrize(
    ("path", "source", "defined"),
    [
        ("a.rs", "impl<T> Show for Vec<Item> {}\nimpl From<u8> for io::Error {}\n", [("Vec",), ("Error",)]),
        ("a.ts", "core.config.after = 1;\n", []),
        ("a.py", "module.value = compute()\nvalue, other = 1, 2\n", [("value", "other")]),
    ],
)
def test_a_definition_has_the_name_of_what_it_defines_and_of_nothing_else(
    path: str, source: str, defined: list[tuple[str, ...]]
) -> None:
    document = DocumentSnapshot.of(f"file:///w/{path}", source.encode(), path=path, folder="w")
    assert [each.defines for each in declarations_of(document)] == defined


def test_a_method_of_go_belongs_to_the_type_before_its_name() -> None:
    source = "package a\n\nfunc (c *Command) Run() {}\n\nfunc (b Base[T, C]) Names() {}\n\nfunc Free(c *Command) {}\n"
    found = declarations_of(DocumentSnapshot.of("file:///a.go", source.encode(), path="a.go"))
    assert [(each.defines, each.receiver) for each in found] == [
        (("Run",), "Command"),
        (("Names",), "Base"),
        (("Free",), ""),
    ]
