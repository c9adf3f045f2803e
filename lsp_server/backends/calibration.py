"""Measures once what a model's steps cost on this machine, and chooses the settings that depend on it.

The fastest settings cannot be known beforehand: flash attention helps on one CPU and doubles the cost of small chunks
on another, and one thread more than there are free cores can make steps slower. So they are tried, one step at a time
while nobody needs the model, and kept in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
from platformdirs import user_cache_path

from lsp_server.backends.base import StepCosts
from lsp_server.children import Child, Limits
from lsp_server.system import kept_files

logger = logging.getLogger(__name__)

# The version of the method; files with another version are ignored.
_VERSION = 6

# The measured steps: these numbers of tokens, at the start of a sequence and at depth DEEP.
CPU_SIZES, GPU_SIZES = (1, 2, 4, 8, 16, 32), (1, 2, 4, 8, 16, 64, 256, 512)
DEEP = 512
_REPEATS = 2
BATCH = 32  # tokens of the prompt batch that is timed to choose threads
_TURNS = 3

# The most tokens of one step for which the cost of all logits is measured, as needed to verify a draft.
_MOST_ROWS = 32

# On a machine with at most this many cores, one core that the editor keeps busy matters.
_FEW_CORES = 8

# The limit for the sum of all steps, which run while nobody needs the model. When it is reached, the costs measured so
# far are used. With 50 ms for a token, all measurements take about 45 s.
_MOST_SECONDS = 60.0
# Measuring the logits of several tokens may take this long beyond it: a model for which drafts pay is slow.
_ROWS_SECONDS = 15.0
# Even on a very slow machine, this many sizes are measured.
_LEAST_SIZES = 2

# The same step is measured again at the end. If the two differ by more than this share, something else ran meanwhile.
_STEADY = 0.3

# Limits for the content of a kept calibration. llama.cpp aborts with more threads.
_MOST_BYTES = 64 << 10
_MOST_THREADS, _DEEPEST, _MOST_SIZES, _LARGEST_SIZE, _LONGEST_MS = 512, 1 << 20, 64, 4096, 1e7


# Measuring beside a busy core starts again if other work used the model for longer than this meanwhile.
_PAUSE_SECONDS = 0.5
_MOST_TRIES = 5

ResultT = TypeVar("ResultT")

# Measuring pauses at each `yield`, before a step, so that requests come first.
Steps = Generator[None, None, ResultT]


class ProbeError(Exception):
    """There is no context to measure with. The model itself may work."""


class BusyError(Exception):
    """The machine has other work, so measurements would be noise."""


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """The measured costs and the chosen settings.

    threads: for decoding. batch_threads: for prompts.
    costs: measured while nothing else runs.
    busy_ms: a step of one token beside one busy core; 0 if it was not measured.
    prefill_per_second: tokens per second at depth DEEP.
    seconds: the sum of all measured steps.
    """

    version: int
    machine: str
    model: str
    flash_attention: bool
    threads: int
    batch_threads: int
    costs: StepCosts
    busy_ms: float
    prefill_per_second: float
    seconds: float


class Probe(Protocol):
    """A model context with some settings and one sequence, which is empty at first."""

    def step(self, size: int, logits: int = 1) -> None:
        """Evaluates `size` tokens, with the logits after the last `logits` of them."""
        ...

    def back_to(self, depth: int) -> None:
        """Cuts the sequence back to `depth` tokens, as far as the model can."""
        ...

    def use_threads(self, threads: int, batch_threads: int) -> None:
        """Sets the numbers of threads for one token and for a batch."""
        ...


MakeProbe = Callable[[bool], AbstractContextManager[Probe]]


class _Watch:
    """Adds up the durations of steps, on `clock`, without the time between steps, when others use the model."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.seconds = 0.0

    def over(self, more_seconds: float = 0.0) -> bool:
        """Whether the steps have taken as long as they may, and `more_seconds` beyond that."""
        return self.seconds > _MOST_SECONDS + more_seconds


def calibrate(
    make: MakeProbe,
    *,
    machine: str,
    model: str,
    flash: tuple[bool, ...],
    threads: tuple[int, ...],
    sizes: tuple[int, ...],
    clock: Callable[[], float] = time.perf_counter,
) -> Steps[Calibration]:
    """Measures a model's steps with and without flash attention, and with the given numbers of threads.

    flash, threads: the options to choose from; a user's own setting leaves one. For a slow model less is measured.
    Raises BusyError if the machine has other work. To give up, close the generator.
    """
    watch = _Watch(clock)
    use, chosen, batch, busy_ms = flash[0], threads[0], threads[0], 0.0
    with ExitStack() as stack:
        probes: dict[bool, Probe] = {}
        found: dict[bool, StepCosts] = {}
        for option in flash:
            if found and watch.over():
                break
            try:
                probes[option] = stack.enter_context(make(option))
                probes[option].use_threads(threads[0], threads[0])
                found[option] = yield from _costs(probes[option], sizes, watch)
            except ProbeError:  # no memory for a second context, or it fails: use the first
                if not found:
                    raise
                break
        if len(found) > 1 and not watch.over():
            use = yield from _fastest(probes, watch)
        costs = found[use]
    with make(use) as probe:
        probe.use_threads(chosen, batch)
        if (os.cpu_count() or 1) <= _FEW_CORES and not watch.over():
            chosen, batch, busy_ms = yield from _choose_threads(probe, threads, watch)
            probe.back_to(0)
            probe.use_threads(chosen, batch)
            if chosen != threads[0]:
                costs = yield from _costs(probe, sizes, watch)
                probe.back_to(0)
        costs = replace(costs, rows_ms=(yield from _rows_ms(probe, costs, watch)))
    largest = costs.sizes[-1]
    return Calibration(
        version=_VERSION,
        machine=machine,
        model=model,
        flash_attention=use,
        threads=chosen,
        batch_threads=batch,
        costs=costs,
        busy_ms=busy_ms,
        prefill_per_second=1000 * largest / costs.ms(largest, DEEP),
        seconds=watch.seconds,
    )


def _fastest(probes: dict[bool, Probe], watch: _Watch) -> Steps[bool]:
    """The option whose probe, filled to `DEEP`, is the fastest. The probes take turns, so that other work on the
    machine affects all of them."""
    best = dict.fromkeys(probes, float("inf"))
    for _ in range(_TURNS):
        for option, probe in probes.items():
            best[option] = min(best[option], (yield from _mixed_ms(probe, DEEP, watch)))
    return min(best, key=best.__getitem__)


def _costs(probe: Probe, sizes: tuple[int, ...], watch: _Watch) -> Steps[StepCosts]:
    """The costs of steps. If the time is over before the depth is reached, those at the start of a sequence count for
    all depths."""
    yield from _timed(probe, 1, 1, watch)  # the first one allocates
    probe.back_to(0)
    shallow = yield from _row(probe, 0, sizes, watch)
    sizes = sizes[: len(shallow)]
    for _ in range(DEEP // sizes[-1]):
        if watch.over():
            return StepCosts((0, DEEP), sizes, (shallow, shallow))
        yield from _timed(probe, sizes[-1], 1, watch)
    deep = yield from _row(probe, DEEP, sizes, watch)
    again = yield from _step_ms(probe, 1, DEEP, watch)
    if abs(again - deep[0]) > _STEADY * min(again, deep[0]):
        raise BusyError
    sizes = sizes[: len(deep)]
    return StepCosts((0, DEEP), sizes, (shallow[: len(deep)], deep))


def _rows_ms(probe: Probe, costs: StepCosts, watch: _Watch) -> Steps[tuple[float, ...]]:
    """The additional cost of the logits of all tokens over those of the last token, for steps that may verify a draft;
    in ms."""
    rows: list[float] = []
    for size in costs.sizes:
        if size > _MOST_ROWS or (len(rows) >= _LEAST_SIZES and watch.over(_ROWS_SECONDS)):
            break
        with_all = yield from _step_ms(probe, size, 0, watch, logits=size)
        rows.append(max(0.0, with_all - (yield from _step_ms(probe, size, 0, watch))))
    return tuple(rows)


def _row(probe: Probe, depth: int, sizes: tuple[int, ...], watch: _Watch) -> Steps[tuple[float, ...]]:
    row: list[float] = []
    for size in sizes:
        if len(row) >= _LEAST_SIZES and watch.over():
            break
        ms = yield from _step_ms(probe, size, depth, watch)
        # Noise can make a larger step look cheaper than a smaller one.
        row.append(max([ms, *row[-1:]]))
    return tuple(row)


def _step_ms(probe: Probe, size: int, depth: int, watch: _Watch, logits: int = 1) -> Steps[float]:
    """The minimum of a few measurements, in ms, since other work on the machine can only add time."""
    times = []
    for _ in range(_REPEATS):
        probe.back_to(depth)
        times.append((yield from _timed(probe, size, logits, watch)))
    probe.back_to(depth)
    return 1000 * min(times)


def _timed(probe: Probe, size: int, logits: int, watch: _Watch) -> Steps[float]:
    """Runs one step and returns its duration in seconds."""
    yield
    began = watch.clock()
    probe.step(size, logits)
    seconds = watch.clock() - began
    watch.seconds += seconds
    return seconds


def _choose_threads(probe: Probe, options: tuple[int, ...], watch: _Watch) -> Steps[tuple[int, int, float]]:
    """The numbers of threads for decoding and for prompts that are best on average over a machine at rest and one with
    a busy core; and the time of a decoded token beside a busy core, in ms."""
    idle = yield from _with_threads(probe, options, watch)
    for _ in range(_MOST_TRIES):
        spent, began = watch.seconds, watch.clock()
        with _busy_core():
            busy = yield from _with_threads(probe, options, watch)
        if watch.clock() - began - (watch.seconds - spent) < _PAUSE_SECONDS:
            break
    else:
        raise BusyError  # other work uses the model all the time
    decoding = min(options, key=lambda threads: idle[threads][0] + busy[threads][0])
    prompts = min(options, key=lambda threads: idle[threads][1] + busy[threads][1])
    return decoding, prompts, busy[decoding][0]


def _with_threads(probe: Probe, options: tuple[int, ...], watch: _Watch) -> Steps[dict[int, tuple[float, float]]]:
    """For each number of threads, the times of one token and of a batch, in ms."""
    found = {}
    for threads in options:
        probe.use_threads(threads, threads)
        token = yield from _step_ms(probe, 1, 0, watch)
        found[threads] = token, (yield from _step_ms(probe, BATCH, 0, watch))
    return found


def _mixed_ms(probe: Probe, depth: int, watch: _Watch) -> Steps[float]:
    """The time of a chunk of a prompt and a few decoded tokens, the usual work for a key; in ms."""
    batch = yield from _step_ms(probe, 16, depth, watch)
    return batch + 4 * (yield from _step_ms(probe, 1, depth, watch))


@contextmanager
def _busy_core() -> Iterator[None]:
    """Runs a process that keeps one core busy while the context lasts, for 20 seconds of CPU time at most."""
    command = [sys.executable, "-I", "-S", "-c", "print(flush=True)\nwhile True: pass"]
    with Child(command, Limits(cpu_seconds=20)) as child:
        assert child.stdout is not None
        child.stdout.readline()  # it is busy now
        try:
            yield
        finally:
            child.kill()


def busy() -> bool:
    """Whether this machine has so much other work that measuring is useless."""
    if not hasattr(os, "getloadavg"):
        return False
    return os.getloadavg()[0] > 0.7 * (os.cpu_count() or 1)


def remembered(key: str) -> Calibration | None:
    """The kept calibration for this key; None if there is none, or it has another version, or its values are not
    plausible."""
    try:
        found = msgspec.json.decode(kept_files.read(_file(key), _MOST_BYTES), type=Calibration)
    except (OSError, ValueError, RecursionError, msgspec.DecodeError):
        return None
    return found if found.version == _VERSION and _is_usable(found) else None


def _is_usable(found: Calibration) -> bool:
    """Whether the values are plausible. Anybody may have written the file, and its values size buffers."""
    costs = found.costs
    columns = len(costs.sizes)
    numbers = (found.busy_ms, found.prefill_per_second, found.seconds, *costs.rows_ms)
    return (
        min(found.threads, found.batch_threads) >= 1
        and max(found.threads, found.batch_threads) <= _MOST_THREADS
        and 0 <= costs.depths[0] < costs.depths[1] <= _DEEPEST
        and 2 <= columns <= _MOST_SIZES
        and list(costs.sizes) == sorted(set(costs.sizes))
        and costs.sizes[0] >= 1
        and costs.sizes[-1] <= _LARGEST_SIZE
        and all(len(row) == columns and list(row) == sorted(row) for row in costs.ms_at)
        and all(0 < ms < _LONGEST_MS for row in costs.ms_at for ms in row)
        and len(costs.rows_ms) in (0, *range(2, columns + 1))
        and all(0 <= number < math.inf for number in numbers)
    )


def remember(key: str, calibration: Calibration) -> None:
    """Keeps a calibration for the next start. If it cannot be written, it is measured again then."""
    path = _file(key)
    try:
        kept_files.write_whole(path, msgspec.json.format(msgspec.json.encode(calibration)))
    except OSError as error:
        logger.warning("the calibration cannot be kept: %s", kept_files.why_unwritable(path, error))
    except ValueError as error:  # the model's name cannot be encoded
        logger.warning("the calibration cannot be kept: %s", error)


def key_of(*parts: object) -> str:
    """A hash of everything that a calibration depends on, used as file name."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=8).hexdigest()


def folder() -> Path:
    return user_cache_path("fimble") / "calibration"


def _file(key: str) -> Path:
    return folder() / f"{key}.json"
