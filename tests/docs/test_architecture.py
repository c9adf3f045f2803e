"""The page on architecture names every thread, and only tests and modules that there are."""

from __future__ import annotations

import re

import pytest

from lsp_server.features.background import PARSING
from tests.conftest import ROOT

PAGE = (ROOT / "docs/architecture.md").read_text("utf-8")
SOURCES = {path: path.read_text("utf-8") for path in sorted((ROOT / "lsp_server").rglob("*.py"))}
THREADS = {name for text in SOURCES.values() for name in re.findall(r"Thread\([^()]*name=\"([^\"]+)\"", text)} | {
    PARSING
}


def test_threads_are_found() -> None:
    assert {"model", "loader", "stdin", "stdout"} <= THREADS
    started = sum(len(re.findall(r"\b(?:Thread|ThreadPoolExecutor)\(", text)) for text in SOURCES.values())
    assert started == len(THREADS), "a thread has no name, or two have the same"


@pytest.mark.parametrize("name", sorted(THREADS))
def test_every_thread_is_on_the_page_with_what_it_owns(name: str) -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |")]
    assert all(len(cell.strip()) > 10 for cell in row.split("|")[2:4])


@pytest.mark.parametrize("place", sorted(set(re.findall(r"`(tests/[\w/]+\.py::\w+)`", PAGE))))
def test_a_test_that_holds_something_is_there(place: str) -> None:
    file, name = place.split("::")
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE), place


def test_everything_that_always_holds_has_a_test() -> None:
    rows = PAGE[PAGE.index("## What always holds") :].splitlines()[4:]
    assert len(rows) > 15
    assert [row for row in rows if not re.search(r"\| `tests/[^`]+`(, `tests/[^`]+`)* \|$", row)] == []


def test_modules_on_the_page_are_there() -> None:
    named = set(re.findall(r"`((?:core|engine|features|lsp|children|backends)/\w+\.py)`", PAGE))
    assert len(named) > 10
    assert [name for name in named if not (ROOT / "lsp_server" / name).is_file()] == []


def test_it_is_two_pages() -> None:
    assert len(PAGE.split()) <= 1750
