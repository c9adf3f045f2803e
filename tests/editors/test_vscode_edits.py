"""Next edits in a real VS Code: drawn where they would be made, gone to, made, rejected, undone."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.editors.support import fetched_editor
from tests.editors.vscode.editor import Window, wait_for
from tests.editors.vscode.support import file_of, installed, next_edits, overheard
from tests.support.effort import scaled

pytestmark = [fetched_editor, installed]

SOURCE = "def area(width, height):\n    size = width * 2\n    return size\n"
RENAMED = SOURCE.replace("area(width", "area(breadth")
# Without completions, which the scripted model has for every text.
ALONE: dict[str, Any] = {"editor.inlineSuggest.enabled": False}

NONE = b'"edits": []'


@pytest.fixture
def open_with(open_window: Callable[..., Window], tmp_path: Path) -> Callable[..., Window]:
    """Opens a window with a text in front, and waits for the server."""

    def opened(text: str, **settings: Any) -> Window:
        workspace = tmp_path / "work"
        workspace.mkdir(exist_ok=True)
        file_of(tmp_path).write_text(text)
        window = open_window(workspace, file_of(tmp_path), **settings)
        window.wait_until_ready()
        window.editor.locator(".view-lines").first.click()
        return window

    return opened


def rename(window: Window, line: int, column: int, name: str) -> None:
    """Types a name over the word at a place, from 1."""
    window.go_to(line, column)
    window.press("Control+d")
    window.type(name, delay_ms=20)


def wait_for_drawn(window: Window, *texts: str) -> None:
    wait_for(f"{texts} drawn", lambda: set(texts) <= set(window.drawn()))


def wait_for_nothing(window: Window) -> None:
    wait_for("nothing drawn", lambda: not window.drawn() and not window.struck())


def test_an_edit_is_seen_gone_to_made_and_undone_in_one_step(open_with: Callable[..., Window], tmp_path: Path) -> None:
    window = open_with(SOURCE, **ALONE)
    rename(window, 1, 10, "breadth")
    wait_for_drawn(window, "breadth", "Tab: jump")
    assert window.struck() == "width"
    window.screenshot("next-edit")
    window.press("Tab")
    wait_for("the cursor at the edit", lambda: window.cursor() == (2, 12))
    wait_for_drawn(window, "breadth", "Tab: accept")
    assert window.saved(file_of(tmp_path)) == RENAMED
    window.press("Tab")
    wait_for_nothing(window)
    assert window.saved(file_of(tmp_path)) == SOURCE.replace("width", "breadth")
    window.press("Control+z")
    assert window.saved(file_of(tmp_path)) == RENAMED
    assert window.notifications() == []


def test_nothing_is_drawn_while_a_completion_is_on_the_screen(open_with: Callable[..., Window], tmp_path: Path) -> None:
    window = open_with(SOURCE)
    rename(window, 1, 10, "breadth")
    window.wait_for_ghost()
    assert not window.drawn()
    window.press("Escape")
    window.wait_for_no_ghost()
    wait_for_drawn(window, "breadth", "Tab: jump")
    # A completion that is asked for takes its place, and Tab is the completion's.
    window.command_palette("Trigger Inline Suggestion")
    ghost = window.wait_for_ghost()
    wait_for_nothing(window)
    window.press("Tab")
    window.wait_for_no_ghost()
    assert window.saved(file_of(tmp_path)).startswith(f"def area(breadth{ghost[:4]}")


def test_an_edit_off_the_screen_is_told_of_and_what_is_rejected_stays_away(
    open_with: Callable[..., Window], scripted: Path, tmp_path: Path
) -> None:
    log = tmp_path / "said"
    text = "def area(width):\n" + "    pass\n" * 80 + "    return width\n"
    window = open_with(text, **ALONE, **{"fimble.path": str(overheard(scripted, log))})
    rename(window, 1, 10, "breadth")
    wait_for_drawn(window, "next edit: line 82, Tab: jump")
    told = window.page.locator('[id="fimble.fimble.fimble.nextEdit"]')
    assert told.inner_text().strip() == "next edit: line 82"
    window.screenshot("next-edit-far")
    window.press("Tab")
    wait_for_drawn(window, "breadth", "Tab: accept")
    told.wait_for(state="hidden")
    window.press("Escape")
    wait_for_nothing(window)
    # One key asks once more, and the server has nothing else to propose.
    window.go_to(3, 9)
    said = log.read_bytes().count(NONE)
    window.type(" ")
    wait_for("the answer", lambda: log.read_bytes().count(NONE) > said)
    assert not window.drawn()
    assert "return width" in window.saved(file_of(tmp_path))


def test_lines_that_come_are_drawn_beside_the_code(open_with: Callable[..., Window], tmp_path: Path) -> None:
    text = "def a(client):\n    pass\n\n\ndef b(client):\n    pass\n\n\ndef c(client):\n    pass\n"
    window = open_with(text, **ALONE)
    for line in (1, 6):
        window.go_to(line)
        window.type("@cached\n", delay_ms=20)
    wait_for_drawn(window, "@cached", "Tab: jump")
    window.screenshot("next-edit-lines")
    window.go_to(11)
    wait_for_drawn(window, "@cached", "Tab: accept")
    window.press("Tab")
    wait_for_nothing(window)
    assert window.saved(file_of(tmp_path)).count("@cached\ndef") == 3


def test_an_edit_in_another_file_is_gone_to_and_made(open_with: Callable[..., Window], tmp_path: Path) -> None:
    other = tmp_path / "work" / "other.py"
    other.parent.mkdir()
    other.write_text("from file import area_of_shape\n\nprint(area_of_shape(1, 2))\n")
    window = open_with(SOURCE.replace("area", "area_of_shape"), **ALONE, **{"fimble.nextEdit": "medium"})
    window.open(other)
    window.open(file_of(tmp_path))
    rename(window, 1, 5, "surface_of_shape")
    wait_for_drawn(window, "next edit: other.py:1, Tab: jump")
    window.press("Tab")
    wait_for("the other file", lambda: "other.py" in window.page.title())
    wait_for_drawn(window, "Tab: accept")
    drawn = [text.strip() for text in window.drawn()]
    assert sorted(drawn) == ["", "Tab: accept", "from file import surface_of_shape", "print(surface_of_shape(1, 2))"]
    assert drawn.index("Tab: accept") == drawn.index("from file import surface_of_shape") + 1
    window.screenshot("next-edit-other-file")
    window.press("Tab")
    wait_for("the edit", lambda: "from file import surface_of_shape" in window.visible())


def test_tab_and_escape_do_what_they_did_without_an_edit(open_with: Callable[..., Window], tmp_path: Path) -> None:
    window = open_with("alpha = 1\nalp\n", **ALONE)
    window.go_to(2, 4)
    window.press("Control+Space")
    entry = window.page.locator(".suggest-widget.visible .monaco-list-row.focused", has_text="alpha")
    wait_for("the list", entry.count)
    window.press("Tab")
    wait_for("the entry", lambda: "alpha" in window.visible().split("\n")[1])
    window.press("Enter")
    window.press("Tab")
    window.type("x", delay_ms=20)
    assert window.saved(file_of(tmp_path)) == "alpha = 1\nalpha\n    x\n"


def test_random_edits_are_made_where_they_are_shown_and_undone_in_one_step(
    open_with: Callable[..., Window], scripted: Path, tmp_path: Path
) -> None:
    """Renames, repeated changes and undo, with edits that are made, rejected or typed past: what is made is what the
    server sent last, at the place and in the version that it was sent for."""
    rng = random.Random(4)
    log = tmp_path / "said"
    lines = ["def area(width, é):", "    log.info(width)", "    log.info(é)", "    return width * 2", ""]
    text = "\n".join(lines * 10)
    window = open_with(text, **ALONE, **{"fimble.nextEdit": "high", "fimble.path": str(overheard(scripted, log))})
    file = file_of(tmp_path)
    counts = {"edits": 0, "made": 0, "rejected": 0, "typed": 0, "none": 0, "undone": 0}
    for _ in range(scaled(12)):
        for _ in range(rng.choice([1, 1, 1, 2, 3])):  # the later ones come while the first is thought about, or drawn
            change(window, window.saved(file).split("\n"), rng)
            counts["edits"] += 1
        if rng.random() < 0.2:
            window.press("Control+z")
            counts["undone"] += 1
        before = settled(window, file)
        if not is_shown(window):
            counts["none"] += 1
            write_anew(window, text)
            continue
        edit = next_edits(log)[-1]
        kind = rng.choice(["made", "made", "rejected", "typed"])
        counts[kind] += 1
        if kind == "rejected":
            window.press("Escape")
            wait_for_nothing(window)
            wait_for_text(window, file, before)
        elif kind == "typed":
            # What is typed goes where the cursor is; Tab, before anything is drawn anew, is an ordinary one.
            line, column = window.cursor()
            window.page.keyboard.type("q")
            window.press("Tab")
            after = settled(window, file)
            rows = before.split("\n")
            row = rows[line - 1]
            head, tail = row[: column - 1], row[column - 1 :]
            assert re.fullmatch(re.escape(f"{head}q") + " *" + re.escape(tail), after.split("\n")[line - 1])
            rest = after.split("\n")
            assert rest[: line - 1] + rest[line:] == rows[: line - 1] + rows[line:]
            write_anew(window, text)
        else:
            first = edit["range"]["start"]
            window.go_to(first["line"] + 1, first["character"] + 1)
            wait_for("the key", lambda: "Tab: accept" in window.drawn())
            edit = next_edits(log)[-1]
            window.press("Tab")
            wait_for_text(window, file, made(before, edit))
            window.press("Control+z")
            wait_for_text(window, file, before)
            window.press("Control+Shift+z")
            wait_for_text(window, file, made(before, edit))
    assert counts["made"], counts
    assert window.notifications() == []


def change(window: Window, lines: list[str], rng: random.Random) -> None:
    """One change by keys: mostly a parameter that its function uses gets a new name; else a name is changed somewhere,
    or something is written behind a line."""
    kind = rng.random()
    used = [
        (number, match.start(1) + 1)
        for number, line in enumerate(lines, 1)
        if (match := re.match(r"def area\((\w+)", line)) and re.search(rf"\b{match[1]}\b", "".join(lines[number:][:3]))
    ]
    logged = [(number, line.index("log") + 1) for number, line in enumerate(lines, 1) if re.search(r"\blog\b", line)]
    if used and kind < 0.7:
        rename(window, *rng.choice(used), "".join(rng.choices("abcdefgh", k=6)))
    elif logged and kind < 0.85:
        rename(window, *rng.choice(logged), "logger")
    else:
        line = rng.randrange(len(lines)) + 1
        window.go_to(line, len(lines[line - 1]) + 1)
        window.type(rng.choice(["  # é", "\n    x = 1", " "]), delay_ms=10)


def settled(window: Window, file: Path) -> str:
    """The text when all that was typed has arrived: the same twice, and not in the moment in which it is written."""
    last = ""
    while True:
        now = window.saved(file)
        if now and now == last:
            return now
        last = now
        window.page.wait_for_timeout(250)


def wait_for_text(window: Window, file: Path, text: str) -> None:
    """Waits until the editor has exactly this text. A file can be seen empty in the moment in which it is written."""
    wait_for(f"the text {text!r}", lambda: window.saved(file) == text)


def write_anew(window: Window, text: str) -> None:
    """Puts the text in place of all that there is: what was typed may have left nothing that has a next edit."""
    window.press("Control+a")
    window.page.keyboard.insert_text(text)


def is_shown(window: Window) -> bool:
    """Whether an edit is drawn before long, and stays: what was drawn for an older text goes."""
    seen = 0
    for _ in range(25):
        seen = seen + 1 if any("Tab" in text for text in window.drawn()) else 0
        if seen == 5:
            return True
        window.page.wait_for_timeout(100)
    return False


def made(before: str, edit: dict[str, Any]) -> str:
    """The text with the edit, by the protocol's rules: characters are UTF-16 units, of which é is one."""
    lines = before.split("\n")
    first, last = edit["range"]["start"], edit["range"]["end"]
    head, tail = lines[first["line"]][: first["character"]], lines[last["line"]][last["character"] :]
    return "\n".join([*lines[: first["line"]], head + edit["text"] + tail, *lines[last["line"] + 1 :]])
