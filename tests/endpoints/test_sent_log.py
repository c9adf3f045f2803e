"""What is kept of requests to endpoints: when and how much, for the user alone to read, and never a text."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from lsp_server.backends.base import ModelSpec
from lsp_server.core.prompt import FimPrompt
from lsp_server.endpoints import sent_log
from lsp_server.endpoints.home import RemoteHome
from lsp_server.endpoints.sent_log import MOST_KEPT, Sent, SentLog, add, last_sent, own_words
from lsp_server.engine.api import Finished, FinishReason, TextDelta
from lsp_server.engine.client import EngineClient
from lsp_server.engine.endpoint import Kind
from tests.endpoints.server import KINDS, Server, response, serving, stream
from tests.endpoints.test_home import FAULTS, fim
from tests.engine.harness import BLOCK


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "fimble" / "endpoint-requests.jsonl"


def sent(number: int = 0, **more: Any) -> Sent:
    given = {"at": 1.7e9 + number, "endpoint": "team", "job": "completion", "prompt_tokens": None}
    given |= {"answer_tokens": number, "first_ms": None, "total_ms": 4.5, "result": "stop", **more}
    return Sent(**given)


async def asked(
    server: Server, *, prompt: FimPrompt | None = None, cancel: bool = False, late_ms: int = 20_000
) -> Finished:
    """The end of one request, after which the engine is stopped."""
    done = anyio.Event()
    home = RemoteHome("team", server.endpoint(late_ms=late_ms), environ={}, log=SentLog())
    engine = EngineClient({"in-process": lambda: home})
    ends: list[Finished] = []

    def take(event: TextDelta | Finished) -> None:
        if isinstance(event, Finished):
            ends.append(event)
            done.set()

    engine.start()
    try:
        with anyio.fail_after(20):
            engine.load(ModelSpec(server.endpoint().url))
            while engine.model.kind == "loading":
                await anyio.sleep(0.005)
            number = engine.submit(prompt or fim(), BLOCK, 20, take)
            if cancel:
                while not server.completions:
                    await anyio.sleep(0.005)
                engine.cancel(number)
            await done.wait()
    finally:
        await engine.stop()
    return ends[0]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "chat"])
async def test_a_request_leaves_a_line_without_text(kind: Kind, file: Path) -> None:
    async with serving(kind) as server:
        end = await asked(server)
    (found,) = last_sent()
    assert (found.endpoint, found.job, found.result) == ("team", "completion", end.reason.value)
    assert found.answer_tokens == end.usage.decoded_tokens > 0
    assert found.prompt_tokens in (None, 7)
    assert found.first_ms is not None
    assert found.first_ms <= found.total_ms
    line = file.read_text()
    assert not any(text in line for text in ("area", "width", "ea(wi", "def", "127.0.0.1"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_is_told_in_our_own_words(name: str) -> None:
    behaviour, words = FAULTS[name]
    async with serving("openai", **behaviour) as server:
        end = await asked(server, late_ms=100)
    assert end.reason is FinishReason.FAILED
    (found,) = last_sent()
    assert found.result == "failed"
    assert found.problem
    assert not any(theirs in found.problem for theirs in ("bad key", "slow down", "broken", "xx", "[1", "{", "SSH"))
    assert words.partition(":")[0] in found.problem or name in ("error event", "odd event", "endless line")


async def test_a_cancelled_request_was_sent_all_the_same() -> None:
    async with serving("openai", stall=True) as server:
        assert (await asked(server, cancel=True)).reason is FinishReason.CANCELLED
    (found,) = last_sent()
    assert (found.result, found.answer_tokens, found.first_ms) == ("cancelled", 0, None)


async def test_what_is_not_sent_leaves_no_line(file: Path) -> None:
    async with serving("openai", probe=response(401, {})) as server:
        assert (await asked(server)).reason is FinishReason.FAILED
    assert not file.exists()


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        ("has no such call or model (404): you sent `x = 1`; see `url`", "has no such call or model (404)"),
        ("has written nothing within 2000 ms (`late_ms`)", "has written nothing within 2000 ms (`late_ms`)"),
        ("cannot be reached ([Errno 111] x = 1)", "cannot be reached"),
        ("says: x = 1", "answers with an error"),
        ("", ""),
    ],
)
def test_own_words(problem: str, words: str) -> None:
    assert own_words(problem) == words


def test_the_last_ones_are_kept_and_the_file_stays_small(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent_log, "_LARGE_BYTES", 60_000)
    for number in range(0, 2000, 4):
        add([sent(number + each) for each in range(4)])
        assert file.stat().st_size < 80_000
    assert [each.answer_tokens for each in last_sent()] == list(range(2000 - MOST_KEPT, 2000))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_a_line_that_was_cut_costs_no_other(file: Path) -> None:
    add([sent(1)])
    file.write_bytes(file.read_bytes() + b'{"at": 17')
    file.chmod(0o644)
    add([sent(2)])
    assert [each.answer_tokens for each in last_sent()] == [1, 2]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_only_a_file_is_written(file: Path, tmp_path: Path, kind: str) -> None:
    file.parent.mkdir()
    target = tmp_path / "target"
    target.write_text("theirs")
    if kind == "link":
        file.symlink_to(target)
    elif kind == "pipe":
        os.mkfifo(file)
    else:
        file.mkdir()
    add([sent()])
    assert target.read_text() == "theirs"
    assert last_sent() == []


async def test_lines_are_gathered_and_the_last_are_written_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent_log, "_GATHER_SECONDS", 30.0)
    written: list[list[Sent]] = []
    log = SentLog(lambda lines: written.append(list(lines)))
    for number in range(5):
        log.note(sent(number))
        await anyio.sleep(0)
    assert written == []
    await log.close()
    assert [[each.answer_tokens for each in lines] for lines in written] == [[0, 1, 2, 3, 4]]
    await log.close()
    assert len(written) == 1


APPEND = """
import sys
from lsp_server.endpoints import sent_log
sent_log._LARGE_BYTES, sent_log.MOST_KEPT = 1, 9999  # every write replaces the file
for number in range(60):
    sent_log.add([sent_log.Sent(at=1e9, endpoint=sys.argv[1], job="", prompt_tokens=None, answer_tokens=number,
        first_ms=None, total_ms=1.0, result="stop")])
"""


def test_processes_that_write_at_once_lose_no_line(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("one", "other")
    processes = [subprocess.Popen([sys.executable, "-c", APPEND, name]) for name in names]
    assert [process.wait(60) for process in processes] == [0, 0]
    monkeypatch.setattr(sent_log, "MOST_KEPT", 9999)
    found = last_sent()
    for name in names:
        assert [each.answer_tokens for each in found if each.endpoint == name] == list(range(60))
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_a_clock_that_was_wrong_hides_no_later_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent_log, "_LARGE_BYTES", 1)
    add([sent(number, at=4e9) for number in range(MOST_KEPT)])
    for number in (501, 502):
        add([sent(number)])
        assert number in [each.answer_tokens for each in last_sent()]


async def test_while_the_disk_does_not_answer_a_limited_number_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent_log, "_GATHER_SECONDS", 30.0)
    written: list[list[Sent]] = []
    log = SentLog(lambda lines: written.append(list(lines)))
    for number in range(3 * MOST_KEPT):
        log.note(sent(number))
    await log.close()
    assert [[each.answer_tokens for each in lines] for lines in written] == [list(range(2 * MOST_KEPT, 3 * MOST_KEPT))]


def test_a_process_that_keeps_the_lock_is_not_waited_for(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent_log, "_LOCK_SECONDS", 0.05)
    add([sent(1)])
    with file.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        add([sent(2)])
    assert [each.answer_tokens for each in last_sent()] == [1, 2]


@pytest.mark.parametrize("told", ["true", "-3", "1e300", "1" * 40, '"x = 1"', "[7]"])
async def test_a_server_cannot_spoil_its_line_with_an_odd_count(told: str, file: Path) -> None:
    event = f'data: {{"usage": {{"prompt_tokens": {told}}}, "choices": [{{"text": "x", "finish_reason": "stop"}}]}}\n\n'
    async with serving("openai", answer=stream(event.encode())) as server:
        await asked(server)
    (found,) = last_sent()
    assert found.prompt_tokens is None
    assert "1111" not in file.read_text()


async def test_a_request_that_is_sent_twice_has_two_lines() -> None:
    """Token healing has failed: the answer does not begin with what was typed, and the whole is sent once more."""
    async with serving("openai", pieces=["zz\n"]) as server:
        await asked(server, prompt=fim(typed="    return ar"))
        assert len(server.completions) == 2
    found = last_sent()
    assert [each.answer_tokens for each in found] == [1, 1]
    assert found[0].result == "cancelled"
