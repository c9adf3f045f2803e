"""A suggestion that goes on over a closed bracket, as each client gets it: with a range, or cut where it takes none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lsp.test_lsp4ij import CAPABILITIES as LSP4IJ
from tests.support.editor import Editor, Message
from tests.support.stdio import StdioClient

Start = Callable[..., StdioClient]

KNOWN = "längen = {}\nsumme_größe😀 = zähle_alles(längen['ä'], 2).größe('é').rest()\n"
LINE = "summe_größe😀 = zähle_alles("
REPLACING = ["code_server_1_139_vlc11", "coc_0_0_82_vim9", "nvim_0_12_4", "lsp_mode_10_0_0", "helix_25_07_git20260723"]
CUT = ["eglot_emacs30_2", "nvim_0_11_4"]
WHOLE, SHORT = "längen['ä'], 2).größe('é').rest()", "längen['ä'], 2"


def opened(start: Start, tmp_path: Path, client: str | None) -> tuple[Editor, str]:
    folder, script = tmp_path / "w", tmp_path / "known.py"
    folder.mkdir()
    script.write_text(KNOWN, "utf-8")
    params = {"clientInfo": {"name": "IntelliJ IDEA"}, "capabilities": LSP4IJ, "trace": "off"}
    given = {"initialize": params} if client is None else {"client": client}
    editor = Editor(start, folder, [], model=str(script), answer_ms=10_000, **given)
    return editor, editor.open("a.py", f"längen = {{}}\n{LINE})\nlast()\n")


def accept(editor: Editor, uri: str) -> Message:
    """Puts in what is suggested in front of the last bracket of the second line, as the protocol has it; returns the
    range."""
    buffer = editor.buffers[uri]
    cursor = buffer.text.index("\n", 12) - 1
    where = editor.where(uri, cursor)["start"]
    params = {"textDocument": {"uri": uri}, "position": where}
    if "completionProvider" in editor.announced:
        (item,) = editor.server.call("textDocument/completion", params)["result"]["items"]
        found, text = item["textEdit"]["range"], item["textEdit"]["newText"]
    else:
        context = {"context": {"triggerKind": 1}}
        (item, *_) = editor.server.call("textDocument/inlineCompletion", params | context)["result"]["items"]
        found, text = item["range"], item["insertText"]
        assert found["start"] == where
    assert found["start"]["line"] == found["end"]["line"]
    editor.type(uri, editor.offset(uri, found["start"]), editor.offset(uri, found["end"]), text)
    return found


@pytest.mark.parametrize("client", [*REPLACING, *CUT, None])
def test_what_is_accepted_makes_one_line(start: Start, tmp_path: Path, client: str | None) -> None:
    editor, uri = opened(start, tmp_path, client)
    accept(editor, uri)
    inserted = WHOLE if client in REPLACING else f"{SHORT})"
    assert editor.buffers[uri].text == f"längen = {{}}\n{LINE}{inserted}\nlast()\n"


@pytest.mark.parametrize("over", [True, False])
def test_what_is_typed_before_it_is_accepted_changes_nothing(start: Start, tmp_path: Path, over: bool) -> None:
    """over: whether the editor goes over the bracket, with a change that puts it in its own place."""
    editor, _ = opened(start, tmp_path, REPLACING[0])
    for count in (1, 14, 15, 16, 24):
        uri = editor.open(f"{count}.py", f"längen = {{}}\n{LINE})\nlast()\n")
        buffer = editor.buffers[uri]
        cursor = buffer.text.index("\n", 12) - 1
        params = {"textDocument": {"uri": uri}, "context": {"triggerKind": 2}}
        params["position"] = editor.where(uri, cursor)["start"]
        (item,) = editor.server.call("textDocument/inlineCompletion", params)["result"]["items"]
        assert item["insertText"] == WHOLE
        for number, character in enumerate(WHOLE[:count]):
            editor.type(uri, cursor, cursor + (over and number == len(SHORT)), character)
            cursor += 1
        params["position"] = editor.where(uri, cursor)["start"]
        (item,) = editor.server.call("textDocument/inlineCompletion", params)["result"]["items"]
        places = [editor.offset(uri, item["range"][name]) for name in ("start", "end")]
        assert places[1] - places[0] == (not over or count <= len(SHORT))
        assert item["insertText"] == WHOLE[count:]
        editor.type(uri, *places, item["insertText"])
        assert buffer.text.split("\n")[1] == LINE + WHOLE
