"""Line starts and columns: the protocol's line ends and no others, and three ways of counting."""

from __future__ import annotations

import random
import re
from itertools import accumulate

import pytest

from lsp_server.core.text import (
    LONG_LINE_BYTES,
    Encoding,
    LineIndex,
    byte_column,
    character_start,
    column_of,
    encode,
    indent_width,
    line_starts,
    shared_start,
    updated_line_starts,
)

ENCODINGS: tuple[Encoding, ...] = ("utf-8", "utf-16", "utf-32")


def scanned(source: bytes) -> list[int]:
    """Line starts as the protocol defines them, by plain reading."""
    return [0, *(match.end() for match in re.finditer(rb"\r\n|\r|\n", source))]


@pytest.mark.parametrize(
    ("source", "starts"),
    [
        ("", [0]),
        ("a", [0]),
        ("\n", [0, 1]),
        ("a\nb", [0, 2]),
        ("a\n", [0, 2]),
        ("a\r\nb\r\n", [0, 3, 6]),
        ("a\rb\r", [0, 2, 4]),
        ("\r\r\n\n", [0, 1, 3, 4]),
        ("\n\r", [0, 1, 2]),
        ("a\x0cb\x0bc\x1cd\x1ee", [0]),
        ("a\u0085b\u2028c\u2029d", [0]),
        ("é\n😀\n", [0, 3, 8]),
    ],
)
def test_where_lines_start(source: str, starts: list[int]) -> None:
    assert line_starts(source.encode()) == starts == scanned(source.encode())


# Pieces that make edits which part a \\r from its \\n, or bring one behind the other, likely.
PIECES = (b"", b"\r", b"\n", b"\r\n", b"a", b"b\r", b"\nc", "é".encode(), b"\x0c", "\u2028".encode(), b"\r\r\n")


@pytest.mark.parametrize("seed", range(4))
def test_updated_line_starts_equal_a_rescan(seed: int) -> None:
    rng = random.Random(seed)
    source = b"".join(rng.choices(PIECES, k=rng.choice([0, 5, 40])))
    starts = line_starts(source)
    sizes: list[int] = []
    for _ in range(3000):
        start, end = sorted((rng.randrange(len(source) + 1), rng.randrange(len(source) + 1)))
        if rng.random() < 0.97:
            end = min(end, start + rng.randrange(3))
        replacement = b"".join(rng.choices(PIECES, k=rng.randrange(4)))
        if len(source) > 200:
            replacement = b""
        sizes.append(len(source))
        before = list(starts)
        edited = source[:start] + replacement + source[end:]
        updated = updated_line_starts(starts, edited, start, end, len(replacement))
        assert updated == scanned(edited), (source, start, end, replacement)
        assert starts == before, "the old snapshot's line starts were changed"
        source, starts = edited, updated
    assert sum(sizes) / len(sizes) > 40, "the edits left too little text to be wrong about"


@pytest.mark.parametrize(
    ("line", "encoding", "column", "byte"),
    [
        ("abc", "utf-16", -1, 0),
        ("abc", "utf-16", 2, 2),
        ("abc", "utf-16", 9, 3),
        ("", "utf-8", 4, 0),
        # é is 2 bytes, 1 unit; 語 is 3 bytes, 1 unit; 😀 is 4 bytes, 2 UTF-16 units.
        ("é語😀x", "utf-8", 2, 2),
        ("é語😀x", "utf-8", 5, 5),
        ("é語😀x", "utf-8", 99, 10),
        ("é語😀x", "utf-16", 1, 2),
        ("é語😀x", "utf-16", 2, 5),
        ("é語😀x", "utf-16", 4, 9),
        ("é語😀x", "utf-16", 99, 10),
        ("é語😀x", "utf-32", 3, 9),
        ("é語😀x", "utf-32", 99, 10),
        # Inside a character means its start.
        ("é語😀x", "utf-8", 1, 0),
        ("é語😀x", "utf-8", 4, 2),
        ("é語😀x", "utf-8", 8, 5),
        ("é語😀x", "utf-16", 3, 5),
        ("😀", "utf-16", 1, 0),
        ("é", "utf-8", 1, 0),
        # A combining mark counts by itself.
        ("e\u0301x", "utf-16", 1, 1),
        ("e\u0301x", "utf-16", 2, 3),
        ("e\u0301x", "utf-32", 2, 3),
        ("👩‍👩‍👧x", "utf-16", 8, 18),
        ("👩‍👩‍👧x", "utf-32", 5, 18),
    ],
)
def test_byte_columns(line: str, encoding: Encoding, column: int, byte: int) -> None:
    assert byte_column(line.encode(), column, encoding) == byte


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_columns_of_random_lines_round_trip(encoding: Encoding) -> None:
    rng = random.Random(encoding)
    width = {
        "utf-8": lambda c: len(c.encode()),
        "utf-16": lambda c: len(c.encode("utf-16-le")) // 2,
        "utf-32": lambda c: 1,
    }[encoding]
    for _ in range(800):
        text = "".join(rng.choices("ab é\u0301語😀\U0010ffff\x0c\u2028", k=rng.randrange(15)))
        line, column, byte = text.encode(), 0, 0
        for character in text:
            assert byte_column(line, column, encoding) == byte
            assert column_of(line, byte, encoding) == column
            for inside in range(1, width(character)):
                assert byte_column(line, column + inside, encoding) == byte
            column += width(character)
            byte += len(character.encode())
        assert byte_column(line, column, encoding) == byte == len(line)
        assert byte_column(line, column + 7, encoding) == len(line)
        assert column_of(line, byte, encoding) == column_of(line, byte + 3, encoding) == column


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("alphabet", ["ab", "aé", "aé\u0301語😀\U0010ffff"])
def test_columns_of_long_lines_are_those_of_the_line_in_that_encoding(encoding: Encoding, alphabet: str) -> None:
    rng = random.Random(f"{encoding} {alphabet}")
    line = "".join(rng.choices(alphabet, k=3 * LONG_LINE_BYTES))
    encoded = [character.encode("utf-16-le" if encoding == "utf-16" else encoding) for character in line]
    unit = {"utf-8": 1, "utf-16": 2, "utf-32": 8}[encoding]
    columns = [0, *accumulate(max(1, len(each) // unit) for each in encoded)]
    offsets = [0, *accumulate(len(character.encode()) for character in line)]
    source = b"[" + line.encode() + b"]\n"
    index = LineIndex(source, 1, len(source) - 2, encoding)
    for place in [0, 1, len(line) - 1, len(line), *(rng.randrange(len(line)) for _ in range(40))]:
        assert index.offset(columns[place]) == 1 + offsets[place]
        assert index.column(1 + offsets[place]) == columns[place]
        assert byte_column(line.encode(), columns[place], encoding) == offsets[place]
        assert column_of(line.encode(), offsets[place], encoding) == columns[place]
    assert index.offset(columns[-1] + 9) == len(source) - 2
    assert index.offset(-1) == 1


@pytest.mark.parametrize(
    ("text", "source"),
    [("a", b"a"), ("\ud83d", b"?"), ("\ude00x", b"?x"), ("a\ud800\udfff", b"a??"), ("😀", "😀".encode())],
)
def test_lone_surrogates_become_one_unit_each(text: str, source: bytes) -> None:
    assert encode(text) == source
    units = len(text.encode("utf-16-le", "surrogatepass")) // 2
    assert column_of(source, len(source), "utf-16") == units


def test_character_start_never_stops_inside_a_character() -> None:
    source = "aé語😀".encode()
    expected = [0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10]
    assert [character_start(source, offset) for offset in range(len(source) + 1)] == expected


@pytest.mark.parametrize(
    ("line", "width"),
    [(b"", 0), (b"a  b", 0), (b"    a", 4), (b"\ta", 4), (b"  \ta", 4), (b"\t a", 5), (b"   ", 3), (b"\x0ca", 0)],
)
def test_indent_width(line: bytes, width: int) -> None:
    assert indent_width(line) == width


@pytest.mark.parametrize(
    ("first", "second", "limit", "shared"),
    [
        (b"", b"", 0, 0),
        (b"abc", b"abc", 3, 3),
        (b"abc", b"abd", 3, 2),
        (b"abc", b"xbc", 3, 0),
        (b"abc", b"abc", 2, 2),
        (b"ab", b"abcd", 2, 2),
        (b"abcabd", b"abcabc", 6, 5),
    ],
)
def test_shared_start(first: bytes, second: bytes, limit: int, shared: int) -> None:
    assert shared_start(first, second, limit) == shared_start(second, first, limit) == shared
