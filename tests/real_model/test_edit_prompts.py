"""Prompts for next edits, token by token, with a tiny model that has the tokens of Sweep's and of Zeta's models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lsp_server.backends import llama
from lsp_server.backends.base import ModelSpec
from lsp_server.core.next_edits.by_model.prompts import edit_prompt
from lsp_server.core.prompt import FimPrompt
from lsp_server.engine.encode import Encoder
from lsp_server.engine.request import Generate, Priority
from tests.core.next_edits.test_edit_prompts import SWEEP, ZETA_2, ZETA_2_1, asked, form_named
from tests.engine.harness import CHEAP_BATCHES
from tests.real_model.session import Session
from tests.support.edited import Edited
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
        assert None not in map(backend.marker, form.markers)
        (message,) = asked(name).messages
        encoded = Encoder(backend).encode(FimPrompt(form.name, message[1]), 2048)
        assert encoded.cut == 0
        assert encoded.tokens == [*backend.start_tokens(), *backend.tokenize(published.encode(), special=True)]
        specials = {backend.marker(spelling) for spelling in markers}
        assert sum(token in specials for token in encoded.tokens) == count
    finally:
        backend.close()


def test_a_key_evaluates_the_end_of_a_prompt_and_a_draft_changes_no_text(tmp_path: Path) -> None:
    """Through llama.cpp: what stands in front of the last edit is reused, and what is written with the window as a
    draft is what is written without."""
    path = write_tiny_gguf(tmp_path / "tiny.gguf")
    spec = ModelSpec(path=str(path), context_tokens=4096, sequences=1, threads=1)
    sessions = Session(spec), Session(spec, CHEAP_BATCHES)
    source = "".join(f"line_{number} = {number}\n" for number in range(80))
    edited = Edited(source.replace("line_60 = 60", "line_60 = [-60-][+1+]"))
    for number, key in enumerate(("2", "3")):
        prompt = edit_prompt(edited.document, edited.cursor, edited.history.hunks(), form_named("sweep"), 4096)
        assert prompt is not None
        whole = FimPrompt("sweep", prompt.messages[0][1])
        request = Generate(number, whole, None, 24, Priority.EDIT)
        plain = sessions[0].run(request)
        # A draft that is right: what the model writes.
        for draft in ("", prompt.draft, plain.text):
            drafted = sessions[1].run(replace(request, draft=draft))
            assert drafted.text == plain.text
        if number:
            assert plain.usage.reused_tokens > 0.6 * plain.usage.prompt_tokens
        edited.edit(edited.cursor, edited.cursor, key, 1.0)
        edited.cursor += 1
