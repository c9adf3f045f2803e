"""Prompts for next edits, token by token, with a tiny model that has the tokens of Sweep's and of Zeta's models."""

from __future__ import annotations

from pathlib import Path

import pytest

from lsp_server.backends import llama
from lsp_server.backends.base import ModelSpec
from lsp_server.core.next_edits.formats import lacking
from lsp_server.core.prompt import FimPrompt
from lsp_server.engine.encode import Encoder
from tests.core.next_edits.test_edit_prompts import SWEEP, ZETA_2, ZETA_2_1, asked, form_named
from tests.support.tiny_gguf import MARKERS, write_tiny_gguf

SEED_CODER = ("<[end▁of▁sentence]>", "<[fim-suffix]>", "<[fim-prefix]>", "<[fim-middle]>", "<filename>")


@pytest.mark.parametrize(
    ("name", "markers", "published", "count"),
    [
        ("sweep", MARKERS, SWEEP, 5),
        ("zeta-2", SEED_CODER, ZETA_2, 5),
        ("zeta-2.1", SEED_CODER, ZETA_2_1, 5),
    ],
)
def test_tokens_are_those_of_the_published_shape(
    tmp_path: Path, name: str, markers: tuple[str, ...], published: str, count: int
) -> None:
    path = write_tiny_gguf(tmp_path / "tiny.gguf", markers=markers)
    backend = llama.load(ModelSpec(path=str(path), context_tokens=2048, sequences=1, threads=1), lambda _: True)
    try:
        form = form_named(name)
        assert not lacking(form, lambda spelling: backend.marker(spelling) is not None)
        (message,) = asked(name).messages
        encoded = Encoder(backend).encode(FimPrompt(form.name, message[1]), 2048)
        assert encoded.cut == 0
        assert encoded.tokens == [*backend.start_tokens(), *backend.tokenize(published.encode(), special=True)]
        specials = {backend.marker(spelling) for spelling in markers}
        assert sum(token in specials for token in encoded.tokens) == count
    finally:
        backend.close()
