"""Texts in parts: every place, edit and line is where it is in the same text as a whole, and nothing else is copied."""

from __future__ import annotations

import random
from typing import get_args

import pytest

from lsp_server.core import document, large_text
from lsp_server.core.document import DocumentSnapshot, Edit, LargeDocument
from lsp_server.core.document_store import DocumentStore
from lsp_server.core.large_text import LargeText
from lsp_server.core.text import Encoding, line_starts
from tests.support.effort import scaled

ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
ALPHABETS = {
    "short lines": ["a", "b", "é", "😀", "\n", "\r\n", "\r", "\t", "語"],
    "long lines": [*"aé😀" * 8, "\n"],
    "line ends": ["\r", "\n", "\r\n", "é"],
}
URI = "file:///w/a.py"


@pytest.mark.parametrize("part", [8, 16, 40])
@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_random_sessions_agree_with_the_whole_text(alphabet: str, part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_text, "PART_BYTES", part)
    rng = random.Random(f"{alphabet} {part}")

    def some(most: int) -> str:
        return "".join(rng.choices(ALPHABETS[alphabet], k=rng.randrange(most)))

    for _ in range(scaled(8)):
        source = some(200)
        whole, parts = DocumentSnapshot.of(URI, source.encode()), LargeText.of_text(source)
        for _ in range(30):
            assert parts.slice(0, len(parts)) == whole.source
            assert parts.line_count == whole.line_count
            for before, behind in zip(parts.parts, parts.parts[1:], strict=False):
                assert not (before.source.endswith(b"\r") and behind.source.startswith(b"\n"))
                assert behind.source.decode()
            for encoding in ENCODINGS:
                line, column = rng.randrange(whole.line_count + 1), rng.randrange(40)
                offset = whole.offset(line, column, encoding)
                assert parts.offset(line, column, encoding) == offset
                assert parts.position(offset, encoding) == whole.position(offset, encoding)
            ends = [whole.offset(rng.randrange(whole.line_count), rng.randrange(40), "utf-32") for _ in range(2)]
            start, end = min(ends), max(ends) if rng.random() < 0.3 else min(ends)
            typed = some(rng.choice([2, 60])).encode()
            whole, parts = whole.edited(start, end, typed), parts.edited(start, end, typed)


def opened(size: int, line: str = "größe = area(width, height)  # 😀\n") -> LargeDocument:
    content = line * (size // len(line.encode()))
    return LargeDocument(URI, "a.py", "python", 1, LargeText.of_text(content))


def test_an_edit_makes_anew_one_part_or_two() -> None:
    before = opened(3_000_000)
    middle = before.offset(before.line_count // 2, 4, "utf-16")
    after = before.edited(middle, middle, b"x")
    shared = {id(part) for part in before.content.parts} & {id(part) for part in after.content.parts}
    assert len(before.content.parts) > 50
    assert len(shared) >= len(before.content.parts) - 2


def test_what_is_looked_at_are_whole_lines_around_the_place_that_begin_where_they_did() -> None:
    found = opened(3_000_000)
    cursor = found.offset(found.line_count // 2, 4, "utf-16")
    first = found.near(cursor)
    bases = set()
    for _ in range(200):
        found = found.edited(cursor, cursor, "wört\n".encode())
        cursor += len("wört\n".encode())
        seen = found.near(cursor)
        bases.add(seen.base)
        source = seen.document.source
        assert document.NEAR_BYTES <= cursor - seen.base <= 4 * document.NEAR_BYTES
        assert len(source) <= 6 * document.NEAR_BYTES
        assert source == found.content.slice(seen.base, seen.base + len(source))
        assert found.content.slice(seen.base - 1, seen.base) == b"\n"
        assert source.endswith(b"\n")
        assert seen.document.starts == tuple(line_starts(source))
        assert seen.base + seen.document.edit_end == found.edit_end
        assert found.near(cursor - 1).document is seen.document, "what is known of it would have to be found out again"
    assert bases == {first.base}


@pytest.mark.parametrize("place", ["beginning", "end"])
def test_at_the_beginning_and_at_the_end(place: str) -> None:
    found = opened(1_000_000)
    cursor = 0 if place == "beginning" else len(found.content)
    seen = found.near(cursor)
    assert (seen.base == 0) == (place == "beginning")
    assert (seen.base + len(seen.document.source) == len(found.content)) == (place == "end")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_line_of_megabytes(encoding: Encoding) -> None:
    entry = '{"größe": "😀"},'
    found = opened(3_000_000, entry)
    units = {"utf-8": 4, "utf-16": 2, "utf-32": 1}[encoding]
    size = len(entry.encode())
    column = found.position(1_500_000 // size * size + len('{"größe": "'.encode()), encoding)[1]
    offset = found.offset(0, column, encoding)
    assert found.content.slice(offset, offset + 4) == "😀".encode()
    assert found.position(offset + 4, encoding) == (0, column + units)
    seen = found.near(offset)
    assert seen.document.source.decode()
    assert seen.base <= offset <= seen.base + len(seen.document.source) < seen.base + 6 * document.NEAR_BYTES


def test_a_document_is_held_by_its_size() -> None:
    store = DocumentStore("utf-16", largest_bytes=1000)
    store.open(DocumentSnapshot.of(URI, b"x = 1\n" * 160, path="a.py", language_id="python", version=1, folder="w"))
    assert store.get(URI) is store.find(URI)
    place = ((3, 0), (3, 0))
    grown = store.change(URI, 2, [Edit(place, "größe = 2\n" * 10)])
    assert isinstance(grown, LargeDocument)
    assert (store.get(URI), store.find(URI), store.recent()) == (None, grown, [])
    assert (grown.version, grown.path, grown.language_id, grown.folder) == (2, "a.py", "python", "w")
    expected = b"x = 1\n" * 3 + "größe = 2\n".encode() * 10 + b"x = 1\n" * 157
    assert grown.content.slice(0, len(grown.content)) == expected
    assert grown.edit_end == len(b"x = 1\n" * 3 + "größe = 2\n".encode() * 10)
    many = store.change(URI, 3, [Edit(place, "y\n")] * 20)  # they are made one by one in a large one
    assert isinstance(many, LargeDocument)
    assert many.line_count == grown.line_count + 20
    shrunk = store.change(URI, 4, [Edit(None, "x = 1\n")])
    assert isinstance(shrunk, DocumentSnapshot)
    assert (shrunk.source, shrunk.starts, shrunk.version) == (b"x = 1\n", (0, 6), 4)
    assert store.get(URI) is shrunk


def test_a_large_document_is_not_remembered_when_it_is_closed() -> None:
    store = DocumentStore(largest_bytes=10)
    store.open(DocumentSnapshot.of(URI, b"x = 1\n" * 10, language_id="python", folder="w"))
    store.close(URI)
    assert (len(store), store.recent(), store.language_id(URI)) == (0, [], "python")
