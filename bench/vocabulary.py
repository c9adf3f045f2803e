"""A model's tokeniser without the model: what `bench keystrokes --count` needs, loaded in a second."""

from __future__ import annotations

import os
from pathlib import Path

from lsp_server.backends import llama, llama_library, starter
from lsp_server.backends.base import ModelError
from lsp_server.models.gguf_parts import read_model

_MOST_STAND_INS = 64


class Vocabulary(llama.LlamaBackend):
    """The llama backend with its vocabulary alone, so that the tokens are the very ones the server sees.

    A format's marker that the model does not have gets an id behind the vocabulary: what is counted is how
    many tokens there are, and a marker is one in every format.
    """

    def __init__(self, path: Path) -> None:
        read_model(path)
        library = llama_library.load_library()
        self._api, self._log = library.api, library.log
        self._context = self._batch = None
        self._stand_ins: dict[str, int] = {}
        params = self._api.llama_model_default_params()
        params.vocab_only = True
        self._log.errors.clear()
        self._model = self._api.llama_model_load_from_file(os.fsencode(path), params)
        if not self._model:
            raise ModelError(f"llama.cpp cannot load {path}: {self._log.reason()}")
        self._vocab = self._api.llama_model_get_vocab(self._model)
        self._vocabulary = self._api.llama_vocab_n_tokens(self._vocab)
        self._space_prefix = self._adds_space_prefix()
        self.name = self._meta("general.name") or path.stem

    @property
    def size(self) -> int:
        """More than any token id, with room for the stand-ins."""
        return self._vocabulary + _MOST_STAND_INS

    def marker(self, spelling: str) -> int | None:
        found = super().marker(spelling)
        if found is None:
            found = self._stand_ins.setdefault(spelling, self._vocabulary + len(self._stand_ins))
        return found


def load(model: Path | None) -> Vocabulary:
    """The vocabulary of a GGUF file, or of the starter model."""
    return Vocabulary(model or starter.model_file())
