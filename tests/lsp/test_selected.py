"""Inline completions while an entry of the editor's menu is selected: they go on from that entry, or there are none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import server_in
from tests.support.buffer import Buffer
from tests.support.cursor import CURSOR
from tests.support.editor import CLIENTS, recorded
from tests.support.stdio import SERVE, Message, StdioClient, inline_params, offers

KNOWN = """\
größe = berechne_das(console.log(summe_der_preise, 'é'))
element.addEventListener('click', handle_the_click(element))
"""
URI = "file:///w/page.py"
SETTINGS = {"max_tokens": 200, "answer_ms": 20_000}


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("known")
    (folder / "known.py").write_text(KNOWN, "utf-8")
    return folder


@pytest.fixture(scope="module", params=["utf-8", "utf-16", "utf-32"])
def served(request: Any, known: Path) -> Iterator[tuple[StdioClient, str]]:
    """A server that knows the text, and how its client counts."""
    client = server_in(known, *SERVE, "--model", str(known / "known.py"))
    client.initialize(offers(request.param), initializationOptions=SETTINGS)
    yield client, request.param
    client.kill()


def selected(buffer: Buffer, cursor: int, replaced: str, text: str) -> Message:
    """The parameters of a request while an entry is selected that puts `text` in for what is `replaced`, which begins
    left of the cursor and may go on right of it."""
    start = buffer.text.rindex(replaced, 0, cursor + len(replaced))
    ends = [buffer.position(start), buffer.position(start + len(replaced))]
    where = {name: {"line": line, "character": at} for name, (line, at) in zip(("start", "end"), ends, strict=True)}
    params = inline_params(buffer.uri, *buffer.position(cursor))
    params["context"]["selectedCompletionInfo"] = {"range": where, "text": text}
    return params


@pytest.mark.parametrize(
    ("source", "replaced", "text", "expected"),
    [
        ("größe = berechne_das(console.$0", ".", ".log", ".log(summe_der_preise, 'é'))"),
        ("größe = berechne_das(con$0", "con", "console", "console.log(summe_der_preise, 'é'))"),
        ("größe = berechne_das(console.lo$0", "lo", "log(", "log(summe_der_preise, 'é'))"),
        ("größe = ber$0", "ber", "berechne_das", "berechne_das(console.log(summe_der_preise, 'é'))"),
        ("größe = berechne_das(cons$0ole", "console", "console.log(summe", "console.log(summe_der_preise, 'é'))"),
        ("größe = berechne_das(console.$0)\n", ".", ".log", ".log(summe_der_preise, 'é')"),
        ("element.add$0\n", "add", "addEventListener", "addEventListener('click', handle_the_click(element))"),
        ("element.$0\nelse_where()\n", "", "addEventListener", "addEventListener('click', handle_the_click(element))"),
        ("größe = berechne_das(con$0", "con", "größe.nonsense", None),
        ("größe = berechne_das(con$0", "con", "console.log(summe_der_preise, 'é'))", None),
    ],
)
def test_a_suggestion_goes_on_from_the_entry(
    served: tuple[StdioClient, str], source: str, replaced: str, text: str, expected: str | None
) -> None:
    server, encoding = served
    cursor = source.index(CURSOR)
    buffer = Buffer(URI, source.replace(CURSOR, ""), encoding)
    server.open(buffer.uri, buffer.text)
    params = selected(buffer, cursor, replaced, text)
    items = server.call("textDocument/inlineCompletion", params)["result"]["items"]
    where = params["context"]["selectedCompletionInfo"]["range"]
    if expected is None:
        assert all(item["range"] == where and item["insertText"].startswith(text) for item in items)
        return
    assert [(item["insertText"], item["range"]) for item in items] == [(expected, where)]
    # The entry is accepted: the rest stands behind it, from memory.
    start = buffer.text.rindex(replaced, 0, cursor + len(replaced))
    change = buffer.edit(start, start + len(replaced), text)
    server.notify("textDocument/didChange", buffer.did_change(change))
    (item,) = server.inline(URI, *buffer.position(start + len(text)))
    assert item["insertText"].startswith(expected.removeprefix(text))
    assert server.status()["requests"]["last"]["source"] == "memory"


def test_all_suggestions_for_a_user_who_asks_go_on_from_the_entry(served: tuple[StdioClient, str]) -> None:
    server, encoding = served
    buffer = Buffer(URI, "element.add", encoding)
    server.open(URI, buffer.text)
    params = selected(buffer, len(buffer.text), "add", "addEventListener")
    params["context"]["triggerKind"] = 1
    items = server.call("textDocument/inlineCompletion", params)["result"]["items"]
    assert items
    for item in items:
        assert item["range"] == params["context"]["selectedCompletionInfo"]["range"]
        assert item["insertText"].startswith("addEventListener")


def test_nothing_is_replaced_beyond_the_entry(known: Path) -> None:
    """Not even in a client that can: what it draws has the entry's range."""
    server = server_in(known, *SERVE, "--model", str(known / "known.py"))
    try:
        server.initialize(recorded("code_server_1_139_vlc11")["capabilities"], initializationOptions=SETTINGS)
        buffer = Buffer(URI, "größe = berechne_das(con)\n")
        server.open(URI, buffer.text)
        cursor = len("größe = berechne_das(con")
        params = selected(buffer, cursor, "con", "console.log")
        items = server.call("textDocument/inlineCompletion", params)["result"]["items"]
        where = params["context"]["selectedCompletionInfo"]["range"]
        expected = "console.log(summe_der_preise, 'é')"
        assert [(item["insertText"], item["range"]) for item in items] == [(expected, where)]
    finally:
        server.kill()


def test_an_entry_of_another_place_says_nothing(served: tuple[StdioClient, str]) -> None:
    """coc sends the last one that was selected, wherever the cursor is by now."""
    server, encoding = served
    lines = (CLIENTS / "coc_0_0_82_vim9.client.jsonl").read_text("utf-8").splitlines()
    (stale,) = [each["params"]["context"] for each in map(json.loads, lines) if "selectedCompletionInfo" in str(each)]
    buffer = Buffer(URI, "first = 1\n\nelement.addEvent", encoding)
    server.open(URI, buffer.text)
    for beyond in (0, 90):
        where = stale["selectedCompletionInfo"]["range"]
        where["start"]["line"] = where["end"]["line"] = beyond or 1
        params = inline_params(URI, *buffer.position(len(buffer.text))) | {"context": stale}
        (item,) = server.call("textDocument/inlineCompletion", params)["result"]["items"]
        assert item["insertText"] == "Listener('click', handle_the_click(element))"
