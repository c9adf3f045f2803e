"""Notebooks: what a cell is completed with is in the cells around it, however the client tells of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.document_store import DocumentStore
from tests.support.stdio import SERVE, Message, StdioClient, inline_params

Start = Callable[..., StdioClient]
BOOK = "file:///w/pr%C3%A4sentation.ipynb"
CELLS = "vscode-notebook-cell:/w/pr%C3%A4sentation.ipynb#W"
ABLE = {"notebookDocument": {"synchronization": {"dynamicRegistration": True}}}
FIRST = "def berechne_größe(länge, breite):\n    return länge * breite\n"
LAST = "zeige_das_ergebnis(7, 'é😀')"
BASH = 'for name in ordner/*.txt; do\n  sortiere_datei "$name"\ndone'
BASH_LAST = "melde 'alles ist fertig'"
# What the model knows: the cells of each language in their order, as they follow one another in a prompt.
KNOWN = f"{FIRST}\n{LAST}\n\nende = 1\n\n"
KNOWN_BASH = f"{' ' * 6}\n{BASH}\n\n{' ' * 6}\n{BASH_LAST}\n\n"


class Notebook:
    """A client's notebook, told of as a whole or cell by cell."""

    def __init__(self, start: Start, folder: Path, known: str, *, whole: bool) -> None:
        (folder / "known").write_text(known, "utf-8")
        self.server = start(*SERVE, "--model", str(folder / "known"))
        # Without a mark behind the prefix, the model goes on from wherever the prompt ends.
        settings = {"max_tokens": 200, "answer_ms": 20_000, "fim_format": "prefix-only"}
        self.announced = self.server.initialize(ABLE if whole else {}, initializationOptions=settings)
        self.whole, self.version = whole, 1
        self.cells: list[str] = []

    def open(self, *cells: tuple[str, str]) -> None:
        items = [self._item(number, language, text) for number, (language, text) in enumerate(cells)]
        self.cells = [item["uri"] for item in items]
        if not self.whole:
            for item in items:
                self.server.notify("textDocument/didOpen", {"textDocument": item})
            return
        kinds = [{"kind": 1 if item["languageId"] == "markdown" else 2, "document": item["uri"]} for item in items]
        notebook = {"uri": BOOK, "notebookType": "jupyter-notebook", "version": 1, "cells": kinds}
        self.server.notify("notebookDocument/didOpen", {"notebookDocument": notebook, "cellTextDocuments": items})

    def _item(self, number: int, language: str, text: str) -> Message:
        return {"uri": f"{CELLS}{number}", "languageId": language, "version": 1, "text": text}

    def type(self, number: int, line: int, column: int, text: str) -> None:
        place = {"line": line, "character": column}
        changes = [{"range": {"start": place, "end": place}, "text": text}]
        self.version += 1
        document = {"uri": f"{CELLS}{number}", "version": self.version}
        if self.whole:
            self._change({"textContent": [{"document": document, "changes": changes}]})
        else:
            self.server.notify("textDocument/didChange", {"textDocument": document, "contentChanges": changes})

    def _change(self, cells: Message) -> None:
        notebook = {"uri": BOOK, "version": self.version}
        self.server.notify("notebookDocument/didChange", {"notebookDocument": notebook, "change": {"cells": cells}})

    def replace(self, start: int, deleted: int, *numbers: int, opened: tuple[Any, ...] = ()) -> None:
        array = {
            "start": start,
            "deleteCount": deleted,
            "cells": [{"kind": 2, "document": f"{CELLS}{n}"} for n in numbers],
        }
        gone = [uri for uri in self.cells[start : start + deleted] if uri not in [f"{CELLS}{n}" for n in numbers]]
        self.cells[start : start + deleted] = [f"{CELLS}{n}" for n in numbers]
        items = [self._item(*each) for each in opened]
        self._change({"structure": {"array": array, "didOpen": items, "didClose": [{"uri": uri} for uri in gone]}})

    def inline(self, number: int, line: int, column: int) -> list[str]:
        params = inline_params(f"{CELLS}{number}", line, column)
        answer = self.server.call("textDocument/inlineCompletion", params)["result"]["items"]
        for item in answer:
            assert item["range"] == {"start": params["position"], "end": params["position"]}
        return [item["insertText"] for item in answer]


@pytest.fixture(params=[True, False], ids=["told of notebooks", "told of cells"])
def notebook(request: Any, start: Start, tmp_path: Path) -> Notebook:
    return Notebook(start, tmp_path, f"{KNOWN}\0{KNOWN_BASH}", whole=request.param)


def test_notebooks_are_asked_for(notebook: Notebook) -> None:
    announced = notebook.announced.get("notebookDocumentSync")
    assert (announced == {"notebookSelector": [{"notebook": "*"}]}) if notebook.whole else announced is None


def test_a_cell_goes_on_from_the_cells_above(notebook: Notebook) -> None:
    notebook.open(("python", FIRST), ("markdown", "# Größen"), ("python", ""), ("python", "ende = 1"))
    assert notebook.inline(2, 0, 0) == [LAST]
    for column, typed in enumerate(LAST[:9]):
        notebook.type(2, 0, column, typed)
        assert notebook.inline(2, 0, column + 1) == [LAST[column + 1 :]]
    params = inline_params(f"{CELLS}2", 0, 9)
    (entry,) = notebook.server.call("textDocument/completion", params)["result"]["items"]
    assert entry["textEdit"]["newText"] == LAST
    assert entry["textEdit"]["range"]["start"] == {"line": 0, "character": 0}


def test_cells_in_another_language_are_that_languages(notebook: Notebook) -> None:
    notebook.open(
        ("python", f"%%bash\n{BASH}"), ("python", FIRST), ("python", "%%bash\n"), ("python", ""), ("python", "ende = 1")
    )
    assert notebook.inline(2, 1, 0) == [BASH_LAST]
    assert notebook.inline(3, 0, 0) == [LAST]


def test_a_cell_above_is_edited(notebook: Notebook) -> None:
    notebook.open(("python", FIRST.replace("größe(", "(")), ("python", ""), ("python", "ende = 1"))
    notebook.type(0, 0, len("def berechne_"), "größe")
    assert notebook.inline(1, 0, 0) == [LAST]


def test_cells_are_added_moved_and_deleted(start: Start, tmp_path: Path) -> None:
    notebook = Notebook(start, tmp_path, KNOWN, whole=True)
    notebook.open(("python", "ende = 1"), ("python", FIRST))
    notebook.replace(1, 1, 2, 1, opened=((2, "python", ""),))
    assert notebook.inline(2, 0, 0) != [LAST]
    notebook.replace(0, 3, 1, 2, 0)
    assert notebook.inline(2, 0, 0) == [LAST]
    notebook.replace(0, 1)
    assert notebook.server.status()["documents"] == 2
    assert notebook.inline(2, 0, 0) != [LAST]
    uris = [{"uri": uri} for uri in notebook.cells]
    notebook.server.notify("notebookDocument/didClose", {"notebookDocument": {"uri": BOOK}, "cellTextDocuments": uris})
    assert notebook.server.status()["documents"] == 0
    assert notebook.inline(2, 0, 0) == []


def test_a_closed_cell_is_not_read_any_more(start: Start, tmp_path: Path) -> None:
    notebook = Notebook(start, tmp_path, KNOWN, whole=False)
    notebook.open(("python", FIRST), ("python", ""))
    notebook.server.notify("textDocument/didClose", {"textDocument": {"uri": f"{CELLS}0"}})
    assert notebook.inline(1, 0, 0) != [LAST]


# What is read ------------------------------------------------------------------------------------------------


def opened(*cells: tuple[str, str]) -> tuple[DocumentStore, list[DocumentSnapshot]]:
    store = DocumentStore()
    found = []
    for number, (language, text) in enumerate(cells):
        uri = f"{CELLS}{number}"
        found.append(DocumentSnapshot.of(uri, text.encode(), path="a.ipynb", language_id=language, version=1))
        store.open(found[-1])
    return store, found


@pytest.mark.parametrize(
    ("magic", "language", "text"),
    [
        ("%%bash", "shellscript", "      "),
        ("%%sh", "shellscript", "    "),
        ("%%script bash", "shellscript", " " * 13),
        ("%%script --bg /bin/bash", "shellscript", " " * 23),
        ("%%html", "html", "      "),
        ("%%javascript", "javascript", " " * 12),
        ("%%js", "javascript", "    "),
        ("%%sql postgres://x", "sql", " " * 18),
        ("%%ruby", "ruby", "      "),
        ("%%writefile src/main.rs", "rust", " " * 23),
        ("%%perl", "perl", "      "),
        ("%%time", "python", "%%time"),
        ("%%timeit -n 3", "python", "%%timeit -n 3"),
        ("%%writefile a.py", "python", "%%writefile a.py"),
        ("%matplotlib inline", "python", "%matplotlib inline"),
        ("!ls", "python", "!ls"),
    ],
)
def test_the_first_line_says_what_language_a_cell_is_in(magic: str, language: str, text: str) -> None:
    store, (_, cell, _, _) = opened(
        ("python", "a = 1"), ("python", f"{magic}\nx"), ("markdown", "words"), ("python", "b = 2\n")
    )
    seen = store.seen(cell, len(cell.source))
    assert seen.document.language_id == language
    expected = f"{text}\nx\n\n"
    if language == "python":
        expected = f"a = 1\n\n{expected}b = 2\n\n"
    assert seen.document.source.decode() == expected
    assert seen.document.source[-seen.base :].startswith(f"{text}\nx".encode())
    assert store.seen(cell, len(cell.source)).document is seen.document


def test_while_the_first_line_is_written_the_cell_stands_alone() -> None:
    store, (_, cell) = opened(("python", "a = 1"), ("python", "%%bash\nls"))
    assert store.seen(cell, 3).document is cell


def test_documents_that_are_no_cells_are_seen_alone() -> None:
    store = DocumentStore()
    for uri in ("file:///w/a.py", "file:///w/b.py#x", "untitled:a.py"):
        document = DocumentSnapshot.of(uri, b"x = 1\n", path="a.py", language_id="python")
        store.open(document)
        assert store.seen(document, 0).document is document


def test_of_a_long_notebook_the_cells_nearest_are_read() -> None:
    texts = [f"value_{number} = '{'x' * 1000}'\n" for number in range(1000)]
    store, cells = opened(*(("python", text) for text in texts))
    seen = store.seen(cells[500], 0)
    assert len(seen.document.source) < 300_000
    assert texts[499] + "\n" + texts[500] + "\n" + texts[501] in seen.document.source.decode()
    assert seen.document.source[-seen.base :].startswith(texts[500].encode())
