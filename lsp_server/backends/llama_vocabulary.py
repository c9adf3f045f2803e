"""The vocabulary of a loaded llama.cpp model: text to tokens, tokens to bytes, and the metadata of its file."""

from __future__ import annotations

import ctypes
from typing import Any

from lsp_server.backends.base import ModelError
from lsp_server.core.fim_formats import MARKERS


class LlamaVocabulary:
    """The part of a `Backend` that needs only the model, without a context. `_read_vocabulary` must be called first."""

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
        # This kind of tokeniser puts a space before every text, which is wrong inside a prompt. A newline never merges
        # with the text after it. So a newline is put in front, takes the space, and is removed from the tokens.
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
        """The spelling of a special token; empty for a negative id, which means that the model has no such token."""
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
        # Some files declare the markers of a format as if they were tokens of the text (user-defined).
        spelling = self._spelling(token) if attributes & api.LLAMA_TOKEN_ATTR_USER_DEFINED else ""
        return spelling if spelling in MARKERS else ""

    def ends(self, token: int) -> bool:
        return bool(self._api.llama_vocab_is_eog(self._vocab, token)) or self.special(token) != ""
