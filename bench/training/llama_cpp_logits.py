"""Gets llama.cpp's tokens of a text and the logits at every position, for comparisons. It is not fast."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lsp_server.backends.llama_library import load_library


class LoadedModel:
    """A GGUF file in llama.cpp, on the CPU, with a KV cache in F32."""

    def __init__(self, api: Any, model: Any) -> None:
        self._api, self._model = api, model
        self._vocabulary = api.llama_model_get_vocab(model)
        self.vocabulary: int = api.llama_vocab_n_tokens(self._vocabulary)

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        """The tokens of `text`, without BOS. special: whether spellings of special tokens become special tokens."""
        raw = text.encode()
        room = len(raw) + 8
        buffer = (self._api.llama_token * room)()
        count = self._api.llama_tokenize(self._vocabulary, raw, len(raw), buffer, room, False, special)
        if count < 0:
            raise ValueError("llama.cpp cannot tokenise the text")
        return list(buffer[:count])

    def logits(self, tokens: list[int], adapter: Path | None = None) -> np.ndarray:
        """F32, (len(tokens), vocabulary). Raises ValueError if the adapter does not load."""
        api = self._api
        parameters = api.llama_context_default_params()
        parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = max(64, len(tokens))
        parameters.n_seq_max = 1
        parameters.n_threads = parameters.n_threads_batch = 2
        parameters.type_k = parameters.type_v = 0  # GGML_TYPE_F32
        parameters.flash_attn_type = 0  # LLAMA_FLASH_ATTN_TYPE_DISABLED
        parameters.swa_full = True
        context = api.llama_init_from_model(self._model, parameters)
        if not context:
            raise ValueError("llama.cpp gives no context")
        loaded = None
        try:
            if adapter is not None:
                loaded = api.llama_adapter_lora_init(self._model, str(adapter).encode())
                if not loaded:
                    raise ValueError(f"llama.cpp does not load the adapter {adapter}")
                adapters = (api.llama_adapter_lora_p_ctypes * 1)(loaded)
                if api.llama_set_adapters_lora(context, adapters, 1, (ctypes.c_float * 1)(1.0)):
                    raise ValueError(f"llama.cpp does not use the adapter {adapter}")
            batch = api.llama_batch_init(len(tokens), 0, 1)
            batch.n_tokens = len(tokens)
            for index, token in enumerate(tokens):
                batch.token[index], batch.pos[index] = token, index
                batch.n_seq_id[index], batch.seq_id[index][0] = 1, 0
                batch.logits[index] = 1
            failed = api.llama_decode(context, batch)
            api.llama_batch_free(batch)
            if failed:
                raise ValueError("llama_decode failed")
            rows = [api.llama_get_logits_ith(context, index) for index in range(len(tokens))]
            return np.stack([np.ctypeslib.as_array(row, (self.vocabulary,)).copy() for row in rows])
        finally:
            api.llama_free(context)
            if loaded:
                api.llama_adapter_lora_free(loaded)


@contextmanager
def loaded_model(path: Path, *, vocabulary_only: bool = False) -> Iterator[LoadedModel]:
    """The model in a GGUF file. Raises ValueError if llama.cpp does not load it."""
    api = load_library().api
    parameters = api.llama_model_default_params()
    parameters.n_gpu_layers = 0
    parameters.vocab_only = vocabulary_only
    # Not repacked, because repacked weights are multiplied in another order.
    parameters.use_extra_bufts = False
    model = api.llama_model_load_from_file(str(path).encode(), parameters)
    if not model:
        raise ValueError(f"llama.cpp does not load {path}: {' '.join(load_library().log.errors[-2:])}")
    try:
        yield LoadedModel(api, model)
    finally:
        api.llama_model_free(model)
