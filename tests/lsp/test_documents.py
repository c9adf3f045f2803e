"""The server's text is the client's text: after any edits, in every encoding, in documents of every kind.

The prompt holds the whole of a small document, and equal prompts are answered from memory. So a document that
came about by edits is right if, opened anew with the client's text, it is answered without asking the model.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.buffer import Buffer
from tests.support.editor import Editor
from tests.support.stdio import SERVE, StdioClient, inline_params, offers

Start = Callable[..., StdioClient]
ENCODINGS = ["utf-8", "utf-16", "utf-32"]
PIECES = [
    "x", "return ", "\n", "\r\n", "\t", "    ", "é", "e\u0301", "😀", "👩‍👩‍👧", "漢字", "\u2028", "\x0c", "\x0b",
    "\x85", "(a, b)", "\ufeff", "\u202e", "", "if x:\n    y\n", "🇩🇪", "a\u0300\u0301\u0302",
]  # fmt: skip
STARTS = {
    "unicode": "naïve = '🎉'\n\ndef größe(länge):\n    return länge  # 漢字 e\u0301\n",
    "crlf": "def f():\r\n\tx = '😀'\r\n\r\n\treturn x\r\n",
    "cr": "a\rb\r\nc\n\r",
    "odd separators": "a\u2028b\x0cc\x0bd\x85e\x1cf\n",
    "empty": "",
    "no newline at the end": "x = 1",
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_edited_text_is_the_text(start: Start, encoding: str) -> None:
    server = start()
    announced = server.initialize(offers(encoding), initializationOptions={"answer_ms": 20000})
    assert announced["positionEncoding"] == encoding
    chance = random.Random(encoding)
    for name, text in STARTS.items():
        for round in range(3):
            buffer = Buffer(f"file:///w/{name}.py".replace(" ", "%20"), text, encoding)
            server.open(buffer.uri, buffer.text)
            for _ in range(40):
                edits = [_random_edit(buffer, chance) for _ in range(chance.choice([1, 1, 3]))]
                server.notify("textDocument/didChange", buffer.did_change(*edits))
            _same_as_opened_anew(server, buffer, f"{name}, round {round}")


def _random_edit(buffer: Buffer, chance: random.Random) -> dict[str, Any]:
    start, end = sorted(_place(buffer.text, chance) for _ in range(2))
    if chance.random() < 0.7:
        end = start
    return buffer.edit(start, end, chance.choice(PIECES))


def _place(text: str, chance: random.Random) -> int:
    offset = chance.randint(0, len(text))
    return offset + (text[max(0, offset - 1) : offset + 1] == "\r\n")


def _same_as_opened_anew(server: StdioClient, buffer: Buffer, what: str) -> None:
    """Asks at the text's end, opens the document anew and asks again: the prompt must be the same."""
    end = buffer.position(len(buffer.text))
    asked = server.inline(buffer.uri, *end)
    assert server.status()["requests"]["last"]["source"] == "model", what
    server.notify("textDocument/didClose", {"textDocument": {"uri": buffer.uri}})
    server.open(buffer.uri, buffer.text)
    assert server.inline(buffer.uri, *end) == asked
    assert server.status()["requests"]["last"]["source"] == "memory", f"{what}: the text differs: {buffer.text!r}"
    server.notify("textDocument/didClose", {"textDocument": {"uri": buffer.uri}})


# No twelve bytes of it stand in it twice, so that the scripted backend always knows where it is.
KNOWN = """\
crème_brûlée = ['🎉🎉', 'naïve', 'façade', 'e\u0301a\u0300o\u0308']
\tgrößte_länge = berechne_höhe(42, '👩‍👩‍👧') + 漢字仮名交文 * 3.25
    return ÄÖÜ_zusammen - whatever(remains) // 17  # 한국어 und русский текст
"""


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_known_text_is_typed(start: Start, tmp_path: Path, encoding: str, newline: str) -> None:
    """At each character, as soon as there is enough to go by, the known line's rest is suggested in place."""
    text = KNOWN.replace("\n", newline)
    known = tmp_path / "known.py"
    known.write_bytes(text.encode())
    server = start(*SERVE, "--model", str(known))
    server.initialize(
        offers(encoding), initializationOptions={"max_tokens": 200, "prepare_next": False, "answer_ms": 20000}
    )
    asked = 0
    buffer = Buffer("file:///w/other.py", "", encoding)
    server.open(buffer.uri, buffer.text)
    for line in text.splitlines(keepends=True):
        line_text = line.removesuffix(newline)
        for index, character in enumerate(line_text):
            end = len(buffer.text)
            server.notify("textDocument/didChange", buffer.did_change(buffer.edit(end, end, character)))
            typed, rest = line_text[: index + 1], line_text[index + 1 :]
            if len(typed.strip().encode()) < 14 or not rest.strip() or typed.endswith(("(", "[")):
                continue
            row, column = buffer.position(len(buffer.text))
            (item,) = server.inline(buffer.uri, row, column)
            assert item["insertText"] == rest, f"behind {typed!r}"
            point = {"line": row, "character": column}
            assert item["range"] == {"start": point, "end": point}
            asked += 1
        end = len(buffer.text)
        server.notify("textDocument/didChange", buffer.did_change(buffer.edit(end, end, newline)))
    assert buffer.text == text
    assert asked > 90


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_block_has_the_documents_line_ends(start: Start, tmp_path: Path, newline: str) -> None:
    text = "class Räuber:\n    def flieht(self):\n        self.ort = '🌲'\n        return self.ort\n\n\nx = 1\n"
    text = text.replace("\n", newline)
    known = tmp_path / "known.py"
    known.write_bytes(text.encode())
    server = start(*SERVE, "--model", str(known))
    server.initialize(initializationOptions={"max_tokens": 200, "answer_ms": 20000})
    head = text.index("self):") + len("self):")
    server.open("file:///w/a.py", text[:head])
    (item,) = server.inline("file:///w/a.py", 1, len("    def flieht(self):"))
    assert item["insertText"] == text[head : text.index(f"{newline}{newline}{newline}")]


@pytest.mark.parametrize(
    "uri",
    [
        "untitled:Untitled-1",
        "vscode-notebook-cell:/home/u/n%C3%B6.ipynb#W0sZmlsZQ%3D%3D",
        "file:///w/mit%20Leerzeichen%20%C3%A4.py",
        "file:///c%3A/Users/x/a.py",
        "FILE:///w/x.py",
        "git:/w/x.py?%7B%22ref%22%3A%22%22%7D",
        "nonsense",
        "",
    ],
)
def test_documents_of_every_scheme(lasting_server: StdioClient, uri: str) -> None:
    server = lasting_server
    before = server.status()["documents"]
    buffer = Buffer(uri, "a = '😀'\nb = ")
    server.open(uri, buffer.text)
    server.notify("textDocument/didChange", buffer.did_change(buffer.edit(5, 6, "🎉🎉")))
    assert server.status()["documents"] == before + 1
    _same_as_opened_anew(server, buffer, uri)
    assert server.status()["documents"] == before


SPELLINGS = [
    ("file:///w/(auth)/page.ts", "file:///w/%28auth%29/page.ts"),
    ("file:///c%3A/Users/x/a.py", "file:///C:/Users/x/a.py"),
    ("file:///w/n%C3%B6.py", "file:///w/nö.py"),
    ("file:/w/java.py", "FILE://localhost/w/java.py"),
    ("file:///w/a%20b/@x/[id]/~c+d.py", "file:///w/a b/%40x/%5bid%5D/%7Ec%2Bd.py"),
    ("vscode-notebook-cell:/w/b.ipynb#W0sZmlsZQ%3D%3D", "vscode-notebook-cell:/w/b.ipynb#W0sZmlsZQ=="),
    ("untitled:Neu%201", "untitled:Neu 1"),
]


@pytest.mark.parametrize("spellings", SPELLINGS)
def test_a_document_is_one_however_its_uri_is_spelt(lasting_server: StdioClient, spellings: tuple[str, str]) -> None:
    server = lasting_server
    before = server.status()["documents"]
    for opened, other in (spellings, spellings[::-1]):
        server.open(opened, "value = ")
        server.change(other, 2, "first = 1\nsecond = ")
        assert server.status()["documents"] == before + 1
        asked = server.inline(other, 1, 9, trigger=1)
        assert asked
        assert server.inline(opened, 1, 9) == asked[:1]
        assert opened in server.status()["context"], "the client is told its own spelling"
        server.notify("textDocument/didClose", {"textDocument": {"uri": other}})
        assert server.status()["documents"] == before


def test_an_action_edits_the_document_under_the_uri_it_was_opened_with(start: Start, tmp_path: Path) -> None:
    editor = Editor(start, tmp_path, [("area", "```python\ndef area(width, height):\n    return height * width\n```")])
    source = "def area(width, height):\n    return width * height\n"
    uri = editor.open("(auth) ä.py", source)
    other = uri.replace("%28", "(").replace("%29", ")").replace("%C3%A4", "ä")
    assert other != uri
    position = {"line": 1, "character": 4}
    arguments = {"action": "simplify", "uri": other, "range": {"start": position, "end": position}}
    editor.server.call("workspace/executeCommand", {"command": "fimble.action", "arguments": [arguments]})
    assert editor.finished() == "edited"
    assert "height * width" in editor.buffers[uri].text


def test_two_documents_of_one_name_are_two(lasting_server: StdioClient) -> None:
    server = lasting_server
    server.open("file:///a/x.py", "first = ")
    server.open("file:///b/x.py", "second = 1\n")
    server.change("file:///b/x.py", 2, "third = ")
    first, third = server.inline("file:///a/x.py", 0, 8), server.inline("file:///b/x.py", 0, 8)
    assert first
    assert third
    assert first != third


def test_empty_document_and_empty_change(lasting_server: StdioClient) -> None:
    server = lasting_server
    server.open("file:///w/e.py", "")
    assert len(server.inline("file:///w/e.py", 0, 0)) == 1
    server.change("file:///w/e.py", 2)
    (item,) = server.inline("file:///w/e.py", 0, 7)  # beyond the line's end means its end
    point = {"line": 0, "character": 0}
    assert item["range"] == {"start": point, "end": point}


def test_twenty_thousand_lines(start: Start, tmp_path: Path) -> None:
    lines = [f"v{n:05}x{n:05}x{n:05}é{n:05}😀{n:05}" for n in range(20_000)]
    known = tmp_path / "known.txt"
    known.write_text("\n".join(lines), "utf-8")
    server = start(*SERVE, "--model", str(known))
    server.initialize(initializationOptions={"answer_ms": 20000})
    buffer = Buffer("file:///w/big.txt", "\n".join(lines))
    server.open(buffer.uri, buffer.text, "plaintext")
    for at in (19_800, 10_000, 1000, 0):
        end = sum(len(line) + 1 for line in lines[: at + 1]) - 1
        place = end - len(lines[at])
        server.notify("textDocument/didChange", buffer.did_change(buffer.edit(place, end, "")))
        head = lines[at][:21]
        for offset, typed in enumerate(head):
            where = place + offset
            server.notify("textDocument/didChange", buffer.did_change(buffer.edit(where, where, typed)))
        (item,) = server.inline(buffer.uri, at, len(head))
        assert item["insertText"] == lines[at].removeprefix(head)
        assert item["range"]["start"] == {"line": at, "character": len(head)}
        where = place + len(head)
        rest = buffer.edit(where, where, item["insertText"])
        server.notify("textDocument/didChange", buffer.did_change(rest))
    assert buffer.text == "\n".join(lines)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_in_a_large_document_what_is_near_the_cursor_is_completed(start: Start, tmp_path: Path, encoding: str) -> None:
    """As the whole is in a smaller one; but nothing else looks at it."""
    lines = [f"v{n:05}x{n:05}é{n:05}😀{n:05}" for n in range(40_000)]
    known = tmp_path / "known.txt"
    known.write_text("\n".join(lines), "utf-8")
    server = start(*SERVE, "--model", str(known))
    settings = {"answer_ms": 20000, "large_document_mb": 1}
    announced = server.initialize(offers(encoding), initializationOptions=settings)
    assert announced["positionEncoding"] == encoding
    buffer = Buffer("file:///w/big.txt", "\n".join(lines), encoding)
    assert len(buffer.text.encode()) > 1_000_000
    server.open(buffer.uri, buffer.text, "plaintext")
    for at in (39_999, 20_000, 0):
        place = sum(len(line) + 1 for line in lines[:at])
        server.notify("textDocument/didChange", buffer.did_change(buffer.edit(place, place + len(lines[at]), "")))
        head = lines[at][:16]
        for offset, typed in enumerate(head):
            where = place + offset
            server.notify("textDocument/didChange", buffer.did_change(buffer.edit(where, where, typed)))
        end = buffer.position(place + len(head))
        (item,) = server.inline(buffer.uri, *end)
        assert item["insertText"] == lines[at].removeprefix(head)
        assert item["range"]["start"] == item["range"]["end"] == {"line": end[0], "character": end[1]}
        params = inline_params(buffer.uri, *end)
        (entry,) = server.call("textDocument/completion", params)["result"]["items"]
        assert entry["textEdit"]["newText"].endswith(item["insertText"])
        assert entry["textEdit"]["range"]["end"] == {"line": end[0], "character": end[1]}
        params["context"]["selectedCompletionInfo"] = {"range": item["range"], "text": item["insertText"][:3]}
        (selected,) = server.call("textDocument/inlineCompletion", params)["result"]["items"]
        assert (selected["insertText"], selected["range"]) == (item["insertText"], item["range"])
        change = buffer.edit(place + len(head), place + len(head), item["insertText"])
        server.notify("textDocument/didChange", buffer.did_change(change))
    assert buffer.text == "\n".join(lines)
    here = {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 0}}
    params = {"textDocument": {"uri": buffer.uri}, "range": here, "context": {"diagnostics": []}}
    assert server.call("textDocument/codeAction", params)["result"] == []
    arguments = [{"action": "explain", "uri": buffer.uri, "range": here}]
    refused = server.call("workspace/executeCommand", {"command": "fimble.action", "arguments": arguments})
    assert "large_document_mb" in refused["error"]["message"]
    assert server.status()["documents"] == 1
