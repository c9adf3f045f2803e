"""The vocabulary of a model that llama.cpp has loaded: text to tokens, tokens to bytes, and the keys of its file."""

from __future__ import annotations

import ctypes
from typing import Any

from lsp_server.backends.base import ModelError
from lsp_server.core.fim_formats import MARKERS


class LlamaVocabulary:
    """The part of a `Backend` that needs the model, and no context. `_read_vocabulary` must have been called."""

    _api: Any
    _model: Any

    def _read_vocabulary(self) -> None:
        self._vocab = self._api.llama_model_get_vocab(self._model)
        self._vocabulary: int = self._api.llama_vocab_n_tokens(self._vocab)
        self._space_prefix = self._adds_space_prefix()

    def _adds_space_prefix(self) -> bool:
        value = self._meta("tokenizer.ggml.add_space_prefix")
        if value:
            return value == "true"
        return bool(self._api.llama_vocab_type(self._vocab) == self._api.LLAMA_VOCAB_TYPE_SPM)

    def _meta(self, key: str) -> str:
        buffer = ctypes.create_string_buffer(512)
        length = self._api.llama_model_meta_val_str(self._model, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if length > 0 else ""

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

    def _spelled(self, token: int) -> str:
        """A special token's spelling; empty if the model has none of that kind."""
        return self._spelling(token) if token >= 0 else ""

    def _spelling(self, token: int) -> str:
        return str(self._api.llama_vocab_get_text(self._vocab, token).decode("utf-8", "replace"))

    def piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(256)
        length = self._api.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, False)
        return buffer.raw[: max(0, length)]

    def special(self, token: int) -> str:
        api = self._api
        attributes = api.llama_vocab_get_attr(self._vocab, token)
        if attributes & (api.LLAMA_TOKEN_ATTR_CONTROL | api.LLAMA_TOKEN_ATTR_UNUSED | api.LLAMA_TOKEN_ATTR_UNKNOWN):
            return self._spelling(token)
        # Some files have the markers of a format as if their maker had added them to the text's own tokens.
        spelling = self._spelling(token) if attributes & api.LLAMA_TOKEN_ATTR_USER_DEFINED else ""
        return spelling if spelling in MARKERS else ""

    def ends(self, token: int) -> bool:
        return bool(self._api.llama_vocab_is_eog(self._vocab, token)) or self.special(token) != ""
