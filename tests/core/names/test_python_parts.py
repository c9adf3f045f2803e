"""A Python file in parts: what is known by them is what is known of the whole, and a key has one of them parsed."""

from __future__ import annotations

import ast
import random
from collections import Counter

import pytest

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.names import python_parts
from lsp_server.core.names.python_parts import around, names_of
from lsp_server.core.names.python_receivers import members_at
from lsp_server.core.names.undefined import without_undefined
from lsp_server.core.shape import Suggestion
from tests.support.effort import scaled
from tests.support.samples import named, sample

FILE = '''\
"""About it.
def in_a_text(): pass
class InAText:
"""
from __future__ import annotations

import os, re as regex
from typing import Literal

TABLE = [
    1,
]


@decorated(
    "x",
)
@again
class Box(Base):
    """A box.
    def in_it(self): pass
    """

    kind: Literal["a", "b"] = "a"

    @property
    def area(self):
        global COUNT
        COUNT = self.width
        return """
def not_one():
"""

    def grow(self, by=kind):
        self.width += by
        return [by for by in range(by)]

    both = area, grow


if os.name == "nt":
    def free(box):
        box.marked = True
else:
    free = None


async def later(): return await free(Box)
x = later
'''


@pytest.mark.parametrize("source", [FILE, sample(named("Python")).decode()], ids=["made", "sample"])
def test_the_parts_say_what_the_whole_says(source: str) -> None:
    whole = ast.parse(source)
    expected = names_of(whole.body, whole)
    rng = random.Random(source)
    for _ in range(scaled(60)):
        start = rng.randrange(len(source))
        end = min(len(source), start + rng.choice([0, 1, 30, 300]))
        part = around(source, start, end)
        assert part is not None
        tree = part.parsed(part.text)
        assert tree is not None
        first = source.split("\n")[part.line]
        assert part.text.startswith(first)
        body = tree.body[0] if part.inner else tree
        assert isinstance(body, ast.Module | ast.ClassDef)
        heads = [part.head] if part.head is not None else []
        every = [*part.others, *heads, *part.siblings, names_of(body.body, body)]
        counts = sum((Counter(each.counts) for each in every), Counter())
        assert {name: min(2, count) for name, count in counts.items()} == expected.counts
        assert frozenset().union(*(each.given for each in every)) == expected.given
        assert frozenset().union(*(each.everywhere for each in every)) == expected.everywhere
        assert frozenset(expected.bound) <= frozenset().union(*(each.bound for each in every))
        assert any(each.sets for each in every) == expected.sets


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("self.width += by", "    def grow(self, by=kind):\n"),
        ("kind: Literal", "@decorated(\n"),
        ("free = None", "if os.name"),
        ("TABLE", '"""About it.'),
        ("await free", "async def later"),
    ],
)
def test_the_part_around_a_place_is_a_method_or_a_statement(place: str, text: str) -> None:
    found = around(FILE, FILE.index(place), FILE.index(place))
    assert found is not None
    assert found.text.startswith(text)


def test_a_key_has_one_part_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    method = "    def method{0}(self):\n        self.value{0} = 1\n        return self.value{0}\n\n"
    source = "import os\n\n\nclass Long:\n" + "".join(map(method.format, range(200)))
    source += "\n\n".join(f"def function{number}():\n    return os\n" for number in range(200))
    place = source.index("self.value100\n") + len("self.value10")
    document = DocumentSnapshot.of("file:///a.py", source.encode(), path="a.py", language_id="python")
    parsed: list[int] = []
    monkeypatch.setattr(
        python_parts, "parsed", lambda text, parse=python_parts.parsed: parsed.append(len(text)) or parse(text)
    )
    for key in range(3):
        parsed.clear()
        document = document.edited(place, place, b"0")
        assert members_at(document, place + 1) is not None
        assert without_undefined(Suggestion("1", place + 1, place + 1), document).suggestion is not None
        if key:
            assert sum(parsed) < 1000
    assert without_undefined(Suggestion("0 + method", place, place), document).undefined == "method0000"


@pytest.mark.parametrize(
    "source",
    [
        "def f(:\n    pass\n\n\n" + FILE,
        FILE + "'''",
        FILE.replace("TABLE = [", "TABLE = ("),
        "\n".join(["x = ["] * 3000),
        "@a\n" * 10_000,
        '"""\n' * 9999,
        "class A:\n" + "  def f(self): x = (\n" * 2000,
    ],
    ids=range(7),
)
def test_of_a_file_that_does_not_parse_nothing_is_said(source: str) -> None:
    place = len(source) // 2
    part = around(source, place, place)
    assert part is None or part.parsed(part.text) is None
