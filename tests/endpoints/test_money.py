"""What endpoints cost: how a request is estimated, the sums of a day over all processes, and the limit of a day."""

from __future__ import annotations

import multiprocessing
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from lsp_server.endpoints import money
from lsp_server.endpoints.money import MoneyError, Spending, costs_path
from lsp_server.endpoints.sent_log import last_sent
from lsp_server.engine.endpoint import Kind, shown_cost
from lsp_server.engine.switch import Switch
from lsp_server.features.inline import InlineCompleter
from tests.endpoints.server import Server, response, serving
from tests.endpoints.switched import SOURCE, switched
from tests.support.cursor import parse_cursor

PRICES = {"price_in": 2.0, "price_out": 10.0}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state folder of its own, and a time zone in which midnight is not that of UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path))
        patch.setenv("TZ", "Pacific/Auckland")
        time.tzset()
        yield tmp_path
    time.tzset()


class Clock:
    def __init__(self, text: str) -> None:
        self.now = time.mktime(time.strptime(text, "%Y-%m-%d %H:%M:%S"))

    def __call__(self) -> float:
        return self.now


def test_sums_begin_anew_at_local_midnight() -> None:
    clock = Clock("2026-03-01 23:59:58")
    spending, other = Spending(clock), Spending(clock)
    spending.note("team", 1.5, clock())
    assert spending.today() == {"team": 1.5}
    assert other.today() == {}, "it was not written yet"
    spending.write()
    other.note("team", 0.25, clock())
    other.note("spare", 4.0, clock())
    other.write()
    assert spending.today() == other.today() == {"team": 1.75, "spare": 4.0}
    clock.now += 1
    assert spending.today() == {"team": 1.75, "spare": 4.0}
    clock.now += 1
    assert spending.today() == other.today() == {}
    other.note("team", 8.0, clock() - 1)  # sent before midnight, and noted after it
    other.note("team", 2.0, clock())
    assert other.today() == {"team": 2.0}
    other.write()
    assert spending.today() == {"team": 2.0}
    assert sorted(file.name for file in costs_path().iterdir()) == ["2026-03-01.jsonl", "2026-03-02.jsonl"]
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in costs_path().iterdir())


def test_only_the_files_of_a_week_are_kept() -> None:
    clock = Clock("2026-03-01 12:00:00")
    for _ in range(10):
        spending = Spending(clock)
        spending.note("team", 1.0, clock())
        spending.write()
        clock.now += 86_400
    assert [file.name for file in sorted(costs_path().iterdir())] == [f"2026-03-{day:02}.jsonl" for day in range(4, 11)]


def _spend() -> None:
    for _ in range(200):
        spending = Spending()
        spending.note("team", 1.0, time.time())
        spending.write()


def test_processes_that_write_at_once_lose_nothing() -> None:
    processes = [multiprocessing.get_context("fork").Process(target=_spend) for _ in range(4)]
    reader = Spending()
    for process in processes:
        process.start()
    seen = [reader.today().get("team", 0.0) for _ in range(50)]
    for process in processes:
        process.join()
    assert seen == sorted(seen)
    assert reader.today() == Spending().today() == {"team": 800.0}


def test_damaged_lines_are_skipped_and_a_file_that_is_replaced_is_read_anew() -> None:
    clock = Clock("2026-03-01 12:00:00")
    spending = Spending(clock)
    file = costs_path() / "2026-03-01.jsonl"
    file.parent.mkdir(parents=True)
    file.write_bytes(b'["team",1]\n\xff\n{}\n["team",-5]\n["team",NaN]\n["team",1e300]\n' + b"[" * 9000 + b'\n["team",')
    assert spending.today() == {"team": 1.0}
    with file.open("ab") as opened:
        opened.write(b"2]\n")  # the rest of a line that was being written
    assert spending.today() == {"team": 3.0}
    file.unlink()
    assert spending.today() == {}
    file.write_bytes(b'["team",7]\n')
    assert spending.today() == {"team": 7.0}


def test_what_cannot_be_written_counts_in_this_process(state: Path) -> None:
    (state / "fimble").mkdir()
    costs_path().write_text("a file where the folder should be")
    spending = Spending(Clock("2026-03-01 12:00:00"))
    spending.note("team", 1.0, Clock("2026-03-01 12:00:00")())
    spending.write()
    with pytest.raises(MoneyError, match="cannot be read"):
        spending.today()
    costs_path().unlink()
    assert spending.today() == {"team": 1.0}


@pytest.mark.parametrize(
    ("cost", "text"), [(0.0, "0.00"), (12.345, "12.35"), (0.125, "0.12"), (0.00042, "0.00042"), (0.0000031, "3.1e-06")]
)
def test_how_a_sum_is_shown(cost: float, text: str) -> None:
    assert shown_cost(cost) == text
    assert shown_cost(cost, estimated=True) == f"~{text}"


async def at_work(
    server: Server, spending: Spending, work: Callable[[Switch, InlineCompleter], Any], **more: Any
) -> None:
    """Runs `work` once both places have been looked at."""
    async with switched(server, spending, **more) as (switch, completer):
        while any(place[1].kind in ("none", "loading") for place in switch.places("completion")):
            await anyio.sleep(0.005)
        await work(switch, completer)


async def completed(completer: InlineCompleter) -> Any:
    return await completer.complete(*parse_cursor(SOURCE, path="a.py"))


@pytest.mark.parametrize(("kind", "estimated"), [("llama-server", False), ("openai", True)])
async def test_a_request_costs_what_its_tokens_cost(kind: Kind, estimated: bool) -> None:
    spending = Spending()

    async def work(switch: Switch, completer: InlineCompleter) -> None:
        outcome = await completed(completer)
        assert (outcome.usage.place, outcome.usage.estimated) == ("team", estimated)

    async with serving(kind, pieces=[" area", "(2)", "\n\n"]) as server:
        await at_work(server, spending, work, **PRICES)
        (body,) = server.completions
    (found,) = last_sent()
    prompt = -(-len(body["prompt"].encode()) // 3) if estimated else found.prompt_tokens
    assert found.cost == pytest.approx((2 * prompt + 10 * found.answer_tokens) / 1e6, rel=1e-9)
    assert found.estimated is estimated
    assert spending.today() == {"team": found.cost}


async def test_what_the_server_refuses_costs_nothing() -> None:
    spending = Spending()

    async def work(switch: Switch, completer: InlineCompleter) -> None:
        assert (await completed(completer)).usage.place == ""

    async with serving("openai", answer=response(429, {"error": "no"})) as server:
        await at_work(server, spending, work, **PRICES)
    assert [found.cost for found in last_sent()] == [0.0]
    assert spending.today() == {}


async def test_at_the_limit_the_next_place_answers_until_midnight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lsp_server.engine.retry.PASSING_PAUSE_S", 0.0)
    clock = Clock("2026-03-01 23:00:00")
    spending, other = Spending(clock), Spending(clock)

    async def work(switch: Switch, completer: InlineCompleter) -> None:
        assert (await completed(completer)).usage.place == "team"
        other.note("team", 3.0, clock())  # in another editor
        other.write()
        sent = len(server.completions)
        outcome = await completer.complete(*parse_cursor(SOURCE.replace("ar$0", "a$0"), path="b.py"))
        assert (outcome.usage.place, outcome.suggestion is not None) == ("", True)
        state = switch.places("completion")[0][1]
        assert state.kind == "failed"
        assert state.message.endswith("has cost 3.00 today, and its `daily_limit` is 3")
        assert len(server.completions) == sent
        clock.now += 3600
        while not switch.places("completion")[0][2]:
            switch.wake()
            await anyio.sleep(0.005)
        outcome = await completer.complete(*parse_cursor(SOURCE.replace("ar$0", "are$0"), path="c.py"))
        assert outcome.usage.place == "team"

    async with serving("openai", pieces=lambda body: [" area", "(2)", "\n\n"]) as server:
        await at_work(server, spending, work, **PRICES, daily_limit=3.0)


async def test_without_a_readable_sum_a_limited_endpoint_is_not_asked(state: Path) -> None:
    (state / "fimble").mkdir()
    costs_path().write_text("a file where the folder should be")

    async def work(switch: Switch, completer: InlineCompleter) -> None:
        assert (await completed(completer)).usage.place == ""
        assert "has a `daily_limit`, and" in switch.places("completion")[0][1].message

    async with serving("openai", pieces=[" area", "(2)", "\n\n"]) as server:
        await at_work(server, Spending(), work, **PRICES, daily_limit=3.0)
        assert server.requests == []


def test_a_larger_file_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(money, "_MOST_BYTES", 40)
    clock = Clock("2026-03-01 12:00:00")
    spending = Spending(clock)
    for _ in range(4):
        spending.note("team", 1.0, clock())
        spending.write()
    with pytest.raises(MoneyError, match="too large"):
        spending.today()
