"""Runs models with llama.cpp in this process, through its low-level interface."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsp_server.backends import calibration, devices, llama_library
from lsp_server.backends.adapters import LoadedAdapters
from lsp_server.backends.base import Adapter, InterruptedEvaluation, ModelError, ModelInfo, ModelSpec, SequenceState
from lsp_server.backends.llama_library import Library, Probe, StopFlag, load_library, put_token
from lsp_server.backends.llama_states import SequenceStates, state_key
from lsp_server.backends.llama_vocabulary import LlamaVocabulary
from lsp_server.backends.measuring import Measurement
from lsp_server.backends.weights_files import WeightsFiles
from lsp_server.core.fim_formats import FimFormat, detect_format, find_format, names_of
from lsp_server.models import admission, estimate, starter
from lsp_server.models.gguf_parts import part_paths
from lsp_server.system.user_folders import expanded

if TYPE_CHECKING:
    from lsp_server.backends.base import Logits

logger = logging.getLogger(__name__)

# The largest batch, in tokens. On a CPU larger batches are hardly faster, and an evaluation can be interrupted. On a
# GPU it cannot be, so the batch limits how long a message waits.
_CPU_CHUNK, _GPU_CHUNK = estimate.CPU_CHUNK, estimate.GPU_CHUNK

# The evaluations after a model has been loaded: a first batch, which reads the weights from the disk, and a timed one.
_WARM_UP_TOKENS, _TIMED_TOKENS = 4, 32

# The return value of llama_decode after it was told to stop.
_ABORTED = 2

# How many bytes of weights the loaded models have mapped.
_mapped = llama_library.MappedBytes()


def load(spec: ModelSpec, progress: Callable[[float], bool]) -> LlamaBackend:
    """A `BackendFactory`: loads the model that `spec` names, or the starter model if it names none.

    The file is checked first. A file that this machine has not seen before is tried in a child process.
    """
    if spec.path:
        headers = admission.admit(expanded(spec.path), progress, gpu_layers=spec.gpu_layers)
    else:
        headers = admission.admit(starter.model_file(progress), progress, gpu_layers=spec.gpu_layers)
    adapters = [
        admission.admit_adapter(adapter, headers, progress, gpu_layers=spec.gpu_layers) for adapter in spec.adapters
    ]
    # Mapped pages count as free memory, but the loaded models need them.
    taken = _mapped.total() + sum(adapter.tensor_bytes for adapter in adapters)
    room = devices.room(spec).without(taken)
    spec = estimate.fit_layers(headers, spec, room)
    estimate.check_room(headers, spec, room if spec.gpu_layers else estimate.Room(room.host))
    return open_file(spec, progress)


def open_file(spec: ModelSpec, progress: Callable[[float], bool]) -> LlamaBackend:
    """Loads a model without the checks of `load`. Used by the process that tries unknown files."""
    began = time.monotonic()
    if spec.path:
        path, licence = expanded(spec.path), ""
    else:
        path, licence = starter.model_file(progress), starter.pin().licence
    backend = LlamaBackend(load_library(), spec, path, licence, progress)
    logger.info("loaded %s in %.0f ms", path, 1000 * (time.monotonic() - began))
    return backend


class LlamaBackend(LlamaVocabulary):
    """A GGUF model, and a context with one KV stream per sequence.

    Streams are separate because in a unified cache every step would also pay for the tokens of all other sequences.
    """

    def __init__(
        self,
        library: Library,
        spec: ModelSpec,
        path: Path,
        licence: str,
        progress: Callable[[float], bool],
    ) -> None:
        self._api = library.api
        self._log = library.log
        self._model: Any = None
        self._context: Any = None
        self._batch: Any = None
        self._files = WeightsFiles()
        self._stop = StopFlag()
        self._spec = spec
        self._measurement: Measurement | None = None
        began = time.monotonic()
        try:
            gpu = spec.gpu_layers != 0 and bool(self._api.llama_supports_gpu_offload())
            self._open_model(spec, path, gpu, progress)
            self._read_vocabulary()
            self._recurrent = bool(
                self._api.llama_model_is_recurrent(self._model) or self._api.llama_model_is_hybrid(self._model)
            )
            system = self._api.llama_print_system_info().decode("utf-8", "replace")
            self._measurement = Measurement(spec, path, gpu=gpu, system=system, make=self._probe)
            if spec.measure_first or spec.draft:
                while self._measurement.advance():
                    if not progress(1.0):
                        raise ModelError("loading was given up")
            measured = self._measurement.found
            self._chunk = spec.chunk_tokens or (_GPU_CHUNK if gpu else _CPU_CHUNK)
            if measured is not None and gpu:
                self._chunk = spec.chunk_tokens or measured.costs.sizes[-1]
            # Small chunks often cost more with flash attention on a CPU.
            flash = {"on": True, "off": False, "auto": measured.flash_attention if measured else gpu}
            threads = spec.threads or (measured.threads if measured else llama_library.default_threads())
            batch_threads = spec.threads or (measured.batch_threads if measured else threads)
            self._open_context(spec, flash[spec.flash_attention], threads, batch_threads)
            self._key = partial(state_key, self._api, part_paths(path), flash=flash[spec.flash_attention], gpu=gpu)
            self.info = ModelInfo(
                name=self._meta("general.name") or path.stem,
                path=str(path),
                architecture=self._meta("general.architecture"),
                parameters=self._api.llama_model_n_params(self._model),
                bytes=self._api.llama_model_size(self._model),
                vocabulary=self._vocabulary,
                context_tokens=self._api.llama_n_ctx_seq(self._context),
                sequences=spec.sequences,
                chunk_tokens=self._chunk,
                format=self._format(spec, path),
                device=(f"GPU ({spec.gpu_layers} layers)" if spec.gpu_layers > 0 else "GPU") if gpu else "CPU",
                licence=licence or self._meta("general.license"),
                chat_template=(self._api.llama_model_chat_template(self._model, None) or b"").decode(
                    "utf-8", "replace"
                ),
                bos=self._spelled(self._api.llama_vocab_bos(self._vocab)),
                eos=self._spelled(self._api.llama_vocab_eos(self._vocab)),
                costs=measured.costs if measured else None,
                recurrent=self._recurrent,
                # An interrupted evaluation leaves a recurrent state partly changed.
                interruptible=not gpu and not self._recurrent and self._stop.works,
                state_key=self._key(()),
                sliding_tokens=self._api.llama_model_n_swa(self._model),
            )
            layers = self._api.llama_model_n_layer(self._model) + 1
            on_gpu = 0 if not gpu else layers if spec.gpu_layers < 0 else min(spec.gpu_layers, layers)
            _mapped.add(self, round(self.info.bytes * (1 - on_gpu / layers)) if self._files else 0)
            self.info = replace(self.info, token_ms=self._warm_up())
            self._adapters = LoadedAdapters(library, self._model, self._context, path)
            self._gpu_layers = spec.gpu_layers
            if spec.adapters:
                self.adapt(spec.adapters)
        except BaseException:
            self.close()
            raise
        logger.debug("model and context took %.0f ms", 1000 * (time.monotonic() - began))

    # Loading --------------------------------------------------------------------------------------------

    def _open_model(self, spec: ModelSpec, path: Path, gpu: bool, progress: Callable[[float], bool]) -> None:
        api = self._api
        params = api.llama_model_default_params()
        params.n_gpu_layers = 999 if spec.gpu_layers < 0 else spec.gpu_layers
        self._files = WeightsFiles.mapped_from(path, on_gpu=gpu)
        params.load_mode = api.LLAMA_LOAD_MODE_AUTO if self._files else api.LLAMA_LOAD_MODE_NONE
        stopped = False

        def report(fraction: float, _: object) -> bool:
            nonlocal stopped
            stopped = not progress(fraction)
            return not stopped

        callback = api.llama_progress_callback(report)
        params.progress_callback = callback
        self._log.errors.clear()
        self._model = api.llama_model_load_from_file(os.fsencode(path), params)
        if not self._model:
            if stopped:
                raise ModelError("loading was given up")
            raise ModelError(f"llama.cpp cannot load {path}: {self._log.reason()}")
        if api.llama_model_has_encoder(self._model) or not api.llama_model_has_decoder(self._model):
            raise ModelError(f"{path} is not a model that writes text; set `model` to one that does")

    def _open_context(self, spec: ModelSpec, flash: bool, threads: int, batch_threads: int) -> None:
        trained: int = self._api.llama_model_n_ctx_train(self._model)
        window = min(spec.context_tokens, trained) if trained > 0 else spec.context_tokens
        self._log.errors.clear()
        self._context = self._new_context(window, spec.sequences, self._chunk, flash, threads, batch_threads)
        if not self._context:
            raise ModelError(
                f"no context of {spec.sequences} times {window} tokens: {self._log.reason()}; "
                "lower context_tokens or resident_prompts"
            )
        self._stop.watched_by(self._api, self._context)
        self._states = SequenceStates(
            self._api, self._context, recurrent=self._recurrent, sliding=self._api.llama_model_n_swa(self._model)
        )
        self._batch = self._api.llama_batch_init(max(self._chunk, spec.sequences), 0, 1)

    def _new_context(
        self, window: int, sequences: int, chunk: int, flash: bool, threads: int, batch_threads: int
    ) -> Any:
        api = self._api
        params = api.llama_context_default_params()
        params.n_ctx = window * sequences
        params.n_seq_max = sequences
        params.n_batch = params.n_ubatch = max(chunk, sequences)
        params.n_threads, params.n_threads_batch = threads, batch_threads
        params.kv_unified = False
        params.swa_full = True  # a cache that holds only the window cannot be cut back
        params.no_perf = True
        params.flash_attn_type = api.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else api.LLAMA_FLASH_ATTN_TYPE_DISABLED
        return api.llama_init_from_model(self._model, params)

    @contextmanager
    def _probe(self, flash: bool, threads: int, largest: int) -> Iterator[Probe]:
        """A context to measure with, which evaluates up to `largest` tokens at once."""
        context = self._new_context(2 * calibration.DEEP, 1, largest, flash, threads, threads)
        made = Probe(self._api, self._vocabulary, context)
        try:
            yield made
        finally:
            made.close()

    def rest(self) -> bool:
        measurement = self._measurement
        if measurement is None or self.info.costs is not None:
            return False
        self._files.check()
        more = measurement.advance(self.info.token_ms)
        if (found := measurement.found) is not None:
            # The choice of flash attention is used from the next start on.
            if not self._spec.threads:
                self._api.llama_set_n_threads(self._context, found.threads, found.batch_threads)
            self.info = replace(self.info, costs=found.costs)
        return more

    def _format(self, spec: ModelSpec, path: Path) -> FimFormat:
        if spec.fim_format:
            form = find_format(spec.fim_format)
            missing = [text for text in form.spellings if self.marker(text) is None] if form else []
            if form is None or missing:
                what = f"its tokens {' '.join(missing)} are not in the model" if form else "there is none of that name"
                raise ModelError(f"fim_format {spec.fim_format!r} cannot be used: {what}")
            return form
        api, vocab = self._api, self._vocab
        ids = [api.llama_vocab_fim_pre(vocab), api.llama_vocab_fim_suf(vocab), api.llama_vocab_fim_mid(vocab)]
        declared = None
        if min(ids) >= 0:
            prefix, suffix, middle = (self._spelling(token) for token in ids)
            declared = prefix, suffix, middle
        name = names_of(self._meta, path.name)
        return detect_format(lambda text: self.marker(text) is not None, name, declared)

    # Evaluation -----------------------------------------------------------------------------------------

    def evaluate(self, sequence: int, position: int, tokens: Sequence[int], *, logits: int) -> list[Logits]:
        count = len(tokens)
        self._batch.n_tokens = count
        for index, token in enumerate(tokens):
            put_token(self._batch, index, sequence, position + index, token, wanted=index >= count - logits)
        self._decode()
        return self._rows(logits)

    def evaluate_each(self, steps: Sequence[tuple[int, int, int]]) -> list[Logits]:
        self._batch.n_tokens = len(steps)
        for index, (sequence, position, token) in enumerate(steps):
            put_token(self._batch, index, sequence, position, token, wanted=True)
        self._decode()
        return self._rows(len(steps))

    def _decode(self) -> None:
        self._files.check()
        self._log.errors.clear()
        code = self._api.llama_decode(self._context, self._batch)
        if code == _ABORTED:
            raise InterruptedEvaluation
        if code != 0:
            count = self._batch.n_tokens
            raise ModelError(f"llama.cpp could not evaluate {count} tokens (code {code}): {self._log.reason()}")

    def interrupt(self, wanted: bool) -> None:
        if self.info.interruptible:
            self._stop.set(wanted)

    def _warm_up(self) -> float:
        """Reads the weights from the disk, and returns the present prefill time per token, in ms."""
        size = min(_TIMED_TOKENS, self._chunk)
        tokens = [token % self._vocabulary for token in range(100, 100 + size)]
        self.evaluate(0, 0, tokens[:_WARM_UP_TOKENS], logits=1)
        self.truncate(0, 0)
        began = time.perf_counter()
        self.evaluate(0, 0, tokens, logits=1)
        seconds = time.perf_counter() - began
        self.truncate(0, 0)
        return 1000 * seconds / size

    def _rows(self, count: int) -> list[Logits]:
        import numpy as np

        pointers = (self._api.llama_get_logits_ith(self._context, row) for row in range(-count, 0))
        return [np.ctypeslib.as_array(pointer, shape=(self._vocabulary,)) for pointer in pointers]

    def admit(self, adapters: Sequence[Adapter], progress: Callable[[float], bool]) -> None:
        self._adapters.admit(adapters, progress, self._gpu_layers)

    def adapt(self, adapters: Sequence[Adapter]) -> None:
        self._adapters.use(adapters)
        for sequence in range(self.info.sequences):
            self.truncate(sequence, 0)
        self.info = replace(self.info, adapters=tuple(adapters), state_key=self._key(adapters))

    def checkpoint(self, sequence: int) -> None:
        self._states.checkpoint(sequence)

    def truncate(self, sequence: int, length: int) -> int:
        return self._states.truncate(sequence, length)

    def copy(self, source: int, target: int) -> None:
        self._states.copy(source, target)

    def save(self, sequence: int) -> SequenceState | None:
        return self._states.save(sequence)

    def restore(self, sequence: int, state: SequenceState) -> int:
        return self._states.restore(sequence, state) if state.length <= self.info.context_tokens else 0

    def length(self, sequence: int) -> int:
        return self._states.length(sequence)

    def close(self) -> None:
        _mapped.drop(self)
        self._files.close()
        if self._measurement is not None:
            self._measurement.close()
        if self._batch is not None:
            self._api.llama_batch_free(self._batch)
        if self._context:
            self._api.llama_free(self._context)
        if self._model:
            self._api.llama_model_free(self._model)
        self._batch = self._context = self._model = None
        llama_library.give_back_memory()
