"""`bench team`: the simulated inference server by hand and at random, the figures, and whole runs on virtual time."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

import bench.__main__ as bench
from bench.arms.arm import quantile
from bench.keystrokes import Session
from bench.serving import developers as making
from bench.serving import virtual_time
from bench.serving.clients import ARMS, OURS, Key
from bench.serving.developers import Developer, Tokens, developers
from bench.serving.figures import Run, most_carried, ratio, run_of
from bench.serving.inference import BROKEN, InferenceServer, Request, Totals
from bench.serving.protocol import Outage
from bench.serving.service_times import BLOCK_TOKENS, SETTINGS, ServiceTimes
from bench.serving.simulation import simulate
from bench.sessions.repository import retyped

TIMES = ServiceTimes("test", "a test", ((1, 10.0), (3, 14.0)), 1000.0, 100, 8, 64, ())
CODE = "".join(f"def function_{n}(value):\n    return value + {n}\n\n\n" for n in range(60))


class Asked:
    """A request, and what has come of it."""

    def __init__(self, tokens: list[int], answer: int = 2, most: int = 64, client: int = 0) -> None:
        self.texts: list[str] = []
        self.ends: list[str] = []
        words = [(10_000 + n, f"w{n}") for n in range(answer)]
        self.request = Request(tokens, words, most, self.take, client)

    def take(self, text: str, reason: str) -> None:
        self.texts += [text] if text else []
        self.ends += [reason] if reason else []


def work(server: InferenceServer) -> list[float]:
    """Carries out steps until there is nothing to do. Returns their times."""
    steps = []
    while (ms := server.begin()) is not None:
        steps.append(ms)
        server.end()
    return steps


def ask(server: InferenceServer, tokens: list[int], **more: int) -> Asked:
    asked = Asked(tokens, **more)
    server.submit(asked.request)
    work(server)
    return asked


def test_a_step_takes_the_time_of_its_sequences_and_of_its_prompt_tokens() -> None:
    assert TIMES.step(1, 0) == 10
    assert TIMES.step(2, 0) == 12
    assert TIMES.step(5, 0) == 18
    assert TIMES.step(0, 50) == 60
    server = InferenceServer(TIMES)
    asked = Asked(list(range(100)))
    server.submit(asked.request)
    # 64 tokens are a step's most; the second step ends the prompt, and gives the first word; the last word is the end.
    assert work(server) == [74, 46, 10, 10]
    assert (asked.texts, asked.ends) == (["w0", "w1"], ["stop"])


def test_whole_blocks_of_a_prompt_are_found_again_and_no_part_of_one() -> None:
    server = InferenceServer(TIMES)
    ask(server, list(range(40)))
    assert server.totals.cached_tokens == 0
    ask(server, list(range(40)))  # two whole blocks of 16
    assert server.totals.cached_tokens == 32
    ask(server, [*range(20), 99, *range(21, 60)])  # one: the second differs
    assert server.totals.cached_tokens == 48
    assert server.totals.evaluated_tokens == 40 + 8 + 44
    assert server.totals.prompt_tokens == 140


def test_the_last_token_of_a_prompt_is_always_evaluated() -> None:
    server = InferenceServer(TIMES)
    ask(server, list(range(32)))
    ask(server, list(range(32)))
    assert server.totals.cached_tokens == 16


def test_what_was_decoded_is_found_as_the_beginning_of_the_next_prompt() -> None:
    server = InferenceServer(TIMES)
    asked = ask(server, list(range(16)), answer=20)
    ask(server, list(asked.request.tokens))
    assert server.totals.cached_tokens == 2 * BLOCK_TOKENS


def test_what_was_used_longest_ago_goes_first_and_the_end_of_a_prompt_before_its_beginning() -> None:
    server = InferenceServer(replace(TIMES, cache_blocks=8))
    first, second = list(range(49)), list(range(100, 149))
    ask(server, first, most=15)
    ask(server, second, most=15)
    ask(server, list(range(200, 217)), most=15)  # needs two blocks, and only two are free
    assert server.cache.evicted == 0
    ask(server, list(range(300, 317)), most=15)
    assert server.cache.evicted == 1
    before = server.totals.cached_tokens
    ask(server, second, most=1)
    assert server.totals.cached_tokens - before == 48
    before = server.totals.cached_tokens
    ask(server, first, most=1)
    assert server.totals.cached_tokens - before < 48


def test_a_prompt_that_could_never_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit 100 blocks"):
        InferenceServer(TIMES).submit(Asked(list(range(1700))).request)


def test_an_aborted_request_leaves_what_was_evaluated() -> None:
    """What the step evaluates in which the client goes is evaluated, too."""
    server = InferenceServer(TIMES)
    asked = Asked(list(range(96)))
    server.submit(asked.request)
    assert server.begin() == 74
    server.abort(asked.request)
    server.abort(asked.request)
    server.end()
    assert (server.totals.aborted, server.totals.in_flight, server.cache.used) == (1, 0, 0)
    ask(server, list(range(96)))
    assert server.totals.cached_tokens == 64
    assert asked.ends == []


@pytest.mark.parametrize("seed", range(8))
def test_every_request_ends_once_and_all_blocks_come_back(seed: int) -> None:
    """Also with a cache that is too small for all of them, with aborts at any time, and with a restart."""
    dice = random.Random(seed)
    server = InferenceServer(replace(TIMES, cache_blocks=20, most_sequences=3))
    everything: list[Asked] = []
    gone: set[int] = set()
    for moment in range(400):
        if dice.random() < 0.4:
            words = [*range(dice.randrange(1, 80)), dice.randrange(3)]
            everything.append(Asked(words, answer=dice.randrange(5), most=dice.randrange(1, 8), client=len(words) % 4))
            server.submit(everything[-1].request)
        ms = server.begin()
        if everything and dice.random() < 0.15:
            at = dice.randrange(len(everything))
            if not everything[at].ends:
                gone.add(at)
            server.abort(everything[at].request)
        if ms is not None:
            server.end()
        assert 0 <= server.cache.used <= server.cache.capacity
        if moment == 200 and seed % 2:
            server.restart()
    work(server)
    for at, asked in enumerate(everything):
        assert len(asked.ends) == (at not in gone)
        assert len(asked.texts) <= min(asked.request.most_tokens, len(asked.request.answer))
    totals = server.totals
    broken = sum(asked.ends == [BROKEN] for asked in everything)
    assert totals.requests == len(everything) == totals.ended + totals.aborted
    assert totals.aborted == len(gone) + broken
    assert totals.ended == sum(asked.ends in (["stop"], ["length"]) for asked in everything)
    assert totals.cached_tokens + totals.evaluated_tokens <= totals.prompt_tokens
    assert totals.in_flight == server.cache.used == 0
    assert totals.cached_tokens > 0


def test_each_setting_has_the_source_of_each_figure() -> None:
    assert len(SETTINGS) == 3
    for setting in SETTINGS:
        told = " ".join(setting.sources)
        assert all(word in told for word in ("step", "prefill:", "cache:", "tokens of a step:")), setting.name
        batches = [setting.step(size, 0) for size in range(1, 80)]
        assert batches == sorted(batches)
        assert setting.cache_blocks * BLOCK_TOKENS > 50_000


# Figures ------------------------------------------------------------------------------------------------


def key(gap_ms: float, ms: float | None, *, shown: bool = True) -> Key:
    return Key(0, 0.0, gap_ms, ms, "model" if ms is not None else "", shown)


def test_keys_that_got_no_answer_are_not_left_out_where_somebody_waited() -> None:
    keys = [key(1000, 50.0) for _ in range(8)]
    quick = run_of("s", OURS, 1, 10.0, [*keys, *(key(100, None) for _ in range(90))], Totals())
    assert (quick.answered, quick.paused, quick.paused_p95, quick.carried) == (8, 8, 50.0, True)
    late = run_of("s", OURS, 1, 10.0, [*keys, key(1000, None)], Totals())
    assert (late.p95, late.paused_p95, late.carried) == (50.0, None, False)
    nothing = run_of("s", OURS, 1, 10.0, [*keys, key(1000, 900.0, shown=False)], Totals())
    assert (nothing.shown, nothing.paused_p95, nothing.carried) == (8, 50.0, True)


def test_a_server_that_leaves_those_without_an_answer_who_wait_is_told_as_saturated() -> None:
    in_time = [key(1000, 50.0)] * 18
    assert run_of("s", OURS, 1, 10.0, [*in_time, key(1000, None), key(1000, None)], Totals()).saturated
    assert not run_of("s", OURS, 1, 10.0, [*in_time, key(100, None), key(1000, 900.0)], Totals()).saturated
    assert not run_of("s", OURS, 1, 10.0, [], Totals()).saturated


def test_how_many_are_carried_ends_at_the_first_number_that_is_not() -> None:
    def run(count: int, ms: float) -> Run:
        return run_of("s", OURS, count, 10.0, [key(1000, ms)], Totals())

    runs = [run(5, 100), run(10, 200), run(20, 400), run(50, 100)]
    assert most_carried(runs, OURS) == 10
    assert most_carried(runs[2:], OURS) == 0
    assert (ratio(50, 10, [5, 50]), ratio(20, 10, [5, 50]), ratio(20, 0, [5, 50]), ratio(0, 5, [5])) == (
        "5.0 times or more",
        "2.0 times",
        "more than 4.0 times",
        "none",
    )
    assert (quantile([], 95), quantile([1.0, 2.0, 3.0], 50)) == (0.0, 2.0)


# Teams --------------------------------------------------------------------------------------------------


class Bytes:
    """A tokeniser: one token for three bytes."""

    size = 1 << 24

    def tokenize(self, text: bytes, *, special: bool = False) -> list[int]:
        return [int.from_bytes(text[at : at + 3], "big") for at in range(0, len(text), 3)]

    def start_tokens(self) -> list[int]:
        return []

    def marker(self, spelling: str) -> int | None:
        return (1 << 24) + len(spelling)


def team(count: int, seconds: float = 8.0) -> list[Developer]:
    session = Session("typed", lambda: retyped(CODE, "a.py", 0.0, 300.0))
    return developers([session], count, lambda _: seconds, 1000.0, seed=3)


def test_virtual_time_goes_on_by_itself() -> None:
    import asyncio

    async def main() -> float:
        await asyncio.gather(*(asyncio.sleep(1000.0 * n) for n in range(4)))
        return asyncio.get_running_loop().time()

    assert virtual_time.run(main) == pytest.approx(3000.0)


def test_the_model_writes_what_is_typed_next_where_it_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = team(1)
    index = next(
        i for i, change in enumerate(one.changes) if change.document.source[change.cursor - 3 : change.cursor] == b"ret"
    )
    document, cursor = one.changes[index].document, one.changes[index].cursor
    before = document.source[:cursor].decode()
    one.right_share = 1.0
    usual = f"<|fim_prefix|>{before}<|fim_suffix|>rest<|fim_middle|>"
    assert one.answer(index, usual).startswith("urn value + ")
    healed = f"<|fim_prefix|>{before[:-8]}<|fim_suffix|>rest<|fim_middle|>{before[-8:-3]}"
    assert one.answer(index, healed).startswith("return value + ")
    one.right_share = 0.0
    assert not one.answer(index, usual).startswith("urn value + ")
    monkeypatch.setattr(making, "RIGHT_CHARACTERS", 1e9)
    assert one.answer(index, usual).startswith("urn value + ")
    assert "urn" not in one.answer(index, "<|fim_prefix|>elsewhere<|fim_suffix|><|fim_middle|>")


@pytest.mark.parametrize("arm", ARMS)
def test_a_team_is_answered_and_asks_one_thing_at_a_time_each(arm: str) -> None:
    run, _ = simulate(SETTINGS[0], arm, team(4), Tokens(Bytes()), 3.0)
    assert run.keys > 20
    assert run.answered > run.keys / 2
    assert run.carried
    assert not run.saturated
    assert run.most_of_a_client <= (4 if arm == OURS else 1)
    assert (run.from_memory > 0) == (arm in (OURS, "remembering"))
    assert 0.3 < run.hit_rate < 1


def test_anchored_prompts_find_more_in_the_cache_and_a_slow_server_is_saturated_later() -> None:
    slow = replace(SETTINGS[0], name="slow", prefill_tokens_per_second=2_500.0)
    runs = {arm: simulate(slow, arm, team(8), Tokens(Bytes()), 3.0)[0] for arm in ("anchored", "usual")}
    assert runs["anchored"].hit_rate > runs["usual"].hit_rate + 0.05
    assert runs["anchored"].evaluated_per_second < runs["usual"].evaluated_per_second
    crowd, _ = simulate(replace(slow, prefill_tokens_per_second=300.0), "usual", team(8), Tokens(Bytes()), 3.0)
    assert crowd.saturated
    assert not crowd.carried


def test_after_an_outage_nobody_comes_too_early_and_all_come_back() -> None:
    run, came = simulate(SETTINGS[0], OURS, team(6, seconds=18.0), Tokens(Bytes()), 2.0, Outage(5.0, 9.0, 4.0))
    assert came is not None
    assert 1 <= came.asked <= 6 * 3  # who asks learns of it, and then leaves the server alone
    assert came.disregarded == 0
    assert 0 < came.after <= came.before + 6  # at most one request more for each of them
    assert run.answered > run.keys / 2


def test_the_whole_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.sessions import vocabulary

    monkeypatch.setattr(vocabulary, "load", lambda model: Bytes())
    start = CODE.index("return value + 30")
    text = CODE.replace("return value + 30", "", 1)
    keys = [
        {"time": f"2024-01-01T00:00:{n:02}Z", "patches": [[start + n, 0, letter]]}
        for n, letter in enumerate("return value + 30 and more")
    ]
    (tmp_path / "trace.json").write_text(json.dumps({"startContent": text, "txns": keys}))
    out = tmp_path / "out" / "team.json"
    what = ["--data", str(tmp_path), "--setting", "h100", "--developers", "2", "--seconds", "12", "--warm-up", "2"]
    assert bench.main(["team", *what, "--json", str(out)]) == 0
    told = capsys.readouterr().out
    assert "NVIDIA H100" in told
    assert "2 or more" in told
    found = json.loads(out.read_text())
    assert {run["arm"] for run in found["runs"]} == set(ARMS)
    assert found["settings"][0]["sources"]
    assert bench.main(["team", *what, "--warm-up", "12"]) == 2
    assert "--seconds must be more than --warm-up" in capsys.readouterr().out
