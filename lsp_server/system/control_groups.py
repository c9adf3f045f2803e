"""The control groups of this process, as in a container or a service, and their limits for CPU and memory.

Supports both versions of Linux's interface. Other systems have no control groups.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

ROOT, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def groups(controller: str) -> Iterator[tuple[int, Path]]:
    """The interface version and the folder of each group of this controller that contains the process, the innermost
    first. The strictest limit of all of them counts."""
    try:
        lines = MEMBERSHIP.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for line in lines:
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0":
            version, base = 2, ROOT
        elif controller in controllers.split(","):
            version, base = 1, next(filter(Path.is_dir, (ROOT / controller, ROOT / controllers)), ROOT / controller)
        else:
            continue
        folder = base / path.strip("/")
        for group in (folder, *folder.parents):
            yield version, group
            if group == base:
                break


def number(path: Path) -> int | None:
    """The number in a file; None if the file is missing, or has a word such as "max"."""
    try:
        return int(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None


def cpu_quota() -> float | None:
    """How many cores' worth of CPU time the process may use; None without a limit."""
    found = []
    for version, group in groups("cpu"):
        if version == 2:
            try:
                words = (group / "cpu.max").read_text("utf-8").split()
            except (OSError, UnicodeDecodeError):
                continue
            quota, period = (int(word) if word.isdecimal() else 0 for word in (*words, "", "")[:2])
        else:
            quota, period = (number(group / f"cpu.cfs_{name}_us") or 0 for name in ("quota", "period"))
        if quota > 0 and period > 0:
            found.append(quota / period)
    return min(found, default=None)


def visible_cores() -> int:
    """The number of cores that the process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def usable_cores() -> int:
    """How many threads can compute at the same time. With more threads, a quota would stop all of them at once."""
    quota = cpu_quota()
    return visible_cores() if quota is None else max(1, min(visible_cores(), int(quota)))
