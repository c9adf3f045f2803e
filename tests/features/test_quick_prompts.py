"""The first answer at a new place comes from a quick prompt; once the full one is evaluated, answers come from that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lsp_server.backends.base import Backend, ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from tests.features.harness import Opener

ABOVE = "".join(f"value_{number} = shift({number})\n" for number in range(80))
SOURCE = f"{ABOVE}total = width$0\n"


def slow(spec: ModelSpec, progress: Callable[[float], bool]) -> Backend:
    """A model that claims to take 10 ms for a token of a prompt."""
    backend = ScriptedBackend(spec, progress, texts=[b"total = width * height\n"])
    backend.info = replace(backend.info, token_ms=10.0)
    return backend


async def test_what_a_quick_prompt_gave_is_asked_again_where_nothing_was_typed(bench: Opener) -> None:
    async with bench(slow) as b:
        await b.ready()
        first = await b.complete(SOURCE)
        assert first.usage.quick
        assert first.suggestion is not None
        await b.idle()
        # The user types into the text on the screen, which stays.
        typed = await b.complete(SOURCE.replace("$0", " *$0"))
        assert typed.source == "memory"
        assert typed.suggestion is not None
        assert typed.suggestion.text == first.suggestion.text.removeprefix(" *")
        again = await b.complete(SOURCE)
        assert again.source == "model"
        assert not again.usage.quick
        assert again.usage.evaluated_tokens <= 2
        assert (await b.complete(SOURCE)).source == "memory"
