"""Typing through: a suggestion that is remembered is what is left of it, wherever typing it leads, and nowhere else."""

from __future__ import annotations

import random

import pytest

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.insertion import Insertion
from lsp_server.core.reuse import Place, Remembered, SuggestionMemory, Typed
from tests.support.cursor import parse_cursor

BEFORE = "import os\n\n\ndef size(path):\n    "
BEHIND = "\n\n\ndef main():\n    print(size(os.curdir))\n    return 0\n"
TEXT = 'größe = f("a")\n    if größe:\n        return größe\n    return 0'


def remembering(source: str, text: str, reason: str = "") -> SuggestionMemory:
    """A memory with one suggestion, made at the `$0` of `source`."""
    memory = SuggestionMemory()
    memory.remember(Remembered(Place.of(*parse_cursor(source)), Insertion(text), reason))
    return memory


def left_at(memory: SuggestionMemory, source: str, **options: str) -> str | None:
    found = memory.find(*parse_cursor(source, **options))
    return None if found is None else found[1].text


def steps(sizes: str) -> list[int]:
    """The cursor after each key, in characters of TEXT, if it is typed by character, word or line."""
    if sizes == "character":
        return list(range(len(TEXT)))
    border = " " if sizes == "word" else "\n"
    return [index + 1 for index, character in enumerate(TEXT) if character == border]


@pytest.mark.parametrize("behind", [BEHIND, " # more" + BEHIND, "\n", ""], ids=["block", "rest of line", "end", "eof"])
@pytest.mark.parametrize("sizes", ["character", "word", "line"])
def test_the_rest_is_served_while_the_suggestion_is_typed(sizes: str, behind: str) -> None:
    memory = remembering(f"{BEFORE}$0{behind}", TEXT)
    counts = steps(sizes)
    assert len(counts) >= 3
    for count in [*counts, *reversed(counts)]:  # and backwards: what backspace leads to
        assert left_at(memory, f"{BEFORE}{TEXT[:count]}$0{behind}") == TEXT[count:]


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(f"{BEFORE}{TEXT}$0{BEHIND}", id="all of it was typed"),
        pytest.param(f"{BEFORE}x$0{BEHIND}", id="another key"),
        pytest.param(f"{BEFORE}gx$0{BEHIND}", id="another second key"),
        pytest.param(f"{BEFORE}Größe$0{BEHIND}", id="another case"),
        pytest.param(f"{BEFORE}größe  $0{BEHIND}", id="a space too many"),
        pytest.param(f"{BEFORE}{TEXT}x$0{BEHIND}", id="typed beyond its end"),
        pytest.param(f"{BEFORE[:-1]}$0{BEHIND}", id="backspace in front of it"),
        pytest.param(f"{BEFORE[:-1]}$0 {BEHIND}", id="the cursor in front of it"),
        pytest.param(f"{BEFORE}grö$0ße{BEHIND}", id="the cursor inside what was typed"),
        pytest.param(f"{BEFORE}grö$0x{BEHIND}", id="something else behind the cursor"),
        pytest.param(f"{BEFORE}grö$0{BEHIND}".replace("path", "name"), id="an edit before it"),
        pytest.param(f"{BEFORE}grö$0{BEHIND}".replace("main", "test"), id="an edit behind it"),
        pytest.param(f"x = 1\n{BEFORE}grö$0{BEHIND}", id="it has moved"),
    ],
)
def test_where_it_is_no_answer(source: str) -> None:
    memory = remembering(f"{BEFORE}$0{BEHIND}", TEXT)
    assert left_at(memory, source) is None
    assert left_at(memory, f"{BEFORE}grö$0{BEHIND}") == TEXT[3:], "and it is forgotten, too"


FAR = "".join(f"def name_{number}():\n    return {number}\n\n\n" for number in range(40))


@pytest.mark.parametrize("typed", ["", "grö"])
@pytest.mark.parametrize(
    ("above", "below"),
    [
        pytest.param(FAR.replace("name_3(", "size_3("), FAR, id="a name of the same length far above"),
        pytest.param(FAR, FAR.replace("name_3(", "size_3("), id="a name of the same length far below"),
        pytest.param(FAR, FAR.replace("def name_7():\n    return 7\n\n\n", ""), id="a function deleted far below"),
        pytest.param(FAR, f"{FAR}\nx = 1\n", id="a line added at the end"),
    ],
)
def test_what_the_model_was_shown_has_changed_so_it_is_asked_anew(above: str, below: str, typed: str) -> None:
    memory = remembering(f"{FAR}{BEFORE}$0{BEHIND}{FAR}", TEXT)
    assert left_at(memory, f"{above}{BEFORE}{typed}$0{BEHIND}{below}") is None
    assert left_at(memory, f"{FAR}{BEFORE}{typed}$0{BEHIND}{FAR}") == TEXT[len(typed) :]


def test_another_document_has_suggestions_of_its_own() -> None:
    source = f"{BEFORE}g$0{BEHIND}"
    memory = remembering(f"{BEFORE}$0{BEHIND}", TEXT)
    assert left_at(memory, source, path="other.py") is None
    assert left_at(memory, source) == TEXT[1:]


@pytest.mark.parametrize(
    ("typed", "closed", "found"),
    [
        pytest.param("(", "", True, id="nothing closed"),
        pytest.param("(", ")", True, id="a bracket"),
        pytest.param('("', '")', True, id="a bracket and a quote"),
        pytest.param('("a", [', "])", True, id="two brackets"),
        pytest.param('("a", [{', "}])", True, id="three brackets"),
        pytest.param('("a", [{', "}])]", False, id="more than an editor closes"),
        pytest.param("(", ";", False, id="a character that closes nothing"),
        pytest.param("(", "x)", False, id="a letter in front of it"),
        pytest.param("(", ") ", False, id="a space behind it"),
    ],
)
@pytest.mark.parametrize("behind", ["\nfoo()\n", " # more\n" + BEHIND])
def test_brackets_that_the_editor_closes_are_no_change(typed: str, closed: str, found: bool, behind: str) -> None:
    text = '("a", [{1: 2}]) + 1'
    document, cursor = parse_cursor(f"call$0{behind}")
    place = Place.of(document, cursor)
    now, there = parse_cursor(f"call{typed}$0{closed}{behind}")
    assert place.typed_since(now, there) == (Typed(typed.encode(), closed.encode()) if found else None)
    memory = SuggestionMemory()
    memory.remember(Remembered(place, Insertion(text)))
    assert (memory.find(now, there) is not None) == found


@pytest.mark.parametrize(
    ("source", "text", "now"),
    [
        ("return a$0\n", "bc + d\n    more()", "return abc + d$0\n    more()\n"),
        ("return a$0", "bc + d\n    more()", "return abc + d$0\n    more()"),
        ("return a$0", "bc + d", "return ab$0c + d"),
        (f"{BEFORE}$0\n", TEXT, f"{BEFORE}{TEXT[:14]}$0{TEXT[14:]}\n"),
        ("x = $0\nend\n", "1\nend\nend", "x = 1$0\nend\nend\nend\n"),
    ],
)
def test_what_was_accepted_is_not_suggested_again(source: str, text: str, now: str) -> None:
    """The cursor goes back into an accepted suggestion, near the end of the file."""
    memory = remembering(source, text)
    document, cursor = parse_cursor(now)
    left = left_at(memory, now)
    assert left is None or not document.source[cursor:].decode().startswith(left)


@pytest.mark.parametrize(
    ("source", "text", "now", "left", "over"),
    [
        ("def area$0\n", "(self):\n        return self.w", "def area($0)\n", "self):\n        return self.w", ")"),
        ("x = foo$0\n", "(a, b)", "x = foo($0)\n", "a, b", ""),
        ("x = foo$0\n", "(a, b) + c", "x = foo($0)\n", "a, b) + c", ")"),
        ("x = foo$0\n", "(a, b", "x = foo($0)\n", "a, b", ""),
        ("x = foo$0\n", "[0].strip()", "x = foo[$0]\n", "0].strip()", "]"),
        ("x = $0\n", '"a".join(b)', 'x = "$0"\n', 'a".join(b)', '"'),
        ("x = $0\n", '"a"', 'x = "$0"\n', "a", ""),
        ("x = $0\n", "'it' + y", "x = 'i$0'\n", "t' + y", "'"),
        ("f$0\n", "(g(1), 2)", "f(g($0))\n", "1), 2)", "))"),
        ("f$0\n", "(g(1))", "f(g($0))\n", "1", ""),
        ("x: Vec$0\n", "<u8> = y", "x: Vec<$0>\n", "u8> = y", ">"),
        # The outer bracket is not closed: the one that the editor has put there stays behind it.
        ("x = $0\n", "foo(bar(a), [", "x = foo(bar($0))\n", "a), [", ")"),
        ("x = $0\n", "foo(bar(a)", "x = foo(bar($0))\n", "a", ""),
        ("x = $0\n", 'foo("a", [', 'x = foo("$0")\n', 'a", [', '"'),
        ("f$0\n", "(g(h(1), 2), 3", "f(g(h($0)))\n", "1), 2), 3", "))"),
    ],
)
def test_a_suggestion_goes_on_over_the_bracket_that_the_editor_closed(
    source: str, text: str, now: str, left: str, over: str
) -> None:
    found = remembering(source, text).find(*parse_cursor(now))
    assert found is not None
    assert found[1] == Insertion(left, over.encode())


def test_a_suggestion_of_nothing_is_found_at_its_very_place_only() -> None:
    memory = remembering("a = b$0\n", "", "the model wrote nothing")
    found = memory.find(*parse_cursor("a = b$0\n"))
    assert found is not None
    assert (found[0].reason, found[1].text) == ("the model wrote nothing", "")
    assert left_at(memory, "a = bc$0\n") is None
    assert left_at(memory, "a = $0\n") is None


def test_white_space_that_is_left_is_nothing_to_suggest() -> None:
    memory = remembering("a = $0\n", "b  ")
    assert left_at(memory, "a = $0\n") == "b  "
    assert left_at(memory, "a = b$0\n") is None


def test_the_latest_that_fits_is_served() -> None:
    memory = remembering("a = $0\n", "first()")
    memory.remember(Remembered(Place.of(*parse_cursor("a = f$0\n")), Insertion("second()")))
    assert left_at(memory, "a = $0\n") == "first()"
    assert left_at(memory, "a = f$0\n") == "second()"
    assert left_at(memory, "a = fi$0\n") == "rst()", "the second has nothing for this, the first has"
    memory.remember(Remembered(Place.of(*parse_cursor("a = f$0\n")), Insertion("third()")))
    assert left_at(memory, "a = f$0\n") == "third()"
    assert len(memory) == 2


def test_the_memory_is_bounded_and_forgets_the_oldest() -> None:
    memory = SuggestionMemory(limit=3)
    for number in (0, 1, 2, 3, 1, 4):
        memory.remember(Remembered(Place.of(*parse_cursor(f"value_{number} = $0\n")), Insertion(f"text_{number}")))
        assert len(memory) <= 3
    kept = [left_at(memory, f"value_{number} = $0\n") for number in range(5)]
    assert kept == [None, "text_1", None, "text_3", "text_4"]
    memory.clear()
    assert len(memory) == 0
    assert left_at(memory, "value_4 = $0\n") is None


@pytest.mark.parametrize(
    ("text", "typed", "rest"),
    [
        ("abc", b"", "abc"),
        ("abc", b"ab", "c"),
        ("abc", b"abc", ""),
        ("abc", b"abcd", None),
        ("abc", b"b", None),
        ("größe", b"gr", "öße"),
        ("größe", "grö".encode(), "ße"),
        ("a\r\nb", b"a\r\n", "b"),
        ("😀", "😀".encode(), ""),
        ("", b"", ""),
    ],
)
def test_the_rest_of_a_text(text: str, typed: bytes, rest: str | None) -> None:
    assert Typed(typed).rest_of(Insertion(text)) == (None if rest is None else Insertion(rest))


@pytest.mark.parametrize("seed", range(4))
def test_random_typing_is_served_what_the_documents_say(seed: int) -> None:
    """What is found fits: what was typed since its place is its beginning, and the rest of it is what is left."""
    rng = random.Random(seed)
    document = DocumentSnapshot.of("file:///main.py", (BEFORE + BEHIND).encode(), path="main.py")
    cursor = len(BEFORE)
    memory = SuggestionMemory(limit=20)
    made: dict[Place, DocumentSnapshot] = {}
    served = 0
    for _ in range(600):
        event = rng.random()
        found = memory.find(document, cursor)
        if found is not None:
            entry, left = found
            place = entry.place
            served += cursor > place.cursor
            typed = document.source[place.cursor : cursor]
            assert typed + left.text.encode() == entry.shown.text.encode()
            then = made[place].source
            assert document.source[: cursor - len(typed)][-256:] == then[: place.cursor][-256:]
            line_end = then.find(b"\n", place.cursor)
            same_behind = then[place.cursor : line_end + 64]
            assert document.source[cursor : cursor + len(same_behind)] == same_behind
        if found is None and event < 0.5:
            place = Place.of(document, cursor)
            made[place] = document
            memory.remember(Remembered(place, Insertion(rng.choice([TEXT, "größe()\n", "x = 1\ny = 2", ""]))))
        elif event < 0.8:
            follow = found[1].text if found is not None and found[1].text and rng.random() < 0.8 else "gx \n"
            text = follow[: rng.randrange(1, 5)].encode()
            document, cursor = document.edited(cursor, cursor, text), cursor + len(text)
        elif event < 0.9:
            start = len(document.source[:cursor].decode()[:-1].encode())
            document, cursor = document.edited(start, cursor, b""), start
        elif event < 0.93:
            cursor = rng.choice([len(BEFORE), cursor])
            document = document.edited(len(document.source) - 9, len(document.source) - 9, b"#")
        else:
            cursor = min(len(BEFORE), len(document.source))
    assert served > 60
