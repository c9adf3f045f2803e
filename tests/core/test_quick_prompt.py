"""The quick prompt: what it shows of the text around a hole, by budget."""

from __future__ import annotations

import pytest

from lsp_server.core.hole import find_hole
from lsp_server.core.prompt import PromptBudget
from lsp_server.core.quick_prompt import quick_anchor
from tests.support.cursor import parse_cursor
from tests.support.formats import format_named

LINES = "".join(f"    value_{number:02} = shift({number:02})\n" for number in range(30))  # of 26 bytes
ROTATE = f'''\
import math
import re
from json import shift


def rotate(items, steps):
    """Rotate the items to the left.

    The steps may be negative.
    """
{LINES}    $0
'''
TAIL = "    return items\n\n\ndef other():\n    return 1\n"


def shown_at(text: str, before: int, after: int) -> tuple[str, str]:
    """What a prompt of `before` and `after` bytes shows at `$0` in `text`, on either side."""
    document, cursor = parse_cursor(text)
    anchor = quick_anchor(document, find_hole(document, cursor), format_named("qwen"), PromptBudget(before, after))
    assert len(anchor.head) + len(anchor.before) + len(anchor.after) <= before + after
    return (anchor.head + anchor.before).decode(), anchor.after.decode()


def check(text: str, before: int, after: int, shown: str, suffix: str = "") -> None:
    assert shown_at(text, before, after) == (shown, suffix)


def near(count: int) -> str:
    return "".join(LINES.splitlines(keepends=True)[-count:])


def test_a_small_prompt_shows_the_signature_and_the_nearest_lines() -> None:
    check(ROTATE, 160, 0, f"def rotate(items, steps):\n    # ...\n{near(4)}")


def test_a_larger_prompt_shows_the_documentation_as_well() -> None:
    header = (
        'def rotate(items, steps):\n    """Rotate the items to the left.\n\n    The steps may be negative.\n    """\n'
    )
    check(ROTATE, 300, 0, f"from json import shift\n{header}    # ...\n{near(6)}")


def test_documentation_without_room_is_cut_between_words() -> None:
    words = "word " * 60
    text = f'def f():\n    """{words}"""\n{LINES}    $0\n'
    check(text, 250, 0, f'def f():\n    """{"word " * 17}word..."""\n    # ...\n{near(5)}')


def test_what_the_suffix_does_not_need_is_for_the_text_before() -> None:
    check(ROTATE, 100, 60, f"def rotate(items, steps):\n    # ...\n{near(4)}")
    check(ROTATE + TAIL, 130, 30, f"def rotate(items, steps):\n    # ...\n{near(4)}", "\n    return items\n\n")


def test_what_the_text_before_does_not_need_is_for_the_suffix() -> None:
    check("def f():\n    $0\n" + TAIL, 60, 5, "def f():\n", "\n    return items\n\n\ndef other():\n    return 1\n")


def test_only_imports_that_are_used_near_are_shown() -> None:
    source = ROTATE.replace("def rotate", "x = 1\n" * 40 + "def rotate")
    shown = f"from json import shift\ndef rotate(items, steps):\n    # ...\n{near(5)}"
    check(source, 200, 0, shown)


def test_a_window_does_not_begin_inside_a_docstring() -> None:
    """Its end would look like the beginning of a string."""
    text = ROTATE.replace(LINES, "")
    check(text, 60, 0, "def rotate(items, steps):\n    # ...\n")


def test_inside_a_docstring_it_is_open() -> None:
    words = "".join(f"    Word {number:02} of it.\n" for number in range(30))
    text = f'def f(a):\n    """Begin the docstring with some words here.\n{words}    $0\n    """\n    return a\n'
    shown, _ = shown_at(text, 300, 0)
    assert shown.startswith('def f(a):\n    """Begin the docstring with some words here.\n    Word 00 of it.\n')
    assert shown.endswith("...\n" + "".join(words.splitlines(keepends=True)[-9:]))
    assert shown.count('"""') == 1
    check(text, 100, 0, 'def f(a):\n    """...\n' + "".join(words.splitlines(keepends=True)[-4:]))


def test_a_docstring_may_end_the_file() -> None:
    check(f'{LINES}def last():\n    """Doc."""$0', 60, 1, f"# ...\n{near(1)}def last():\n")


def test_where_nothing_encloses_the_hole_a_comment_says_that_text_is_missing() -> None:
    check("alpha = 1\n" * 50 + "$0", 68, 0, "# ...\n" + "alpha = 1\n" * 6)


@pytest.mark.parametrize("before", [1, 5])
def test_a_line_without_room_is_cut(before: int) -> None:
    check("word = 'é" + "x" * 60 + "'\n$0", before, 0, "")
