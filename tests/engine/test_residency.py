"""Models that go when nobody uses them, or when another needs their room, and come back: on virtual time."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace

from lsp_server.backends.base import Backend, ModelSpec, NoRoomError
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.engine.request import (
    FinishReason,
    Generate,
    Keep,
    Load,
    ModelFailed,
    ModelIdle,
    ModelLoading,
    ModelReady,
    Role,
)
from lsp_server.engine.residency import GRACE_SECONDS, Residency
from tests.engine.harness import LINE, EngineHarness, Progress, ask, cold, make_prompt

LONG = "x = 1\n" * 60
ROLES: tuple[Role, Role] = ("completion", "chat")


class Room:
    """Memory for so many models at a time, and the harness that lives in it."""

    def __init__(self, places: int = 2) -> None:
        self.places = places
        self.open = 0
        self.most = 0
        self.harness = EngineHarness(self._load)

    def _load(self, spec: ModelSpec, progress: Progress) -> Backend:
        if self.open >= self.places:
            raise NoRoomError(f"{spec.sequences} sequences need 3 MB of memory and 2 MB are free")
        room = self

        class Counted(ScriptedBackend):
            def close(self) -> None:
                room.open -= 1
                super().close()

        self.open += 1
        self.most = max(self.most, self.open)
        return Counted(spec, progress)

    def load(self, role: Role, number: int = 1) -> None:
        self.harness.engine.send(Load(ModelSpec(""), number, role))
        self.harness.receive()
        self.step()

    def step(self) -> None:
        """A step, and whatever load it has begun."""
        self.harness.step()
        self.harness.receive()

    def rest(self, seconds: float) -> None:
        self.harness.clock.now += seconds
        self.step()

    def events(self, kind: type) -> list[tuple[Role, int]]:
        return [(event.role, event.load) for event in self.harness.events if isinstance(event, kind)]


def of(role: Role, request: Generate) -> Generate:
    return replace(request, role=role)


def test_each_model_goes_after_its_own_time() -> None:
    room = Room()
    room.harness.engine.send(Keep({"chat": 600.0}))
    room.load("completion", 3)
    room.load("chat", 7)
    room.rest(500)
    room.harness.run(of("chat", ask(1, "a")))
    room.rest(500)
    assert set(room.harness.engine.models) == set(ROLES)
    room.rest(110)
    assert list(room.harness.engine.models) == ["completion"]
    assert room.events(ModelIdle) == [("chat", 7)]
    assert room.open == 1
    room.rest(1e6)
    assert list(room.harness.engine.models) == ["completion"]
    assert room.harness.run(of("chat", ask(2, "a"))).reason is FinishReason.REJECTED
    room.load("chat", 8)
    assert room.harness.run(of("chat", ask(3, "a"))).text == cold(make_prompt("a", ""), LINE, 12).text


def test_a_model_at_work_does_not_go_however_long_it_takes() -> None:
    room = Room()
    room.harness.engine.send(Keep({"completion": 60.0}))
    room.load("completion")
    room.harness.send(ask(1, LONG))
    for _ in range(5):
        room.rest(50)
    room.harness.drain()
    assert room.harness.finished(1).text == cold(make_prompt(LONG, ""), LINE, 12).text
    room.rest(61)
    assert not room.harness.engine.models


def test_a_longer_time_counts_at_once() -> None:
    room = Room()
    room.load("completion")
    for seconds in (60.0, 0.0):
        room.harness.engine.send(Keep({"completion": seconds}))
    room.harness.receive()
    room.rest(1000)
    assert room.events(ModelIdle) == []


def test_the_other_model_makes_room_when_it_rests() -> None:
    room = Room(places=1)
    room.load("completion", 1)
    room.harness.send(ask(1, LONG))
    room.load("chat", 2)
    assert room.events(ModelReady) == [("completion", 1)]
    room.harness.drain()  # what runs is finished first
    assert room.harness.finished(1).text == cold(make_prompt(LONG, ""), LINE, 12).text
    assert room.events(ModelIdle) == []
    room.rest(GRACE_SECONDS)
    assert room.events(ModelIdle) == [("completion", 1)]
    assert room.events(ModelReady) == [("completion", 1), ("chat", 2)]
    assert room.harness.run(of("chat", ask(2, "a"))).text == cold(make_prompt("a", ""), LINE, 12).text
    room.load("completion", 3)
    room.rest(GRACE_SECONDS)
    assert room.events(ModelReady)[-1] == ("completion", 3)
    assert room.events(ModelFailed) == []
    assert room.most == 1


def test_what_does_not_fit_alone_is_told_once() -> None:
    room = Room(places=0)
    room.load("chat", 5)
    room.step()
    (failed,) = [event for event in room.harness.events if isinstance(event, ModelFailed)]
    assert failed == ModelFailed("6 sequences need 3 MB of memory and 2 MB are free", 5, "chat")
    room.rest(100)
    assert len(room.events(ModelFailed)) == 1


def test_a_load_that_waits_for_room_can_be_replaced() -> None:
    room = Room(places=1)
    room.load("completion", 1)
    room.load("chat", 2)
    room.harness.engine.send(Load(ModelSpec("", sequences=2), 3, "chat"))
    room.harness.receive()
    room.rest(GRACE_SECONDS)
    room.rest(GRACE_SECONDS)
    assert room.events(ModelReady) == [("completion", 1), ("chat", 3)]
    assert room.events(ModelIdle) == ([("completion", 1)])


def test_random_loads_and_requests_end_in_one_answer_each_and_never_in_two_models_for_one_place() -> None:
    for seed in range(30):
        rng = random.Random(seed)
        room = Room(places=rng.choice([1, 2]))
        room.harness.engine.send(Keep({role: rng.choice([0.0, 5.0]) for role in ROLES}))
        asked = 0
        moves: list[Callable[[], None]] = [
            lambda: room.load(rng.choice(ROLES), rng.randrange(99)),  # noqa: B023
            lambda: room.rest(rng.choice([0.1, 1.0, GRACE_SECONDS, 6.0])),  # noqa: B023
            room.step,
        ]
        for _ in range(120):
            if rng.random() < 0.4:
                asked += 1
                room.harness.send(of(rng.choice(ROLES), ask(asked, rng.choice(["a", "b = ", LONG[:40]]))))
            else:
                rng.choice(moves)()
        room.harness.drain()
        assert sorted(room.harness.answered()) == list(range(1, asked + 1))
        assert room.most <= room.places
        assert room.events(ModelFailed) == []
        assert len(room.events(ModelLoading)) >= len(room.events(ModelReady)) > 0


def test_the_engine_sleeps_until_something_is_due() -> None:
    residency = Residency()
    assert residency.next_due([]) == math.inf
    residency.use("completion", 10.0)
    assert residency.next_due([]) == math.inf
    assert residency.next_due(["chat"]) == 10.0 + GRACE_SECONDS
    assert residency.next_due(["completion"]) == math.inf
    residency.limit({"completion": 60.0})
    residency.use("chat", 100.0)
    assert residency.next_due([]) == 70.0
    assert residency.expired(69.9) == []
    assert residency.expired(70.0) == ["completion"]
    assert residency.to_unload("chat", 200.0) == "completion"
    assert residency.to_unload("completion", 101.0) is None
    residency.drop("completion")
    assert residency.next_due([]) == math.inf
