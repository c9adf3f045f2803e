"""`bench cold`: which places are drawn, what a server and an engine are asked there, and what is made of it."""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

import pytest

from bench import cold
from bench.__main__ import main
from bench.arms import cold_arms, cold_places
from bench.arms.arm import Answer
from bench.arms.cold_arms import EngineAnswer, Served, asked_of_engine, opened_at_once, served, user_folders
from bench.arms.engine_arm import engine_arm
from bench.arms.infill import LLAMA_VIM
from bench.arms.llama_server import InfillArm
from bench.cold import PlaceResult, summarise
from bench.sessions.recordings import Change
from lsp_server.backends.base import ModelSpec
from tests.support.cursor import parse_cursor
from tests.support.tiny_gguf import write_tiny_gguf

LONG = "".join(f"def number_{line}():\n    # the next one\n    return {line} + one\n\n" for line in range(40))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Three long files and a short one."""
    for name in ("a.py", "b.py", "c.py"):
        (tmp_path / name).write_text(LONG)
    (tmp_path / "short.py").write_text(LONG[:500])
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    subprocess.run(["git", "-C", str(tmp_path), "add", "."], check=True)
    return tmp_path


def wanted(repo: Path | None = None, data: Path | None = None, limit: int = 6, seed: int = 0) -> argparse.Namespace:
    given = {"repo": repo, "data": data, "repetitive": None, "rate": 50.0, "session": None}
    return argparse.Namespace(limit=limit, seed=seed, lines=100, **given)


def where(places: list[Change]) -> list[tuple[str, int]]:
    return [(place.document.path, place.cursor) for place in places]


def test_places_are_drawn_by_seed_from_all_long_files(repository: Path) -> None:
    places = cold_places.drawn(wanted(repository))
    assert {place.document.path for place in places} == {"a.py", "b.py", "c.py"}
    assert len(set(where(places))) == 6
    assert where(places) == where(cold_places.drawn(wanted(repository)))
    assert where(places) != where(cold_places.drawn(wanted(repository, seed=1)))
    for place in places:
        document = place.document
        line = document.line(document.line_at(place.cursor))
        assert b"#" not in line, "words of comments are another matter"
        assert place.cursor == document.line_end(document.line_at(place.cursor)), "the rest of the line is taken out"
        assert line.strip()


def test_places_of_a_recording_are_keys_in_long_files(tmp_path: Path) -> None:
    typed = [
        {"time": f"2024-01-01T00:00:{n:02}Z", "patches": [[len(LONG) + n, 0, "total = one"[n]]]} for n in range(11)
    ]
    (tmp_path / "trace.json").write_text(json.dumps({"startContent": LONG, "txns": typed}))
    places = cold_places.drawn(wanted(data=tmp_path, limit=4))
    assert len(set(where(places))) == 4
    assert all(place.cursor > len(LONG) for place in places)
    assert where(places) == where(cold_places.drawn(wanted(data=tmp_path, limit=4)))


async def test_a_server_is_asked_where_it_has_never_been_and_where_it_has(tmp_path: Path) -> None:
    known = tmp_path / "known.py"
    known.write_text("def area(width, height):\n    return width * height\n")
    document, cursor = parse_cursor("def area(width, height):\n    return width$0\n")
    change = Change(0.0, document, document, (), cursor, types=True)
    arguments = ["--backend", "scripted", "--model", str(known)]
    with user_folders() as environment:
        fresh = await served(change, arguments, environment)
        assert await opened_at_once(change, arguments, environment) is not None
    assert fresh.text == " * height"
    assert fresh.first_ms is not None
    assert 0 < fresh.first_ms <= fresh.full_ms
    assert fresh.evaluated_tokens == fresh.prompt_tokens > 0


async def test_the_engine_is_asked_with_an_empty_cache_and_bare_calls_with_the_same_tokens(tmp_path: Path) -> None:
    model = write_tiny_gguf(tmp_path / "tiny.gguf")
    document, cursor = parse_cursor(LONG + "total = $0\n" + LONG, path="a.py")
    change = Change(0.0, document, document, (), cursor, types=True)
    async with engine_arm(ModelSpec(str(model), context_tokens=1024, sequences=2)) as arm:
        best = cold_arms.best_settings(arm)
        assert best.tokens_per_second > 0
        answer = await asked_of_engine(arm, change, 3, best)
    assert answer.decoded_tokens == 3
    assert answer.prompt_tokens > 300
    assert answer.quick_tokens == 0, "the whole prompt takes this model no time"
    assert 0 < answer.first_ms <= answer.whole_ms
    assert answer.bare_ms > 0


def test_llama_server_is_asked_without_its_cache() -> None:
    asked: list[object] = []

    class Server:
        def post(self, path: str, payload: dict[str, object]) -> tuple[dict[str, object], float]:
            asked.append(payload["cache_prompt"])
            return {}, 1.0

    document, cursor = parse_cursor("x = $0\n")
    change = Change(0.0, document, document, (), cursor, types=True)

    async def both() -> None:
        for is_cold in (False, True):
            await InfillArm(LLAMA_VIM, Server(), cold=is_cold).answer(change, 4)  # type: ignore[arg-type]

    import anyio

    anyio.run(both)
    assert asked == [True, False]


def test_the_figures_are_of_the_places_that_have_them() -> None:
    quick = Served(900.0, 400.0, "x", "", True, 100, 100, 3000.0)
    late = Served(900.0, None, "", "the model took longer than `deadline_ms`", False, 900, 900, 9000.0)
    again = Served(800.0, 100.0, "x", "", False, 900, 4, 150.0)
    engine = EngineAnswer(900, 100, 12, 350.0, 800.0, 3900.0, 95.0, 100.0, 5000.0, 3000.0)
    results = [
        PlaceResult("a.py", 3, 400, 1300.0, quick, again, engine, Answer(800, 800, 12, 1000.0, 2400.0)),
        PlaceResult("b.py", 9, 400, None, late, again, engine, Answer(0, 0, 0, 0.0, 0.0, "none")),
    ]
    found = summarise(results)
    assert (found["fresh"]["shown"], found["fresh"]["for_lack_of_time"], found["fresh"]["quick"]) == (1, 1, 1)
    assert found["fresh"]["first_ms"] == {"p50": 400.0, "p95": 400.0}
    assert found["reopened"] == {"shown": 2, "evaluated_p50": 4, "first_ms": {"p50": 100.0, "p95": 100.0}}
    assert found["opened_ms"]["p50"] == 1300.0
    assert found["engine"]["prefill_over_bare"]["p50"] == 0.95
    assert found["engine"]["full_over_expected"]["p50"] == 1.3
    assert (found["peer"]["places"], found["peer"]["over_engine"]["p50"]) == (1, 3.0)
    cold._table(found)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--tokens", "1"], "from 2 to 64"),
        (["--lines", "100000"], "no place in a file of at least 100000 lines"),
        (["--model", "nothing.gguf", "--lines", "100", "--limit", "1"], "nothing.gguf"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], says: str, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cold", "--repo", str(repository), "--served-only", *arguments]) == 2
    out = capsys.readouterr().out
    assert out.count("bench:") == 1
    assert says in " ".join(out.split())  # a long folder's name wraps it
