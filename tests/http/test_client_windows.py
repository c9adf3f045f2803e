"""The documents behind the windows that clients send: what is sent always stands there, and what is known around it."""

from __future__ import annotations

import random

import pytest

from bench.arms.zed import window
from lsp_server.http import client_windows
from lsp_server.http.client_windows import ClientFiles, Placed
from lsp_server.http.guess_language import guess_language
from lsp_server.http.request import MOST_BYTES
from tests.conftest import ROOT
from tests.support.cursor import show_cursor


def place(found: ClientFiles, source: str) -> Placed:
    before, after = source.split("$0")
    return found.place(before, after)


def shown(placed: Placed) -> str:
    return show_cursor(placed.document, placed.offset)


def test_the_same_file_is_the_same_document() -> None:
    found = ClientFiles()
    first = place(found, "import os\n\n\ndef name():\n    return o$0\n")
    second = place(found, "import os\n\n\ndef name():\n    return os$0\n")
    assert second.document.uri == first.document.uri
    assert second.before is first.document
    assert second.document.edit_end == second.offset
    assert place(found, "import os\n\n\ndef name():\n    return os$0\n").document is second.document


def test_another_text_is_another_document() -> None:
    found = ClientFiles()
    first = place(found, "import os\n\n\ndef name():\n    return o$0\n")
    other = place(found, "const a = 1;\nconst b = 2;\nconst c = a + $0;\n")
    assert other.document.uri != first.document.uri
    assert other.before is None
    assert place(found, "import os\n\n\ndef name():\n    return os.$0\n").document.uri == first.document.uri


LINES = [f"value_{n} = compute({n}, {n * 7 % 91})" for n in range(200)]


def part(first: int, last: int, cursor: int) -> str:
    """Lines of a file, with the cursor at the end of one."""
    lines = [line + "$0" * (number == cursor) for number, line in enumerate(LINES)]
    return "\n".join(lines[first:last]) + "\n"


@pytest.mark.parametrize(
    ("then", "known"),
    [
        ((55, 95, 75), (50, 95)),  # down
        ((45, 85, 65), (45, 90)),  # up
        ((60, 80, 70), (50, 90)),  # within
        ((40, 100, 70), (40, 100)),  # around
        ((50, 91, 71), (50, 91)),
        ((49, 90, 69), (49, 90)),
    ],
)
def test_a_window_that_moves_keeps_what_was_seen(then: tuple[int, int, int], known: tuple[int, int]) -> None:
    found = ClientFiles()
    first = place(found, part(50, 90, 70))
    second = place(found, part(*then))
    assert second.document.uri == first.document.uri
    assert shown(second) == part(*known, then[2])


def test_a_window_that_moves_while_something_is_typed() -> None:
    """At the file's end, with nothing behind the cursor, the beginning goes line by line."""
    found, lines = ClientFiles(), LINES[:40]
    for line in LINES[40:60]:
        lines.append(line)
        placed = place(found, "\n".join(lines[-30:]) + "$0")
    assert shown(placed) == "\n".join(lines[11:]) + "$0"


def test_a_window_far_away_is_a_document_of_its_own() -> None:
    found = ClientFiles()
    first = place(found, part(0, 40, 20))
    second = place(found, part(150, 190, 170))
    assert second.document.uri != first.document.uri
    assert shown(second) == part(150, 190, 170)


@pytest.mark.parametrize("seed", range(6))
def test_random_sessions_have_what_is_sent_and_what_was_seen(seed: int) -> None:
    """The text around the cursor is that of the request, whatever is edited and however the cursor moves; and where no
    line is there twice, all of the document is a part of the file."""
    chance, found = random.Random(seed), ClientFiles()
    unique = seed % 2 == 0
    lines = [f"line {n} of {chance.getrandbits(40):x}" if unique else chance.choice(LINES[:9]) for n in range(400)]
    text, cursor = "\n".join(lines) + "\n", 5000
    for step in range(150):
        kind = chance.randrange(10)
        if kind < 6:
            typed = chance.choice(["x", "é", "(", " ", "\n", f"\nn{step} = {chance.getrandbits(30)}\n", "日本"])
            text, cursor = text[:cursor] + typed + text[cursor:], cursor + len(typed)
        elif kind < 8:
            gone = min(cursor, chance.choice([1, 1, 30, 150]))
            text, cursor = text[: cursor - gone] + text[cursor:], cursor - gone
        elif kind == 8:
            cursor = max(0, min(len(text), cursor + chance.randrange(-300, 300)))
        else:
            cursor = chance.randrange(len(text) + 1)
        if chance.random() < 0.5:
            before, after = window(text, cursor)
        else:
            before, after = text[max(0, cursor - 9000) : cursor], text[cursor : cursor + 2000]
        placed = found.place(before, after)
        source, offset = placed.document.source, placed.offset
        assert source[:offset].endswith(before.encode())
        assert source[offset:].startswith(after.encode())
        assert list(placed.document.starts) == [0, *(at + 1 for at, byte in enumerate(source) if byte == 0x0A)]
        assert 0 <= placed.document.edit_end <= len(source)
        if unique and kind < 8:
            assert source.decode() in text


def test_what_is_kept_is_bounded() -> None:
    found = ClientFiles()
    text = "".join(f"value_{n} = {n}\n" for n in range(60_000))
    assert len(text) > 6 * MOST_BYTES
    closed = []
    for cursor in range(0, len(text), 1500):
        placed = found.place(text[max(0, cursor - 4000) : cursor], text[cursor : cursor + 4000])
        assert len(placed.document.source) < 6 * client_windows._KEPT_AROUND
        closed += placed.closed
    assert not closed  # it was one document all the way
    whole = found.place(text, text)
    assert len(whole.document.source) <= 2 * MOST_BYTES
    many = 3 * client_windows.MOST_FILES
    uris = {found.place(f"{n}{'abcdefgh'[n % 8] * 300}{n}\n", "").document.uri for n in range(many)}
    assert len(uris) == many
    assert len(found._files) == client_windows.MOST_FILES


def test_half_a_character_is_none() -> None:
    found = ClientFiles()
    place(found, "é = 'aé'\nprint(é)$0\n")
    placed = place(found, "é = 'aè'\nprint(é)$0\n")  # the second byte alone is another
    assert shown(placed) == "é = 'aè'\nprint(é)$0\n"
    cut = found.place("日" * MOST_BYTES, "本" * MOST_BYTES)
    assert set(cut.document.source.decode()) == {"日", "本"}


SAMPLES = {
    **{"Store.cs": "csharp", "Store.java": "java", "Store.kt": "kotlin", "Store.scala": "scala"},
    **{"Store.swift": "swift", "store.c": "c", "store.cpp": "cpp", "store.css": "css", "store.go": "go"},
    **{"store.html": "html", "store.js": "javascript", "store.lua": "lua", "store.php": "php", "store.py": "python"},
    **{"store.rb": "ruby", "store.rs": "rust", "store.sh": "shellscript", "store.sql": "sql"},
    **{"store.ts": "typescript"},
}


@pytest.mark.parametrize("name", SAMPLES)
def test_languages_are_guessed_rightly_or_not_at_all(name: str) -> None:
    source = (ROOT / "tests/samples" / name).read_bytes()
    assert guess_language(source) == SAMPLES[name]
    lines = source.splitlines(keepends=True)
    parts = {guess_language(b"".join(lines[first : first + 25])) for first in range(0, len(lines), 12)}
    assert parts <= {SAMPLES[name], ""}


@pytest.mark.parametrize("name", ["store.json", "store.md", "store.toml", "store.yaml"])
def test_data_and_prose_are_no_language(name: str) -> None:
    assert guess_language((ROOT / "tests/samples" / name).read_bytes()) == ""


@pytest.mark.parametrize("text", ["", "x", "hello world\n", "const a = 1;\nlet b = a => 2;\n<p>{a}</p>\n<p>{b}</p>\n"])
def test_what_could_be_anything_is_nothing(text: str) -> None:
    assert guess_language(text.encode()) == ""
