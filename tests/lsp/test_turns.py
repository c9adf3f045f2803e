"""No turn of the event loop takes long, whatever is open and typed: large files, broken ones, a line of 1 MB.

The fast tests count the parses, which all have to be on other threads. With more effort, 1,000 random triples of a
document, a cursor and a model's text for each are played against the server, by their CPU time:

    FIMBLE_TEST_EFFORT=10 python -m pytest -n 0 -s tests/lsp/test_turns.py
"""

from __future__ import annotations

import json
import random
import sysconfig
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lsp_server.core import context, pieces
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.languages import find_language
from lsp_server.core.syntax import WIDE_BYTES
from lsp_server.core.text import character_start
from tests.core.test_shape_fuzz import PIECES, damaged
from tests.lsp.played import INLINE, MENU, Played
from tests.support.effort import EFFORT, scaled
from tests.support.samples import FOLDER, SAMPLES
from tests.support.stdio import notification

TRIPLES = scaled(1000)
MOST_MS = 50
# In the fast tests: more than the widest window of a syntax tree.
MOST_CHARACTERS = WIDE_BYTES[0] + 10_000
SOURCE = b"".join(path.read_bytes() for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:60])
LINES = SOURCE.decode("utf-8", "replace").split("\n")


def python(lines: int) -> str:
    return "\n".join((LINES * (1 + lines // len(LINES)))[:lines]) + "\n"


def broken(text: str) -> str:
    rng = random.Random(1)
    characters = list(text)
    for index in rng.sample(range(len(characters)), len(characters) // 100):
        characters[index] = rng.choice("({[\"'")
    return "".join(characters)


CORPUS: dict[str, tuple[str, Callable[[], str]]] = {
    "large.py": ("python", lambda: python(20_000)),
    "broken.py": ("python", lambda: broken(python(20_000))),
    "broken.c": ("c", lambda: "int f( { if (x } ;; #define }\n" * 20_000),
    "open.rb": ("ruby", lambda: "def f\n  x = [1, 2\n" * 10_000),
    "line.js": ("javascript", lambda: "var a={b:function(c){return c(1,'x')}};" * 26_000),
    "line.json": ("json", lambda: json.dumps({f"k{i}": [i, str(i)] for i in range(40_000)})),
    "line.swift": ("swift", lambda: "{ x in " * 140_000),
    "line.txt": ("plaintext", lambda: "wort é 😀 " * 80_000),
    "deep.js": ("javascript", lambda: "(" * 30_000 + "\n" + "[{" * 30_000),
    "deep.json": ("json", lambda: "[" * 200_000),
    "deep.html": ("html", lambda: "<div>\n<p>x</p>\n" * 20_000 + "<script>\n" + "let x = {a: 1};\n" * 5000),
    "fences.md": ("markdown", lambda: ("# head\n\ntext\n\n```python\n" + python(40) + "\n```\n") * 400),
}


@pytest.mark.parametrize("name", CORPUS)
def test_no_turn_parses(played: Played, name: str) -> None:
    """Typing a line, asking for everything, and resting, at the beginning, in the middle and at the end."""
    language, made = CORPUS[name]
    uri = played.open(name, language, made()[:MOST_CHARACTERS])
    for part in (0, 1, 2):
        document = played.documents[uri]
        offset = document.line_start(document.line_at(part * len(document.source) // 2))
        for typed in ("x = foo(", '"""', "\n    if "):
            offset = played.type(uri, offset, offset, typed)
            played.ask(uri, offset, "bar(1)\n    baz]\n")
        played.ask(uri, offset, "", MENU)
        played.offer(uri, offset)
        played.rest(uri)
    assert played.thread.loop.parses == 0
    assert played.thread.loop.parses_beside > 0 or name == "line.txt"


def test_each_message_has_a_turn_of_its_own(played: Played) -> None:
    """However many come in one write: here 200 buffers are opened at once."""
    text = python(20)
    items = [{"uri": f"file:///w/{n}.py", "languageId": "python", "version": 1, "text": text} for n in range(200)]
    played.client.send(*(notification("textDocument/didOpen", {"textDocument": item}) for item in items))
    assert played.client.status()["documents"] == 200
    assert played.thread.loop.most_notes == 1


def test_other_buffers_are_read_beside_the_loop(played: Played) -> None:
    """Large ones parsed on a worker thread; and then a prompt shows them."""
    read: list[tuple[int, str]] = []

    def seen(document: DocumentSnapshot) -> tuple[pieces.Piece, ...]:
        read.append((threading.get_ident(), document.path))
        return pieces_of(document)

    with pytest.MonkeyPatch.context() as patch:
        pieces_of = context.pieces_of
        patch.setattr(context, "pieces_of", seen)
        for number in range(6):
            text = f"def helper_{number}(width):\n    return width\n\n\n" + python(1000)
            played.open(f"{number}.py", "python", text)
        uri = played.open("main.py", "python", "x = helper_5(")
        offset = played.type(uri, 13, 13, "1")
        for _ in range(2):
            played.rest(uri)
            played.client.wait(lambda: played.client.status()["context"][uri], "the context")
        played.ask(uri, offset, "2)")
    assert [piece["defines"] for piece in played.client.status()["context"][uri]] == [["helper_5"]]
    assert {thread for thread, _ in read}.isdisjoint({played.thread.loop.thread})
    paths = [path for _, path in read]
    assert len(paths) == len(set(paths)), "a version is read once"


def test_an_answer_from_memory_waits_for_no_parse(played: Played) -> None:
    uri = played.open("a.py", "python", "def area(width, height):\n    return ")
    offset = len(played.documents[uri].source)
    (first,) = played.ask(uri, offset, "width * height\n")["items"]
    assert first["insertText"] == "width * height"
    played.client.status()
    protocol, loop = played.thread.server.protocol, played.thread.loop
    receive, respond = protocol.receive, protocol._send_response
    counts: list[int] = []

    def received(body: bytes) -> None:
        counts.append(loop.parses)
        receive(body)

    def responded(*arguments: Any, **keywords: Any) -> None:
        counts[-1] = loop.parses - counts[-1]
        respond(*arguments, **keywords)

    protocol.receive, protocol._send_response = received, responded
    for key in "width":
        offset = played.type(uri, offset, offset, key)
        assert played.ask(uri, offset, "")["items"]
    played.client.status()
    assert counts[1::2] == [0] * 5
    assert loop.parses_beside > 0, "nothing is counted"
    assert played.client.status()["requests"]["counts"]["memory"] == 5


@pytest.mark.skipif(EFFORT < 2, reason="timed on a quiet machine, with FIMBLE_TEST_EFFORT=10")
def test_no_turn_takes_long(played: Played) -> None:
    """Random documents, cursors and model texts, over 200 open buffers; every 100 a large document is opened anew."""
    rng = random.Random(1)
    loop = played.thread.loop
    played.client.seconds = 120
    names = {path.name: language_of(path) for path in SAMPLES.values()}
    for number in range(200):
        played.open(f"buffer{number}.py", "python", f"def buffer_{number}():\n    pass\n\n\n" + python(5000))
    large = ""
    shown = 0
    for number in range(TRIPLES):
        if number % 100 == 0:
            if large:
                played.close(large)
            name = rng.choice(list(CORPUS))
            large = played.open(name, CORPUS[name][0], CORPUS[name][1]())
        if number % 10 == 0:
            played.client.messages.clear()  # in this process, every full collection of garbage walks over them
            name = rng.choice(list(names))
            source = damaged((FOLDER / name).read_bytes() * rng.choice([1, 1, 5]), rng)
            small = played.open(name, names[name], source.decode("utf-8", "replace"))
        uri = rng.choice([large, small, small, f"file:///w/buffer{rng.randrange(200)}.py"])
        source = played.documents[uri].source
        start = character_start(source, rng.randrange(len(source) + 1))
        end = character_start(source, min(len(source), start + rng.choice([0, 0, 0, 1, 40])))
        offset = played.type(uri, start, end, rng.choice(PIECES))
        around = source[max(0, start - 300) : start + 300].decode("utf-8", "replace")
        text = "".join(rng.choice([*PIECES, around[: rng.randrange(300)]]) for _ in range(rng.randrange(5)))
        answer = played.ask(uri, offset, text, rng.choice([INLINE, INLINE, INLINE, MENU]), rng.choice([1, 2, 2]))
        shown += bool(answer["items"])
        if number % 50 == 0:
            played.offer(uri, offset)
            played.rest(uri)
        if number % 500 == 499:
            print(number + 1, "triples,", shown, "shown; the longest turns:", *loop.longest()[:3], sep="\n", flush=True)
    assert shown > TRIPLES // 20
    assert loop.longest()[0].cpu_ms <= MOST_MS, loop.longest()[0]


def language_of(path: Path) -> str:
    return find_language("", path.name).ids[0]
