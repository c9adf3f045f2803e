"""Between the protocol's types and ours: positions, menu items, names of documents; and how settings merge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types

from lsp_server.core.document import DocumentSnapshot, Edit
from lsp_server.core.shape import Suggestion
from lsp_server.core.text import Encoding
from lsp_server.lsp import convert
from lsp_server.lsp.convert import PositionError
from lsp_server.settings.fields import Settings
from lsp_server.settings.sources import Source, merge

TEXT = "é😀漢\r\n\tx = 1\n"


def document(text: str) -> DocumentSnapshot:
    return DocumentSnapshot.of("file:///w/a.py", text.encode(), path="a.py", language_id="python", version=1)


@pytest.mark.parametrize(
    ("encoding", "line", "character", "offset"),
    [
        ("utf-8", 0, 6, 6),
        ("utf-16", 0, 3, 6),
        ("utf-32", 0, 2, 6),
        ("utf-16", 0, 2, 2),  # in the middle of a pair
        ("utf-8", 0, 4, 2),  # in the middle of a character
        ("utf-16", 0, 99, 9),  # in front of the line end, not behind it
        ("utf-32", 1, 1, 12),
        ("utf-16", 2, 0, 18),
        ("utf-16", 2, 5, 18),
    ],
)
def test_positions(encoding: Encoding, line: int, character: int, offset: int) -> None:
    assert convert.offset_of(document(TEXT), types.Position(line, character), encoding) == offset


@pytest.mark.parametrize(("line", "character"), [(3, 0), (99, 0), (2**31 - 1, 0)])
def test_positions_outside(line: int, character: int) -> None:
    with pytest.raises(PositionError, match=f"{line}:{character} is outside a.py, which has 3 lines"):
        convert.offset_of(document(TEXT), types.Position(line, character), "utf-16")


def test_changes() -> None:
    where = types.Range(types.Position(1, 2), types.Position(3, 4))
    changes: list[types.TextDocumentContentChangeEvent] = [
        types.TextDocumentContentChangePartial(range=where, text="a"),
        types.TextDocumentContentChangeWholeDocument(text="b"),
    ]
    assert convert.edits_of(changes) == [Edit(((1, 2), (3, 4)), "a"), Edit(None, "b")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
def test_an_inline_item_goes_in_at_the_cursor(encoding: Encoding) -> None:
    item = convert.inline_item(Suggestion("42", 6, 6), document(TEXT), encoding)
    column = {"utf-8": 6, "utf-16": 3, "utf-32": 2}[encoding]
    assert item.insert_text == "42"
    assert item.range == types.Range(types.Position(0, column), types.Position(0, column))
    assert isinstance(item.insert_text, str)  # a StringValue would be a snippet


# Text left of the cursor, the suggestion, and the menu item: label, filter text, first column in UTF-16.
MENU = [
    ("x = comp", "ute(a)", "compute(a)", "compute(a)", 4),
    ("x = ", "42", "42", "42", 4),
    ("x =", " 42", "42", "42", 3),
    ("😀größ", "e()", "größe()", "größe()", 2),
    ("x_1", "_2", "x_1_2", "x_1_2", 0),
    ("a.", "b$c{d}", "b$c{d}", "b$c{d}", 2),
    ("def f():", "\n    return 1", "return 1", "return 1", 8),
    ("ret", "urn 1\n    x", "return 1", "return 1\n    x", 0),
    ("", "x", "x", "x", 0),
    ("x = [1,", "  2,\n  3]", "2,", "2,\n  3]", 7),
]


@pytest.mark.parametrize(("left", "text", "label", "filter_text", "column"), MENU)
def test_a_menu_item(left: str, text: str, label: str, filter_text: str, column: int) -> None:
    source = document("# é\n" + left + ")\n")
    cursor = len("# é\n".encode()) + len(left.encode())
    item = convert.completion_item(Suggestion(text, cursor, cursor), source, "utf-16")
    assert (item.label, item.filter_text) == (label, filter_text)
    assert item.kind == types.CompletionItemKind.Text
    assert item.insert_text_format == types.InsertTextFormat.PlainText
    edit = item.text_edit
    assert isinstance(edit, types.TextEdit)
    units = len(left.encode("utf-16-le")) // 2
    assert edit.range == types.Range(types.Position(1, column), types.Position(1, units))
    word = left.encode("utf-16-le")[2 * column :].decode("utf-16-le")
    assert edit.new_text == word + text
    # What opens a box beside the menu hides code: only what the menu cannot show is worth it.
    assert item.detail is None
    assert bool(item.documentation) == ("\n" in text.strip())


def test_the_label_of_a_menu_item_is_short_and_all_of_it_stands_beside() -> None:
    text = "compute(" + ", ".join(f"größe_{number}" for number in range(50)) + ")"
    item = convert.completion_item(Suggestion(text[3:], 3, 3), document("com"), "utf-16")
    assert item.label == text[:59] + "…"
    assert item.documentation == text
    assert item.text_edit is not None
    assert (item.filter_text, item.text_edit.new_text) == (text, text)
    whole = convert.completion_item(Suggestion("x" * 57, 3, 3), document("com"), "utf-16")
    assert (whole.label, whole.documentation) == ("com" + "x" * 57, None)


def test_a_menu_item_replaces_what_the_suggestion_replaces() -> None:
    item = convert.completion_item(Suggestion("ute(a)", 8, 9), document("x = comp)\n"), "utf-16")
    assert isinstance(item.text_edit, types.TextEdit)
    assert item.text_edit.range == types.Range(types.Position(0, 4), types.Position(0, 9))


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("file:///w/a%20b/%C3%A4.py", "/w/a b/ä.py"),
        ("FILE:///w/x.py", "/w/x.py"),
        ("file:///c%3A/x/a.py", "c:/x/a.py"),
        ("file:///C:/x/a.py", "C:/x/a.py"),
        ("file:///w/a%23b.py", "/w/a#b.py"),
        ("untitled:Untitled-1", None),
        ("vscode-notebook-cell:/w/n.ipynb#W0", None),
        ("nonsense", None),
        ("", None),
    ],
)
def test_paths_of_uris(uri: str, path: str | None) -> None:
    assert convert.path_of(uri) == (Path(path) if path else None)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("file:///w/src/a.py", "src/a.py"),
        ("file:///w/other/b.py", "b.py"),  # of two roots, the first that holds it
        ("file:///elsewhere/a.py", "a.py"),
        ("file:///ww/a.py", "a.py"),
        ("untitled:Untitled-1", "Untitled-1"),
        ("vscode-notebook-cell:/w/n.ipynb#W0", "n.ipynb"),
        ("", ""),
    ],
)
def test_the_name_a_model_is_shown(uri: str, shown: str) -> None:
    assert convert.shown_path(uri, [Path("/w/other"), Path("/w")]) == shown


@pytest.mark.parametrize(
    ("uri", "folder"),
    [
        ("file:///w/src/a.py", "w"),
        ("file:///w/other/b.py", "other"),
        ("file:///elsewhere/a.py", ""),
        ("file:///ww/a.py", ""),
        ("untitled:Untitled-1", ""),
    ],
)
def test_the_folder_a_document_lies_in(uri: str, folder: str) -> None:
    assert convert.folder_name(uri, [Path("/w/other"), Path("/w")]) == folder


# Sources in order; the settings that differ from the defaults; a part of each problem.
MERGES: list[tuple[list[dict[str, Any]], dict[str, Any], list[str]]] = [
    ([], {}, []),
    ([{"max_tokens": 5}, {"max_tokens": 6}], {"max_tokens": 6}, []),
    ([{"max_tokens": 5}, {"maxTokens": 6}], {"max_tokens": 6}, []),
    ([{"max_tokens": 5}, {"max_tokens": None}], {"max_tokens": 5}, []),
    (
        [{"max_tokens": 5}, {"max_tokens": "x"}],
        {"max_tokens": 5},
        ["`max_tokens` in source 1: expected `int`, got `str`, found 'x'"],
    ),
    ([{"max_tokens": 0, "max_lines": 2}], {"max_lines": 2}, ["`max_tokens` in source 0: expected `int` >= 1, found 0"]),
    ([{"max_tokens": True}], {}, ["`int`"]),
    ([{"gpuLayers": -1, "flashAttention": "on"}], {"flash_attention": "on"}, []),
    ([{"disabledLanguages": ["go", "c"]}], {"disabled_languages": ["go", "c"]}, []),
    ([{"maxToken": 5}], {}, ["unknown setting `maxToken` in source 0; did you mean `max_tokens`?"]),
    ([{"zzz": 5}], {}, ["known are enabled"]),
    ([{"zzz": 1, "model": 2, "enabled": False}], {"enabled": False}, ["`zzz`", "`model`"]),
]  # fmt: skip


@pytest.mark.parametrize(("sources", "different", "words"), MERGES)
def test_merge(sources: list[dict[str, Any]], different: dict[str, Any], words: list[str]) -> None:
    settings, problems = merge([Source(f"source {number}", values) for number, values in enumerate(sources)])
    assert settings == Settings(**different)
    assert len(problems) == len(words)
    for word, problem in zip(words, problems, strict=True):
        assert word in problem


def test_equal_models_need_no_reload() -> None:
    assert Settings(max_tokens=3).model_spec() == Settings(enabled=False).model_spec()
    assert Settings(threads=3).model_spec() != Settings().model_spec()


def test_an_item_of_a_menu_brings_the_imports_along() -> None:
    source = document("x = 1\ny = ")
    item = convert.completion_item(Suggestion("os.sep", 10, 10), source, "utf-16", imports=[(0, 0, b"import os\n\n")])
    assert item.additional_text_edits is not None
    [edit] = item.additional_text_edits
    assert (edit.new_text, edit.range.start.line, edit.range.end.line) == ("import os\n\n", 0, 0)
    assert item.documentation == "It is inserted with `import os`."
