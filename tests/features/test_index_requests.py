"""The requests to the process that builds an index: none is lost when the process ends, or when it has a problem."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest

from lsp_server.core.modules import Module
from lsp_server.features.index.reader import Reader
from lsp_server.features.index.service import FolderIndex

SECONDS = 30
COLOURS, FORMS = (Module((name,), frozenset([f"new_{name}"])) for name in ("colours", "forms"))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one file, and an environment with two packages."""
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "work"
    packages = folder / ".venv" / "lib" / "python3.12" / "site-packages"
    packages.mkdir(parents=True)
    (folder / ".venv" / "pyvenv.cfg").write_text("home = /usr\n")
    for name in ("colours", "forms"):
        (packages / f"{name}.py").write_text(f"def new_{name}(first: int) -> int: ...\n")
    (folder / "main.py").write_text("def area(): ...\n")
    return folder


@asynccontextmanager
async def started(root: Path) -> AsyncIterator[tuple[FolderIndex, list[anyio.abc.Process]]]:
    """An index, and the processes that are started for it, in order."""
    processes: list[anyio.abc.Process] = []
    real = anyio.open_process

    async def opened(*arguments: Any, **options: Any) -> anyio.abc.Process:
        processes.append(await real(*arguments, **options))
        return processes[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(anyio, "open_process", opened)
        async with anyio.create_task_group() as group:
            index = FolderIndex(root, group.start_soon)
            with anyio.fail_after(SECONDS):
                yield index, processes
            index.stop()
        for process in processes:
            await process.aclose()


async def until(holds: Callable[[], object]) -> None:
    while not holds():
        await anyio.sleep(0.01)


def content(root: Path) -> tuple[int, int]:
    """How many files of the folder, and how many of packages, are in the database."""
    with closing(Reader(root)) as reader:
        summary = reader.summary()
    return (summary.files, summary.libraries) if summary is not None else (0, 0)


async def test_all_requests_are_sent_although_the_idle_process_has_ended(root: Path) -> None:
    async with started(root) as (index, processes):
        index.scan([])
        await until(lambda: index.scans)
        (process,) = processes
        assert process.stdin is not None
        await process.stdin.aclose()  # it ends as it does when it was idle
        await process.wait()
        (root / "other.py").write_text("def other(): ...\n")
        index.change(["other.py"])
        index.libraries("main.py", [COLOURS])
        index.libraries("other.py", [FORMS])
        await until(lambda: index.changed == 4)
        assert content(root) == (2, 2)
        assert (index.scans, index.problem, len(processes)) == (1, "", 2)


async def test_imports_are_requested_again_after_a_problem(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "fimble"
    cache.parent.mkdir()
    cache.write_text("")  # a file where the folder of the databases should be
    async with started(root) as (index, _):
        index.libraries("main.py", [COLOURS])
        await until(lambda: index.problem)
        cache.unlink()
        index.libraries("main.py", [COLOURS])
        await until(lambda: index.changed)
        assert content(root) == (0, 1)
        assert index.problem == ""
