"""Measures what a model's steps cost on this machine, once, and chooses the settings that depend on it.

Which is faster cannot be known beforehand: flash attention helps on one CPU and doubles the cost of small chunks
on another, and a thread more than there are free cores can cost more than it gives. So it is tried, for a few
seconds at the first start with a model, and remembered in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import msgspec
from platformdirs import user_cache_path

from lsp_server.backends.base import ModelError, StepCosts
from lsp_server.children import Child, Limits

logger = logging.getLogger(__name__)

# Another number throws away what was measured in another way.
_VERSION = 4

# What is measured: steps of these many tokens, at the start of a sequence and this far into it.
CPU_SIZES, GPU_SIZES = (1, 2, 4, 8, 16, 32), (1, 2, 4, 8, 16, 64, 256, 512)
DEEP = 512
_REPEATS = 2
_TURNS = 3

# Of how many tokens at once the logits may be wanted, to verify a draft.
_MOST_ROWS = 32

# One busy core (the editor's) matters where there are few.
_FEW_CORES = 8

# A start must not wait longer than this. What has been measured by then is what there is.
_MOST_SECONDS = 15.0
# And the logits of several tokens no longer than this beyond it: a model for which drafts pay is a slow one.
_ROWS_SECONDS = 10.0

# The same step, measured again at the end, may differ by this share; more means that something else ran meanwhile.
_STEADY = 0.3


class ProbeError(Exception):
    """A context to measure with cannot be had. The model itself may work."""


class BusyError(Exception):
    """The machine has other work, so that what would be measured is noise."""


class _TooSlowError(Exception):
    """The model is so slow here that measuring all of it would be felt."""


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

    def step(self, size: int, logits: int = 1) -> None:
        """Evaluates `size` tokens, with the logits behind the last `logits` of them."""
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

    flash, threads: what may be chosen; a user's own setting leaves one. A model that is slow here is measured
    less. Raises BusyError if the machine has other work, and ModelError if `progress` says that the load is not
    wanted any more.
    """
    began = clock()
    parts = len(flash) + (len(threads) > 1)
    done = 0

    def check(seconds: float = _MOST_SECONDS) -> None:
        if not progress(done / parts):
            raise ModelError("loading was given up")
        if clock() - began > seconds:
            raise _TooSlowError

    use, chosen, busy_ms = flash[0], threads[0], 0.0
    costs: StepCosts | None = None
    try:
        with ExitStack() as stack:
            probes: dict[bool, Probe] = {}
            found: dict[bool, StepCosts] = {}
            for option in flash:
                try:
                    probes[option] = stack.enter_context(make(option))
                    probes[option].use_threads(threads[0])
                    found[option] = _costs(probes[option], sizes, clock, check)
                except (_TooSlowError, ProbeError):  # no time, or no room for a second context: the first must do
                    if not found:
                        raise
                    break
                costs = costs or found[option]
                done += 1
            if len(found) > 1:
                use = _fastest(probes, clock)
            costs = found[use]
        with make(use) as probe:
            probe.use_threads(chosen)
            if (os.cpu_count() or 1) <= _FEW_CORES and clock() - began < _MOST_SECONDS:
                chosen, busy_ms = _choose_threads(probe, threads, clock)
                probe.back_to(0)
                probe.use_threads(chosen)
                if chosen != threads[0]:
                    costs = _costs(probe, sizes, clock, check)
                    probe.back_to(0)
            rows_ms = _rows_ms(probe, costs, clock, lambda: check(_MOST_SECONDS + _ROWS_SECONDS))
            costs = replace(costs, rows_ms=rows_ms)
    except _TooSlowError:
        # Not even the first part: a step at a time is all that can be afforded. And nothing is drafted.
        costs = costs or StepCosts((0, DEEP), (1, 2), ((1000.0, 2000.0), (1000.0, 2000.0)))
        costs = replace(costs, rows_ms=(0.0, 1000.0))
    largest = costs.sizes[-1]
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


def _fastest(probes: dict[bool, Probe], clock: Callable[[], float]) -> bool:
    """Which of the probes, each filled to `DEEP`, is the fastest. They take turns, so that other work on the machine
    is not taken for one of them."""
    best = dict.fromkeys(probes, float("inf"))
    for _ in range(_TURNS):
        for option, probe in probes.items():
            best[option] = min(best[option], _mixed_ms(probe, DEEP, clock))
    return min(best, key=best.__getitem__)


def _costs(probe: Probe, sizes: tuple[int, ...], clock: Callable[[], float], check: Callable[[], None]) -> StepCosts:
    probe.step(1)  # the first one allocates
    probe.back_to(0)
    shallow = _row(probe, 0, sizes, clock, check)
    for _ in range(DEEP // sizes[-1]):
        check()
        probe.step(sizes[-1])
    deep = _row(probe, DEEP, sizes, clock, check)
    again = _step_ms(probe, 1, DEEP, clock)
    if abs(again - deep[0]) > _STEADY * min(again, deep[0]):
        raise BusyError
    return StepCosts((0, DEEP), sizes, (shallow, deep))


def _rows_ms(
    probe: Probe, costs: StepCosts, clock: Callable[[], float], check: Callable[[], None]
) -> tuple[float, ...]:
    """What the logits of all tokens cost beyond those of the last, for steps that may verify a draft."""
    rows: list[float] = []
    for size in costs.sizes:
        if size > _MOST_ROWS:
            break
        try:
            check()
        except _TooSlowError:
            if len(rows) < 2:
                raise
            break
        rows.append(max(0.0, _step_ms(probe, size, 0, clock, logits=size) - _step_ms(probe, size, 0, clock)))
    return tuple(rows)


def _row(
    probe: Probe, depth: int, sizes: tuple[int, ...], clock: Callable[[], float], check: Callable[[], None]
) -> tuple[float, ...]:
    row: list[float] = []
    for size in sizes:
        check()
        ms = _step_ms(probe, size, depth, clock)
        # Noise can make a larger step look cheaper than a smaller one, which it is not.
        row.append(max([ms, *row[-1:]]))
    return tuple(row)


def _step_ms(probe: Probe, size: int, depth: int, clock: Callable[[], float], logits: int = 1) -> float:
    """The least of a few: whatever else runs on the machine only adds."""
    times = []
    for _ in range(_REPEATS):
        probe.back_to(depth)
        began = clock()
        probe.step(size, logits)
        times.append(clock() - began)
    probe.back_to(depth)
    return 1000 * min(times)


def _choose_threads(probe: Probe, options: tuple[int, ...], clock: Callable[[], float]) -> tuple[int, float]:
    """The number of threads that is best over a machine at rest and one with a busy core, and what a step
    costs with it beside a busy core, in ms."""
    idle = {}
    for threads in options:
        probe.use_threads(threads)
        idle[threads] = _mixed_ms(probe, 0, clock)
    busy, alone = {}, {}
    with _busy_core():
        for threads in options:
            probe.use_threads(threads)
            busy[threads] = _mixed_ms(probe, 0, clock)
            alone[threads] = _step_ms(probe, 1, 0, clock)
    chosen = min(options, key=lambda threads: idle[threads] + busy[threads])
    return chosen, alone[chosen]


def _mixed_ms(probe: Probe, depth: int, clock: Callable[[], float]) -> float:
    """A chunk of a prompt and a few decoded tokens, which is what a key costs at most places."""
    return _step_ms(probe, 16, depth, clock) + 4 * _step_ms(probe, 1, depth, clock)


@contextmanager
def _busy_core() -> Iterator[None]:
    """A process that keeps one core busy for as long as the context lasts, and at most as long as we live."""
    command = [sys.executable, "-I", "-S", "-c", "print(flush=True)\nwhile True: pass"]
    with Child(command, Limits(cpu_seconds=60)) as child:
        assert child.stdout is not None
        child.stdout.readline()  # it is busy now
        try:
            yield
        finally:
            child.kill()


def busy() -> bool:
    """Whether so much else runs on this machine that measuring it is of no use."""
    if not hasattr(os, "getloadavg"):
        return False
    return os.getloadavg()[0] > 0.7 * (os.cpu_count() or 1)


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
