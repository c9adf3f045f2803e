"""Evaluated prompts that outlive the server: written, read, damaged, shared and evicted, on the hashing backend."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lsp_server.backends.base import ModelSpec, SequenceState
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.engine import saved_prompts
from lsp_server.engine.core import EngineCore
from lsp_server.engine.request import Finished, Generate, Keep, Load, ModelReady, Shutdown
from lsp_server.engine.saved_prompt_choice import ReadPace, Saved, best, is_worth_saving, replaced
from lsp_server.engine.saved_prompts import REST_SECONDS
from lsp_server.system import saved_prompt_files
from tests.engine.harness import BLOCK, LINE, EngineHarness, Recurrent, ask, cold, make_prompt
from tests.support.effort import scaled

PLENTY = 1 << 30
TEXTS = [f"def f{i}():\n" + f"    value = value * {i}\n" * 12 for i in range(4)]
FILES = "*.prompt1"


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    yield saved_prompt_files.folder()


class Sliding(ScriptedBackend):
    """Has a layer that sees the last tokens only: what is restored cannot be cut back."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        self.info = replace(self.info, sliding_tokens=32)
        self.least: dict[int, int] = {}

    def truncate(self, sequence: int, length: int) -> int:
        if length < self.least.get(sequence, 0):
            self.least[sequence] = length = 0
        return super().truncate(sequence, length)

    def copy(self, source: int, target: int) -> None:
        super().copy(source, target)
        self.least[target] = self.least.get(source, 0)

    def restore(self, sequence: int, state: SequenceState) -> int:
        self.least[sequence] = state.length
        return super().restore(sequence, state)


class Server(EngineHarness):
    """An engine as a server has it, with so much room for prompts on the disk."""

    def __init__(self, backend: Callable[..., ScriptedBackend] = ScriptedBackend, limit: int = PLENTY) -> None:
        super().__init__(backend)
        self.engine.send(Keep({}, limit))
        self.load(sequences=3)

    def rest(self) -> None:
        """The user does nothing until all is written."""
        for _ in range(20):
            self.clock.now += REST_SECONDS + 60
            self.step()
            self.receive()

    def shut_down(self) -> None:
        self.engine.send(Shutdown())
        self.engine.run()


def evaluated(server: Server, request: Generate) -> int:
    """How many tokens of a request's prompt are evaluated. Its answer is that of a cold run."""
    finished = server.run(request)
    check(request, finished)
    return finished.usage.evaluated_tokens


def check(request: Generate, finished: Finished) -> None:
    truth = cold(request.prompt, request.stop, request.max_tokens)  # type: ignore[arg-type]
    assert (finished.text, finished.reason, finished.logprob) == (truth.text, truth.reason, truth.logprob)


def saved_files(folder: Path) -> list[Path]:
    return sorted(folder.glob(FILES))


BACKENDS = pytest.mark.parametrize("backend", [ScriptedBackend, Recurrent, Sliding])


@BACKENDS
@pytest.mark.parametrize("how", ["rest", "end"])
def test_a_reopened_place_costs_hardly_a_token(backend: Callable[..., ScriptedBackend], how: str) -> None:
    request = ask(1, make_prompt(TEXTS[1], "retu"))
    first = Server(backend)
    whole = evaluated(first, request)
    if how == "rest":
        first.rest()
    else:
        first.shut_down()
    again = evaluated(Server(backend), request)
    assert whole > 200
    assert again <= 12


@pytest.mark.parametrize(
    ("typed", "tokens"), [("value = ", 1), ("value = r", 2), ("value = retu", 5), ("value = sreturn", 1)]
)
def test_a_reopened_place_costs_what_can_be_healed_there(typed: str, tokens: int) -> None:
    """The last token, whose logits are no longer there, and those that a longer token can replace."""
    request, words = ask(1, make_prompt(TEXTS[1], typed)), (b"return",)
    first = Server(lambda spec, progress: ScriptedBackend(spec, progress, words=words))
    first.run(request)
    first.shut_down()
    finished = Server(lambda spec, progress: ScriptedBackend(spec, progress, words=words)).run(request)
    assert finished.text == cold(request.prompt, request.stop, request.max_tokens, words=words).text  # type: ignore[arg-type]
    assert finished.usage.evaluated_tokens == tokens


@BACKENDS
def test_what_has_been_typed_since_is_all_that_is_evaluated(backend: Callable[..., ScriptedBackend]) -> None:
    first = Server(backend)
    evaluated(first, ask(1, make_prompt(TEXTS[1], "re")))
    first.shut_down()
    second = Server(backend)
    assert evaluated(second, ask(1, make_prompt(TEXTS[1], "return value"))) <= 20
    assert evaluated(second, ask(2, make_prompt(TEXTS[1], "return value + "))) <= 20, "it goes on as usual from there"


def test_nothing_is_written_while_there_is_work_or_the_user_has_just_typed(cache_folder: Path) -> None:
    server = Server()
    server.run(ask(1, TEXTS[0]))
    server.clock.now += REST_SECONDS / 2
    server.step()
    server.receive()
    assert saved_files(cache_folder) == []
    server.send(ask(2, TEXTS[1], max_tokens=64, stop=BLOCK))
    server.clock.now += 10 * REST_SECONDS
    assert server.step()
    server.receive()
    assert saved_files(cache_folder) == []
    server.drain()
    server.rest()
    assert len(saved_files(cache_folder)) == 2


def test_an_engine_that_sleeps_wakes_to_write(cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_prompts, "REST_SECONDS", 0.0)
    monkeypatch.setattr(saved_prompts, "_BYTES_PER_SECOND", 1e12)
    written, write = [threading.Event(), threading.Event()], saved_prompt_files.write

    def noted(*arguments: Any, **options: Any) -> int:
        size = write(*arguments, **options)
        next(event for event in written if not event.is_set()).set()
        return size

    monkeypatch.setattr(saved_prompt_files, "write", noted)
    ready = threading.Event()
    engine = EngineCore(ScriptedBackend, lambda event: ready.set() if isinstance(event, ModelReady) else None)
    engine.send(Keep({}, PLENTY))
    engine.send(Load(ModelSpec("", 1024, 3, fim_format="qwen")))
    thread = threading.Thread(target=engine.run)
    thread.start()
    try:
        assert ready.wait(20)
        for number in (0, 1):
            engine.send(ask(number, TEXTS[number]))
            assert written[number].wait(20)
    finally:
        engine.send(Shutdown())
        thread.join(20)
    assert len(saved_files(cache_folder)) == 2


def test_a_prompt_is_written_once_until_it_has_become_another(cache_folder: Path) -> None:
    server = Server()
    server.run(ask(1, make_prompt(TEXTS[0], "")))
    server.rest()
    (written,) = saved_files(cache_folder)
    stamp = written.stat().st_mtime_ns
    server.run(ask(2, make_prompt(TEXTS[0], "ret")))
    server.rest()
    assert [(path, path.stat().st_mtime_ns) for path in saved_files(cache_folder)] == [(written, stamp)]
    server.run(ask(3, make_prompt(TEXTS[0], "value = value " * 8)))
    server.rest()
    (other,) = saved_files(cache_folder)
    assert other != written, "the longer one takes its place"


def test_only_the_user_can_read_what_is_written(cache_folder: Path) -> None:
    cache_folder.mkdir(parents=True, mode=0o777)
    server = Server()
    server.run(ask(1, TEXTS[0]))
    server.shut_down()
    assert cache_folder.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in cache_folder.iterdir()] == [0o600]


def test_turned_off_nothing_is_written_or_read(cache_folder: Path) -> None:
    off = Server(limit=0)
    off.run(ask(1, TEXTS[0]))
    off.rest()
    off.shut_down()
    assert not cache_folder.exists()
    on = Server()
    on.run(ask(1, TEXTS[0]))
    on.shut_down()
    assert saved_files(cache_folder)
    assert evaluated(Server(limit=0), ask(1, TEXTS[0])) > 200


def flipped(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def cut(path: Path, rng: random.Random) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size))


def longer(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes() + rng.randbytes(rng.randrange(1, 200)))


def other_bytes(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.randbytes(rng.randrange(4000)))


def exchanged(path: Path, rng: random.Random) -> None:
    """The content of a whole file under another's name."""
    path.write_bytes(rng.choice(saved_files(path.parent)).read_bytes())


DAMAGES = [flipped, cut, longer, other_bytes]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_as_none_and_goes(cache_folder: Path, damage: Callable[[Path, random.Random], None]) -> None:
    rng = random.Random(damage.__name__)
    for _ in range(scaled(20)):
        first = Server()
        first.run(ask(1, TEXTS[0]))
        first.shut_down()
        (path,) = saved_files(cache_folder)
        damage(path, rng)
        second = Server()
        assert evaluated(second, ask(1, TEXTS[0])) > 200
        assert saved_files(cache_folder) == []


def test_another_model_does_not_read_it() -> None:
    first = Server()
    first.run(ask(1, TEXTS[0]))
    first.shut_down()
    other = Server(lambda spec, progress: ScriptedBackend(spec, progress, words=[b"value"]))
    assert other.run(ask(1, TEXTS[0])).usage.reused_tokens == 0
    other.engine.send(Load(ModelSpec("", 1024, 3, fim_format="starcoder")))
    other.receive()
    prompt = make_prompt(TEXTS[0], "", form="starcoder")
    assert other.run(ask(2, prompt)).usage.reused_tokens == 0


def test_servers_at_the_same_time_read_what_each_other_writes(cache_folder: Path) -> None:
    first, second = Server(), Server()
    assert evaluated(second, ask(1, TEXTS[3])) > 200
    first.run(ask(1, TEXTS[0]))
    first.rest()
    assert evaluated(second, ask(2, TEXTS[0])) <= 12
    second.rest()
    assert evaluated(first, ask(2, TEXTS[3])) <= 12
    assert len(saved_files(cache_folder)) == 2
    saved_prompt_files.empty()
    third = Server()
    assert evaluated(third, ask(1, TEXTS[0])) > 200
    third.shut_down()
    fourth = Server()
    for path in saved_files(cache_folder):
        path.unlink()  # behind its back
    assert evaluated(fourth, ask(1, TEXTS[0])) > 200


def test_the_least_used_goes_first_and_the_limit_holds(cache_folder: Path) -> None:
    server = Server()
    server.run(ask(1, TEXTS[0]))
    server.shut_down()
    (path,) = saved_files(cache_folder)
    limit = 3 * path.stat().st_size + 1000
    for number in (1, 2):
        server = Server(limit=limit)
        server.run(ask(1, TEXTS[number]))
        server.shut_down()
    for age, path in enumerate(saved_files(cache_folder)):
        os.utime(path, (1e9 + age, 1e9 + age))
    assert evaluated(Server(limit=limit), ask(1, TEXTS[0])) <= 12, "which is a use of it"
    server = Server(limit=limit)
    server.run(ask(1, TEXTS[3]))
    server.shut_down()
    assert saved_prompt_files.usage().bytes <= limit
    kept = [evaluated(Server(limit=limit), ask(1, text)) <= 12 for text in TEXTS]
    assert kept[0] and kept[3]
    assert sorted(kept[1:3]) == [False, True]


def test_a_write_that_is_given_up_leaves_nothing(cache_folder: Path) -> None:
    state = memoryview(bytes(3 << 22))
    asked = iter([True, True, False])
    written = saved_prompt_files.write("k", [1, 2], [(2, state)], 0.0, limit_bytes=PLENTY, go_on=lambda: next(asked))
    assert written == 0
    assert list(cache_folder.iterdir()) == []
    assert saved_prompt_files.write("k", [1, 2], [(2, state)], 0.0, limit_bytes=len(state)) == 0, "it does not fit"
    assert list(cache_folder.iterdir()) == []


def test_what_a_killed_server_left_half_written_goes(cache_folder: Path) -> None:
    cache_folder.mkdir(parents=True)
    old, new = cache_folder / "a.part", cache_folder / "b.part"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (1e9, 1e9))
    server = Server()
    server.run(ask(1, TEXTS[0]))
    server.shut_down()
    assert not old.exists()
    assert new.exists(), "another server may be at it"


def test_a_disk_that_takes_nothing_is_no_trouble(cache_folder: Path) -> None:
    cache_folder.parent.mkdir(parents=True, exist_ok=True)
    cache_folder.write_text("in the way")
    server = Server()
    assert evaluated(server, ask(1, TEXTS[0])) > 200
    server.rest()
    assert evaluated(server, ask(2, TEXTS[1])) > 200
    server.shut_down()


def test_a_saved_prompt_is_answered_from_at_once(cache_folder: Path) -> None:
    """Not from the smaller one that a cold place is answered from."""

    def slow(spec: ModelSpec, progress: Callable[[float], bool]) -> ScriptedBackend:
        backend = ScriptedBackend(spec, progress)
        backend.info = replace(backend.info, token_ms=20.0)
        return backend

    request = replace(ask(1, make_prompt(TEXTS[0], "")), quick=make_prompt("x", ""))
    first = Server(slow)
    assert first.run(request).usage.quick
    evaluated(first, ask(2, make_prompt(TEXTS[0], "")))
    first.shut_down()
    finished = Server(slow).run(request)
    assert not finished.usage.quick
    check(request, finished)


def test_prompts_are_as_large_as_those_that_are_saved() -> None:
    """A machine is never measured to be equally fast twice."""

    def measured(token_ms: float) -> Server:
        def load(spec: ModelSpec, progress: Callable[[float], bool]) -> ScriptedBackend:
            backend = ScriptedBackend(spec, progress)
            backend.info = replace(backend.info, token_ms=token_ms)
            return backend

        return Server(load)

    first = measured(10.0)
    first.run(ask(1, TEXTS[0]))
    first.shut_down()
    told = [measured(token_ms).engine.models["completion"].info.token_ms for token_ms in (12.0, 8.0, 25.0)]
    assert told == [10.0, 10.0, 25.0]


@BACKENDS
@pytest.mark.parametrize("seed", range(2))
def test_texts_are_those_of_cold_runs_whatever_becomes_of_the_files(
    seed: int, backend: Callable[..., ScriptedBackend], cache_folder: Path
) -> None:
    rng = random.Random(f"{seed} {backend.__name__}")
    servers = [Server(backend), Server(backend)]
    read = 0
    for id in range(scaled(100)):
        at, event = rng.randrange(2), rng.random()
        server = servers[at]
        files = saved_files(cache_folder)
        if event < 0.5:
            text = rng.choice(TEXTS)
            before = text[: rng.randrange(len(text))] if rng.random() < 0.3 else text
            prompt = make_prompt(before, "return value"[: rng.randrange(12)], rng.choice(["\n", "\nfoo()\n"]))
            request = ask(id, prompt, stop=rng.choice([LINE, BLOCK]), max_tokens=rng.choice([1, 8, 24]))
            used = [path.stat().st_mtime_ns for path in files]
            check(request, server.run(request))
            read += used != [path.stat().st_mtime_ns for path in files if path.exists()]
        elif event < 0.65:
            server.rest()
        elif event < 0.8:
            if rng.random() < 0.8:
                server.shut_down()
            servers[at] = Server(backend)
        elif event < 0.9 and files:
            rng.choice([*DAMAGES, exchanged, lambda path, _: path.unlink()])(rng.choice(files), rng)
        else:
            limit = rng.choice([0, 1500, 4000, PLENTY, PLENTY])
            server.engine.send(Keep({}, limit))
            server.receive()
    assert read > scaled(100) / 50, "hardly any was ever read"


# The pure part ------------------------------------------------------------------------------------------------


def test_which_saved_prompt_is_read() -> None:
    long, short = Saved("long", list(range(500)), 1), Saved("short", [*range(200), 9, 9], 1)
    assert best([short, long], [*range(400), 7], 0) == (long, 400)
    assert best([short], list(range(400)), 0) == (short, 200)
    assert best([short, long], list(range(400)), 380) is None, "hardly more than what is there"
    assert best([], list(range(400)), 0) is None


def test_what_cannot_be_cut_anywhere_is_of_use_up_to_where_it_can() -> None:
    saved = Saved("a", list(range(300)), 1, (100, 200, 300))
    assert saved.shared(list(range(310))) == 300
    assert saved.shared([*range(250), 7]) == 200
    assert saved.shared([*range(90), 7]) == 0
    assert saved.shared(list(range(300))) == 200, "a token is left to be evaluated, whose logits are wanted"
    assert not is_worth_saving([saved], list(range(300)))


def test_a_prompt_takes_the_place_of_what_it_goes_on_from() -> None:
    tokens = list(range(1000))
    saved = [
        Saved("before", tokens[:950], 1),
        Saved("beside", [*tokens[:950], *[7] * 100], 1),
        Saved("elsewhere", [*tokens[:400], *[7] * 600], 1),
        Saved("nothing like it", [7] * 100, 1),
    ]
    assert replaced(saved, tokens) == ["before", "beside"]


def test_reading_is_as_fast_as_the_last_reads_were() -> None:
    pace = ReadPace()
    pace.learn(1_000_000, 2.0)
    assert pace.seconds(500_000) == pytest.approx(1.0)
    slow = pace.seconds(1_000_000)
    pace.learn(1_000_000, 0.1)
    assert 0.1 < pace.seconds(1_000_000) < slow
    before = pace.seconds(1)
    pace.turned_down()
    assert pace.seconds(1) < before, "it is tried again some day"


def test_what_is_evaluated_sooner_than_read_is_evaluated(cache_folder: Path) -> None:
    first = Server()
    first.run(ask(1, TEXTS[0]))
    first.shut_down()

    def fast(spec: ModelSpec, progress: Callable[[float], bool]) -> ScriptedBackend:
        backend = ScriptedBackend(spec, progress)
        backend.info = replace(backend.info, token_ms=1e-9)
        return backend

    assert evaluated(Server(fast), ask(1, TEXTS[0])) > 200
