"""What control groups leave of the machine: cores and memory, in both versions of the interface, and nested."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lsp_server.backends import llama_library
from lsp_server.models import estimate, machine
from lsp_server.system import control_groups

GIB = 1 << 30


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of control groups, on a machine of 16 cores."""
    monkeypatch.setattr(control_groups, "ROOT", tmp_path / "cgroup")
    monkeypatch.setattr(control_groups, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    (tmp_path / "cgroup").mkdir()
    return tmp_path / "cgroup"


def within(tree: Path, membership: str, files: dict[str, str]) -> None:
    (tree.parent / "membership").write_text(membership)
    for name, text in files.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


V1 = "12:cpu,cpuacct:/docker/abc\n11:memory:/docker/abc\n1:name=systemd:/docker/abc\n"
CPUS: list[tuple[str, dict[str, str], int, int]] = [
    # membership, files, cores that can be used, threads
    ("0::/\n", {"cpu.max": "200000 100000\n"}, 2, 2),
    ("0::/\n", {"cpu.max": "max 100000\n"}, 16, 8),
    ("0::/\n", {"cpu.max": "350000 100000\n"}, 3, 3),
    ("0::/\n", {"cpu.max": "50000 100000\n"}, 1, 1),
    ("0::/\n", {"cpu.max": "600000 100000\n"}, 6, 6),
    ("0::/\n", {"cpu.max": "6400000 100000\n"}, 16, 8),
    ("0::/a/b\n", {"cpu.max": "max 100000", "a/cpu.max": "400000 200000", "a/b/cpu.max": "900000 100000"}, 2, 2),
    ("0::/a/b\n", {"a/b/cpu.max": "100000 50000"}, 2, 2),
    ("0::/gone/b\n", {"cpu.max": "200000 100000"}, 2, 2),
    (V1, {"cpu/docker/abc/cpu.cfs_quota_us": "200000", "cpu/docker/abc/cpu.cfs_period_us": "100000"}, 2, 2),
    (V1, {"cpu,cpuacct/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}, 2, 2),
    (V1, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 16, 8),
    ("nonsense\n", {"cpu.max": "200000 100000"}, 16, 8),
    ("0::/\n", {"cpu.max": ""}, 16, 8),
    ("0::/\n", {"cpu.max": "a b c"}, 16, 8),
    ("0::/\n", {"cpu.max": "200000 0"}, 16, 8),
    ("", {}, 16, 8),
]


@pytest.mark.parametrize(("membership", "files", "cores", "threads"), CPUS)
def test_no_more_threads_than_a_quota_lets_run(
    tree: Path, membership: str, files: dict[str, str], cores: int, threads: int
) -> None:
    within(tree, membership, files)
    assert control_groups.usable_cores() == cores
    assert llama_library.default_threads() == threads
    assert max(llama_library.thread_options(gpu=False)) == threads
    assert machine.cpu().cores == cores
    assert machine.profile().cores == cores


def test_a_machine_without_control_groups(tree: Path) -> None:
    assert control_groups.cpu_quota() is None
    assert list(control_groups.groups("memory")) == []


MEMORY: list[tuple[str, dict[str, str], int | None]] = [
    ("0::/\n", {"memory.max": f"{4 * GIB}", "memory.current": f"{GIB}"}, 3 * GIB),
    ("0::/a\n", {"memory.max": f"{2 * GIB}", "a/memory.max": "max", "a/memory.current": "5"}, 2 * GIB),
    ("0::/\n", {"memory.max": f"{GIB}", "memory.current": f"{GIB}", "memory.stat": "inactive_file 7\n"}, 7),
    (
        V1,
        {"memory/memory.limit_in_bytes": f"{3 * GIB}", "memory/memory.usage_in_bytes": f"{GIB}"},
        2 * GIB,
    ),
    ("0::/\n", {"memory.max": "max"}, None),
]


@pytest.mark.parametrize(("membership", "files", "room"), MEMORY)
def test_no_more_memory_than_a_group_allows(
    tree: Path, monkeypatch: pytest.MonkeyPatch, membership: str, files: dict[str, str], room: int | None
) -> None:
    class Memory:
        available = 100 * GIB

    monkeypatch.setattr("psutil.virtual_memory", Memory)
    within(tree, membership, files)
    assert estimate.available_bytes() == (100 * GIB if room is None else room)
