"""The starter model, through the real server: what a fresh install does."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from bench.sessions.editor import Editor, editor
from tests.support import starter

pytestmark = pytest.mark.model


@pytest.fixture(scope="module", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, starter_file: Path) -> Iterator[None]:
    """The user's folders for this module, with the model and a small window, which is full sooner, on a
    machine of any speed."""
    home = tmp_path_factory.mktemp("home")
    starter.lend(starter_file, home / "cache")
    (home / "config" / "fimble").mkdir(parents=True)
    (home / "config" / "fimble" / "fimble.toml").write_text("context_tokens = 256\ncold_ms = 60000\n")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CACHE", "CONFIG", "STATE"):
            patch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
        yield


async def warmed(buffer: Editor) -> int:
    """Asks once, and waits until the full prompt is evaluated behind the answer. Returns how many full prompts are
    resident."""
    await buffer.suggestion()
    status = await idle(buffer)
    return sum(tokens > 130 for tokens in status["cache"]["residentTokens"])  # a quick one has at most 120


async def idle(buffer: Editor) -> dict[str, Any]:
    """The status when the engine has ended all requests."""
    while (status := await buffer.status())["queue"]["running"]:
        await anyio.sleep(0.05)
    return status


async def test_a_key_costs_a_token_or_two_and_coming_back_nothing() -> None:
    """24 characters typed inside one line of a file that is longer than the window; then another place, far away."""
    source = Path(textwrap.__file__).read_text()
    line, keys = "chunks = [c for c in chunks if c]", 24
    at = source.index(line)
    text = source[:at] + source[at + len(line) :]
    async with editor() as buffer:
        model = await buffer.ready()
        assert model["format"] == "qwen"
        assert model["licence"] == "apache-2.0"
        buffer.open("file:///w/textwrap.py", "python", text, at)
        assert await warmed(buffer) == 1
        costs = []
        for character in line[:keys]:
            buffer.type(character)
            shown = await buffer.suggestion()
            assert "\n\n" not in shown.text
            costs.append(shown.cost)
        # The last answer may have come before its generation ended; after that it is in memory.
        await idle(buffer)
        again = await buffer.suggestion()
        counts = (await buffer.status())["requests"]["counts"]
        # Both places stay resident beside each other.
        buffer.cursor = buffer.text.index("def indent(text")
        away = await warmed(buffer)
        buffer.type("x")
        buffer.cursor = at + keys
        buffer.type("Z")  # which no suggestion in memory goes on with
        back = await buffer.suggestion()
    assert statistics.median(cost["evaluatedTokens"] for cost in costs) <= 2
    assert max(cost["evaluatedTokens"] for cost in costs) <= 6
    assert all(cost["evaluatedTokens"] + cost["reusedTokens"] == cost["promptTokens"] for cost in costs)
    assert again.cost["source"] == "memory"
    assert counts["memory"] >= 1
    assert counts["model"] + counts["memory"] + counts["empty"] == counts["answered"] >= keys + 2
    assert counts["model"] + counts["memory"] > keys // 2
    assert away == 2
    # The typed letter lies behind the first place's window, so all of that prompt but the typed line is still there.
    assert back.cost["evaluatedTokens"] <= 16
    assert back.cost["promptTokens"] > 120


INDENTED = [
    "def first(numbers):\n    for each in numbers:\n        if each % 2 == 0:\n            $0\n    return None\n",
    "def total(orders):\n    amount = 0\n    for order in orders:\n        $0\n    return amount\n",
    "def read(path):\n    with open(path) as file:\n        $0\n\n\nprint(read('x'))\n",
]


@pytest.mark.parametrize("step", ["    ", "\t"], ids=["spaces", "tabs"])
async def test_behind_the_indentation_that_an_editor_writes_there_is_a_statement(step: str) -> None:
    """The model has seen 15 spaces and " if", or 3 tabs and "\tif", never 16 spaces or 4 tabs and "if": without care
    for that it ends at once, or begins with a bracket."""
    async with editor() as buffer:
        await buffer.ready()
        for number, place in enumerate(INDENTED):
            before, after = place.replace("    ", step).split("$0")
            buffer.open(f"file:///w/place{number}.py", "python", before + after, len(before))
            shown = await buffer.suggestion()
            assert shown.text.strip(), place
            assert shown.text[0] not in " \n", place
            compile(before + shown.text + after, "place.py", "exec")
