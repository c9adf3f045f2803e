"""Consent in real Neovim and VS Code: who is asked about sending code, what answers it, and what is sent before."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lsp_server.settings import consent
from tests.conftest import environment
from tests.editors.support import FUNCTION, NEOVIM_VERSIONS, PLAIN_INDENT, SIMPLIFIED, Neovim, chat_model, scripted
from tests.editors.vscode.editor import CodeServer, Window, server_program, wait_for
from tests.editors.vscode.support import in_editor, overheard, said
from tests.endpoints.server import MODELS, Server, endpoint, serving_apart

METHOD = "class Volume:\n    def total(self):\n        "
# What the local model knows, and what the endpoint suggests.
SURFACE, ROUNDED = "ce = area_of(self.width", "ded = round(largest"
THEIRS = "ce = what_the_team_says()"


@pytest.fixture
def team() -> Iterator[Server]:
    with serving_apart("chat", pieces=[f"```python\n{SIMPLIFIED}```"]) as server:
        yield server


@pytest.fixture
def completing_team() -> Iterator[Server]:
    with serving_apart("openai", pieces=[THEIRS, "\n\n"]) as server:
        yield server


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))  # the tests look into the servers' state folder


def elsewhere(server: Server, **more: object) -> str:
    """An endpoint whose host is not known to be this machine."""
    return endpoint(server, url=f"http://0.0.0.0:{server.port}", remote="X", **more).replace("'X'", "true")


@pytest.mark.parametrize("version", NEOVIM_VERSIONS)
def test_an_action_asks_and_typing_does_not_answer(
    version: str, start_neovim: Callable[..., Neovim], team: Server, tmp_path: Path
) -> None:
    chat_model(tmp_path)
    settings = tmp_path / "config" / "fimble" / "fimble.toml"
    there = elsewhere(team, kind="chat", model=MODELS["chat"])
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


@in_editor
def test_in_vscode_one_question_is_asked_and_nothing_is_sent_without_a_yes(
    open_window: Callable[..., Window], code: CodeServer, completing_team: Server, tmp_path: Path
) -> None:
    team, log = completing_team, tmp_path / "said"
    program = home_with_an_endpoint(tmp_path, team)
    window = open_file(open_window, tmp_path / "private", overheard(program, log))
    (question,) = wait_for("the question", lambda: questions(log))
    assert f"May code of {tmp_path / 'private'} be sent to the endpoint `team` (http://0.0.0.0:{team.port})" in question
    # What is typed, `1` and Enter among it, is no answer, and does not ask again.
    window.to_end()
    window.type("1\n        surfa")
    assert window.wait_for_ghost(SURFACE)
    window.screenshot("consent-question")
    assert (questions(log), decisions(), team.requests) == ([question], [], [])
    answer(window, question, "Never here")
    wait_for("the decision", lambda: decisions() == [("private", False)])
    # Still so in the next server, which has read the decision.
    starts = code.logs().count("scripted is ready")
    window.command_palette("fimble: Restart Server")
    wait_for("another server", lambda: code.logs().count("scripted is ready") > starts)
    wait_for("the refusal", lambda: "you have forbidden it" in told(program))
    window.to_end()
    window.type("\n        roun")
    assert window.wait_for_ghost(ROUNDED)
    assert (questions(log), decisions(), team.requests) == ([question], [("private", False)], [])
    # In another workspace there is another question, and after a yes the endpoint is asked.
    other = open_file(open_window, tmp_path / "shared", overheard(program, log))
    second = wait_for("the second question", lambda: questions(log)[1:])[0]
    assert f"May code of {tmp_path / 'shared'} be sent" in second
    assert team.requests == []
    answer(other, second, "Allow for this workspace")
    wait_for("the decision", lambda: decisions() == [("private", False), ("shared", True)])
    wait_for("the endpoint", lambda: team.requests)
    other.to_end()
    other.type("surfa")
    assert other.wait_for_ghost(THEIRS)
    assert questions(log) == [question, second]


def home_with_an_endpoint(home: Path, server: Server) -> Path:
    """A `fimble` whose user folders lie in this home, and whose settings name the server before the local model."""
    scripted(home)
    settings = home / "config" / "fimble" / "fimble.toml"
    settings.write_text(f'{settings.read_text()}routing.completion = ["team", "local"]\n{elsewhere(server)}')
    folders = {name: value for name, value in environment(home).items() if name.startswith("XDG_")}
    arguments = ("--backend", "scripted", "--model", str(home / "script.py"))
    return server_program(home / "apart" / "fimble", *arguments, environment={"NO_PROXY": "*", **folders})


def open_file(open_window: Callable[..., Window], workspace: Path, program: Path) -> Window:
    workspace.mkdir()
    file = workspace / "file.py"
    file.write_text(METHOD)
    return open_window(workspace, file, **{"fimble.path": str(program)})


def questions(log: Path) -> list[str]:
    """What the servers have asked the user."""
    asked = "window/showMessageRequest"
    return [each["params"]["message"] for each in said(log) if each.get("method") == asked]


def answer(window: Window, question: str, button: str) -> None:
    """Presses a button of the only notification. It is at the side for some seconds, and then in a list only."""
    window.command_palette("Notifications: Show Notifications")
    listed = window.page.locator(".notifications-center .notification-list-item")
    wait_for("the list", listed.count)
    assert [" ".join(each.split()) for each in listed.locator(".notification-list-item-message").all_inner_texts()] == [
        question
    ]
    listed.locator(".monaco-button", has_text=button).click()


def decisions() -> list[tuple[str, bool]]:
    return [(Path(each.folder).name, each.allowed) for each in consent.decisions()]


def told(program: Path) -> str:
    """What the running servers of its user tell of themselves."""
    return subprocess.run([program, "status", "--json"], capture_output=True, text=True, check=True).stdout
