"""Mend what broke: a slip for which there is one fix."""

from __future__ import annotations

import pytest

from tests.support.edited import Edited, proposed
from tests.support.samples import SAMPLES

FOUND = {
    "letters stuck to a keyword": ("[-from-][+imfrom+] a import b\n$0", "from a import b\n"),
    "letters changed round": ("def f():\n    [-return-][+retrun+] 1\n$0", "def f():\n    return 1\n"),
    "a name with a slip": (
        "def f(items):\n    for x in [-items-][+itmes+]:\n        pass\n$0",
        "def f(items):\n    for x in items:\n        pass\n",
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_a_slip_is_mended_behind_the_cursor(name: str) -> None:
    source, expected = FOUND[name]
    assert proposed(source, eagerness="medium") == expected


def test_a_word_that_is_being_typed_is_left_alone_unless_asked() -> None:
    source = "import x\n\n[+im$0+]from a import b\n"
    assert proposed(source) is None
    assert proposed(source, asked=True) == "import x\n\nfrom a import b\n"


def test_an_empty_decorator_gets_the_one_imported_name_that_is_not_used() -> None:
    source = "from functools import cache\n\n@$0\ndef f():\n    pass\n"
    assert proposed(source, asked=True) == source.replace("@$0", "@cache")
    assert proposed(source) is None
    assert proposed(source.replace("cache", "cache, wraps"), asked=True) is None


SILENT = {
    "a name that may come from elsewhere": "def f(items):\n    for x in [-items-][+things+]:\n        pass\n$0",
    "a name that two may be": "def f(value, volue):\n    return [-value-][+vilue+]\n$0",
    "a number tells two apart": "def f(value1):\n    return [-value1-][+value2+]\n$0",
    "a plural": "def f(values):\n    return [-values-][+value+]\n$0",
    "what is no error": "[-x-][+fro+] = 1\n$0",
}


@pytest.mark.parametrize("name", SILENT)
def test_silent_when_in_doubt(name: str) -> None:
    assert proposed(SILENT[name]) is None


def test_correct_code_is_left_alone_wherever_the_cursor_is() -> None:
    """Every language's sample, with a line typed in anew: nothing follows from that, at any eagerness."""
    for path in SAMPLES.values():
        text = path.read_text("utf-8")
        lines = text.split("\n")
        for number in range(0, len(lines), max(1, len(lines) // 5)):
            edited = Edited(text, path.name)
            start, end = edited.document.line_start(number), edited.document.line_end(number)
            line = edited.document.line(number).decode()
            edited.edit(start, end, "", 0.0)
            edited.edit(start, start, f"{line} ", 1.0)
            assert next(edited.proposals("high"), None) is None
