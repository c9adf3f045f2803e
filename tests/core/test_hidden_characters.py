"""What hides in a text: it is taken out of what a model wrote, and spelt out where a terminal gets it."""

from __future__ import annotations

import random
import sys
import unicodedata

import pytest

from lsp_server.core.hidden_characters import before_hidden, escaped, keeping_lines, without_hidden
from lsp_server.core.hole import find_hole
from lsp_server.core.shape import shape
from lsp_server.core.stopping import stop_rule
from tests.support.cursor import parse_cursor
from tests.support.effort import scaled

HOSTILE = {
    "right-to-left override": "if access != 'user\u202e \u2066// Check if admin\u2069 \u2066':",
    "isolates": "return\u2067 total\u2069",
    "embedding": "x = \u202a1\u202c",
    "marks": "a\u200eb\u200fc\u061c = 1",
    "colours": "x = 1\x1b[31;1m red\x1b[0m",
    "hidden by a style": "x = 1\x1b[8m; evil()\x1b[0m",
    "a terminal's title": "x\x1b]0;rm -rf /\x07 = 1",
    "a link": "x\x1b]8;;https://example.org\x1b\\y\x1b]8;;\x1b\\ = 1",
    "a control sequence of one byte": "x\x9b2J = 1",
    "a cleared screen": "x\x1b[2J\x1b[H = 1",
    "a device string": "x\x1bP1$r\x1b\\ = 1",
    "a bell": "x\x07 = 1",
    "backspaces": "admin\x08\x08\x08\x08\x08user = 1",
    "zero width": "ad\u200bm\u200ci\u200dn\u2060 = 1",
    "a byte order mark": "\ufeffx = \ufeff1",
    "a soft hyphen": "ad\u00admin = 1",
    "fillers": "x\u3164 = \uffa0\u115f\u1160",
    "tags": "x = 1\U000e0065\U000e0076\U000e0069\U000e006c",
    "selectors that hold data": "x\ufe01\ufe02\U000e0101\U000e0102 = 1",
    "an empty braille sign": "x\u2800 = 1",
    "line ends of compilers": "# nothing\u2028evil()\u2029evil()\x85evil()",
    "no characters": "x\ufffe\uffff = 1",
    "annotations": "x\ufff9y\ufffaz\ufffb = 1",
    "a NUL": "x\x00 = 1",
    "of musical notes": "x\U0001d173 = 1",
}
HARMLESS = [
    "def größe(länge):\n\treturn 'naïve' + länge\r\n\f",
    "'👩‍👩‍👧 ❤️ 🏳️‍🌈 👍🏽 1️⃣ ☎️ ©️'",
    "'می‌خواهم نامه‌ای'",
    "'क्‍ष'  # हिन्दी",
    "'한국어 と 日本語 и русский, עברית, العربية'",
    "e\u0301a\u0308  nbsp:\u00a0 ideographic:\u3000",
    "\u0600\u06dd",
]


def is_hidden(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp", "Cs") and character not in "\t\n\r\f"


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_hidden_is_left(name: str) -> None:
    cleaned = without_hidden(HOSTILE[name])
    assert not any(map(is_hidden, cleaned)), ascii(cleaned)
    assert not set(cleaned) & set("\u3164\uffa0\u115f\u1160\u2800\ufe01\U000e0101")
    assert "[31" not in cleaned
    assert "rm -rf" not in cleaned
    assert without_hidden(cleaned) == cleaned


@pytest.mark.parametrize("text", HARMLESS)
def test_what_a_script_or_an_emoji_needs_stays(text: str) -> None:
    assert without_hidden(text) == text
    assert escaped(text) == text


def test_every_character_that_unicode_calls_a_control_or_a_format_is_hidden_between_letters() -> None:
    """But the signs of Arabic and its like that are seen, in front of the number they are about."""
    seen = [0x600, 0x601, 0x602, 0x603, 0x604, 0x605, 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD]
    for code in range(sys.maxunicode + 1):
        if is_hidden(chr(code)) and code not in seen:
            assert without_hidden(f"a{chr(code)}b") in ("ab", "a", "b"), hex(code)
            assert escaped(f"a{chr(code)}b").isprintable(), hex(code)


@pytest.mark.parametrize("seed", range(3))
def test_of_a_beginning_it_makes_a_beginning(seed: int) -> None:
    """So that what is shown of half an answer stays when the rest has come."""
    rng = random.Random(seed)
    alphabet = [*"a[31m];#\\\n🏳م", "\x1b", "\x07", "\x9b", "\x9c", "\u202e", "\u200d", "\u200c", "\ufe0f", "\u20e3"]
    for _ in range(scaled(4000)):
        text = "".join(rng.choices(alphabet, k=rng.randrange(10)))
        whole = without_hidden(text)
        assert whole.startswith(without_hidden(text[: rng.randrange(len(text) + 1)])), ascii(text)
        assert "\x1b" not in whole
        assert "\u202e" not in whole


@pytest.mark.parametrize("name", HOSTILE)
def test_a_suggestion_hides_nothing(name: str) -> None:
    document, offset = parse_cursor("def f(access):\n    $0\n", path="a.txt", language_id="plaintext")
    hole = find_hole(document, offset)
    for cut in (HOSTILE[name], HOSTILE[name][: len(HOSTILE[name]) // 2]):
        shown = shape(cut, document, hole, stop_rule(document, hole, 8), whole=cut == HOSTILE[name])
        assert shown is None or without_hidden(shown.text) == shown.text
    assert shown is None or not any(map(is_hidden, shown.text))


def test_a_terminal_gets_it_spelt_out() -> None:
    assert escaped("model\x1b[2J\u202e\x07 \U000e0041") == r"model\x1b[2J\u202e\x07 \U000e0041"
    assert escaped("a\r\nb\tc") == "a\r\nb\tc"


@pytest.mark.parametrize("style", ["\x1b[1;32m", "\x1b[0m", "\x1b[38;5;208m", "\r\x1b[K", "\x1b[m"])
def test_colours_stay_on_a_terminal(style: str) -> None:
    assert escaped(f"x{style}y", styled=True) == f"x{style}y"
    assert "\x1b" not in escaped(f"x{style}y")


@pytest.mark.parametrize("style", ["\x1b[8m", "\x1b[1;8m", "\x1b[08;1m", "\x1b[2J", "\x1b[1A", "\x1b]0;x\x07", "a\rb"])
def test_what_hides_or_moves_does_not(style: str) -> None:
    shown = escaped(f"x{style}y", styled=True)
    assert "\x1b" not in shown
    assert "\r" not in shown


def test_lines_that_stay_keep_what_the_user_has_written() -> None:
    old = "mark = '\u200f'\nother = '\u200b'\nlast = 1\n"
    new = "mark = ''\nanother = ''\nlast = 2\n"
    assert keeping_lines(old, new) == "mark = '\u200f'\nanother = ''\nlast = 2\n"
    assert keeping_lines("a = 1\n", new) == new


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("width = na\x07me\n", "width = na"),
        ("ad\u200bmin = 1", "ad"),
        ("x = 1\x1b[0m", "x = 1"),
        ("x = 'é'", "x = 'é'"),
    ],
)
def test_a_suggestion_ends_before_what_hides(text: str, shown: str) -> None:
    """Without it, two names would become one."""
    assert before_hidden(text) == shown
    document, cursor = parse_cursor("$0\n", path="m.py")
    hole = find_hole(document, cursor)
    found = shape(text, document, hole, stop_rule(document, hole, 8))
    assert found is not None
    assert found.text == shown
