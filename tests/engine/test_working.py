"""What the engine tells of its work: reading with how far it is, writing, waiting, measuring, and then nothing."""

from __future__ import annotations

from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.engine.core import REST_SECONDS
from lsp_server.engine.request import Priority, Working
from tests.engine.harness import EngineHarness, ask


def told(harness: EngineHarness) -> list[str]:
    return [event.kind for event in harness.events if isinstance(event, Working)]


def test_a_prompt_is_read_and_then_written_behind() -> None:
    harness = EngineHarness()
    harness.load()
    harness.run(ask(1, "first = 1\n" * 60 + "x = "))
    shares = [event.done for event in harness.events if isinstance(event, Working) and event.kind == "reading"]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] > 0.8
    assert told(harness)[-2:] == ["writing", "idle"]


def test_a_long_text_is_told_of_once() -> None:
    harness = EngineHarness()
    harness.load()
    harness.run(ask(1, "x = ", max_tokens=200))
    assert told(harness).count("writing") == 1


def test_what_nobody_has_asked_for_is_not_told() -> None:
    harness = EngineHarness()
    harness.load()
    harness.run(ask(1, "x = ", priority=Priority.PREPARED))
    assert told(harness) == []


def test_an_action_waits_while_the_user_types() -> None:
    harness = EngineHarness()
    harness.load()
    harness.run(ask(1, "x = "))
    harness.send(ask(2, "y = ", priority=Priority.ACTION))
    harness.engine.send(ask(3, "z = "))  # ends the wait
    harness.engine.rest()
    assert told(harness)[-1] == "waiting"
    harness.clock.now += REST_SECONDS
    harness.drain()
    assert told(harness)[-1] == "idle"


def test_measuring_is_told_once_and_ends() -> None:
    class Measuring(ScriptedBackend):
        left = 3

        def rest(self) -> bool:
            self.left -= 1
            return self.left > 0

    harness = EngineHarness(Measuring)
    harness.load()
    for _ in range(3):
        assert not harness.step()
        harness.engine.use_idle_time()
    assert told(harness) == ["measuring", "idle"]
