"""Context from other buffers through the engine: it costs nothing while the user types, and changes at rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from lsp_server.backends.base import Backend, ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.hole import Hole
from lsp_server.core.index_offer import Offer, Why
from lsp_server.core.pieces import Piece, pieces_of
from lsp_server.engine.request import Generate
from lsp_server.features.outcome import Trigger
from tests.features.harness import PATIENT, Bench, Gate, Opener
from tests.support.cursor import parse_cursor

WITH_CONTEXT = replace(PATIENT, buffers_tokens=600)
SHAPES = "class Circle:\n    def area(self):\n        return 3\n\n\ndef unit_square():\n    return 1\n"
COLOURS = "class Colour:\n    name: str = 'red'\n\n\ndef mix_colours(first, second):\n    return first\n"
SOURCE = "from shapes import Circle\n\n\n" + "".join(f"value_{n} = compute({n})\n" for n in range(60)) + "$0\nend = 1\n"
FORMATS = ["qwen", "starcoder2", "deepseek", "codestral", "prefix-only"]


def buffer(path: str, source: str) -> DocumentSnapshot:
    return DocumentSnapshot.of(f"file:///w/{path}", source.encode(), path=path, folder="w")


def model(form: str) -> Callable[[ModelSpec, Callable[[float], bool]], Backend]:
    def factory(spec: ModelSpec, progress: Callable[[float], bool]) -> Backend:
        backends.append(ScriptedBackend(replace(spec, fim_format=form), progress))
        return backends[-1]

    backends: list[ScriptedBackend] = []
    factory.backends = backends  # type: ignore[attr-defined]
    return factory


class Typist:
    """Types into one document, as the server would tell the completer."""

    def __init__(self, bench: Bench, backend: ScriptedBackend, source: str = SOURCE) -> None:
        self.bench, self.backend = bench, backend
        self.document, self.cursor = parse_cursor(source)

    async def tell(self, text: str) -> None:
        self.document = self.document.edited(self.cursor, self.cursor, text.encode())
        self.cursor += len(text.encode())
        self.bench.completer.document_changed(self.document)
        await self.bench.completer.warm(self.document, self.document.edit_end)

    async def key(self, text: str) -> int:
        """Types, waits until the engine is idle, and returns how many tokens that evaluated."""
        before = self.backend.evaluated_tokens
        await self.tell(text)
        await self.bench.idle()
        return self.backend.evaluated_tokens - before

    async def rest(self) -> int:
        before = self.backend.evaluated_tokens
        await self.bench.completer.rest(self.document, self.cursor)
        await self.bench.idle()
        return self.backend.evaluated_tokens - before

    def shown(self) -> list[str]:
        """The files that the document's prompts show parts of."""
        pieces = self.bench.completer.prompts.context(self.document.uri).pieces
        return list(dict.fromkeys(piece.path for piece in pieces))


def last_prompt(bench: Bench) -> str:
    (*_, request) = [message for message in bench.sent if isinstance(message, Generate)]
    return b"".join(segment.text for segment in request.prompt.segments).decode()


@pytest.mark.parametrize("form", FORMATS)
async def test_a_key_costs_one_token_whatever_happens_in_the_other_buffers(bench: Opener, form: str) -> None:
    factory = model(form)
    async with bench(factory) as b:
        await b.ready()
        b.options = WITH_CONTEXT
        b.buffers = [buffer("shapes.py", SHAPES), buffer("colours.py", COLOURS), buffer("other.py", "x = 1\n" * 50)]
        typist = Typist(b, factory.backends[0])  # type: ignore[attr-defined]
        whole = await typist.key("x")
        assert whole > len(SOURCE)
        assert typist.shown() == ["shapes.py"]
        assert "class Circle" in last_prompt(b)
        costs = []
        for index, character in enumerate(" = mix_colours(Colour(unit_square(), Circle(), "):
            if index % 7 == 3:  # the user's other windows: opened, edited, closed
                b.buffers.insert(0, buffer(f"new_{index}.py", COLOURS.replace("mix", "blend")))
                b.buffers[-1] = b.buffers[-1].edited(0, 0, b"# edited\n")
            if index == 20:
                b.buffers = [found for found in b.buffers if found.path != "shapes.py"]
            costs.append(await typist.key(character))
        assert costs == [1] * len(costs)


@pytest.mark.parametrize("form", FORMATS)
async def test_at_rest_the_context_changes_and_is_evaluated_before_it_is_used(bench: Opener, form: str) -> None:
    factory = model(form)
    async with bench(factory) as b:
        await b.ready()
        b.options = WITH_CONTEXT
        b.buffers = [buffer("shapes.py", SHAPES), buffer("colours.py", COLOURS)]
        typist = Typist(b, factory.backends[0])  # type: ignore[attr-defined]
        for character in "x = mix_colours(Colour(":
            await typist.key(character)
        assert typist.shown() == ["shapes.py"]
        assert await typist.rest() > len(SOURCE) // 2
        assert typist.shown() == ["shapes.py", "colours.py"], "what was there stays in front"
        assert [await typist.key(character) for character in "Circle"] == [1] * 6
        prompt = last_prompt(b)
        assert prompt.index("class Circle") < prompt.index("def mix_colours") < prompt.index("value_1 = ")
        assert await typist.rest() <= len("    x = mix_colours(Colour(Circle"), "and then it has nothing to do"


async def test_a_key_during_the_rest_is_answered_from_the_old_context(bench: Opener) -> None:
    gates: list[Gate] = []

    class Held(ScriptedBackend):
        def evaluate(self, sequence: int, position: int, tokens: Sequence[int], *, logits: int) -> Any:
            if gates:
                gates.pop().hold()
            return super().evaluate(sequence, position, tokens, logits=logits)

    backends: list[ScriptedBackend] = []

    def factory(spec: ModelSpec, progress: Callable[[float], bool]) -> Backend:
        backends.append(Held(spec, progress))
        return backends[-1]

    async with bench(factory) as b:
        await b.ready()
        b.options = WITH_CONTEXT
        b.buffers = [buffer("shapes.py", SHAPES), buffer("colours.py", COLOURS)]
        typist = Typist(b, backends[0])
        for character in "x = mix_colours(Colour(":
            await typist.key(character)
        gate = Gate()
        gates.append(gate)
        await b.completer.rest(typist.document, typist.cursor)
        await gate.reached.wait()
        await typist.tell("C")  # cancels what the rest began
        before = typist.backend.evaluated_tokens
        gate.open()
        await b.idle()
        chunk = backends[0].info.chunk_tokens
        assert typist.backend.evaluated_tokens - before <= chunk + 1
        assert typist.shown() == ["shapes.py"]
        assert [await typist.key(character) for character in "ircle"] == [1] * 5


async def test_all_places_of_a_document_share_its_context(bench: Opener) -> None:
    factory = model("prefix-only")
    async with bench(factory) as b:
        await b.ready()
        b.options = WITH_CONTEXT
        b.buffers = [buffer("shapes.py", SHAPES)]
        typist = Typist(b, factory.backends[0])  # type: ignore[attr-defined]
        await typist.key("x")
        typist.cursor = typist.document.source.index(b"value_9 ")
        there = await typist.key("y")
        shared = len("# shapes.py\nclass Circle:\n    def area(self):\n        return 3\n\n# main.py\n")
        assert there <= len(last_prompt(b)) + 1 - shared


async def test_another_document_has_its_own(bench: Opener) -> None:
    factory = model("qwen")
    async with bench(factory) as b:
        await b.ready()
        b.options = WITH_CONTEXT
        shapes = buffer("shapes.py", SHAPES + "\nx = 1\n")
        typist = Typist(b, factory.backends[0])  # type: ignore[attr-defined]
        b.buffers = [typist.document, shapes, buffer("colours.py", COLOURS)]
        await typist.key("x")
        await b.completer.warm(shapes, len(shapes.source))
        await b.idle()
        assert typist.shown() == ["shapes.py"]
        assert b.completer.prompts.context(shapes.uri).pieces == ()


@pytest.mark.parametrize("tokens", [0, 600])
async def test_the_setting_takes_effect_at_once(bench: Opener, tokens: int) -> None:
    factory = model("qwen")
    async with bench(factory) as b:
        await b.ready()
        b.buffers = [buffer("shapes.py", SHAPES)]
        for options, shown in ((WITH_CONTEXT, True), (replace(WITH_CONTEXT, buffers_tokens=tokens), tokens > 0)):
            b.options = options
            outcome = await b.complete(SOURCE + "Circle(", Trigger.INVOKED)
            assert outcome.prompt is not None or outcome.source == "memory"
            typist = Typist(b, factory.backends[0])  # type: ignore[attr-defined]
            await typist.key("x")
            assert ("class Circle" in last_prompt(b)) == shown


# From an index ------------------------------------------------------------------------------------------------


def of(path: str, source: str) -> dict[Piece, Why]:
    document = DocumentSnapshot.of(f"file:///w/{path}", source.encode(), path=path, folder="w")
    return {piece: Why("defines it", 20.0) for piece in pieces_of(document)}


class Indexed:
    """An index that offers what it is given, and counts how often it is asked."""

    def __init__(self) -> None:
        self.offered: dict[Piece, Why] = {}
        self.asked = 0

    def __call__(self, document: DocumentSnapshot, hole: Hole, buffers: Any, held: Sequence[Piece]) -> Offer:
        self.asked += 1
        return Offer(self.offered, frozenset(piece.uri for piece in held if piece in self.offered))


@pytest.mark.parametrize("form", FORMATS)
async def test_an_index_is_asked_at_a_rest_alone_and_a_key_costs_one_token(bench: Opener, form: str) -> None:
    factory, index = model(form), Indexed()
    async with bench(factory, index=index) as b:
        await b.ready()
        b.options = WITH_CONTEXT
        typist = Typist(b, factory.backends[0])  # type: ignore[attr-defined]
        index.offered = of("shapes.py", SHAPES)
        await typist.key("x")
        assert typist.shown() == ["shapes.py"]
        assert index.asked == 1
        costs = []
        for character in " = mix_colours(Circle(":
            index.offered = of("colours.py", COLOURS) if character == "m" else index.offered
            costs.append(await typist.key(character))
        assert (costs, index.asked) == ([1] * len(costs), 1)
        assert await typist.rest() > len(SOURCE) // 2
        assert typist.shown() == ["colours.py"], "what is not in the index any more is gone"
        assert "def mix_colours" in last_prompt(b)
        assert [await typist.key(character) for character in "Circle"] == [1] * 6
        assert await typist.rest() <= len("x = mix_colours(Circle(Circle"), "and then it has nothing to do"


async def test_buffers_and_index_share_a_budget_and_none_means_that_nothing_is_asked(bench: Opener) -> None:
    factory, index = model("qwen"), Indexed()
    index.offered = of("colours.py", COLOURS)
    async with bench(factory, index=index) as b:
        await b.ready()
        b.options = replace(WITH_CONTEXT, buffers_tokens=0)
        typist = Typist(b, factory.backends[0])  # type: ignore[attr-defined]
        await typist.key("x")
        await typist.rest()
        assert (typist.shown(), index.asked) == ([], 0)
        b.options = replace(WITH_CONTEXT, buffers_tokens=40)
        b.buffers = [buffer("shapes.py", SHAPES)]
        await typist.key("y")
        assert len(typist.shown()) == 1
