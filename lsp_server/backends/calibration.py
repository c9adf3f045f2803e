"""Measures what a model's steps cost on this machine, once, and chooses the settings that depend on it.

Which is faster cannot be known beforehand: flash attention helps on one CPU and doubles the cost of small chunks
on another, and a thread more than there are free cores can cost more than it gives. So it is tried, for a few
seconds at the first start with a model, and remembered in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import msgspec
from platformdirs import user_cache_path

from lsp_server.backends.base import ModelError, StepCosts

logger = logging.getLogger(__name__)

# Another number throws away what was measured in another way.
_VERSION = 1

# What is measured: steps of these many tokens, at the start of a sequence and this far into it.
CPU_SIZES, GPU_SIZES = (1, 2, 4, 8, 16, 32), (1, 2, 4, 8, 16, 64, 256, 512)
DEEP = 512
_REPEATS = 2

# One busy core (the editor's) matters where there are few.
_FEW_CORES = 8

# A start must not wait longer than this; a machine that needs more is busy, and what it shows is noise.
_MOST_SECONDS = 15.0


class BusyError(Exception):
    """The machine has other work, so that what would be measured is noise."""


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured and chosen. costs: with the machine to itself; busy_ms: a step of one token beside one
    busy core, 0 if that was not measured. prefill_per_second: tokens, deep in a prompt."""

    version: int
    machine: str
    model: str
    flash_attention: bool
    threads: int
    costs: StepCosts
    busy_ms: float
    prefill_per_second: float
    seconds: float


class Probe(Protocol):
    """A context of a model with some settings, one sequence, empty at first."""

    def step(self, size: int) -> None:
        """Evaluates `size` tokens, with the logits of the last."""
        ...

    def back_to(self, depth: int) -> None:
        """Drops what is held beyond `depth` tokens, as far as the model can."""
        ...

    def use_threads(self, threads: int) -> None: ...


MakeProbe = Callable[[bool], AbstractContextManager[Probe]]


def calibrate(
    make: MakeProbe,
    *,
    machine: str,
    model: str,
    flash: tuple[bool, ...],
    threads: tuple[int, ...],
    sizes: tuple[int, ...],
    progress: Callable[[float], bool],
    clock: Callable[[], float] = time.perf_counter,
) -> Calibration:
    """Measures a model's steps with and without flash attention, and the numbers of threads in question.

    flash, threads: what may be chosen; a user's own setting leaves one. Raises BusyError if it takes too long, and
    ModelError if `progress` says that the load is not wanted any more.
    """
    began = clock()
    best: tuple[float, bool, StepCosts] | None = None
    parts = len(flash) + (len(threads) > 1)

    def report(done: int) -> None:
        if clock() - began > _MOST_SECONDS:
            raise BusyError
        if not progress(done / parts):
            raise ModelError("loading was given up")

    for number, use in enumerate(flash):
        report(number)
        with make(use) as probe:
            probe.use_threads(threads[0])
            costs = _costs(probe, sizes, clock)
        # Much of a model's work is chunks of prompt; a suggestion's tokens come one by one.
        score = costs.ms(16, DEEP) + 4 * costs.ms(1, DEEP)
        if best is None or score < best[0]:
            best = score, use, costs
    assert best is not None
    _, use, costs = best
    chosen, busy_ms = threads[0], 0.0
    if (os.cpu_count() or 1) <= _FEW_CORES:
        report(len(flash))
        with make(use) as probe:
            chosen, busy_ms = _choose_threads(probe, threads, clock)
            if chosen != threads[0]:
                probe.back_to(0)
                probe.use_threads(chosen)
                costs = _costs(probe, sizes, clock)
    largest = sizes[-1]
    return Calibration(
        version=_VERSION,
        machine=machine,
        model=model,
        flash_attention=use,
        threads=chosen,
        costs=costs,
        busy_ms=busy_ms,
        prefill_per_second=1000 * largest / costs.ms(largest, DEEP),
        seconds=clock() - began,
    )


def _costs(probe: Probe, sizes: tuple[int, ...], clock: Callable[[], float]) -> StepCosts:
    probe.step(1)  # the first one allocates
    probe.back_to(0)
    shallow = _row(probe, 0, sizes, clock)
    for _ in range(DEEP // sizes[-1]):
        probe.step(sizes[-1])
    deep = _row(probe, DEEP, sizes, clock)
    return StepCosts((0, DEEP), sizes, (shallow, deep))


def _row(probe: Probe, depth: int, sizes: tuple[int, ...], clock: Callable[[], float]) -> tuple[float, ...]:
    row: list[float] = []
    for size in sizes:
        ms = _step_ms(probe, size, depth, clock)
        # Noise can make a larger step look cheaper than a smaller one, which it is not.
        row.append(max([ms, *row[-1:]]))
    return tuple(row)


def _step_ms(probe: Probe, size: int, depth: int, clock: Callable[[], float]) -> float:
    """The least of a few: whatever else runs on the machine only adds."""
    times = []
    for _ in range(_REPEATS):
        probe.back_to(depth)
        began = clock()
        probe.step(size)
        times.append(clock() - began)
    probe.back_to(depth)
    return 1000 * min(times)


def _choose_threads(probe: Probe, options: tuple[int, ...], clock: Callable[[], float]) -> tuple[int, float]:
    """The number of threads that is best over a machine at rest and one with a busy core, and what a step
    costs with it beside a busy core, in ms."""
    idle = {}
    for threads in options:
        probe.use_threads(threads)
        idle[threads] = _step_ms(probe, 1, 0, clock)
    busy = {}
    with _busy_core():
        for threads in options:
            probe.use_threads(threads)
            busy[threads] = _step_ms(probe, 1, 0, clock)
    chosen = min(options, key=lambda threads: idle[threads] + busy[threads])
    return chosen, busy[chosen]


@contextmanager
def _busy_core() -> Iterator[None]:
    """A process that keeps one core busy for as long as the context lasts, and at most as long as we live."""
    spin = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n    for _ in range(10**5): pass"
    with subprocess.Popen([sys.executable, "-c", spin], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as child:
        try:
            yield
        finally:
            child.kill()


def busy() -> bool:
    """Whether so much else runs on this machine that measuring it is of no use."""
    if not hasattr(os, "getloadavg"):
        return False
    return os.getloadavg()[0] > 1.5 * (os.cpu_count() or 1)


def remembered(key: str) -> Calibration | None:
    """What was measured before under this key; None if nothing was, or in another way."""
    try:
        found = msgspec.json.decode(_file(key).read_bytes(), type=Calibration)
    except (OSError, msgspec.DecodeError):
        return None
    return found if found.version == _VERSION else None


def remember(key: str, calibration: Calibration) -> None:
    """Keeps a calibration for the next start. That it cannot be written costs only the time to measure again."""
    path = _file(key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(calibration)))
        unfinished.replace(path)
    except OSError as error:
        logger.warning("the calibration cannot be kept: %s", error)


def key_of(*parts: object) -> str:
    """A name for what a calibration depends on."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()


def folder() -> Path:
    return user_cache_path("fimble") / "calibration"


def _file(key: str) -> Path:
    return folder() / f"{key}.json"
