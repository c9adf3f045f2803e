"""An engine in a process of its own: the same answers, one for each request, also when the process is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

import anyio
import psutil
import pytest

from lsp_server.backends.base import ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.engine import crashes, link
from lsp_server.engine.api import Finished, FinishReason, ModelState, Role, TextDelta
from lsp_server.engine.client import EngineClient
from lsp_server.engine.home import Home, ThreadHome
from lsp_server.engine.process import ProcessHome
from lsp_server.engine.request import Cancel, EngineLost, Load, Message, ModelLoading, ModelReady
from tests.engine.harness import BLOCK, make_prompt
from tests.engine.test_wire import info
from tests.support.effort import scaled

SECONDS = 30
TEXT = "dth * height\n"
KNOWN = "def area(width, height):\n    return width * height\n"
PROMPT = make_prompt("def area(width, height):\n", "    return wi")


class Client:
    """An engine in some home, and what it has told."""

    def __init__(self, *homes: Any) -> None:
        self.states: list[ModelState] = []
        self.changed = anyio.Event()
        self.engine = EngineClient(dict(homes), self._on_model)

    def _on_model(self, role: Role, state: ModelState) -> None:
        self.states.append(state)
        self.changed.set()
        self.changed = anyio.Event()

    async def until(self, kind: str, role: Role = "completion") -> ModelState:
        while self.engine.models[role].kind != kind:
            await self.changed.wait()
        return self.engine.models[role]

    def ask(self, max_tokens: int = 20, prompt: Any = PROMPT, role: Role = "completion") -> Answer:
        answer = Answer()
        answer.id = self.engine.submit(prompt, BLOCK, max_tokens, answer.take, role=role)
        return answer


class Answer:
    def __init__(self) -> None:
        self.id = 0
        self.deltas: list[TextDelta] = []
        self.ends: list[Finished] = []
        self.ended = anyio.Event()
        self.begun = anyio.Event()

    def take(self, event: TextDelta | Finished) -> None:
        if isinstance(event, TextDelta):
            self.deltas.append(event)
            self.begun.set()
        else:
            self.ends.append(event)
            self.ended.set()

    async def end(self) -> Finished:
        await self.ended.wait()
        (end,) = self.ends
        return end


def process_home() -> Home:
    return ProcessHome(["engine", "--backend", "scripted"])


@asynccontextmanager
async def running(*homes: Any) -> AsyncIterator[Client]:
    client = Client(*(homes or [("process", process_home)]))
    client.engine.start()
    try:
        with anyio.fail_after(SECONDS):
            yield client
    finally:
        await client.engine.stop()


@pytest.fixture
def known(tmp_path: Path) -> ModelSpec:
    file = tmp_path / "known.py"
    file.write_text(KNOWN)
    return ModelSpec(str(file), sequences=2)


def engines() -> list[psutil.Process]:
    """The processes that hold an engine for this one."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if process.cmdline()[:4] == [sys.executable, "-m", "lsp_server", "engine"]:
                found.append(process)
    return found


async def test_it_answers_as_an_engine_in_this_process_does(known: ModelSpec) -> None:
    ends = []
    thread: Callable[[], Home] = lambda: ThreadHome(ScriptedBackend)  # noqa: E731
    for home in [("process", process_home), ("in-process", thread)]:
        async with running(home) as client:
            client.engine.load(known)
            await client.until("ready")
            answer = client.ask()
            end = await answer.end()
            ends.append((end.text, end.reason, end.usage.evaluated_tokens, len(answer.deltas)))
            assert client.engine.cache.resident
            assert client.engine.decoded_tokens == end.usage.decoded_tokens > 0
    assert ends[0] == ends[1]
    assert ends[0][0] == TEXT


async def test_nothing_is_started_before_it_is_needed_and_nothing_is_left(known: ModelSpec) -> None:
    async with running() as client:
        assert engines() == []
        client.engine.load(known)
        await client.until("ready")
        (process,) = engines()
    assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
async def test_a_killed_engine_answers_and_comes_back(known: ModelSpec, number: signal.Signals) -> None:
    async with running() as client:
        client.engine.load(known)
        await client.until("ready")
        (process,) = engines()
        process.suspend()  # so that the request is under way
        answer = client.ask()
        os.kill(process.pid, number)
        with suppress(psutil.NoSuchProcess):  # SIGKILL ends it as it is
            process.resume()
        end = await answer.end()
        assert end.reason is FinishReason.FAILED
        assert end.message == f"the engine was ended by {number.name} and is started again"
        told = [state for state in client.states if state.kind == "loading" and state.message]
        assert {state.message for state in told} == {end.message}
        await client.until("ready")
        assert (await client.ask().end()).text == TEXT


async def test_a_request_while_the_engine_is_lost_is_answered_at_once() -> None:
    home = FakeHome()
    async with running(("process", lambda: home)) as client:
        client.engine.load(ModelSpec(""))
        home.lose()
        await client.until("loading")
        await anyio.lowlevel.checkpoint()
        end = await client.ask().end()
        assert (end.reason, end.message) == (FinishReason.REJECTED, "the engine is being started again")


class FakeHome:
    """A home that does what the test says."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def start(self, post: Callable[[Any], None]) -> None:
        self.post = post

    def send(self, message: Message) -> None:
        self.sent.append(message)

    async def stop(self) -> None: ...

    def lose(self) -> None:
        self.post(EngineLost("was ended by SIGKILL"))

    def loads(self) -> list[Load]:
        return [message for message in self.sent if isinstance(message, Load)]

    def ready(self) -> None:
        load = self.loads()[-1]
        self.post(ModelReady(info(), load.number, load.role))


async def settled() -> None:
    """Until the loop has handled what was posted."""
    for _ in range(3):
        await anyio.lowlevel.checkpoint()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crashes, "_FIRST_PAUSE", 0.0)


@pytest.mark.usefixtures("at_once")
async def test_a_prompt_that_ends_the_engine_twice_is_not_sent_a_third_time() -> None:
    home = FakeHome()
    async with running(("process", lambda: home)) as client:
        client.engine.load(ModelSpec(""))
        for _ in range(2):
            home.ready()
            await client.until("ready")
            answer = client.ask()
            home.lose()
            await answer.end()
            loads = len(home.loads())
            while len(home.loads()) == loads:
                await anyio.lowlevel.checkpoint()
        home.ready()
        await client.until("ready")
        sent = len(home.sent)
        end = await client.ask().end()
        assert "has ended the engine twice" in end.message
        assert len(home.sent) == sent
        client.ask(prompt=make_prompt("another", ""))
        assert len(home.sent) == sent + 1


@pytest.mark.usefixtures("at_once")
async def test_a_model_that_ends_the_engine_while_it_is_loaded_has_failed_after_three_tries() -> None:
    home = FakeHome()
    async with running(("process", lambda: home)) as client:
        client.engine.load(ModelSpec(""))
        loads = 0
        while client.engine.model.kind != "failed":
            assert loads < 3
            if len(home.loads()) > loads:
                loads = len(home.loads())
                home.lose()
            await settled()
        assert loads == 3
        assert "while the model was loaded" in client.engine.model.message


@pytest.mark.usefixtures("at_once")
async def test_what_is_set_is_set_for_the_next_engine_too(known: ModelSpec) -> None:
    home = FakeHome()
    async with running(("process", lambda: home)) as client:
        client.engine.keep({"chat": 60.0}, 1 << 20)
        client.engine.load(known)
        before = list(home.sent)
        home.lose()
        while len(home.sent) < 4:
            await anyio.lowlevel.checkpoint()
        keep, load = home.sent[2:]
        assert keep == before[0]
        assert (load.spec, load.role) == (known, "completion")  # type: ignore[union-attr]


async def test_late_news_of_a_home_that_was_left_is_ignored() -> None:
    first, second = FakeHome(), FakeHome()
    async with running(("in-process", lambda: first), ("process", lambda: second)) as client:
        client.engine.load(ModelSpec(""))
        first.ready()
        await client.until("ready")
        answer = client.ask()
        client.engine.move_to("process")
        assert (await answer.end()).reason is FinishReason.CANCELLED
        assert client.engine.model.kind == "none"
        first.ready()
        first.lose()
        first.post(ModelLoading(0.5))
        await settled()
        assert client.engine.model.kind == "none"
        client.engine.load(ModelSpec(""))
        assert second.loads()


async def test_a_command_that_cannot_be_started_is_a_loss(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    async with running() as client:
        client.engine.load(ModelSpec(""))
        while not client.engine.model.message:
            await client.changed.wait()
        assert "cannot be started: No such file or directory" in client.engine.model.message


@pytest.mark.usefixtures("at_once")
async def test_random_kills_leave_no_request_without_its_one_answer(known: ModelSpec) -> None:
    random = Random(5)
    async with running() as client:
        client.engine.load(known)
        for number in range(scaled(4)):
            await client.until("ready")
            prompt = make_prompt(f"# {number}\ndef area(width, height):\n", "    return wi")
            answers = [client.ask(prompt=prompt) for _ in range(random.randint(1, 4))]
            if random.random() < 0.5:
                await answers[0].begun.wait()
            for each in answers:
                if random.random() < 0.3:
                    client.engine.cancel(each.id)
            for process in engines():
                process.kill()
            for each in answers:
                await each.end()
            await client.until("loading")
        await client.until("ready")
        assert (await client.ask().end()).text == TEXT
        assert client.engine.running == 0
        assert len(engines()) == 1


def test_a_message_that_is_none_ends_the_process_with_one_line() -> None:
    command = [sys.executable, "-m", "lsp_server", "engine", "--backend", "scripted", "--folder", "/"]
    done = subprocess.run(command, input=b"GET / HTTP/1.1\r\n\r\n", capture_output=True, timeout=SECONDS, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("fimble: the engine got a frame of ")


async def test_a_process_that_hangs_is_ended_at_the_next_message(
    known: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running() as client:
        client.engine.load(known)
        await client.until("ready")
        (process,) = engines()
        process.suspend()
        monkeypatch.setattr(link, "_PONG_SECONDS", 0.0)
        answers = [client.ask(prompt=make_prompt(str(number), "")) for number in range(3)]
        for answer in answers:
            end = await answer.end()
            assert end.message == "the engine does not answer any more and is started again"
        monkeypatch.undo()
        await client.until("ready")
        assert (await client.ask().end()).text == TEXT


def test_a_server_that_leaves_is_gone_however_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "_MOST_WAITING", 4)
    may_open, gone = threading.Event(), threading.Event()

    def read(_: int) -> bytes:
        gone.wait(SECONDS)
        return b""

    def opened() -> link.Opened:
        may_open.wait(SECONDS)
        return link.Opened(lambda _: None, read, gone.set, gone.set, str)

    connection = link.Link(opened, lambda _: None)
    for number in range(4):
        connection.send(Cancel(number))
    connection.leave()
    may_open.set()
    assert gone.wait(5)
