"""The names that may stand behind `self.`: of which classes they are known, and where they limit what is written."""

from __future__ import annotations

import math
import pickle
import random

import pytest

from lsp_server.core.names import python_parts
from lsp_server.core.names.allowed import Bare, Members
from lsp_server.core.names.python_receivers import members_at
from tests.support.cursor import parse_cursor
from tests.support.effort import scaled
from tests.support.samples import named, sample

BOX = """\
class Base:
    def __init__(self):
        self.count = 0


class Box(Base):
    kind: str = "box"

    def __init__(self, width):
        super().__init__()
        self.width = width
        self.height: int = 1

    @property
    def area(self):
        return self.width * self.height

    def grown(self, by):
        local = by
        return self.$0

    @classmethod
    def small(cls):
        return cls(1)
"""
OWN = {"count", "kind", "width", "height", "area", "grown", "small"}


def at(source: str, **document: str) -> Members | None:
    return members_at(*parse_cursor(source, **document))


def known(source: str, text: str = "") -> set[str] | None:
    """The names that may stand at the cursor behind `text`, but those of every object."""
    found = at(source)
    names = found.known(text) if found is not None else None
    return None if names is None else {name for name in names if not name.startswith("__")}


def test_the_names_are_those_of_the_class_and_of_its_bases() -> None:
    assert known(BOX) == OWN


@pytest.mark.parametrize(
    "line",
    [
        "return self.$0",
        "return self.wi$0",
        "return max(self.$0",
        "return [self.width, self.$0",
        "if self.$0",
        "if self.$0: pass",
        "if self.$0:\n            by = 1",
        "elif_ = self.$0",
        "while by > self.$0",
        "x = {'a': self.$0}",
        "x = self.width + self.$0",
        "print('a', self.$0",
        "assert self.width == self.$0  # as it was",
        'x = f"{by} of {self.$0',
        'x = f"{by} of {self.$0}"',
    ],
)
def test_they_are_known_while_a_line_is_typed(line: str) -> None:
    assert known(BOX.replace("return self.$0", line)) == OWN


def test_a_header_above_its_block_is_a_line_like_others() -> None:
    assert known(BOX.replace("return self.$0", "if self.$0\n            by = 1")) == OWN


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (BOX.replace("class Base:", "class Base(imported):"), "a base that is not in the file"),
        ("class Volume:\n    def total(self):\n        a = self.$0\n", "a class that uses nothing of itself yet"),
        (BOX.replace("class Base:", "class Base(Imported, metaclass=Meta):"), "a metaclass"),
        (BOX.replace("class Box", "@decorated\nclass Box"), "a decorator"),
        (BOX.replace("    @property", "    def __getattr__(self, name): ...\n\n    @property"), "__getattr__"),
        (BOX.replace("self.count = 0", "self.__dict__.update(count=0)"), "a dictionary of names"),
        (BOX.replace("self.count = 0", "setattr(self, count, 0)"), "setattr"),
        (BOX.replace("self.count = 0", "getattr(self, count, 0)"), "a name that is asked for"),
        (BOX.replace("self.count = 0", "object.__setattr__(self, count, 0)"), "setattr of object"),
        (BOX.replace("return self.width *", "return self.depth *"), "a name of the class that is defined nowhere"),
        (BOX.replace("class Box(Base)", "class BoxMixin(Base)"), "a mixin"),
        (BOX.replace("local = by", "self = by"), "another self"),
        (BOX.replace("local = by", "key = lambda self: 1"), "a function with another self"),
        (BOX.replace("    def grown(self, by)", "    @staticmethod\n    def grown(self, by)"), "a static method"),
        (BOX.replace("grown(self, by)", "grown(this, by)").replace("self.$0", "this.$0"), "another name for it"),
        (BOX.replace("class Box(Base):", "class Box(Base:"), "an error elsewhere"),
        (BOX + "\n\nclass Base:\n    other = 1\n", "two classes of that name"),
        (BOX + "\n\nBase = None\n", "a name with two meanings"),
        ("def free(self):\n    return self.$0\n", "a function"),
        ("class A:\n    def f(self):\n        return 1\n\n\nx = self.$0\n", "a place outside of it"),
    ],
    ids=lambda value: value if "\n" not in value else "",
)
def test_nothing_is_known_with(source: str, why: str) -> None:
    assert known(source) is None, why


def test_builtins_and_plain_bases_are_known() -> None:
    names = known("from typing import Generic\n" + BOX.replace("class Base:", "class Base(ValueError, Generic[T]):"))
    assert names is not None
    assert {"args", "with_traceback", *OWN} <= names


@pytest.mark.parametrize(
    "base", ["import asyncio\n\n\nclass Base(asyncio.Protocol):", "from mine import Enum\n\n\nclass Base(Enum):"]
)
def test_a_base_of_another_module_is_not_one_of_the_same_name(base: str) -> None:
    assert known(BOX.replace("class Base:", base)) is None


@pytest.mark.parametrize(
    "source",
    [
        "box: Base = made_elsewhere()",
        "box: Base = Other()",
        "box = Base()\n\n\ndef reset():\n    global box\n    box = made_elsewhere()",
    ],
)
def test_a_value_that_may_be_of_another_class_is_not_known(source: str) -> None:
    head = BOX.split("\n\n\nclass", maxsplit=1)[0]
    found = at(f"{head}\n\n\n{source}\n\n\ndef f():\n    box.$0\n")
    assert found is None or found.known("") is None


def test_an_empty_document_has_no_limits() -> None:
    found = at("$0")
    assert found is None or not found.limits("")


@pytest.mark.parametrize("line", ["setattr(self, 'count', 0)", "getattr(self, 'count', 0)", "self.__dict__.copy()"])
def test_a_name_that_is_asked_for_is_one(line: str) -> None:
    assert (known(BOX.replace("self.count = 0", line)) or set()) | {"count"} == OWN


def test_what_other_code_gives_an_object_counts() -> None:
    names = known(BOX + "\n\ndef mark(box):\n    box.marked = True\n\n\nclass Crate(Box):\n    lid = None\n")
    assert names == {*OWN, "marked", "lid"}


def test_behind_cls_stand_those_of_every_class_too() -> None:
    found = at(BOX.replace("return self.$0", "return 1").replace("return cls(1)", "return cls.$0"))
    assert found is not None
    names = found.known("")
    assert names is not None
    assert {"mro", "kind", "__class__"} <= names


@pytest.mark.parametrize(
    "line",
    [
        "self.$0",
        "self.width, self.$0",
        "for self.$0",
        "with open(by) as self.$0",
        "del self.$0",
        "# as self.width and self.$0",
        "x = 'self.$0",
        '"""Multiplies\n        self.$0\n        """',
        "x = by.self.$0",
        "x = by().$0",
        "x = 1.$0",
    ],
)
def test_where_a_name_may_be_new_or_is_none_nothing_is_limited(line: str) -> None:
    found = at(BOX.replace("return self.$0", line))
    assert found is None or not found.limits("")


def test_tokens_are_let_through_that_lead_to_a_name() -> None:
    found = at(BOX)
    assert found is not None
    assert found.limits("")
    right = ["wi", "width", "width *", "width, self.height", "area()", "__class__", "grown(", ""]
    wrong = ["depth", "widths", "wid(", "w*", " width", "\n", ".", "é"]
    assert [piece for piece in (*right, *wrong) if found.allows("", piece.encode())] == right
    assert found.allows("wi", b"dth)")
    assert not found.allows("wi", b"de")
    assert found.words("he") == ("ight",)
    assert [found.may_end(text) for text in ("", "wi", "width")] == [False, False, True]


def test_a_token_may_be_a_part_of_a_character() -> None:
    found = at(BOX.replace("width", "größe"))
    assert found is not None
    first, second = "ö".encode()[:1], "ö".encode()[1:]
    assert found.allows("gr", first)
    assert found.allows("gr", first + second + b"\xc3")
    assert not found.allows("he", first)
    assert not found.allows("gr", "ä".encode()[1:])
    assert not found.allows("gr", first + "ä".encode()[1:])


def test_accesses_further_on_are_limited_as_well() -> None:
    found = at(BOX)
    assert found is not None
    assert not found.limits("width * ")
    assert found.limits("width * self")
    assert not found.allows("width * self", b".depth(")
    assert found.allows("width * self", b".height")
    assert found.allows("width * self", b")")
    assert not found.limits("width * other.")
    assert not found.limits("width * self.unknown"), "a name that has begun otherwise goes on"
    assert found.known("width\n        x = self.") is not None
    assert not found.limits("width\n        self."), "a statement may define one"
    assert not found.limits("width\n\n    def other(self):\n        return self."), "another function has its own"
    assert found.allows("new = 1\n        y = self.new\n        return self", b".new")


def test_what_is_typed_counts_as_begun() -> None:
    found = at(BOX.replace("self.$0", "self.he$0"))
    assert found is not None
    assert found.words("") == ("ight",)
    assert found.allows("", b"ight")
    assert not found.allows("", b"avy")
    new = at(BOX.replace("self.$0", "self.new$0"))
    assert new is not None
    assert not new.limits(""), "it is not one of the class's"


def test_what_python_gives_a_meaning_has_to_be_begun() -> None:
    found, begun = at(BOX), at(BOX.replace("self.$0", "self.__$0"))
    assert found is not None
    assert begun is not None
    assert not found.allows("", b"__doc__")
    assert not found.allows("__", b"doc__")
    assert "doc__" in begun.words("")
    assert begun.allows("", b"doc__")
    assert not begun.allows("doc__ + self.", b"__doc__")


def test_it_can_be_sent_to_another_process() -> None:
    found = at(BOX)
    assert pickle.loads(pickle.dumps(found)) == found


@pytest.mark.parametrize(
    "document", [{"language_id": "ruby", "path": "a.rb"}, {"language_id": "markdown", "path": "b.md"}]
)
def test_only_python_is_looked_into(document: dict[str, str]) -> None:
    assert at(BOX, **document) is None


def test_large_files_and_long_lines_are_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_parts, "parsed", lambda source: pytest.fail("it was parsed"))
    assert at(f"x = [{'1, ' * 333_333}]\n{BOX}") is None
    assert at(f"{BOX}\n{'y = 1' * 40_000}\n") is None


def test_deep_nesting_raises_nothing() -> None:
    for deep in ("(" * 5000, "-" * 20_000, "a." * 10_000, "lambda: " * 5000, "f'{" * 500, "x=" * 10_000):
        at(BOX.replace("return self.$0", f"return {deep}self.$0"))
        at(BOX.replace("local = by", f"local = {deep}1"))
    bases = "".join(f"class C{n}(C{n + 1}):\n    pass\n\n\n" for n in range(1500))
    assert known(f"{bases}class C1500(C0):\n    def f(self):\n        return self.$0\n") is None


PIECES = (
    *"()[]{}:.,=#'\"\\@\n\n\t ", "self", "self.", "cls.", "    ", "class A(B):", "def f(self):", "return ", "é", "\0",
    '"""', "lambda self: ", "@x\n", "if x:\n", "\r\n", "B = 1", "async ", "width",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(10))
def test_random_texts_raise_nothing(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(scaled(1000) // 10):
        source = rng.choice([BOX.replace("$0", ""), sample(named("Python")).decode()])
        for _ in range(rng.randrange(4)):
            place = rng.randrange(len(source))
            source = source[:place] + rng.choice(PIECES) + source[place + rng.choice([0, 1, 20]) :]
        place = rng.randrange(len(source))
        found = at(f"{source[:place]}$0{source[place:]}")
        text = "".join(rng.choice(PIECES) for _ in range(rng.randrange(6)))
        if found is not None and found.limits(text):
            piece = rng.choice(PIECES)
            assert isinstance(found.allows(text, piece.encode()), bool)
            assert all(found.allows(text, word.encode()) for word in found.words(text))


def test_a_bare_name_is_one_of_those_that_are_defined() -> None:
    members = Members("x = a", (), bare=Bare(6, "", frozenset({"width", "wide", "größe"}), -2.0))
    ahead, inside, behind = " + 3, ", " + 3, wi", " + 3, width"
    assert [members.limits(text) for text in (" + 3", ahead, inside, f"{behind}.")] == [False, True, True, False]
    assert members.words(inside) == ("de", "dth")
    assert all(members.allows(ahead, piece) for piece in (b"w", b"width", b"width(", b"gr\xc3"))
    assert not any(members.allows(ahead, piece) for piece in (b"x", b"wi(", b"(", b"gr\xc4"))
    assert [members.may_end(text) for text in (ahead, inside, behind)] == [False, False, True]
    assert [members.min_logprob(text) for text in (ahead, inside, f"{behind}.")] == [
        -2.0,
        -2.0 - math.log(3),
        -math.inf,
    ]
    begun = Members("x = wi", (), bare=Bare(0, "wi", frozenset({"width", "wide"})))
    assert [begun.allows("", piece) for piece in (b"d", b"dth)", b"n", b")")] == [True, True, False, False]


def test_what_has_to_follow_a_bare_name() -> None:
    members = Members("f(", (), bare=Bare(0, "", frozenset({"width", "wide"}), then="="))
    assert members.words("wi") == ("de=", "dth=")
    assert members.words("wide") == ("=",)
    assert all(members.allows("wide", piece) for piece in (b"=", b"=3"))
    assert not any(members.allows("wide", piece) for piece in (b"==", b")", b" "))
    assert [members.allows("", piece) for piece in (b"wide", b"wide=", b"wide)", b"wid=")] == [True, True, False, False]
    assert [members.may_end(text) for text in ("wi", "wide", "wide=3")] == [False, False, True]
    assert not members.limits("wide=3")
    found = Bare(4, "", frozenset({"width"}), then="=").within("f(a,\r\nb", "f(a,\nb")
    assert found is not None
    assert found.then == "="
