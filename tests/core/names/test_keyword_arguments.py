"""Keyword arguments that the called function does not have: which are found in a suggestion, and which may exist."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

import lsp_server
from lsp_server.core.names import undefined
from lsp_server.core.names.keyword_arguments import known_arguments
from lsp_server.core.names.python_names import is_opaque
from lsp_server.core.names.python_trees import parsed
from lsp_server.core.names.undefined import Checked, without_undefined
from lsp_server.core.shape import Suggestion
from tests.support.cursor import parse_cursor

AREA = "def area(width, height=1, *, scale=1):\n    return width * height * scale\n\n\n"
BOX = """\
import dataclasses
from functools import lru_cache


class Box:
    def __init__(self, width, *, colour=None):
        self.width = width
        self.colour = colour

    def grown(self, by, twice=False):
        return self.width * by * (1 + twice)

    @lru_cache(maxsize=None)
    def kept(self, by):
        return by

    @classmethod
    def small(cls, *, margin=0):
        return cls(1 + margin)

    @staticmethod
    def unit(name):
        return name

    def call(self):
        $0


class Padded(Box):
    def wide(self):
        return self.grown(2, twice=True)


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: int = 0
    names: list[str] = dataclasses.field(default_factory=list)
    hidden: int = dataclasses.field(default=0, init=False)


@dataclasses.dataclass
class Place(Point):
    z: int = 0
"""


def checked(source: str, text: str) -> Checked:
    document, cursor = parse_cursor(source)
    return without_undefined(Suggestion(text, cursor, cursor), document)


def found(source: str, text: str) -> tuple[str, str]:
    """The argument that does not exist, and what is called with it."""
    result = checked(source, text)
    return (result.undefined, result.function) if result.function else ("", result.undefined)


@pytest.mark.parametrize(
    ("text", "name", "function", "others"),
    [
        pytest.param("area(2, zoom=3)", "zoom", "area", {"height", "scale"}, id="of a function"),
        pytest.param("area(2, 3, zoom=3)", "zoom", "area", {"scale"}, id="with another by its place"),
        pytest.param("area(2, scale=3, zoom=3)", "zoom", "area", {"height"}, id="behind one by its name"),
        pytest.param("area(2, zoom=3, scale=3)", "zoom", "area", {"height", "scale"}, id="in front of one by its name"),
        pytest.param("area(*rest, zoom=3)\nrest = ()", "zoom", "area", {"width", "height", "scale"}, id="with *"),
        pytest.param("area(2, **more, zoom=3)\nmore = {}", "zoom", "area", {"height", "scale"}, id="with **"),
        pytest.param("print(area(2, zoom=3), sep='')", "zoom", "area", {"height", "scale"}, id="inside of a call"),
        pytest.param("print(area(2, scale=3), set='')", "set", "print", {"sep", "end", "file", "flush"}, id="around"),
        pytest.param("x = area(\n    2,\n    zoom=3,\n)", "zoom", "area", {"height", "scale"}, id="in several lines"),
        pytest.param("x = sorted([], by=len)", "by", "sorted", {"key", "reverse"}, id="of a builtin"),
        pytest.param("ä = area('ä', zoom=3)", "zoom", "area", {"height", "scale"}, id="behind more bytes"),
        pytest.param("def f(size):\n    return area(size, zoom=3)", "zoom", "area", {"height", "scale"}, id="inside"),
    ],
)
def test_an_argument_that_a_function_does_not_have_is_found(
    text: str, name: str, function: str, others: set[str]
) -> None:
    result = checked(f"{AREA}$0\n", text)
    assert (result.suggestion, result.undefined, result.function) == (None, name, function)
    assert result.bare is not None
    assert (result.bare.names, result.bare.then) == (others, "=")
    assert text[result.bare.at :].startswith(f"{name}=")


@pytest.mark.parametrize(
    ("text", "name", "function"),
    [
        ("return self.grown(2, thrice=True)", "thrice", "grown"),
        ("return self.kept(by=1, at=2)", "at", "kept"),
        ("return self.small(size=1)", "size", "small"),
        ("return self.unit(name=1, size=2)", "size", "unit"),
        ("return [self.grown(by, thrice=True) for by in range(3)]", "thrice", "grown"),
        ("return Box(1, color=2)", "color", "Box"),
        ("return Padded(1, color=2)", "color", "Padded"),
        ("return Point(x=1, z=2)", "z", "Point"),
        ("return Point(x=1, hidden=2)", "hidden", "Point"),
        ("return Place(x=1, z=2, w=3)", "w", "Place"),
    ],
)
def test_methods_and_classes(text: str, name: str, function: str) -> None:
    assert found(BOX, text) == (name, function)


@pytest.mark.parametrize(
    "text",
    [
        "return self.grown(by=2, twice=True), self.kept(by=1), self.small(margin=1), self.unit(name='')",
        "return Box(width=1, colour=2), Padded(width=1, colour=2)",
        "return Point(x=1, y=2, names=[]), Place(x=1, y=2, z=3, names=[])",
    ],
)
def test_what_they_have_stays(text: str) -> None:
    assert checked(BOX, text) == Checked(checked(BOX, text).suggestion)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        pytest.param(f"{AREA}$0\n", "area(2, height=3, scale=1)", id="those that there are"),
        pytest.param("def area(width, **more): ...\n$0\n", "area(2, zoom=3)", id="**"),
        pytest.param("$0\n", "import box\nbox.area(2, zoom=3)", id="another module's"),
        pytest.param("from box import area\n$0\n", "area(2, zoom=3)", id="imported"),
        pytest.param(f"{AREA}area = print\n$0\n", "area(2, zoom=3)", id="bound twice"),
        pytest.param(f"{AREA}for area in []: pass\n$0\n", "area(2, zoom=3)", id="bound by a loop"),
        pytest.param(f"{AREA}{AREA}$0\n", "area(2, zoom=3)", id="defined twice"),
        pytest.param("if 1:\n    def area(width): ...\n\n\n$0\n", "area(2, zoom=3)", id="under an if"),
        pytest.param(f"{AREA}def f():\n    global area\n$0\n", "area(2, zoom=3)", id="global somewhere"),
        pytest.param(f"{AREA}def f(area):\n    $0\n", "area(2, zoom=3)", id="a parameter of that name"),
        pytest.param(f"{AREA}def f():\n    area = len\n    $0\n", "area(2, zoom=3)", id="a local name"),
        pytest.param(f"{AREA}$0\n", "[area(2, zoom=3) for area in []]", id="a comprehension's name"),
        pytest.param(f"{AREA}$0\n", "f = lambda area: area(2, zoom=3)", id="a lambda's name"),
        pytest.param(f"{AREA}class A:\n    area = len\n    $0\n", "x = area(2, zoom=3)", id="a class's name"),
        pytest.param(f"import a\n\n\n@a.b\n{AREA}$0\n", "area(2, zoom=3)", id="a decorator"),
        pytest.param(f"from a import cache\n\n\n@cache\n{AREA}$0\n", "area(2, zoom=3)", id="another cache"),
        pytest.param(f"{AREA}area(2, zoom=1)\n$0\n", "area(2, zoom=3)", id="the file gives it elsewhere"),
        pytest.param(f"{AREA}try:\n    $0\nexcept TypeError:\n    pass\n", "area(2, zoom=3)", id="what is tried"),
        pytest.param(
            f"import pytest\n{AREA}def test():\n    with pytest.raises(TypeError):\n        $0\n",
            "area(2, zoom=3)",
            id="what is to fail",
        ),
        pytest.param(f"from os import *\n{AREA}$0\n", "area(2, zoom=3)", id="with a star import"),
        pytest.param(f"{AREA}$0\n", "area(2, zoom=3", id="what does not parse"),
        pytest.param(f"{AREA}x = area(2, zoom$0)\n", "=3", id="a name that has been typed already"),
        pytest.param(f"{AREA}def f(self):\n    $0\n", "self.area(2, zoom=3)", id="self outside of a class"),
        pytest.param("print = str\n$0\n", "print(1, colour=2)", id="a builtin that is defined anew"),
        pytest.param(
            "def f():\n    global print\n    print = str\n$0\n", "print(1, colour=2)", id="a builtin made anew inside"
        ),
        pytest.param("def f(print):\n    $0\n", "print(1, colour=2)", id="a builtin's name for a parameter"),
        pytest.param(f"{AREA}class A:\n    x = $0\n", "area(2, __y=1)", id="a name that a class changes"),
        pytest.param("class A:\n    pass\n\n\n$0\n", "A(size=1)", id="a class without an __init__"),
        pytest.param("class A:\n    x: int\n\n\n$0\n", "A(size=1)", id="a class with annotations alone"),
    ],
)
def test_an_argument_that_may_exist_stays(source: str, text: str) -> None:
    assert found(source, text) == ("", "")


CLASS = """\
import abc, enum
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple
from elsewhere import Known, Meta, decorate, other


{decorator}class Box{bases}:
    {fields}

    def __init__(self, width):
        self.width = width

    def grown(self, by):
        return self.width * by

    def call(self):
        $0
{behind}
"""


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        pytest.param({"bases": "(Known)"}, "return Box(size=1)", id="a base of another file"),
        pytest.param({"bases": "(Known)"}, "return self.grown(1, size=1)", id="a base of another file, for a method"),
        pytest.param({"bases": "(metaclass=Meta)"}, "return Box(size=1)", id="a metaclass"),
        pytest.param({"bases": "(enum.Enum)"}, "return Box(size=1)", id="a base that makes its classes otherwise"),
        pytest.param({"decorator": "@decorate\n"}, "return Box(size=1)", id="a decorator"),
        pytest.param({"fields": "def __new__(cls, **more): ..."}, "return Box(size=1)", id="a __new__"),
        pytest.param({"fields": "def __getattr__(self, x): ..."}, "return self.grown(1, size=1)", id="a __getattr__"),
        pytest.param({"behind": "\n    __init__ = other\n"}, "return Box(size=1)", id="a second __init__"),
        pytest.param({"behind": "\n    grown = other\n"}, "return self.grown(1, size=1)", id="a second method"),
        pytest.param({"behind": "\n\nBox.grown = other\n"}, "return self.grown(1, size=1)", id="given from outside"),
        pytest.param({"behind": "\n\nBox.__init__ = other\n"}, "return Box(size=1)", id="an __init__ from outside"),
        pytest.param(
            {"behind": "\n\ndef f(box, name):\n    setattr(box, name, 1)\n"},
            "return self.grown(1, size=1)",
            id="given by a name that is computed",
        ),
        pytest.param(
            {"behind": "\n\nclass More(Box):\n    def grown(self, by, size): ...\n"},
            "return self.grown(1, size=1)",
            id="a class made of it takes more",
        ),
        pytest.param(
            {"behind": "\n\nclass More(Box): ...\n\n\nclass Most(More):\n    grown = other\n"},
            "return self.grown(1, size=1)",
            id="a class made of it has another",
        ),
        pytest.param({"fields": "def f(self): raise OSError"}, "return self.f(size=1)", id="one that does nothing"),
        pytest.param({"fields": "@property\n    def f(self): return 1 + 1"}, "return self.f(size=1)", id="a property"),
        pytest.param({}, "self = other\n        return self.grown(1, size=1)", id="another self"),
        pytest.param({}, "return [self.grown(1, size=1) for self in other]", id="another self in a comprehension"),
        pytest.param({}, "return other.grown(1, size=1)", id="another object"),
        pytest.param({}, "return self.grown.more(1, size=1)", id="a member of a method"),
    ],
)
def test_a_class_that_is_not_known_says_nothing(parts: dict[str, str], text: str) -> None:
    source = CLASS.format(**{"decorator": "", "bases": "", "fields": "", "behind": "", **parts})
    assert found(source, text) == ("", "")


def test_a_class_that_is_known() -> None:
    source = CLASS.format(decorator="", bases="", fields="", behind="")
    assert found(source, "return self.grown(1, size=1)") == ("size", "grown")
    assert found(source, "return Box(size=1)") == ("size", "Box")
    assert found(source.replace("class Box:", "class Box(abc.ABC):"), "return Box(size=1)") == ("size", "Box")
    assert found(source.replace("class Box:", "class Box(ValueError):"), "return Box(size=1)") == ("size", "Box")


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param("@dataclass(init=False)\nclass Box:\n    x: int", id="no __init__ is made"),
        pytest.param("from elsewhere import options\n@dataclass(**options)\nclass Box:\n    x: int", id="options"),
        pytest.param("@dataclass\nclass Box:\n    if 1:\n        size: int", id="a field under a condition"),
        pytest.param("@dataclass\nclass Box:\n    x: 'ClassVar[int]'", id="an annotation that is a text"),
        pytest.param("from elsewhere import Known\n@dataclass\nclass Box(Known):\n    x: int", id="a base"),
        pytest.param("from attrs import dataclass\n@dataclass\nclass Box:\n    x: int", id="another dataclass"),
    ],
)
def test_a_dataclass_that_is_not_plain_says_nothing(fields: str) -> None:
    header = "" if "attrs" in fields else "from dataclasses import dataclass\nfrom typing import ClassVar\n"
    assert found(f"{header}{fields}\n\n\n$0\n", "Box(size=1)") == ("", "")


def test_what_stands_in_front_of_the_statement_is_shown() -> None:
    result = checked(f"{AREA}def f(size):\n    $0\n", "wide = area(size)\n    return area(wide, zoom=2)")
    assert result.suggestion is not None
    assert (result.suggestion.text, result.undefined, result.function) == ("wide = area(size)", "zoom", "area")


def test_the_first_of_two_kinds_counts() -> None:
    assert checked(f"{AREA}$0\n", "area(wrong, zoom=3)").undefined == "wrong"
    assert checked(f"{AREA}$0\n", "area(2, zoom=wrong)").undefined == "zoom"


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_name_that_has_been_begun(line_end: str) -> None:
    source = f"{AREA}x = 'ä', area(2, zo$0)\n".replace("\n", line_end)
    bare = checked(source, "om=3").bare
    assert bare is not None
    assert (bare.at, bare.begun, bare.names) == (0, "zo", {"height", "scale"})


def test_a_file_is_parsed_only_where_nothing_of_that_name_may_take_the_argument(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(undefined, "parsed", lambda source: pytest.fail("it was parsed"))
    assert found(BOX, "return self.grown(2, twice=True), Point(x=1), Place(x=1), print(sep='')") == ("", "")
    assert found(BOX, "return Box(1, colour=2), self.other(size=1), dict(size=2)") == ("", "")


LIBRARY = Path(sysconfig.get_path("stdlib"))
FILES = [
    LIBRARY / f"{name}.py" for name in ("json/encoder", "tempfile", "zipfile", "shutil", "csv", "difflib", "filecmp")
]
FILES += sorted(Path(lsp_server.__file__).parent.glob("features/*.py"))


def test_the_calls_of_authors_are_right() -> None:
    """In the standard library and here, of the functions of the same file."""
    count = 0
    for path in filter(Path.exists, FILES):
        source = path.read_text("utf-8")
        tree = parsed(source)
        assert tree is not None
        if not is_opaque(source):
            known = list(known_arguments(tree, str(path), (0, 0), (1 + source.count("\n"), 0)))
            assert [each for each in known if not each.exists] == []
            count += len(known)
    assert count > 30
