"""Why nothing appeared: of the last ten requests, in words, by `fimble/status` and by a command of any editor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.buffer import Buffer
from tests.support.editor import recorded
from tests.support.stdio import SERVE, Message, StdioClient, inline_params, notification, request

URI = "file:///w/a.py"
LINE = "surface = area_of(width, height)"
Start = Callable[..., StdioClient]


@pytest.fixture
def server(start: Start, home: Path) -> StdioClient:
    (home / "known.py").write_text(f"\n\n{LINE}\n\n\n")
    server = start(*SERVE, "--model", str(home / "known.py"))
    server.initialize(initializationOptions={"answer_ms": 20000, "disabled_languages": ["rust"]})
    return server


def why(server: StdioClient) -> list[Message]:
    found: list[Message] = server.status()["requests"]["lastTen"]
    return found


def test_without_requests_there_is_nothing_to_tell(server: StdioClient) -> None:
    assert why(server) == []


def test_each_of_the_last_ten_requests_says_what_became_of_it(server: StdioClient) -> None:
    server.open(URI, LINE[:12])
    assert server.inline(URI, 0, 12)
    server.wait(lambda: why(server)[0]["appeared"] == "yes", "that it was shown for a while")
    assert (why(server)[0]["why"], why(server)[0]["source"]) == ("", "model")
    server.open("file:///w/b.rs", "fn main() { x", "rust")
    server.inline("file:///w/b.rs", 0, 13)
    assert why(server)[0]["why"] == "completions are switched off for Rust (setting `disabled_languages`)"
    server.inline("file:///w/not-open.py", 0, 0)
    assert why(server)[0]["why"] == "the document file:///w/not-open.py is not open"
    server.inline(URI, 99, 0)
    assert "position 99:0 is outside" in why(server)[0]["why"]
    assert [entry["appeared"] for entry in why(server)] == ["no", "no", "no", "yes"]
    assert all(entry["secondsAgo"] >= 0 <= entry["waitedMs"] for entry in why(server))
    for _ in range(12):
        server.inline("file:///w/b.rs", 0, 13)
    assert len(why(server)) == 10


def test_a_request_that_a_key_overtakes_says_so(server: StdioClient) -> None:
    buffer = Buffer(URI, LINE[:12])
    server.open(URI, buffer.text)
    asked = request("a", "textDocument/inlineCompletion", inline_params(URI, 0, 12))
    server.send(asked, notification("textDocument/didChange", buffer.did_change(buffer.edit(12, 12, "x"))))
    assert server.response("a")["result"]["items"] == []
    assert why(server)[0]["why"].startswith("the document changed, or a newer request came, after ")
    assert why(server)[0]["appeared"] == "no"


def test_a_suggestion_that_came_too_late_to_be_drawn_says_so(server: StdioClient) -> None:
    """The client says what it shows, and has not shown this one."""
    buffer = Buffer(URI, LINE[:12])
    server.open(URI, buffer.text)
    server.notify("textDocument/didShowCompletion", {"item": {"command": {"arguments": [0]}}})
    assert server.inline(URI, 0, 12)
    assert why(server)[0]["appeared"] == "unknown"
    server.notify("textDocument/didChange", buffer.did_change(buffer.edit(12, 12, "x")))
    assert why(server)[0]["appeared"] == "no"
    assert "before the editor could draw it" in why(server)[0]["why"]


@pytest.mark.parametrize("client", ["code_server_1_139_vlc11", "helix_25_07_git20260723"])
def test_any_editor_shows_it_by_a_command(start: Start, tmp_path: Path, client: str) -> None:
    server = start()
    opened: list[str] = []
    server.answers["window/showDocument"] = lambda params: opened.append(params["uri"]) or {"success": True}
    server.initialize(recorded(client)["capabilities"], initializationOptions={"enabled": False})
    server.open(URI, "x")
    server.inline(URI, 0, 1)
    assert server.call("workspace/executeCommand", {"command": "fimble.why"})["result"] is None
    server.wait(lambda: opened or server.notifications("window/showMessage"), "the text")
    said = str(server.notifications("window/showMessage"))
    text = Path(opened[0].removeprefix("file://")).read_text() if opened else said
    assert "nothing appeared: completions are switched off (setting `enabled`)" in text


def test_what_a_check_has_withheld_is_told_and_counted(start: Start, home: Path) -> None:
    (home / "known.py").write_text(f"\n\n{LINE}\n\n\n")
    server = start(
        *SERVE, "--model", str(home / "known.py"), waits={"lsp_server.core.names.undefined.MOST_BYTES": 64_000}
    )
    server.initialize(initializationOptions={"answer_ms": 20000})
    server.open(URI, LINE[:12])
    assert server.inline(URI, 0, 12) == []
    found = server.status()
    assert found["requests"]["whyLastEmpty"].startswith("the model used a name that is not defined, `area_of`")
    assert found["checks"]["names"] == {"checked": 1, "cut": 0, "withheld": 1}
