"""An action that one model has answered is asked of another, in real Neovim and VS Code: found, seen at work, made."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.editors.support import FUNCTION, NEOVIM_VERSIONS, PLAIN_INDENT, SIMPLIFIED, Neovim, chat_model
from tests.editors.vscode.editor import Window, server_program, wait_for
from tests.editors.vscode.support import file_of, in_editor
from tests.endpoints.server import MODELS, Server, endpoint, serving_apart

# What the local model answers: no code for the first action, and something for the second.
REFUSED, SHOWN = "I would rather not.", "It does things."
REPLIES = (("shorter and easier", REFUSED), ("Explain", SHOWN))
BETTER, BETTER_SHOWN = f"```python\n{SIMPLIFIED}```", "It **adds** two numbers."
SECONDS = 60.0


class Team:
    """A server of the user's, which answers when it is let go on."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()
        self.server: Server | None = None

    def pieces(self, body: Any) -> list[str]:
        assert self.goes_on.wait(SECONDS)
        self.goes_on.clear()
        asked = str(body["messages"][-1]["content"])
        return [BETTER if "shorter and easier" in asked else BETTER_SHOWN]

    @property
    def prompts(self) -> list[str]:
        assert self.server is not None
        return [str(body["messages"][-1]["content"]) for body in self.server.completions]


@pytest.fixture
def team() -> Iterator[Team]:
    found = Team()
    with serving_apart("chat", pieces=found.pieces) as found.server:
        yield found
        found.goes_on.set()


def configured(home: Path, team: Team) -> Path:
    """The user's settings: the local model is asked for actions, and the team's server may be. Returns the file."""
    script = chat_model(home)
    script.write_text(json.dumps(REPLIES))
    settings = home / "config" / "fimble" / "fimble.toml"
    assert team.server is not None
    routing = '[routing]\nactions = ["local", "team"]\n'
    settings.write_text(settings.read_text() + endpoint(team.server, kind="chat", model=MODELS["chat"]) + routing)
    return settings


def boxed(editor: Neovim) -> str:
    """What the window in the corner says, in one line."""
    rows = [line.rstrip("│").rpartition("│")[2] for line in editor.terminal.lines if line.endswith("│")]
    return " ".join(" ".join(rows).split())


@pytest.mark.parametrize("version", NEOVIM_VERSIONS)
def test_in_neovim_a_refusal_takes_no_key_and_the_other_model_is_in_the_menu(
    version: str, start_neovim: Callable[..., Neovim], team: Team, tmp_path: Path
) -> None:
    configured(tmp_path, team)
    editor = start_neovim(version, tmp_path, text=FUNCTION + "\n", init=PLAIN_INDENT)
    editor.wait_ready()
    editor.terminal.type("2G")
    editor.command("Fimble action simplify")
    editor.terminal.wait(lambda: "`team` can be asked" in boxed(editor), "the message in the corner")
    assert editor.expression("mode()") == "n", "no question takes the keys"
    editor.terminal.type("Go1\x1b")
    editor.terminal.wait(lambda: editor.buffer() == f"{FUNCTION}\n1", "what is typed")
    assert team.prompts == []
    editor.terminal.type("2G")
    editor.command("Fimble action")
    editor.terminal.wait_for("Ask team again: Simplify `add`")
    (row,) = [line for line in editor.terminal.lines if "Ask team again" in line]
    editor.terminal.type(f"{row.split(':')[0].strip()}\r")
    editor.terminal.wait_for("Ask team again: Simplify `add`: ")  # the line in the corner
    team.goes_on.set()
    editor.terminal.wait(lambda: editor.buffer() == f"{SIMPLIFIED}\n1", "the edit")
    assert REFUSED in team.prompts[0]
    editor.terminal.type("u")
    editor.terminal.wait(lambda: editor.buffer() == f"{FUNCTION}\n1", "the edit undone")
    # A text that was shown, by the command.
    editor.command("Fimble action explain")
    editor.terminal.wait_for(SHOWN)
    editor.terminal.type("q")
    editor.terminal.wait_gone(SHOWN)
    editor.command("Fimble again")
    editor.terminal.wait_for("Ask team again: Explain `add`: ")
    team.goes_on.set()
    editor.terminal.wait_for("two numbers.")
    assert SHOWN in team.prompts[1]
    editor.terminal.type("q")
    editor.terminal.wait_gone("two numbers.")
    editor.command("Fimble again")
    editor.terminal.wait_for("no endpoint may be asked about it")


@in_editor
def test_in_vscode_the_refusal_has_a_button_and_the_other_model_is_in_the_menu(
    open_window: Callable[..., Window], home_of_server: Path, team: Team, tmp_path: Path
) -> None:
    workspace = tmp_path / "work"
    workspace.mkdir()
    file = file_of(tmp_path)
    file.write_text(FUNCTION)
    window = open_window(workspace, file, **{"fimble.path": str(home_of_server)})
    window.wait_until_ready("scripted")
    window.editor.locator(".view-lines").first.click()
    window.press("Control+Home")
    window.press("ArrowDown")
    window.command_palette("fimble: Simplify")
    told = window.wait_for_notification("`team` can be asked")
    assert told.startswith("fimble: no edit: ")
    window.screenshot("ask-again-refused")
    assert team.prompts == []
    window.notification_button("Ask team")
    wait_for("the question", lambda: team.prompts)
    wait_for("the progress", lambda: "Ask team again: Simplify" in window.page.inner_text("body"))
    window.screenshot("ask-again-progress")
    team.goes_on.set()
    wait_for("the edit", lambda: "result = " not in window.visible())
    assert window.saved(file) == SIMPLIFIED
    assert REFUSED in team.prompts[0]
    assert window.notifications() == []
    # A text that was shown, from the menu.
    window.command_palette("fimble: Explain")
    explanation(window, SHOWN).wait_for()
    window.editor.locator(".view-line", has_text="return").first.click()
    window.command_palette("fimble: Code Actions")
    wait_for("the offer", lambda: any(pick.startswith("Ask team again: Explain add") for pick in window.picks()))
    window.screenshot("ask-again-menu")
    window.pick("Ask team again: Explain add")
    wait_for("the second question", lambda: len(team.prompts) == 2)
    team.goes_on.set()
    assert SHOWN in team.prompts[1]
    explanation(window, "two numbers.").wait_for()
    window.screenshot("ask-again-shown")


def explanation(window: Window, text: str) -> Any:
    """The text in the preview, once it is there."""
    preview = window.page.frame_locator("iframe.webview.ready").frame_locator("iframe#active-frame")
    return preview.get_by_text(text)


@pytest.fixture
def home_of_server(tmp_path: Path, team: Team) -> Path:
    """A `fimble` with settings of its own, of which `configured` tells."""
    home = tmp_path / "home"
    script = tmp_path / "known.py"
    script.write_text(FUNCTION)
    folder = configured(home, team).parents[1]
    arguments = ("--backend", "scripted", "--model", str(script))
    return server_program(home / "bin" / "fimble", *arguments, environment={"XDG_CONFIG_HOME": str(folder)})
