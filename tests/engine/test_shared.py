"""An engine that several servers share: one model, one answer for each request, nobody else's events, no orphans."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import anyio
import psutil
import pytest

from lsp_server.backends.base import ModelSpec
from lsp_server.engine.api import Finished, FinishReason
from lsp_server.engine.request import Cancel, Event, Generate, Keep, Load, Message, ModelFailed, ModelReady, Usage
from lsp_server.engine.shared import SharedHome
from lsp_server.engine.shared_hub import Hub
from lsp_server.engine.wire import encode
from lsp_server.system import user_sockets
from tests.engine.harness import ask, make_prompt
from tests.engine.test_process import PROMPT, SECONDS, TEXT, Client
from tests.engine.test_wire import EXAMPLES, info
from tests.support.effort import scaled

KNOWN = "def area(width, height):\n    return width * height\n"


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime folder of the test's own, with a short path. What still runs there at the end is ended."""
    with tempfile.TemporaryDirectory(prefix="fimble-") as name:
        folder = Path(name)
        monkeypatch.setenv("XDG_RUNTIME_DIR", name)
        yield folder
        for process in engines(folder):
            process.kill()


def engines(runtime: Path) -> list[psutil.Process]:
    """The engines that listen in a runtime folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            line = process.cmdline()
            if "--listen" in line and str(runtime) in line[line.index("--listen") + 1]:
                found.append(process)
    return found


@pytest.fixture
def known(tmp_path: Path) -> ModelSpec:
    file = tmp_path / "known.py"
    file.write_text(KNOWN)
    return ModelSpec(str(file), sequences=2)


def home() -> SharedHome:
    return SharedHome(["engine", "--backend", "scripted"])


@asynccontextmanager
async def joined(spec: ModelSpec) -> AsyncIterator[Client]:
    client = Client(("shared", home))
    client.engine.start()
    client.engine.load(spec)
    try:
        with anyio.fail_after(SECONDS):
            await client.until("ready")
            yield client
    finally:
        await client.engine.stop()


async def test_two_servers_have_one_engine_and_each_its_own_answers(known: ModelSpec, runtime: Path) -> None:
    async with joined(known) as first, joined(known) as second:
        (process,) = engines(runtime)
        answers = [client.ask() for client in (first, second)]
        for answer in answers:
            assert (await answer.end()).text == TEXT
        assert [client.engine.running for client in (first, second)] == [0, 0]
    assert process.is_running(), "it waits for the next server"


async def test_another_model_means_another_engine(known: ModelSpec, runtime: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.py"
    other.write_text("def area(width, height):\n    return width + height\n")
    async with joined(known) as first, joined(ModelSpec(str(other), sequences=2)) as second:
        assert len(engines(runtime)) == 2
        assert (await first.ask().end()).text == TEXT
        assert (await second.ask().end()).text == "dth + height\n"
        # A server that changes its model goes over to the other's engine, and its requests end.
        asked = first.ask()
        first.engine.load(ModelSpec(str(other), sequences=2))
        await asked.end()
        await first.until("ready")
        assert (await first.ask().end()).text == "dth + height\n"


async def test_a_chat_model_is_loaded_although_completions_come_from_elsewhere(
    known: ModelSpec, runtime: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.py"
    other.write_text(KNOWN)
    client = Client(("shared", home))
    client.engine.start()
    try:
        with anyio.fail_after(SECONDS):
            early = await client.ask(role="chat").end()
            assert (early.reason, early.message) == (FinishReason.REJECTED, "no model is loaded")
            client.engine.load(known, "chat")
            await client.until("ready", "chat")
            assert (await client.ask(role="chat").end()).text == TEXT
            client.engine.load(replace(known, path=str(other)), "chat")
            await client.until("ready", "chat")
            # A completion model comes later: it decides which engine is used, and actions load their model again.
            client.engine.load(replace(known, sequences=3))
            await client.until("ready")
            assert client.engine.models["chat"].kind == "idle"
            client.engine.load(known, "chat")
            await client.until("ready", "chat")
            assert client.engine.model.kind == "ready"
            assert len(engines(runtime)) == 3
    finally:
        await client.engine.stop()


async def test_a_killed_engine_answers_all_and_one_comes_back_for_both(known: ModelSpec, runtime: Path) -> None:
    async with joined(known) as first, joined(known) as second:
        (process,) = engines(runtime)
        process.suspend()
        answers = [client.ask() for client in (first, second)]
        process.kill()
        for answer in answers:
            end = await answer.end()
            assert (end.reason, end.message) == (FinishReason.FAILED, "the engine has ended and is started again")
        for client in (first, second):
            await client.until("ready")
            assert (await client.ask().end()).text == TEXT
        assert len(engines(runtime)) == 1


def test_an_engine_ends_when_nobody_is_left(runtime: Path) -> None:
    path = user_sockets.folder() / "x"
    arguments = ["--backend", "scripted", "--folder", "/", "--listen", str(path), "--linger", "0.1"]
    done = subprocess.run([sys.executable, "-m", "lsp_server", "engine", *arguments], timeout=SECONDS, check=False)
    assert done.returncode == 0
    assert not path.exists()


async def test_random_joins_leaves_and_kills(known: ModelSpec, runtime: Path) -> None:
    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(_window, known, Random(number), runtime if number == 0 else None)
    with anyio.fail_after(SECONDS):
        while len(engines(runtime)) > 1:  # one that was killed may still be on its way out
            await anyio.sleep(0.05)


async def _window(known: ModelSpec, random: Random, kills: Path | None) -> None:
    """A window that opens and closes, asks, gives up, and kills the engine if it is to."""
    for _ in range(scaled(3)):
        async with joined(known) as client:
            prompts = [make_prompt(f"# {random.random()}\n", "x") for _ in range(random.randint(1, 3))]
            answers = [client.ask(prompt=prompt) for prompt in prompts]
            if random.random() < 0.4:
                client.engine.cancel(answers[0].id)
            if kills is not None:
                for process in engines(kills):
                    process.kill()
            if random.random() < 0.7:
                for answer in answers:
                    await answer.end()
        for answer in answers:
            assert len(answer.ends) == 1


# The hub, by hand -------------------------------------------------------------------------------------------


class Bench:
    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.hub = Hub()
        self.hub.serve(self)

    def send(self, message: Message) -> None:
        self.sent.append(message)

    def join(self) -> tuple[Any, list[Event]]:
        events: list[Event] = []
        return self.hub.join(events.append), events


def test_ids_do_not_meet() -> None:
    bench = Bench()
    (one, ones), (two, twos) = bench.join(), bench.join()
    for client in (one, two):
        bench.hub.take(client, Load(ModelSpec("m"), 1))
        bench.hub.take(client, ask(1, PROMPT))
    ids = [message.id for message in bench.sent if isinstance(message, Generate)]
    bench.hub.post(Finished(ids[1], "b", FinishReason.STOP, Usage()))
    assert ones == []
    assert twos == [Finished(1, "b", FinishReason.STOP, Usage())]
    bench.hub.take(one, Cancel(1, True))
    assert bench.sent[-1] == Cancel(ids[0], True)


def test_who_leaves_has_nothing_under_way_and_hears_nothing() -> None:
    bench = Bench()
    client, events = bench.join()
    bench.hub.take(client, Load(ModelSpec("m"), 1))
    bench.hub.take(client, ask(5, PROMPT))
    (request,) = [message for message in bench.sent if isinstance(message, Generate)]
    bench.hub.leave(client)
    assert Cancel(request.id) in bench.sent
    bench.hub.post(Finished(request.id, "", FinishReason.CANCELLED, Usage()))
    assert events == []


def test_a_model_that_is_there_is_told_at_once_with_the_askers_own_number() -> None:
    bench = Bench()
    (one, ones), (two, twos) = bench.join(), bench.join()
    bench.hub.take(one, Load(ModelSpec("m"), 7))
    bench.hub.post(ModelReady(info(), bench.sent[-1].number))  # type: ignore[union-attr]
    bench.hub.take(two, Load(ModelSpec("m"), 3))
    assert [event.load for event in ones + twos] == [7, 3]  # type: ignore[union-attr]
    assert sum(isinstance(message, Load) for message in bench.sent) == 1


def test_a_chat_model_in_use_is_not_exchanged_by_another_window() -> None:
    bench = Bench()
    (one, _), (two, twos) = bench.join(), bench.join()
    bench.hub.take(one, Load(ModelSpec("a", chat=True), 1, "chat"))
    bench.hub.take(two, Load(ModelSpec("b", chat=True), 1, "chat"))
    (refused,) = twos
    assert isinstance(refused, ModelFailed)
    assert "another chat model" in refused.message
    bench.hub.leave(one)
    bench.hub.take(two, Load(ModelSpec("b", chat=True), 2, "chat"))
    assert bench.sent[-1].spec.path == "b"  # type: ignore[union-attr]


def test_what_is_kept_is_what_all_allow() -> None:
    bench = Bench()
    (one, _), (two, _) = bench.join(), bench.join()
    bench.hub.take(one, Keep({"completion": 60.0, "chat": 10.0}, 1000))
    bench.hub.take(two, Keep({"completion": 0.0, "chat": 20.0}, 0))
    assert bench.sent[-1] == Keep({"completion": 0.0, "chat": 20.0}, 0)
    bench.hub.leave(two)
    assert bench.sent[-1] == Keep({"completion": 60.0, "chat": 10.0}, 1000)


# The socket -------------------------------------------------------------------------------------------------


async def test_nonsense_at_the_socket_ends_its_connection_and_no_more(known: ModelSpec, runtime: Path) -> None:
    random = Random(4)
    frames = [encode(message) for message in EXAMPLES]
    async with joined(known) as client:
        (path,) = [entry for entry in (runtime / "fimble").iterdir() if entry.is_socket()]
        for _ in range(scaled(300)):
            frame = bytearray(random.choice(frames))
            for _ in range(random.randint(1, 3)):
                frame[random.randrange(len(frame))] = random.randrange(256)
            with socket.socket(socket.AF_UNIX) as stranger, suppress(OSError):
                stranger.connect(str(path))
                stranger.sendall(bytes(frame[: random.randint(1, len(frame))]))
        assert (await client.ask().end()).text == TEXT
        assert len(engines(runtime)) == 1


def test_a_folder_that_others_can_use_is_refused(runtime: Path) -> None:
    (runtime / "fimble").mkdir(mode=0o755)
    (runtime / "fimble").chmod(0o755)
    with pytest.raises(user_sockets.FolderError, match="must be a folder that only you can use"):
        user_sockets.folder()


def test_the_socket_is_the_users_alone(runtime: Path) -> None:
    assert user_sockets.folder().stat().st_mode & 0o777 == 0o700
    here, there = socket.socketpair()
    with here, there:
        assert user_sockets.is_ours(here)


def test_a_path_that_is_too_long_for_a_socket_is_refused_with_the_cure(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = runtime / ("x" * 100)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    with pytest.raises(user_sockets.FolderError, match="set XDG_RUNTIME_DIR to a shorter one"):
        user_sockets.folder()


async def test_what_is_wrong_with_the_place_is_told_and_not_blamed_on_the_model(
    known: ModelSpec, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lsp_server.engine.crashes._FIRST_PAUSE", 0.0)
    (runtime / "fimble").mkdir()
    (runtime / "fimble").chmod(0o755)
    client = Client(("shared", home))
    client.engine.start()
    client.engine.load(known)
    with anyio.fail_after(SECONDS):
        state = await client.until("failed")
        await client.engine.stop()
    assert "must be a folder that only you can use" in state.message
    assert "gpu_layers" not in state.message
