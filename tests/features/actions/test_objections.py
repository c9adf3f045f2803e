"""What Python's own parser refuses, which the grammar lets through, in short files and in long ones."""

from __future__ import annotations

import pytest

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import find_language
from lsp_server.features.actions.objections import syntax_objection

PYTHON = find_language("python", "a.py")
OTHERS = "".join(f"def other_{number}():\n    return {number}\n\n\n" for number in range(2000))
BEFORE = "try:\n        return table[key]\n    except KeyError:\n        raise Missing(key)\n"
FUNCTION = f"@cached\ndef lookup(table, key):\n    {BEFORE}"


def refused(source: str, old: str, new: str) -> str:
    document = DocumentSnapshot.of("file:///w/a.py", source.encode(), path="a.py")
    start = source.index(old)
    edited = document.edited(start, start + len(old), new.encode())
    return syntax_objection(document, edited, PYTHON, start, start + len(new))


@pytest.mark.parametrize("around", ["", OTHERS], ids=["short", "long"])
@pytest.mark.parametrize(
    ("new", "problem"),
    [
        ("try:\n        return table[key]\n", "expected 'except' or 'finally' block"),
        ("break\n", None),  # refused only when it is compiled
        ("return table.get(key)\n", None),
        ("return f(a=1, 2)\n", "positional argument follows keyword argument"),
    ],
)
def test_what_only_python_refuses(around: str, new: str, problem: str | None) -> None:
    found = refused(f"{around}{FUNCTION}\n\n{around}", BEFORE, new)
    assert (problem in found and "line" in found) if problem else found == ""


def test_the_line_is_that_of_the_file() -> None:
    found = refused(f"{OTHERS}{FUNCTION}\n\n{OTHERS}", BEFORE, "return f(a=1, 2)\n")
    assert f"(line {OTHERS.count(chr(10)) + 3}: " in found


def test_a_long_file_that_is_broken_elsewhere_is_judged_by_what_is_edited() -> None:
    assert refused(f"{OTHERS}{FUNCTION}\n\nf(a=1, 2)\n", BEFORE, "return f(a=1, 2)\n")
