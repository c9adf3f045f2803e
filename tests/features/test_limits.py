"""Names behind `self.` are those of the class, while decoding: through the completer, with the scripted backend."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lsp_server.engine.request import Generate
from lsp_server.features.outcome import Trigger
from tests.features.harness import PATIENT, Bench, Opener, knowing

SOURCE = """\
class Box:
    def __init__(self, width, height):
        self.width = width
        self.height = height

    def area(self):
        return $0

    def double(self):
        return 2
"""
LIMITED = replace(PATIENT, limit_names=True)
FREE = replace(PATIENT, limit_names=False)


def known(text: str, source: str = SOURCE) -> Any:
    return knowing(source.replace("$0", text).encode())


async def written(b: Bench, source: str, trigger: Trigger = Trigger.AUTOMATIC) -> str:
    return (await b.complete(source, trigger)).written


@pytest.mark.parametrize("trigger", [Trigger.AUTOMATIC, Trigger.INVOKED])
async def test_a_name_that_the_class_does_not_have_is_not_written(bench: Opener, trigger: Trigger) -> None:
    async with bench(known("self.depth * 2")) as b:
        await b.ready()
        found = {}
        for options in (FREE, LIMITED):
            b.options = options
            found[options.limit_names] = await written(b, SOURCE.replace("$0", "self$0"), trigger)
        assert found[False].startswith(".depth * 2")
        own = ("width", "height", "area", "double", "__")
        assert found[True].startswith(tuple(f".{name}" for name in own)), found[True]


async def test_a_name_that_it_has_is_written_as_ever(bench: Opener) -> None:
    async with bench(knowing(b"        return 100 + self.width * 3\n")) as b:
        await b.ready()
        for options in (FREE, LIMITED):
            b.options = options
            assert (await written(b, SOURCE.replace("$0", "100 + self.w$0"))).startswith("idth * 3\n")


async def test_what_has_been_begun_is_gone_on_with(bench: Opener) -> None:
    async with bench(known("self.hectic")) as b:
        await b.ready()
        b.options = LIMITED
        assert (await written(b, SOURCE.replace("$0", "self.he$0"))).startswith("ight")


async def test_in_a_class_that_is_not_known_nothing_is_limited(bench: Opener) -> None:
    source = SOURCE.replace("class Box:", "class Box(imported.Base):")
    async with bench(known("self.depth * 2", source)) as b:
        await b.ready()
        b.options = LIMITED
        assert (await written(b, source.replace("$0", "self$0"))).startswith(".depth * 2")
        [sent] = [message.members for message in b.sent if isinstance(message, Generate)]
        assert sent is None or "self" not in {each.text for each in sent.receivers}


async def test_a_name_is_written_whose_characters_are_of_several_tokens(bench: Opener) -> None:
    source = SOURCE.replace("width", "größe")
    async with bench(known("self.grüßte * 2", source)) as b:
        await b.ready()
        b.options = LIMITED
        assert (await written(b, source.replace("$0", "self.g$0"))).startswith("röße")
