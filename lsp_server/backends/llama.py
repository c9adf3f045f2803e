"""llama.cpp in this process, through the low-level bindings. The only module that imports `llama_cpp`."""

from __future__ import annotations

import ctypes
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsp_server.backends import starter
from lsp_server.backends.base import ModelError, ModelInfo, ModelSpec
from lsp_server.core.formats import FimFormat, detect_format, find_format

if TYPE_CHECKING:
    from lsp_server.backends.base import Logits

logger = logging.getLogger(__name__)

# Tokens of a prompt between two looks at the queue. On a CPU a chunk of 16 takes about 50 ms with the
# default model; a GPU needs larger ones to be worth its while.
_CPU_CHUNK, _GPU_CHUNK = 16, 256

_ERROR_LEVEL = 4
_CONTINUED_LEVEL = 5


class _Log(threading.local):
    """llama.cpp's log: to the logger instead of stdout or stderr, each thread's last errors kept for messages."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self._level = 0

    def __call__(self, level: int, text: bytes, _: object) -> None:
        self._level = self._level if level == _CONTINUED_LEVEL else level
        line = text.decode("utf-8", "replace").strip()
        if not line:
            return
        if self._level >= _ERROR_LEVEL:
            self.errors = [*self.errors[-9:], line]
        logger.debug("%s", line)


class _Library:
    """The loaded library and what must outlive every use of it."""

    def __init__(self) -> None:
        # Waiting threads must not spin: with two cores and an editor that uses one, a decode step takes
        # 114 ms with spinning and 46 ms without. OpenMP reads this once, when the library loads.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        try:
            import llama_cpp.llama_cpp as api
        except (ImportError, OSError, RuntimeError) as error:
            raise ModelError(
                f"llama.cpp cannot be loaded ({error}); install it again: "
                "pip install --force-reinstall --no-cache-dir llama-cpp-python"
            ) from None
        self.api = api
        self.log = _Log()
        self._callback = api.llama_log_callback(self.log)
        api.llama_log_set(self._callback, ctypes.c_void_p())
        api.llama_backend_init()


_library: _Library | None = None


def _load_library() -> _Library:
    global _library  # noqa: PLW0603 - the library can be initialised once per process
    if _library is None:
        _library = _Library()
    return _library


def load(spec: ModelSpec, progress: Callable[[float], bool]) -> LlamaBackend:
    """A `BackendFactory`: loads the model that `spec` names, or the starter model if it names none."""
    began = time.monotonic()
    if spec.path:
        path, licence = Path(spec.path).expanduser(), ""
    else:
        path, licence = starter.model_file(starter.DEFAULT, progress), starter.DEFAULT.licence
    check_file(path)
    backend = LlamaBackend(_load_library(), spec, path, licence, progress)
    logger.info("loaded %s in %.0f ms", path, 1000 * (time.monotonic() - began))
    return backend


def check_file(path: Path) -> None:
    """Raises ModelError unless `path` is a readable file that begins like a GGUF file."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except FileNotFoundError:
        raise ModelError(f"model file {path} does not exist; set `model` to a GGUF file") from None
    except IsADirectoryError:
        raise ModelError(f"{path} is a folder; set `model` to a GGUF file in it") from None
    except OSError as error:
        raise ModelError(f"model file {path} cannot be read: {error.strerror}") from None
    if magic != b"GGUF":
        raise ModelError(f"{path} is not a GGUF file (it begins with {magic!r}); set `model` to one")


def default_threads() -> int:
    """All cores of a small machine; of a larger one half, since those are mostly second hardware threads."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores if cores <= 4 else max(4, min(cores // 2, 16))


class LlamaBackend:
    """A GGUF model and a context with one KV stream per sequence.

    Streams are separate because in a unified cache every step would pay for all residents.
    """

    def __init__(
        self,
        library: _Library,
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
        began = time.monotonic()
        try:
            self._open_model(spec, path, progress)
            self._vocab = self._api.llama_model_get_vocab(self._model)
            self._vocabulary: int = self._api.llama_vocab_n_tokens(self._vocab)
            self._space_prefix = self._adds_space_prefix()
            gpu = spec.gpu_layers != 0 and bool(self._api.llama_supports_gpu_offload())
            self._chunk = spec.chunk_tokens or (_GPU_CHUNK if gpu else _CPU_CHUNK)
            self._open_context(spec, gpu)
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
                device="GPU" if gpu else "CPU",
                licence=licence or self._meta("general.license"),
                chat_template=(self._api.llama_model_chat_template(self._model, None) or b"").decode(
                    "utf-8", "replace"
                ),
                bos=self._spelled(self._api.llama_vocab_bos(self._vocab)),
                eos=self._spelled(self._api.llama_vocab_eos(self._vocab)),
            )
        except BaseException:
            self.close()
            raise
        logger.debug("model and context took %.0f ms", 1000 * (time.monotonic() - began))

    # Loading --------------------------------------------------------------------------------------------

    def _open_model(self, spec: ModelSpec, path: Path, progress: Callable[[float], bool]) -> None:
        api = self._api
        params = api.llama_model_default_params()
        params.n_gpu_layers = 999 if spec.gpu_layers < 0 else spec.gpu_layers
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
            raise ModelError(f"llama.cpp cannot load {path}: {self._reason()}")
        if api.llama_model_has_encoder(self._model) or not api.llama_model_has_decoder(self._model):
            raise ModelError(f"{path} is not a model that writes text; set `model` to one that does")

    def _open_context(self, spec: ModelSpec, gpu: bool) -> None:
        api = self._api
        trained: int = api.llama_model_n_ctx_train(self._model)
        window = min(spec.context_tokens, trained) if trained > 0 else spec.context_tokens
        params = api.llama_context_default_params()
        params.n_ctx = window * spec.sequences
        params.n_seq_max = spec.sequences
        params.n_batch = params.n_ubatch = self._chunk
        params.n_threads = params.n_threads_batch = spec.threads or default_threads()
        params.kv_unified = False
        params.swa_full = True  # a cache of the window alone cannot be cut back
        params.no_perf = True
        # Small chunks cost 28 to 112% more with flash attention on a CPU, 12% without.
        use = {"on": True, "off": False, "auto": gpu}[spec.flash_attention]
        params.flash_attn_type = api.LLAMA_FLASH_ATTN_TYPE_ENABLED if use else api.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self._log.errors.clear()
        self._context = api.llama_init_from_model(self._model, params)
        if not self._context:
            raise ModelError(
                f"no context of {spec.sequences} times {window} tokens: {self._reason()}; "
                "lower context_tokens or resident_prompts"
            )
        self._memory = api.llama_get_memory(self._context)
        self._batch = api.llama_batch_init(self._chunk, 0, 1)

    def _reason(self) -> str:
        """The first error that llama.cpp logged, which is the one that says why; the rest say where."""
        first = self._log.errors[0] if self._log.errors else "it does not say why"
        reason = first.split("error loading model: ")[-1].rstrip(".")
        broken = "gguf_" in reason or "file bounds" in reason
        return f"the file is damaged or incomplete ({reason})" if broken else reason

    def _format(self, spec: ModelSpec, path: Path) -> FimFormat:
        if spec.fim_format:
            form = find_format(spec.fim_format)
            missing = [text for text in form.markers if self.marker(text) is None] if form else []
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
        name = f"{self._meta('general.name')} {self._meta('general.basename')} {path.name}"
        return detect_format(lambda text: self.marker(text) is not None, name, declared)

    def _adds_space_prefix(self) -> bool:
        value = self._meta("tokenizer.ggml.add_space_prefix")
        if value:
            return value == "true"
        return bool(self._api.llama_vocab_type(self._vocab) == self._api.LLAMA_VOCAB_TYPE_SPM)

    def _meta(self, key: str) -> str:
        buffer = ctypes.create_string_buffer(512)
        length = self._api.llama_model_meta_val_str(self._model, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if length > 0 else ""

    # Vocabulary -----------------------------------------------------------------------------------------

    def tokenize(self, text: bytes, *, special: bool = False) -> list[int]:
        if not self._space_prefix:
            return self._tokenize(text, special=special)
        # Such a tokeniser puts a space in front of every text it is given, which is wrong inside a prompt.
        # A newline never merges with what follows it, so it can take the space and be dropped with it.
        lead = self._tokenize(b"\n", special=False)
        tokens = self._tokenize(b"\n" + text, special=special)
        return tokens[len(lead) :] if tokens[: len(lead)] == lead else self._tokenize(text, special=special)

    def _tokenize(self, text: bytes, *, special: bool) -> list[int]:
        size = len(text) + 16
        tokens = (self._api.llama_token * size)()
        count = self._api.llama_tokenize(self._vocab, text, len(text), tokens, size, False, special)
        if count < 0:
            raise ModelError(f"the text cannot be tokenised ({len(text)} bytes)")
        return list(tokens[:count])

    def start_tokens(self) -> list[int]:
        if not self._api.llama_vocab_get_add_bos(self._vocab):
            return []
        return [self._api.llama_vocab_bos(self._vocab)]

    def marker(self, spelling: str) -> int | None:
        tokens = self._tokenize(spelling.encode(), special=True)
        if len(tokens) == 1 and self._spelling(tokens[0]) == spelling:
            return tokens[0]
        return None

    def _chat_template(self) -> str:
        template = self._api.llama_model_chat_template(self._model, None)
        return template.decode("utf-8", "replace") if template else ""

    def _spelled(self, token: int) -> str:
        """A special token's spelling; empty if the model has none of that kind."""
        return self._spelling(token) if token >= 0 else ""

    def _spelling(self, token: int) -> str:
        return str(self._api.llama_vocab_get_text(self._vocab, token).decode("utf-8", "replace"))

    def piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(256)
        length = self._api.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        return buffer.raw[: max(0, length)]

    def ends(self, token: int) -> bool:
        api = self._api
        if api.llama_vocab_is_eog(self._vocab, token):
            return True
        never_shown = api.LLAMA_TOKEN_ATTR_CONTROL | api.LLAMA_TOKEN_ATTR_UNUSED | api.LLAMA_TOKEN_ATTR_UNKNOWN
        return bool(api.llama_vocab_get_attr(self._vocab, token) & never_shown)

    # Evaluation -----------------------------------------------------------------------------------------

    def evaluate(self, sequence: int, position: int, tokens: Sequence[int], *, logits: int) -> list[Logits]:
        import numpy as np

        batch, count = self._batch, len(tokens)
        batch.n_tokens = count
        for index, token in enumerate(tokens):
            batch.token[index] = token
            batch.pos[index] = position + index
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = sequence
            batch.logits[index] = index >= count - logits
        self._log.errors.clear()
        code = self._api.llama_decode(self._context, batch)
        if code != 0:
            raise ModelError(f"llama.cpp could not evaluate {count} tokens (code {code}): {self._reason()}")
        pointers = (self._api.llama_get_logits_ith(self._context, row) for row in range(-logits, 0))
        return [np.ctypeslib.as_array(pointer, shape=(self._vocabulary,)) for pointer in pointers]

    def truncate(self, sequence: int, length: int) -> int:
        held = self.length(sequence)
        if held <= length:
            return held
        if not self._api.llama_memory_seq_rm(self._memory, sequence, length, -1):
            self._api.llama_memory_seq_rm(self._memory, sequence, -1, -1)
        return self.length(sequence)

    def copy(self, source: int, target: int) -> None:
        self._api.llama_memory_seq_rm(self._memory, target, -1, -1)
        # Between streams only whole sequences can be copied; the caller cuts the copy.
        self._api.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def length(self, sequence: int) -> int:
        return int(self._api.llama_memory_seq_pos_max(self._memory, sequence)) + 1

    def close(self) -> None:
        if self._batch is not None:
            self._api.llama_batch_free(self._batch)
        if self._context:
            self._api.llama_free(self._context)
        if self._model:
            self._api.llama_model_free(self._model)
        self._batch = self._context = self._model = None
