"""Consent in real Neovim: what is typed answers no question about sending code, and an action's question is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lsp_server.settings import consent
from tests.editors.support import FUNCTION, NEOVIM_VERSIONS, PLAIN_INDENT, SIMPLIFIED, Neovim, chat_model
from tests.endpoints.server import MODELS, Server, endpoint, serving_apart


@pytest.fixture
def team() -> Iterator[Server]:
    with serving_apart("chat", pieces=[f"```python\n{SIMPLIFIED}```"]) as server:
        yield server


@pytest.mark.parametrize("version", NEOVIM_VERSIONS)
def test_an_action_asks_and_typing_does_not_answer(
    version: str, start_neovim: Callable[..., Neovim], team: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat_model(tmp_path)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    settings = tmp_path / "config" / "fimble" / "fimble.toml"
    url = f"http://0.0.0.0:{team.port}"  # not known to be this machine
    there = endpoint(team, kind="chat", model=MODELS["chat"], url=url, remote="X").replace("'X'", "true")
    settings.write_text(settings.read_text() + there + '[routing]\nactions = ["team", "local"]\nedits = ["team"]\n')
    editor = start_neovim(version, tmp_path, text=FUNCTION + "\n", init=PLAIN_INDENT)
    editor.wait_ready()
    editor.terminal.type("Go1\r1\x1b")  # where a question is, `1` and Enter would be its first answer
    editor.terminal.wait(lambda: editor.buffer() == f"{FUNCTION}\n1\n1", "what is typed")
    editor.terminal.wait(lambda: editor.expression("mode()") == "n", "normal mode")
    assert (consent.decisions(), team.requests) == ([], [])
    editor.terminal.type("2G")
    editor.command("Fimble action simplify")
    editor.terminal.wait_for("1: Allow until the editor ends")  # the file is in no workspace
    assert team.requests == []
    editor.terminal.type("1\r")
    editor.terminal.wait(lambda: editor.buffer() == f"{SIMPLIFIED}\n1\n1", "the edit")
    assert team.completions
    assert consent.decisions() == []
