"""A model's tokeniser without the model: for `bench keystrokes --count`, loaded in a second."""

from __future__ import annotations

import os
from pathlib import Path

from lsp_server.backends import llama_library
from lsp_server.backends.base import ModelError
from lsp_server.backends.llama_vocabulary import LlamaVocabulary
from lsp_server.models import starter
from lsp_server.models.gguf_parts import read_model

_MOST_STAND_INS = 64


class Vocabulary(LlamaVocabulary):
    """The vocabulary of the llama backend, so that the tokens are the same as in the server. A format's marker that the
    model lacks gets an id after the vocabulary, because only numbers of tokens are counted, and a marker is one token.
    """

    def __init__(self, path: Path) -> None:
        read_model(path)
        library = llama_library.load_library()
        self._api = library.api
        self._stand_ins: dict[str, int] = {}
        params = self._api.llama_model_default_params()
        params.vocab_only = True
        library.log.errors.clear()
        self._model = self._api.llama_model_load_from_file(os.fsencode(path), params)
        if not self._model:
            raise ModelError(f"llama.cpp cannot load {path}: {library.log.reason()}")
        self._read_vocabulary()
        self.name = self._meta("general.name") or path.stem

    def close(self) -> None:
        """Frees the memory."""
        if self._model:
            self._api.llama_model_free(self._model)
        self._model = None

    @property
    def size(self) -> int:
        """A number above all token ids, also above those of substituted markers."""
        return self._vocabulary + _MOST_STAND_INS

    def marker(self, spelling: str) -> int | None:
        found = super().marker(spelling)
        if found is None:
            found = self._stand_ins.setdefault(spelling, self._vocabulary + len(self._stand_ins))
        return found


def load(model: Path | None) -> Vocabulary:
    """The vocabulary of a GGUF file, or of the starter model."""
    return Vocabulary(model or starter.model_file())
