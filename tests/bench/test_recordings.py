"""Reading recordings: both formats, their units, their cursors, and what counts as typing."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from bench.sessions.recordings import Change, read


def write(path: Path, data: Any) -> Path:
    text = json.dumps(data)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, "utf-8")
    return path


def trace(tmp_path: Path, start: str, *transactions: list[list[Any]]) -> list[Change]:
    stamps = [{"time": f"2020-01-01T00:00:0{i}.000Z", "patches": patches} for i, patches in enumerate(transactions)]
    data = {"startContent": start, "endContent": "", "txns": stamps}
    return list(read(write(tmp_path / "trace.json.gz", data)))


def recording(tmp_path: Path, content: str, *entries: dict[str, Any]) -> list[Change]:
    log = [
        {"kind": "header", "time": 0},
        {"kind": "documentEncountered", "id": 1, "time": 0, "relativePath": "src\\a.ts"},
        {"kind": "setContent", "id": 1, "time": 0, "content": content},
        {"kind": "focused", "id": 1, "time": 0},
        *({"id": 1, **entry} for entry in entries),
    ]
    return list(read(write(tmp_path / "log.json", {"log": log})))


def check(change: Change) -> None:
    """The replacements lead from the text before to the one after."""
    source = change.before.source
    for part in change.replacements:
        source = source[: part.start] + part.inserted + source[part.end :]
    assert source == change.document.source
    assert change.document.starts == type(change.document).of("", source).starts


def test_a_trace_counts_code_points(tmp_path: Path) -> None:
    first, second = trace(tmp_path, "é😀x", [[2, 0, "ü"]], [[1, 1, ""]])
    assert first.document.source == "é😀üx".encode()
    assert first.cursor == len("é😀ü".encode())
    assert second.document.source == "éüx".encode()
    assert second.cursor == len("é".encode())
    assert second.time_ms - first.time_ms == 1000
    assert first.key == "ü"
    assert second.key is None
    check(first)
    check(second)


def test_the_patches_of_a_trace_apply_one_after_the_other(tmp_path: Path) -> None:
    # A new line, and the white space in front of it trimmed: the cursor is on the new line.
    (change,) = trace(tmp_path, "a    \nb", [[5, 0, "\n  "], [1, 4, ""]])
    assert change.document.source == b"a\n  \nb"
    assert change.cursor == len(b"a\n  ")
    assert change.types
    check(change)


def test_loading_is_not_typing(tmp_path: Path) -> None:
    text = "line\n" * 40
    loaded, typed, reloaded = trace(tmp_path, "", [[0, 0, text]], [[0, 0, "x"]], [[0, len(text) + 1, "other"]])
    assert [loaded.types, typed.types, reloaded.types] == [False, True, False]
    (first_key,) = trace(tmp_path, "", [[0, 0, "x"]])
    assert first_key.types


def test_a_recording_counts_utf_16_units(tmp_path: Path) -> None:
    first, second = recording(
        tmp_path,
        "é😀x\r\ny",
        {"kind": "changed", "time": 10, "edit": [[3, 3, "🎉"]]},
        {"kind": "changed", "time": 20, "edit": [[1, 3, ""]]},
    )
    assert first.document.source == "é😀🎉x\r\ny".encode()
    assert first.cursor == len("é😀🎉".encode())
    assert first.key == "🎉"
    assert second.document.source == "é🎉x\r\ny".encode()
    assert second.document.path == "src/a.ts"
    check(first)
    check(second)


def test_the_edits_of_a_recorded_change_count_in_the_old_text(tmp_path: Path) -> None:
    (change,) = recording(tmp_path, "😀one two", {"kind": "changed", "time": 1, "edit": [[2, 5, "1"], [6, 9, "22"]]})
    assert change.document.source == "😀1 22".encode()
    check(change)


def test_the_recorded_selection_is_the_cursor(tmp_path: Path) -> None:
    brackets, late = recording(
        tmp_path,
        "😀f",
        {"kind": "changed", "time": 10, "edit": [[3, 3, "()"]]},
        {"kind": "selectionChanged", "time": 11, "selection": [[4, 4]]},
        {"kind": "changed", "time": 100, "edit": [[4, 4, "x"]]},
        {"kind": "selectionChanged", "time": 900, "selection": [[0, 0]]},
    )
    assert brackets.cursor == len("😀f(".encode())
    assert late.cursor == len("😀f(x".encode()), "the user went elsewhere later"


def test_what_a_tool_changes_in_another_file_is_not_typing(tmp_path: Path) -> None:
    changes = recording(
        tmp_path,
        "text",
        {"kind": "changed", "time": 1, "edit": [[0, 0, "x"]]},
        {"kind": "focused", "id": 2, "time": 2},
        {"kind": "changed", "time": 3, "edit": [[0, 0, "y"]]},
    )
    assert [change.types for change in changes] == [True, False]


def test_contents_are_stored_and_restored(tmp_path: Path) -> None:
    changes = recording(
        tmp_path,
        "one",
        {"kind": "storeContent", "time": 1, "contentId": "c"},
        {"kind": "changed", "time": 2, "edit": [[0, 3, "two"]]},
        {"kind": "restoreContent", "time": 3, "contentId": "c"},
        {"kind": "changed", "time": 4, "edit": [[3, 3, "!"]]},
    )
    assert [change.document.source for change in changes] == [b"two", b"one!"]
    assert changes[1].before.source == b"one"


@pytest.mark.parametrize("text", ["[]", "{}", "not json"])
def test_anything_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text, "utf-8")
    with pytest.raises(ValueError, match=r"other\.json"):
        read(path)
