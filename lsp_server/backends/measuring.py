"""Measures what a loaded model's steps cost, one step at a time, while nobody needs the model."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path

from lsp_server.backends import calibration
from lsp_server.backends.base import ModelSpec
from lsp_server.backends.calibration import Calibration, Probe, Steps
from lsp_server.backends.llama_library import thread_options

logger = logging.getLogger(__name__)

# A measuring step is not started if it would take longer than this: a key could come meanwhile.
_LONGEST_STEP_MS = 400.0

# The pause before a machine with other work is tried again.
_BUSY_SECONDS = 120.0

MakeProbe = Callable[[bool, int, int], AbstractContextManager[Probe]]


class Measurement:
    """The measured costs of one model. Used by the model's thread only.

    found: the result, measured now or by an earlier process; None until then.
    make: makes a context to measure with; its arguments are flash attention, the number of threads, and the largest
    step.
    system: how llama.cpp was compiled.
    """

    def __init__(self, spec: ModelSpec, path: Path, *, gpu: bool, system: str, make: MakeProbe) -> None:
        self._gpu = gpu
        self._make = make
        self._model = path.name
        self._threads = (spec.threads,) if spec.threads else thread_options(gpu)
        self._flash = {"on": (True,), "off": (False,), "auto": (True, False) if gpu else (False, True)}[
            spec.flash_attention
        ]
        self._machine = f"{os.cpu_count()} cores, {'GPU' if gpu else 'CPU'}, {version('llama-cpp-python')}, {system}"
        size = path.stat().st_size
        self._key = calibration.key_of(path.name, size, self._machine, self._threads, self._flash, spec.gpu_layers)
        self.found = calibration.remembered(self._key) if spec.calibrate else None
        self._wanted = spec.calibrate and self.found is None
        self._not_before = 0.0
        self._steps: Steps[Calibration] | None = None

    def advance(self, token_ms: float = 0.0) -> bool:
        """Runs one measuring step. Returns False if there is nothing to measure now. token_ms: the prefill time
        per token."""
        if not self._wanted or time.monotonic() < self._not_before:
            return False
        if self._steps is None:
            if calibration.busy():
                self._not_before = time.monotonic() + _BUSY_SECONDS
                return False
            self._steps = self._begin(token_ms)
        try:
            next(self._steps)
        except StopIteration as end:
            self._wanted, self.found = False, end.value
            calibration.remember(self._key, end.value)
        except calibration.BusyError:
            self._steps, self._not_before = None, time.monotonic() + _BUSY_SECONDS
        except calibration.ProbeError as error:
            self._wanted = False
            logger.warning("the machine is not measured: %s", error)
        return self._wanted and self._steps is not None

    def _begin(self, token_ms: float) -> Steps[Calibration]:
        all_sizes = calibration.GPU_SIZES if self._gpu else calibration.CPU_SIZES
        sizes = tuple(size for size in all_sizes if size <= 4 or size * token_ms <= _LONGEST_STEP_MS)
        threads, largest = self._threads[0], max(calibration.BATCH, *sizes)
        return calibration.calibrate(
            lambda flash: self._make(flash, threads, largest),
            machine=self._machine,
            model=self._model,
            flash=self._flash,
            threads=self._threads,
            sizes=sizes,
        )

    def close(self) -> None:
        """Stops measuring and frees the context."""
        if self._steps is not None:
            self._steps.close()
        self._wanted = False
