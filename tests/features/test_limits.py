"""Names behind `self.` and `this.` are those of the class, while decoding: through the completer, scripted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lsp_server.backends.base import Backend, ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.engine.request import Generate
from lsp_server.features.outcome import Trigger
from tests.features.harness import PATIENT, Bench, Opener, knowing
from tests.support.cursor import parse_cursor

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


async def test_a_text_ends_behind_a_name_where_no_likely_token_may_follow(bench: Opener) -> None:
    """All of the most probable tokens are letters, which would make another name of it."""
    letters = [f"{first}{second}".encode() for first in "qwzvyxkj" for second in "abcdefghijkl"]

    def load(spec: ModelSpec, progress: Any) -> Backend:
        return ScriptedBackend(spec, progress, words=letters)

    async with bench(load) as b:
        await b.ready()
        b.options = LIMITED
        assert await written(b, SOURCE.replace("$0", "self.wi$0"), Trigger.INVOKED) == "dth"


SCRIPT = """\
class Box {
  #secret = 1;

  constructor(width, height) {
    this.width = width;
    this.height = height;
  }

  area() {
    return $0;
  }

  double() {
    return this.width * 2;
  }
}
"""


async def written_script(b: Bench, source: str, language: str = "typescript", path: str = "box.ts") -> str:
    found = await b.completer.complete(*parse_cursor(source, language_id=language, path=path), Trigger.INVOKED)
    return found.written


async def test_behind_this_a_name_is_one_of_the_class_too(bench: Opener) -> None:
    async with bench(known("this.depth * 2", SCRIPT)) as b:
        await b.ready()
        found = {}
        for options in (FREE, LIMITED):
            b.options = options
            found[options.limit_names] = await written_script(b, SCRIPT.replace("$0", "this$0"))
        assert found[False].startswith(".depth * 2")
        own = ("width", "height", "area", "double", "#secret", "constructor")
        assert found[True].startswith(tuple(f".{name}" for name in own)), found[True]


async def test_behind_this_a_name_that_it_has_is_written_as_ever(bench: Opener) -> None:
    async with bench(known("100 + this.#secret * 3", SCRIPT)) as b:
        await b.ready()
        b.options = LIMITED
        assert (await written_script(b, SCRIPT.replace("$0", "100 + this.$0"))).startswith("#secret * 3")
        assert (await written_script(b, SCRIPT.replace("$0", "100 + this.#$0"))).startswith("secret * 3")


async def test_behind_another_arrow_it_is_the_same(bench: Opener) -> None:
    source = """\
<?php

class Box
{
    private int $width = 1;

    public function area(): int
    {
        return $0;
    }
}
"""
    async with bench(known("$this->depth * 2", source)) as b:
        await b.ready()
        for limited, begins in ((FREE, "->depth"), (LIMITED, ("->width", "->area"))):
            b.options = limited
            found = await written_script(b, source.replace("$0", "$this$0"), "php", "box.php")
            assert found.startswith(begins), found
