"""Drives a real VS Code: a code-server process with the packaged extension, and its windows in a browser."""

from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from tests.conftest import ROOT
from tests.editors.vscode import install

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SCREENSHOTS = ROOT / "tests" / "editors" / "screenshots" / "vscode"
# How long to wait for anything of the editor's. Everything is slow on a machine that others use too.
SECONDS = 90.0
LOOK_SECONDS = 0.1

# The editor leaves the text as it is typed, so that tests know what must come out.
PLAIN_TYPING: dict[str, Any] = {
    "editor.autoClosingBrackets": "never",
    "editor.autoClosingQuotes": "never",
    "editor.autoIndent": "none",
    "editor.formatOnType": False,
    "editor.trimAutoWhitespace": False,
    "editor.quickSuggestions": {"other": "off", "comments": "off", "strings": "off"},
    "editor.suggestOnTriggerCharacters": False,
    "editor.minimap.enabled": False,
    "files.autoSave": "off",
    "chat.disableAIFeatures": True,
    "workbench.startupEditor": "none",
    "workbench.colorTheme": "Default Dark Modern",
    "workbench.tips.enabled": False,
    "workbench.secondarySideBar.defaultVisibility": "hidden",
    # Drawn as text, which tests can read.
    "terminal.integrated.gpuAcceleration": "off",
    "telemetry.telemetryLevel": "off",
    "extensions.ignoreRecommendations": True,
}


def wait_for(what: str, look: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """Looks until there is something. Fails with `what` was waited for, and what was seen last."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s in vain for {what}; last seen: {seen!r}")
        time.sleep(LOOK_SECONDS)


def server_program(
    path: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    module: Sequence[str] = ("lsp_server",),
) -> Path:
    """Writes a `fimble` program that runs this checkout, with more arguments behind `serve`. module: what Python runs,
    with arguments before `serve`."""
    words = shlex.join([sys.executable, "-m", *module])
    variables = {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})}
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    lines.append(f'if [ "$1" = serve ]; then exec {words} "$@" {shlex.join(arguments)}; fi')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, f'exec {words} "$@"', ""]))
    path.chmod(0o755)
    return path


def package(folder: Path) -> Path:
    """The extension as it is shipped, built from the sources."""
    target = folder / "fimble.vsix"
    command = ["npm", "run", "--silent", "package", "--", "--out", str(target)]
    _checked(command, cwd=install.EXTENSION, env=install.environment())
    return target


def _checked(command: list[str], **options: Any) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, **options)
    assert done.returncode == 0, done.stdout + done.stderr


class CodeServer:
    """One code-server, with user folders of its own."""

    def __init__(self, folder: Path, vsix: Path, environment: Mapping[str, str]) -> None:
        self.data = folder / "data"
        self._environment = {**install.environment(), **environment, "PATH": install.environment()["PATH"]}
        self._options = [f"--user-data-dir={self.data}", f"--extensions-dir={folder / 'extensions'}"]
        self.set_user_settings({})
        key = {"key": "ctrl+alt+l", "command": "editor.action.inlineSuggest.acceptNextLine"}
        (self.data / "User" / "keybindings.json").write_text(json.dumps([key]))
        self.install(vsix)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._log = (folder / "code-server.log").open("wb")
        more = ["--auth=none", "--disable-telemetry", "--disable-update-check", "--disable-workspace-trust"]
        # The hosts of extensions go as soon as their windows have gone.
        more += ["--reconnection-grace-time=1", f"--bind-addr=127.0.0.1:{self.port}"]
        self._process = psutil.Popen(
            [str(install.NODE), str(install.CODE_SERVER), *self._options, *more],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        wait_for("code-server", self._answers)

    def install(self, vsix: Path) -> None:
        command = [str(install.NODE), str(install.CODE_SERVER), *self._options, "--install-extension", str(vsix)]
        _checked(command, env=self._environment)

    def set_user_settings(self, settings: Mapping[str, Any]) -> None:
        """The user's settings. Those that depend on the machine, VS Code reads from a second file on a server."""
        for folder in ("User", "Machine"):
            path = self.data / folder / "settings.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({**PLAIN_TYPING, **settings}))

    def user_settings(self) -> dict[str, Any]:
        values: dict[str, Any] = json.loads((self.data / "User" / "settings.json").read_text())
        return values

    def url(self, workspace: Path, file: Path | None = None) -> str:
        query = {"workspace" if workspace.suffix == ".code-workspace" else "folder": str(workspace)}
        if file is not None:
            opened = f"vscode-remote://127.0.0.1:{self.port}{file}"
            query["payload"] = json.dumps([["openFile", opened]])
        return f"http://127.0.0.1:{self.port}/?{urllib.parse.urlencode(query)}"

    def logs(self) -> str:
        """The output of all extensions called fimble, in all windows so far."""
        found = sorted(self.data.rglob("*fimble*.log"), key=lambda path: path.stat().st_mtime)
        return "\n".join(path.read_text("utf-8", "replace") for path in found)

    def processes(self) -> list[psutil.Process]:
        """Everything it has started: its children, and those that outlived their parents in its session."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid != self._process.pid and os.getsid(process.pid) == self._process.pid:
                    found.append(process)
            except (psutil.NoSuchProcess, ProcessLookupError, PermissionError):
                continue
        return found

    def language_servers(self) -> list[psutil.Process]:
        found = []
        for process in self.processes():
            try:
                if "lsp_server" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def close(self) -> None:
        everything = [*self.processes(), self._process]
        for process in everything:
            try:
                process.terminate()
            except psutil.NoSuchProcess:
                continue
        _, alive = psutil.wait_procs(everything, timeout=5)
        for process in alive:
            process.kill()
        self._log.close()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False


@contextmanager
def browser() -> Iterator[Browser]:
    if str(install.PYTHON_PACKAGES) not in sys.path:
        sys.path.append(str(install.PYTHON_PACKAGES))
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        found = playwright.chromium.launch(executable_path=install.chromium(), args=options)
        try:
            yield found
        finally:
            found.close()


class Window:
    """One window of VS Code: a workspace, a file in front."""

    def __init__(self, code: CodeServer, page: Page, workspace: Path, file: Path | None = None) -> None:
        self.code = code
        self.page = page
        page.set_default_timeout(1000 * SECONDS)
        page.goto(code.url(workspace, file))
        page.locator(".monaco-workbench").wait_for()
        if file is not None:
            self.editor.wait_for()
        self.bar.wait_for()

    @property
    def editor(self) -> Any:
        return self.page.locator(".editor-instance .monaco-editor").first

    @property
    def bar(self) -> Any:
        return self.page.locator('[id="fimble.fimble.fimble"]')

    def bar_text(self) -> str:
        return " ".join(self.bar.inner_text().split())

    def wait_until_ready(self, text: str = "·|scripted") -> None:
        """Waits until the status bar shows a model."""
        wait_for(f"{text!r} in the status bar", lambda: re.search(text, self.bar_text()) and self.bar_text())

    def ghost(self) -> str:
        """The suggestion on the screen, all its lines; empty if there is none. The first may stand behind the others in
        the page, and each colour is an element of its own."""
        script = """() => [...document.querySelectorAll('.ghost-text-decoration, .ghost-text')]
            .filter(each => each.offsetParent !== null && !each.parentElement.closest('.ghost-text'))
            .map(each => [each.getBoundingClientRect(), each.textContent])
            .map(([{ top, left }, text]) => ({ top, left, text }))
            .sort((a, b) => Math.abs(a.top - b.top) < 5 ? a.left - b.left : a.top - b.top)
            .map(({ top, text }, at, all) => (at > 0 && top - all[at - 1].top >= 5 ? '\\n' : '') + text).join('')"""
        return str(self.page.evaluate(script)).replace("\u00a0", " ").replace("\u200b", "")

    def wait_for_ghost(self, text: str = "") -> str:
        """Waits for a suggestion that begins with `text`."""
        return str(wait_for(f"a suggestion {text!r}", lambda: (ghost := self.ghost()).startswith(text) and ghost))

    def wait_for_no_ghost(self) -> None:
        wait_for("no suggestion", lambda: not self.ghost())

    def drawn(self) -> list[str]:
        """The texts that extensions have drawn into the editor, behind pieces of the text or at the ends of lines."""
        script = """() => [...document.querySelectorAll('.editor-instance .view-line [class*="ced-"]')]
            .map(each => getComputedStyle(each, '::after').content).filter(each => each.startsWith('"'))
            .map(each => JSON.parse(each))"""
        return [str(each).replace("\u00a0", " ") for each in self.page.evaluate(script)]

    def struck(self) -> str:
        """What is struck out on the screen."""
        script = """() => [...document.querySelectorAll('.editor-instance .view-line span')]
            .filter(each => !each.children.length && getComputedStyle(each).textDecorationLine === 'line-through')
            .map(each => each.textContent).join('')"""
        return str(self.page.evaluate(script)).replace("\u00a0", " ")

    def visible(self) -> str:
        """The lines on the screen, without the suggestion."""
        script = """() => [...document.querySelectorAll('.editor-instance .view-line')]
            .sort((a, b) => parseInt(a.style.top) - parseInt(b.style.top))
            .map(line => [...line.querySelectorAll('span > span')]
                .filter(part => !/ghost-text/.test(part.className)).map(part => part.textContent).join(''))
            .join('\\n')"""
        return str(self.page.evaluate(script)).replace("\u00a0", " ")

    def cursor(self) -> tuple[int, int]:
        """The cursor's line and column, from 1, as the status bar tells them."""
        text = self.page.locator('[id="status.editor.selection"]').inner_text()
        line, column = re.findall(r"\d+", text)[:2]
        return int(line), int(column)

    def go_to(self, line: int, column: int = 1) -> None:
        """Moves the cursor, from 1."""
        self.page.keyboard.press("Control+g")
        box = self.page.locator(".quick-input-widget input")
        box.wait_for()
        box.fill(f":{line}:{column}")
        self.page.keyboard.press("Enter")
        box.wait_for(state="hidden")

    def open(self, file: Path) -> None:
        self.command_palette(file.name, mode="Control+p")
        wait_for("the file's tab", lambda: file.name in self.page.title())
        self.focus()

    def focus(self) -> None:
        self.page.keyboard.press("Control+1")

    def to_end(self) -> None:
        self.editor.locator(".view-lines").first.click()
        self.page.keyboard.press("Control+End")

    def type(self, text: str, delay_ms: float = 45) -> None:
        """Types, key by key, with Enter for a newline."""
        for character in text:
            if character == "\n":
                self.page.keyboard.press("Enter")
            else:
                self.page.keyboard.type(character)
            self.page.wait_for_timeout(delay_ms)

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def command_palette(self, text: str, mode: str = "F1") -> None:
        """Runs the command, or opens the file, that the palette finds first for `text`."""
        self.page.keyboard.press(mode)
        box = self.page.locator(".quick-input-widget input")
        box.wait_for()
        box.fill(f">{text}" if mode == "F1" else text)
        first = self.page.locator(".quick-input-list .monaco-list-row").first
        wait_for(f"{text!r} in the palette", lambda: text.lower() in first.inner_text().lower())
        self.page.keyboard.press("Enter")

    def palette_entries(self, text: str) -> list[str]:
        self.page.keyboard.press("F1")
        box = self.page.locator(".quick-input-widget input")
        box.fill(f">{text}")
        rows = self.page.locator(".quick-input-list .monaco-list-row")
        wait_for("the palette", rows.count)
        entries = [" ".join(row.split()) for row in rows.all_inner_texts()]
        self.page.keyboard.press("Escape")
        return entries

    def picks(self) -> list[str]:
        """What the quick pick that is open lists."""
        rows = self.page.locator(".quick-input-list .monaco-list-row")
        wait_for("a quick pick", rows.count)
        return [" ".join(row.split()) for row in rows.all_inner_texts()]

    def pick(self, text: str) -> None:
        self.page.locator(".quick-input-list .monaco-list-row", has_text=text).first.click()

    def notifications(self) -> list[str]:
        toasts = self.page.locator(".notifications-toasts .notification-list-item-message")
        return [" ".join(text.split()) for text in toasts.all_inner_texts()]

    def wait_for_notification(self, text: str) -> str:
        def look() -> str:
            return next((each for each in self.notifications() if text in each), "")

        return str(wait_for(f"a notification with {text!r}", look))

    def notification_button(self, label: str) -> None:
        self.page.locator(".notifications-toasts .monaco-button", has_text=label).first.click()

    def saved(self, file: Path) -> str:
        """Saves, and returns the text as it then is on the disk."""
        # Before a command runs for the first time VS Code asks its extensions, so a change may come after the key for
        # saving that was pressed after it. Without a change the file is written all the same, and is empty meanwhile.
        dirty = self.page.locator(".tab.active.dirty")

        def look() -> bool:
            if dirty.count():
                self.page.keyboard.press("Control+s")
                return False
            return file.stat().st_size > 0 or not self.visible()

        self.page.keyboard.press("Control+s")
        wait_for("the file to be saved", look)
        return file.read_bytes().decode("utf-8")

    def screenshot(self, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")
