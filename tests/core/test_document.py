"""Snapshots and the store: positions, edits in every encoding, and versions that never change."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from lsp_server.core import text
from lsp_server.core.closed_documents import MOST_CLOSED, MOST_CLOSED_BYTES
from lsp_server.core.document import DocumentSnapshot, Edit
from lsp_server.core.document_store import DocumentStore
from lsp_server.core.text import LONG_LINE_BYTES, Encoding, line_starts

ENCODINGS: tuple[Encoding, ...] = ("utf-8", "utf-16", "utf-32")
Position = tuple[int, int]


def document(source: str, uri: str = "file:///a.py") -> DocumentSnapshot:
    return DocumentSnapshot.of(uri, source.encode(), path="a.py", language_id="python", version=1)


@pytest.mark.parametrize(
    ("source", "newline"),
    [("", b"\n"), ("a", b"\n"), ("a\nb\r\n", b"\n"), ("a\r\nb\n", b"\r\n"), ("a\rb", b"\r"), ("\r\n", b"\r\n")],
)
def test_newline_is_the_first_lines(source: str, newline: bytes) -> None:
    assert document(source).newline == newline


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("", [""]),
        ("a", ["a"]),
        ("a\n", ["a", ""]),
        ("a\r\nbc\n\rd\r", ["a", "bc", "", "d", ""]),
        ("\r\n\n\r", ["", "", "", ""]),
        ("a\x0cb\n\u2028", ["a\x0cb", "\u2028"]),
    ],
)
def test_lines_are_without_their_ends(source: str, lines: list[str]) -> None:
    found = document(source)
    assert [found.line(number).decode() for number in range(found.line_count)] == lines


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_offset_between_characters_round_trips(encoding: Encoding) -> None:
    text = "aé\r\n語😀\n\ne\u0301\rlast 👩‍👩‍👧"
    found = document(text)
    for count in range(len(text) + 1):
        if text[count - 1 : count + 1] == "\r\n":
            continue  # no position stands between them
        offset = len(text[:count].encode())
        line, column = found.position(offset, encoding)
        assert found.offset(line, column, encoding) == offset
        assert found.line_at(offset) == line


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    ("position", "offset"),
    [((0, 99), 1), ((1, 99), 4), ((2, 99), 5), ((3, 0), 5), ((99, 99), 5)],
)
def test_positions_beyond_the_end(encoding: Encoding, position: Position, offset: int) -> None:
    assert document("a\r\nb\n").offset(*position, encoding) == offset


def test_a_position_between_a_line_end_is_the_lines_end() -> None:
    assert document("ab\r\ncd").position(3, "utf-16") == (0, 2)


def test_an_edit_makes_a_new_snapshot_and_leaves_the_old_one() -> None:
    store = DocumentStore()
    first = document("a\nb\n")
    store.open(first)
    held = store.snapshots()
    second = store.change(first.uri, 2, [Edit(((0, 0), (0, 0)), "\n\n"), Edit(None, "x"), Edit(((0, 1), (0, 1)), "y")])
    assert (second.source, second.version, second.starts) == (b"xy", 2, (0,))
    assert (first.source, first.version, first.starts) == (b"a\nb\n", 1, (0, 2, 4))
    assert store.get(first.uri) is second
    assert held[first.uri] is first
    assert first != second
    assert (second.path, second.language_id) == ("a.py", "python")
    store.close(first.uri)
    assert store.get(first.uri) is None
    assert len(store) == 0
    with pytest.raises(KeyError):
        store.change(first.uri, 3, [])


def test_the_recent_documents_are_the_latest_edited_first_and_then_the_closed_ones() -> None:
    store = DocumentStore()

    def recent() -> list[str]:
        return [found.uri for found in store.recent()]

    for name in "abc":
        store.open(DocumentSnapshot.of(name, name.encode(), folder="w"))
    assert recent() == ["c", "b", "a"]
    changed = store.change("a", 2, [Edit(None, "new")])
    assert recent() == ["a", "c", "b"]
    store.close("a")
    store.close("b")
    assert recent() == ["c", "b", "a"]
    assert store.recent()[2] is changed, "the text as it was when it was closed"
    assert (len(store), store.get("a"), set(store.snapshots())) == (1, None, {"c"})
    store.open(DocumentSnapshot.of("a", b"again", folder="w"))
    assert recent() == ["a", "c", "b"]


def test_what_is_closed_outside_the_workspace_is_forgotten() -> None:
    store = DocumentStore()
    store.open(document("x"))
    assert [found.uri for found in store.recent()] == ["file:///a.py"]
    store.close("file:///a.py")
    assert store.recent() == []
    store.close("never opened")


def test_closed_documents_are_bounded_in_number_and_size() -> None:
    store = DocumentStore()
    for size in (1, MOST_CLOSED_BYTES // 2, MOST_CLOSED_BYTES + 1):
        for number in range(3 * MOST_CLOSED):
            store.open(DocumentSnapshot.of(f"{number}", b"x" * size, folder="w"))
            store.close(f"{number}")
            kept = store.recent()
            assert len(kept) <= MOST_CLOSED
            assert sum(len(found.source) for found in kept) <= MOST_CLOSED_BYTES
        assert len(kept) == {1: MOST_CLOSED, MOST_CLOSED_BYTES // 2: 2}.get(size, 0)


def test_documents_follow_the_workspaces_folders() -> None:
    store = DocumentStore()
    for uri in ("new/open", "new/closed", "old/closed", "old/open", "same/open"):
        folder = "same" if uri.startswith("same") else "w"
        store.open(DocumentSnapshot.of(uri, uri.encode(), path=uri if folder == "same" else "x", folder=folder))
    same = store.get("same/open")
    for uri in ("new/closed", "old/closed"):
        store.close(uri)
    renamed = store.rename(lambda uri: (uri, "" if uri.startswith("old") else uri.partition("/")[0]))
    assert [each.uri for each in renamed] == ["new/open", "old/open"]
    assert {each.uri: (each.path, each.folder) for each in store.recent()} == {
        "same/open": ("same/open", "same"),
        "old/open": ("old/open", ""),
        "new/open": ("new/open", "new"),
        "new/closed": ("new/closed", "new"),
    }
    assert [each.uri for each in store.recent()] == ["same/open", "old/open", "new/open", "new/closed"]
    assert store.get("same/open") is same
    assert store.rename(lambda uri: (uri, "" if uri.startswith("old") else uri.partition("/")[0])) == []


def test_a_snapshot_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        document("a").source = b"b"  # type: ignore[misc]
    with pytest.raises(TypeError):
        DocumentStore().snapshots()["a"] = document("a")  # type: ignore[index]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_range_given_backwards_is_the_same_range(encoding: Encoding) -> None:
    store = DocumentStore(encoding)
    store.open(document("héllo"))
    assert store.change("file:///a.py", None, [Edit(((0, 9), (0, 0)), "x")]).source == b"x"


@pytest.mark.parametrize("seed", range(30))
def test_many_edits_in_one_change_are_those_edits_one_by_one(seed: int) -> None:
    rng = random.Random(seed)
    encoding = rng.choice(ENCODINGS)

    def some_text(most: int) -> str:
        return "".join(rng.choice(["a", "é", "😀", "語", " ", "\r", "\n", "\r\n"]) for _ in range(rng.randint(0, most)))

    def somewhere() -> Position:
        return rng.randint(0, 12), rng.randint(0, 9)

    many, single = DocumentStore(encoding), DocumentStore(encoding)
    first = document(some_text(60))
    for store in (many, single):
        store.open(first)
    for version in range(2, 12):
        edits = [Edit((somewhere(), somewhere()), some_text(4)) for _ in range(40)]
        if rng.random() < 0.3:
            edits[rng.randrange(40)] = Edit(None, some_text(60))
        for edit in edits:
            single.change(first.uri, version, [edit])
        whole, last = many.change(first.uri, version, edits), single.get(first.uri)
        assert last is not None
        assert (whole.source, whole.starts, whole.version, whole.edit_end) == (
            last.source,
            last.starts,
            last.version,
            last.edit_end,
        )


def test_many_edits_in_one_change_make_no_snapshot_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file of 20,000 lines, each would copy its text and the starts of its lines."""
    made = 0

    def counted(*arguments: Any, **changes: Any) -> Any:
        nonlocal made
        made += 1
        return replace(*arguments, **changes)

    monkeypatch.setattr("lsp_server.core.document.replace", counted)
    store = DocumentStore()
    store.open(document("old = 1\n" * 1000))
    changed = store.change("file:///a.py", 2, [Edit(((line, 0), (line, 3)), "newer") for line in range(1000)])
    assert changed.source == b"newer = 1\n" * 1000
    assert made <= 2


class ClientBuffer:
    """What a client holds: a text, which it counts in units of its own. Shares no code with the store."""

    def __init__(self, text: str, encoding: Encoding) -> None:
        self.text = text
        self.encoding = encoding

    def units(self, character: str) -> int:
        if self.encoding == "utf-32":
            return 1
        return len(character.encode(self.encoding + ("-le" if self.encoding == "utf-16" else ""))) // (
            2 if self.encoding == "utf-16" else 1
        )

    def position(self, index: int) -> Position:
        line, column, skip = 0, 0, False
        for number, character in enumerate(self.text[:index]):
            if skip:
                skip = False
            elif character in "\r\n":
                line, column = line + 1, 0
                skip = self.text[number : number + 2] == "\r\n"
            else:
                column += self.units(character)
        return line, column

    def replace(self, start: int, end: int, text: str) -> None:
        self.text = self.text[:start] + text + self.text[end:]

    def index(self, rng: random.Random, near: int | None = None) -> int:
        """A random place that has a position: not between a \\r and its \\n. near: at most 4 behind that."""
        index = rng.randrange(len(self.text) + 1) if near is None else min(len(self.text), near + rng.randrange(5))
        return index - 1 if self.text[max(0, index - 1) : index + 1] == "\r\n" else index


ALPHABET = ["a", "b", " ", "é", "\u0301", "語", "😀", "\U0001f469\u200d", "\n", "\r\n", "\r", "\x0c", "\u2028", "\t"]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_random_sessions_agree_with_the_clients_buffer(encoding: Encoding, seed: int) -> None:
    rng = random.Random(f"{encoding} {seed}")
    client = ClientBuffer("one\r\ntwo 😀\nthree\r", encoding)
    store = DocumentStore(encoding)
    uri = "file:///a.py"
    store.open(DocumentSnapshot.of(uri, client.text.encode()))
    sizes: list[int] = []
    history: list[tuple[DocumentSnapshot, bytes, list[int]]] = []
    for version in range(400):
        edits = []
        for _ in range(rng.choice([1, 1, 1, 3])):
            start = client.index(rng)
            end = client.index(rng, start if rng.random() < 0.98 else None)
            start, end = min(start, end), max(start, end)
            text = "".join(rng.choices(ALPHABET, k=rng.randrange(6))) if len(client.text) < 150 else ""
            edits.append(Edit((client.position(start), client.position(end)), text))
            client.replace(start, end, text)
        if rng.random() < 0.02:
            client.text = "".join(rng.choices(ALPHABET, k=40))
            edits.append(Edit(None, client.text))
        snapshot = store.change(uri, version, edits)
        assert snapshot.source.decode() == client.text
        assert snapshot.starts == tuple(line_starts(snapshot.source))
        sizes.append(len(client.text))
        history.append((snapshot, snapshot.source, tuple(snapshot.starts)))
        index = client.index(rng)
        offset = len(client.text[:index].encode())
        assert snapshot.position(offset, encoding) == client.position(index)
        assert snapshot.offset(*client.position(index), encoding) == offset
    assert sum(sizes) / len(sizes) > 30, "the edits left too little text to be wrong about"
    for snapshot, source, starts in history:
        assert (snapshot.source, snapshot.starts) == (source, starts)


def test_halves_of_a_surrogate_pair_keep_the_columns_right() -> None:
    """A client that sends the halves one after the other still counts as we do, though the text is lost."""
    store = DocumentStore("utf-16")
    store.open(document("ab"))
    store.change("file:///a.py", 2, [Edit(((0, 1), (0, 1)), "\ud83d")])
    after = store.change("file:///a.py", 3, [Edit(((0, 2), (0, 2)), "\ude00"), Edit(((0, 3), (0, 4)), "c")])
    assert after.source == b"a??c"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_keys_in_a_line_of_two_megabytes(encoding: Encoding, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many positions come and go with a key, the line is gone through once; each is found in a part of it."""
    parts: list[int] = []
    indexed: list[int] = []
    for name in ("byte_column", "column_of"):
        found = getattr(text, name)

        def within(line: bytes, *arguments: Any, found: Any = found) -> int:
            parts.append(len(line))
            return int(found(line, *arguments))

        monkeypatch.setattr(text, name, within)

    class Counted(text.LineIndex):
        def __init__(self, source: bytes, start: int, end: int, encoding: Encoding) -> None:
            indexed.append(end - start)
            super().__init__(source, start, end, encoding)

    monkeypatch.setattr(text, "LineIndex", Counted)
    client = ClientBuffer("[" + '{"größe": ["😀", 1]},' * 80_000 + "{}]\n", encoding)
    line = client.text.removesuffix("\n")
    column = sum(map(client.units, line[:1_000_000]))
    store = DocumentStore(encoding)
    store.open(document(client.text))
    for version, typed in enumerate("größe😀", start=2):
        where = (0, column)
        snapshot = store.change("file:///a.py", version, [Edit((where, where), typed)])
        column += client.units(typed)
        for _ in range(3):
            offset = snapshot.offset(0, column, encoding)
            assert snapshot.position(offset, encoding) == (0, column)
    assert snapshot.source.decode() == line[:1_000_000] + "größe😀" + line[1_000_000:] + "\n"
    assert snapshot.starts == tuple(line_starts(snapshot.source))
    assert len(indexed) == 1 + len("größe😀")
    assert max(parts) <= 2 * LONG_LINE_BYTES


def test_a_file_of_20_000_lines() -> None:
    lines = [f"value_{number} = 'é{number}'" for number in range(20_000)]
    store = DocumentStore("utf-16")
    store.open(document("\r\n".join(lines)))
    rng = random.Random(0)
    for version in range(60):
        number = rng.randrange(len(lines))
        store.change("file:///a.py", version, [Edit(((number, 0), (number, 0)), "# 😀\r\n")])
        lines.insert(number, "# 😀")
    found = store.get("file:///a.py")
    assert found is not None
    assert found.line_count == len(lines)
    assert found.starts == tuple(line_starts(found.source))
    for number in (0, 1, 10_000, len(lines) - 1):
        assert found.line(number).decode() == lines[number]


@pytest.mark.parametrize(
    ("before", "after", "end"),
    [
        ("abc", "abxc", 3),
        ("abc", "ac", 1),
        ("aaa", "aaaa", 4),
        ("", "abc", 3),
        ("abc", "", 0),
        ("abc", "abc", 3),
        ("é€", "é😀€", 6),
        ("aé", "aè", 3),
        ("😀", "😁", 4),
        ("a\nb\n", "a\nxb\n", 3),
    ],
)
def test_a_whole_text_is_an_edit_where_it_differs(before: str, after: str, end: int) -> None:
    """So that clients that always send all of it lose nothing."""
    store = DocumentStore()
    store.open(DocumentSnapshot.of("file:///a", before.encode()))
    document = store.change("file:///a", 2, [Edit(None, after)])
    assert document.source == after.encode()
    assert list(document.starts) == list(DocumentSnapshot.of("", after.encode()).starts)
    assert document.edit_end == end
