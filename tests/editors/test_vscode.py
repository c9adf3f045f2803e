"""The extension in a real VS Code: `python -m tests.editors.install vscode` installs one, once.

What they look like at the end is in screenshots/vscode beside this file. The tests that need VS Code run with
`pytest --editors` only, and are skipped where it is not installed. They take five to twenty minutes.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lsp_server.features.actions.catalogue import BUILT_IN
from tests.conftest import ROOT
from tests.editors import generate
from tests.editors.support import CHECKED, CHECKING, FUNCTION, INSTRUCTED, INSTRUCTION, SIMPLIFIED, chat_model
from tests.editors.vscode import install
from tests.editors.vscode.editor import CodeServer, Window, server_program, wait_for
from tests.editors.vscode.support import (
    CLOSED,
    KNOWN,
    STATEMENTS,
    file_of,
    in_editor,
    overheard,
    said,
    slow_program,
)
from tests.support import starter

MOST_BYTES = 300_000
MOST_ACTIVATION_MS = 100.0
KEYS = 500
KEY_MS = 45


def _node() -> str | None:
    """A Node that is new enough for the tests."""
    for node in (str(install.NODE), shutil.which("node")):
        if node is None or not Path(node).is_file():
            continue
        version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
        found = re.match(r"v(\d+)", version)
        if found and int(found[1]) >= 20:
            return node
    return None


# Without an editor -----------------------------------------------------------------------------------------


def test_what_needs_no_editor() -> None:
    node = _node()
    if node is None or not (install.EXTENSION / "node_modules" / "esbuild").is_dir():
        pytest.skip("Node 20 or newer, or the extension's tools: python -m tests.editors.install vscode")
    command = [node, "test.mjs"]
    done = subprocess.run(command, cwd=install.EXTENSION, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"^\S+ pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed is not None and int(passed[1]) >= 30, done.stdout


def test_the_generator_and_the_extension_agree_about_its_own_settings() -> None:
    source = (install.EXTENSION / "src" / "settings.ts").read_text("utf-8")
    listed = re.search(r"CLIENT_SETTINGS[^=]*= \[([^\]]*)\]", source)
    assert listed is not None
    assert [f"fimble.{name}" for name in re.findall(r'"([^"]+)"', listed[1])] == list(generate.VSCODE_OWN)


def test_there_is_a_command_for_every_action() -> None:
    commands = [entry["command"] for entry in _manifest()["contributes"]["commands"]]
    prefix = "fimble.vscode.action."
    listed = {name.removeprefix(prefix) for name in commands if name.startswith(prefix)}
    # An edit by instruction has a command of its own, which asks for the instruction.
    assert listed == {action.id for action in BUILT_IN} - {"edit"}


def test_every_command_in_a_menu_is_declared() -> None:
    contributes = _manifest()["contributes"]
    declared = {entry["command"] for entry in contributes["commands"]}
    used = {entry["command"] for menu in contributes["menus"].values() for entry in menu if "command" in entry}
    assert used <= declared


def test_every_locked_package_has_its_digest_and_nothing_is_shipped_unbundled() -> None:
    lock = json.loads((install.EXTENSION / "package-lock.json").read_text("utf-8"))
    packages = [each for name, each in lock["packages"].items() if name]
    assert packages and all("integrity" in each for each in packages)
    registry = "https://registry.npmjs.org/"
    assert all(each.get("resolved", registry).startswith(registry) for each in packages)
    assert "dependencies" not in _manifest()


def _manifest() -> dict[str, Any]:
    values: dict[str, Any] = json.loads((install.EXTENSION / "package.json").read_text("utf-8"))
    return values


# The package -----------------------------------------------------------------------------------------------


@in_editor
def test_the_package_is_small_and_has_only_what_it_needs(vsix: Path) -> None:
    assert vsix.stat().st_size < MOST_BYTES
    with zipfile.ZipFile(vsix) as archive:
        names = {name.removeprefix("extension/") for name in archive.namelist()}
    assert {"package.json", "dist/extension.js", "dist/client.js", "icon.png"} <= names
    assert not [name for name in names if name.startswith(("src", "test", "node_modules"))]


@in_editor
def test_no_dependency_has_a_known_vulnerability() -> None:
    command = [install.TOOLS / "npm", "audit", "--json"]
    done = subprocess.run(command, cwd=install.EXTENSION, env=install.environment(), capture_output=True, check=False)
    report = json.loads(done.stdout)
    if "vulnerabilities" not in report:
        pytest.skip(f"the registry does not audit: {report.get('message', 'no reason given')}")
    assert report["vulnerabilities"] == {}


# In the editor ---------------------------------------------------------------------------------------------


@in_editor
def test_a_suggestion_is_typed_through_and_accepted_by_word_and_whole(
    open_window: Callable[..., Window], code: CodeServer, tmp_path: Path
) -> None:
    window = open_window()
    window.wait_until_ready()
    window.to_end()
    window.type(KNOWN[:20])
    rest = KNOWN[20:].split("\n")[0]
    assert window.wait_for_ghost().replace("\n", "").startswith(rest[:4])
    whole = KNOWN[: KNOWN.index("\n\n")]
    typed = len("def function_0(argument):\n    value = ar")
    window.type(KNOWN[20:typed])
    window.wait_for_ghost()
    window.screenshot("ghost-text")
    window.press("Control+ArrowRight")
    wait_for("the word", lambda: "argument" in window.visible().split("\n")[1])
    assert window.wait_for_ghost(), "the rest of the suggestion stays after one word of it is accepted"
    window.press("Tab")
    window.wait_for_no_ghost()
    assert window.saved(file_of(tmp_path)) == whole
    assert window.notifications() == []
    times = re.findall(r"activated in ([\d.]+) ms, ([\d.]+) ms of processor time", code.logs())
    # Other programs share the processor, so what counts is how much of it the activation took.
    assert times and min(float(cpu) for _, cpu in times) < MOST_ACTIVATION_MS


@in_editor
def test_a_line_is_accepted_and_the_rest_stays(open_window: Callable[..., Window], tmp_path: Path) -> None:
    window = open_window()
    window.wait_until_ready()
    window.to_end()
    window.type("def function_0(argument):\n    value = ar")
    window.wait_for_ghost()
    window.press("Control+Alt+l")
    wait_for("the line", lambda: "other_0" in window.visible())
    assert "return" in window.wait_for_ghost()
    window.press("Escape")
    window.wait_for_no_ghost()
    assert window.saved(file_of(tmp_path)).split("\n")[1] == "    value = argument * 0 + other_0"


@in_editor
def test_the_rest_of_a_suggestion_follows_on_the_screen_without_a_key(
    open_window: Callable[..., Window], scripted: Path, tmp_path: Path
) -> None:
    log, workspace = tmp_path / "said", tmp_path / "work"
    program = slow_program(scripted.parents[1], writing_seconds=0.05)
    workspace.mkdir()
    file_of(tmp_path).write_text("def function_0(argument):\n    value = a")
    window = open_window(workspace, file_of(tmp_path), **{"fimble.path": str(overheard(program, log))})
    window.wait_until_ready()
    window.to_end()
    window.type("r")
    whole = "gument * 0 + other_0"
    wait_for("the whole line", lambda: window.ghost().split("\n")[0] == whole)
    results = [each["result"] for each in said(log) if isinstance(each.get("result"), dict)]
    first = next(result["items"][0]["insertText"] for result in results if result.get("items"))
    assert whole.startswith(first) and first != whole


@in_editor
@pytest.mark.parametrize("typed", ["", "largest_of_all / 7, 2", "largest_of_all / 7, 2)"])
def test_what_goes_on_over_a_bracket_that_the_editor_has_closed(
    open_window: Callable[..., Window], tmp_path: Path, typed: str
) -> None:
    window = open_window(**{"editor.autoClosingBrackets": "always", "editor.autoClosingOvertype": "always"})
    window.wait_until_ready()
    window.to_end()
    start, rest = CLOSED.strip().split("(", 1)
    window.type(f"{start}({typed}")
    left = rest.removeprefix(typed)
    # The bracket that stands there is not drawn a second time.
    wait_for("the ghost text", lambda: window.ghost().replace("\n", "") in (left, left.replace(")", "", 1)))
    window.screenshot(f"closed-{len(typed)}")
    window.press("Tab")
    window.wait_for_no_ghost()
    assert window.saved(file_of(tmp_path)) == CLOSED.strip()


@in_editor
def test_the_status_bar_tells_and_switches(open_window: Callable[..., Window], code: CodeServer) -> None:
    window = open_window()
    window.wait_until_ready("scripted")
    window.to_end()
    window.type(KNOWN[:30])
    window.wait_until_ready(r"scripted · (< )?\d+ ms")
    window.bar.click()
    assert {"Turn Completions Off", "Turn Completions Off for Python", "Restart Server"} <= set(window.picks())
    window.screenshot("menu")
    window.pick("Turn Completions Off for Python")
    window.wait_until_ready("off for Python")
    wait_for("the setting", lambda: code.user_settings().get("fimble.disabledLanguages") == ["python"])
    window.to_end()
    window.type(" = other")
    window.command_palette("fimble: Show Why Nothing Appeared")
    window.wait_for_notification("Completions are switched off for Python")
    window.screenshot("why")
    window.notification_button("Turn On")
    window.wait_until_ready("scripted")
    window.command_palette("fimble: Turn Completions On or Off")
    wait_for("the setting", lambda: code.user_settings().get("fimble.enabled") is False)
    window.wait_until_ready("fimble: off")
    window.command_palette("fimble: Turn Completions On or Off")
    window.wait_until_ready("scripted")


@in_editor
def test_why_nothing_appeared_is_the_servers_reason(open_window: Callable[..., Window], tmp_path: Path) -> None:
    window = open_window(**{"fimble.maxTokens": 1})
    window.wait_until_ready()
    window.to_end()
    window.command_palette("fimble: Show Why Nothing Appeared")
    window.wait_for_notification("Nothing has been asked for in this file yet")
    window.press("Escape")
    window.to_end()
    # The end of what the model knows: it writes nothing.
    window.type(STATEMENTS[-30:])
    window.command_palette("fimble: Show Why Nothing Appeared")
    window.wait_for_notification("Nothing was suggested: ")


@in_editor
def test_a_missing_server_is_told_once_and_found_when_it_is_there(
    open_window: Callable[..., Window], scripted: Path, tmp_path: Path
) -> None:
    window = open_window(**{"fimble.path": ""})
    message = window.wait_for_notification("The server is not installed")
    assert window.notifications() == [message]
    window.wait_until_ready("not found")
    window.screenshot("missing")
    window.notification_button("Install")
    box = window.page.locator(".quick-input-widget input")
    box.wait_for()
    asked = window.page.locator(".quick-input-widget")
    wait_for("the question", lambda: "no release on PyPI" in asked.inner_text())
    box.fill(str(tmp_path))
    wait_for("what is wrong with it", lambda: "neither a checkout" in asked.inner_text())
    box.fill(str(ROOT))
    window.press("Enter")
    terminal = window.page.locator(".terminal-wrapper.active .xterm-rows")
    typed = wait_for("the command", lambda: "pip install" in terminal.inner_text() and terminal.inner_text())
    assert "Collecting" not in typed and "ERROR" not in typed, "it is left to the user to run it"
    window.screenshot("install")
    program = tmp_path / "work" / ".venv" / "bin" / "fimble"
    program.parent.mkdir(parents=True)
    shutil.copy2(scripted, program)
    other = tmp_path / "work" / "other.py"
    other.write_text("")
    window.open(other)
    window.wait_until_ready("scripted")


@in_editor
def test_a_setting_that_names_no_program_is_told(open_window: Callable[..., Window], tmp_path: Path) -> None:
    window = open_window(**{"fimble.path": str(tmp_path / "nothing")})
    window.wait_for_notification("The setting fimble.path names")


@in_editor
def test_a_server_that_cannot_start_is_told_once_with_its_reason(
    open_window: Callable[..., Window], tmp_path: Path
) -> None:
    program = tmp_path / "bin" / "fimble"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'no module named something' >&2\nexit 3\n")
    program.chmod(0o755)
    window = open_window(**{"fimble.path": str(program)})
    message = window.wait_for_notification("no module named something")
    window.wait_until_ready("stopped")
    window.to_end()
    window.type("value = 1\n", delay_ms=KEY_MS)
    assert window.notifications() == [message]
    assert window.saved(file_of(tmp_path)) == "value = 1\n"


@in_editor
def test_the_environment_of_the_python_extension_is_looked_into(
    open_window: Callable[..., Window], scripted: Path, tmp_path: Path
) -> None:
    program = tmp_path / "selected" / "bin" / "fimble"
    program.parent.mkdir(parents=True)
    shutil.copy2(scripted, program)
    workspace = tmp_path / "work"
    workspace.mkdir()
    (workspace / ".selected").write_text(str(program.with_name("python")))
    window = open_window(workspace, **{"fimble.path": ""})
    window.wait_until_ready("scripted")
    assert f"starts {program} (found by: Python extension)" in window.code.logs()


@in_editor
def test_settings_reach_the_server_and_defaults_do_not_outrank_its_files(
    open_window: Callable[..., Window], tmp_path: Path
) -> None:
    workspace = tmp_path / "work"
    workspace.mkdir()
    (workspace / "fimble.toml").write_text("enabled = false\n")
    window = open_window(workspace, **{"fimble.answerMs": "soon"})
    window.wait_for_notification("setting `answerMs` in the editor's settings")
    window.wait_until_ready("fimble: off")
    window.to_end()
    window.type(KNOWN[:30])
    window.command_palette("fimble: Show Why Nothing Appeared")
    window.wait_for_notification("Completions are switched off")
    window.notification_button("Turn On")
    window.wait_until_ready("scripted")


@in_editor
def test_500_keys_and_what_was_accepted_are_in_the_buffer(open_window: Callable[..., Window], tmp_path: Path) -> None:
    """Text that the model knows, of which suggestions are accepted at random, then text that no suggestion follows."""
    choices = random.Random(500)
    window = open_window()
    window.wait_until_ready()
    window.to_end()
    keys, text, accepted = 0, "", 0
    while keys < KEYS - 100:
        burst = STATEMENTS[len(text) : len(text) + choices.randint(15, 45)]
        window.type(burst, KEY_MS)
        keys += len(burst)
        text += burst
        if choices.random() < 0.6 and (ghost := window.wait_for_ghost()):
            window.press("Tab" if choices.random() < 0.5 else "Control+ArrowRight")
            keys += 1
            accepted += 1
            # What came of it is in the file; that it is a piece of the suggestion, and nothing else, is known.
            grown = wait_for("the accepted text", lambda before=text: longer(window, tmp_path, before))
            assert STATEMENTS.startswith(grown), (ghost, grown[len(text) :])
            text = grown
    assert accepted >= 4
    window.press("Enter")
    stranger = "".join(choices.choice("qxzwvk jy") for _ in range(100))
    window.type(stranger, KEY_MS)
    window.press("Escape")
    window.wait_for_no_ghost()
    assert window.saved(file_of(tmp_path)) == f"{text}\n{stranger}"
    assert window.notifications() == []


def longer(window: Window, tmp_path: Path, before: str) -> str:
    """The saved text, if it is longer than `before`."""
    now = window.saved(file_of(tmp_path))
    assert now.startswith(before)
    return now if len(now) > len(before) else ""


@in_editor
def test_a_server_killed_while_typing_comes_back_and_nothing_is_lost(
    open_window: Callable[..., Window], code: CodeServer, tmp_path: Path
) -> None:
    window = open_window()
    window.wait_until_ready()
    window.to_end()
    ready, typed = code.logs().count("scripted is ready"), KNOWN[:270]
    for start in range(0, 250, 50):
        window.type(typed[start : start + 50], KEY_MS)
        if start in (50, 200):
            servers = wait_for("a server", code.language_servers)
            assert len(servers) == 1
            servers[0].kill()
    wait_for("the next server", lambda: code.logs().count("scripted is ready") == ready + 2)
    window.type(typed[250:], KEY_MS)
    window.wait_for_ghost()
    assert window.saved(file_of(tmp_path)) == typed
    assert window.notifications() == []


@in_editor
def test_a_server_killed_again_and_again_is_told_of_once(
    open_window: Callable[..., Window], code: CodeServer, tmp_path: Path
) -> None:
    window = open_window()
    window.wait_until_ready()
    killed: set[int] = set()
    for _ in range(5):
        server = wait_for(
            "a new server", lambda: next((s for s in code.language_servers() if s.pid not in killed), None)
        )
        window.wait_until_ready("scripted")
        killed.add(server.pid)
        server.kill()
        wait_for("its end to be seen", lambda: "scripted" not in window.bar_text())
    message = window.wait_for_notification("ended five times")
    window.wait_until_ready("stopped")
    window.screenshot("stopped")
    assert window.notifications() == [message]
    assert code.language_servers() == []
    window.notification_button("Restart")
    window.wait_until_ready("scripted")


@in_editor
def test_three_roots_in_one_window_and_another_workspace_beside_it(
    open_window: Callable[..., Window], code: CodeServer, tmp_path: Path
) -> None:
    roots = [tmp_path / name for name in ("one", "two", "three")]
    for root in roots:
        root.mkdir()
        (root / f"{root.name}.py").write_text("")
    workspace = tmp_path / "all.code-workspace"
    workspace.write_text(json.dumps({"folders": [{"path": root.name} for root in roots]}))
    many = open_window(workspace, roots[0] / "one.py")
    single = open_window()
    for window in (many, single):
        window.wait_until_ready("scripted")
    assert len(code.language_servers()) == 2, "one server for each window, whatever its number of folders"
    expected = {}
    for root, end in zip(roots, (24, 34, 44), strict=True):
        file = root / f"{root.name}.py"
        if root is not roots[0]:
            many.open(file)
        many.to_end()
        many.type(KNOWN[:end])
        single.to_end()
        many.wait_for_ghost()
        many.press("Tab")
        many.wait_for_no_ghost()
        expected[file] = many.saved(file)
        assert KNOWN.startswith(expected[file]) and len(expected[file]) > end
    many.screenshot("three-roots")
    single.type(KNOWN[:30])
    single.wait_for_ghost()
    single.press("Tab")
    single.wait_for_no_ghost()
    assert KNOWN.startswith(single.saved(file_of(tmp_path)))
    assert [file.read_text() for file in expected] == list(expected.values())
    assert many.notifications() == single.notifications() == []


@in_editor
def test_the_server_is_restarted_by_command(open_window: Callable[..., Window], code: CodeServer) -> None:
    window = open_window()
    window.wait_until_ready("scripted")
    (before,) = code.language_servers()
    starts = code.logs().count("scripted is ready")
    window.command_palette("fimble: Restart Server")
    wait_for("another server", lambda: code.logs().count("scripted is ready") > starts)
    wait_for("the end of the first", lambda: before.pid not in {each.pid for each in code.language_servers()})
    window.wait_until_ready("scripted")
    window.to_end()
    window.type(KNOWN[:30])
    window.wait_for_ghost()
    assert window.notifications() == []


@in_editor
def test_the_statistics_are_a_page_in_the_colours_of_the_theme(
    open_window: Callable[..., Window], code: CodeServer
) -> None:
    window = open_window()
    window.wait_until_ready()
    window.to_end()
    window.type(KNOWN[:30])
    window.wait_for_ghost()
    window.press("Tab")
    window.wait_for_no_ghost()
    colour = "node => getComputedStyle(node).backgroundColor"
    dark = window.editor.evaluate(colour)
    written = code.data.parent / "home" / "state"  # every few seconds
    wait_for("the counts", lambda: any(b"Python" in path.read_bytes() for path in written.rglob("*") if path.is_file()))
    window.command_palette("fimble: Statistics")
    page = window.page.frame_locator("iframe.webview.ready").frame_locator("iframe#active-frame")
    page.locator("h1", has_text="fimble: the week to").wait_for()
    assert "Python" in page.locator("main").inner_text()
    window.screenshot("statistics")
    assert page.locator("body").evaluate(colour) == dark
    code.set_user_settings({**code.user_settings(), "workbench.colorTheme": "Default Light Modern"})
    wait_for("the light theme", lambda: page.locator("body").evaluate(colour) == "rgb(255, 255, 255)")
    window.screenshot("statistics-light")
    assert window.page.locator(".tab", has_text="fimble: statistics").count() == 1
    assert window.notifications() == []


# Code actions ----------------------------------------------------------------------------------------------


@pytest.fixture
def function_window(open_window: Callable[..., Window], tmp_path: Path) -> Window:
    """A window with a function in front, the cursor in it."""
    workspace = tmp_path / "work"
    workspace.mkdir()
    file = file_of(tmp_path)
    file.write_text(FUNCTION)
    window = open_window(workspace, file, **{"fimble.chatModel": str(chat_model(tmp_path / "chat"))})
    window.wait_until_ready("scripted")
    window.editor.locator(".view-lines").first.click()
    window.press("Control+Home")
    window.press("ArrowDown")
    return window


@in_editor
def test_the_actions_are_listed(function_window: Window) -> None:
    window = function_window
    window.command_palette("fimble: Code Actions")
    picks = wait_for("the actions", lambda: (found := window.picks()) and "Explain add" in found and found)
    window.screenshot("actions")
    assert "Generate tests for add" in picks
    window.press("Escape")
    entries = window.palette_entries("fimble: ")
    assert any("Explain" in entry for entry in entries)


def edit_by_instruction(window: Window, instruction: str) -> None:
    window.command_palette("fimble: Edit by Instruction")
    box = window.page.locator(".quick-input-widget input")
    box.wait_for()
    window.screenshot("edit-by-instruction")
    box.fill(instruction)
    window.press("Enter")


@in_editor
def test_an_edit_asks_for_its_instruction(function_window: Window, tmp_path: Path) -> None:
    window = function_window
    edit_by_instruction(window, INSTRUCTION)
    wait_for_edit(window)
    assert window.saved(file_of(tmp_path)) == INSTRUCTED


@in_editor
def test_an_edit_is_applied_at_once_and_undone_in_one_step(function_window: Window, tmp_path: Path) -> None:
    window = function_window
    window.command_palette("fimble: Simplify")
    wait_for_edit(window)
    assert window.saved(file_of(tmp_path)) == SIMPLIFIED
    window.to_end()
    window.press("Control+z")
    assert window.saved(file_of(tmp_path)) == FUNCTION
    assert window.notifications() == []


@in_editor
def test_an_edit_with_an_unknown_name_is_applied_once_it_is_confirmed(function_window: Window, tmp_path: Path) -> None:
    """VS Code previews it, and wants a tick at the file first, else “Apply” does nothing."""
    window = function_window
    edit_by_instruction(window, CHECKING)
    button = window.page.locator(".bulk-edit-panel .monaco-button", has_text="Apply")
    button.wait_for()
    window.page.locator(".bulk-edit-panel .edit-checkbox").first.click()
    window.screenshot("edit-preview")
    assert file_of(tmp_path).read_text() == FUNCTION
    button.click()
    wait_for_edit(window)
    assert window.saved(file_of(tmp_path)) == CHECKED


def wait_for_edit(window: Window) -> None:
    wait_for("the edit", lambda: "result = " not in window.visible())
    window.screenshot("edit-applied")


@in_editor
def test_an_explanation_opens_as_a_preview_beside_the_code(function_window: Window) -> None:
    window = function_window
    window.command_palette("fimble: Explain")
    window.page.locator(".tab", has_text="Preview explain-add").wait_for()
    preview = window.page.frame_locator("iframe.webview.ready").frame_locator("iframe#active-frame")
    preview.locator("strong", has_text="adds").wait_for()
    window.screenshot("explanation")
    assert window.page.locator(".tab", has_text="file.py").count() == 1
    assert window.notifications() == []


# The real model --------------------------------------------------------------------------------------------


@pytest.mark.model
@in_editor
def test_the_default_model_suggests(
    code: CodeServer, open_window: Callable[..., Window], starter_file: Path, tmp_path: Path
) -> None:
    """What a new user sees: no settings, the starter model, a suggestion on the screen."""
    starter.lend(starter_file, code.data.parent / "home" / "cache")
    workspace = tmp_path / "work"
    workspace.mkdir()
    server_program(workspace / ".venv" / "bin" / "fimble")
    file = workspace / "geometry.py"
    file.write_text(
        '"""Shapes in the plane."""\n\nimport math\nfrom dataclasses import dataclass\n\n\n@dataclass\nclass Circle:\n'
        "    radius: float\n\n    def area(self) -> float:\n        return math.pi * self.radius**2\n\n"
        "    def circumference(self) -> float:\n        "
    )
    window = open_window(workspace, file, **{"fimble.path": ""})
    window.wait_until_ready("Qwen")
    window.to_end()
    window.type("return 2 * ")
    suggestion = window.wait_for_ghost()
    window.wait_until_ready(r"Qwen.* · ")
    window.screenshot("default-model")
    before = file.read_text()
    window.press("Tab")
    window.wait_for_no_ghost()
    after = window.saved(file)
    assert after.startswith(f"{before}return 2 * ") and after.rstrip().endswith(suggestion.split("\n")[-1].strip())
