"""When a model that failed is tried again: how its steps end it, and what pauses there are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lsp_server.backends.base import Adapter, ModelError, ModelSpec
from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.engine.request import FinishReason, Load, ModelFailed, ModelReady
from lsp_server.engine.retry import (
    LASTING_PAUSE_S,
    LONGEST_LASTING_PAUSE_S,
    LONGEST_PASSING_PAUSE_S,
    MOST_FAILURES,
    PASSING_PAUSE_S,
    FilesState,
    Retry,
    files_state,
)
from tests.engine.harness import LINE, EngineHarness, PartlyFailing, ask, cold, make_prompt

ONE: FilesState = ((1, 2, 3, 4),)


class Lost(ScriptedBackend):
    """Fails at every step while its device is lost."""

    lost = False

    def evaluate(self, *arguments, **options):  # type: ignore[no-untyped-def]
        if Lost.lost:
            raise ModelError("the device is lost")
        return super().evaluate(*arguments, **options)

    def close(self) -> None:
        super().close()
        if Lost.lost:
            raise OSError("no device to free memory of")


@pytest.fixture(autouse=True)
def found_again() -> None:
    Lost.lost = False


def failures(harness: EngineHarness) -> list[ModelFailed]:
    return [event for event in harness.events if isinstance(event, ModelFailed)]


@pytest.mark.parametrize("worked", [False, True])
def test_a_model_whose_steps_all_fail_is_unloaded_and_that_is_said_once(worked: bool) -> None:
    harness = EngineHarness(Lost)
    harness.load(sequences=2)
    harness.engine.send(Load(ModelSpec(""), role="chat"))
    harness.receive()
    if worked:
        harness.run(ask(100, "a"))
    Lost.lost = True
    for number in range(MOST_FAILURES):
        assert not failures(harness)
        assert harness.run(ask(number, "x = " * number)).reason is FinishReason.FAILED
    (failed,) = failures(harness)
    assert "the device is lost" in failed.message
    assert (failed.role, failed.passing, failed.worked) == ("completion", True, worked)
    assert list(harness.engine.models) == ["chat"]
    assert harness.run(ask(50, "a")).reason is FinishReason.REJECTED
    Lost.lost = False
    harness.load()
    assert harness.run(ask(51, "a")).text == cold(make_prompt("a", ""), LINE, 12).text
    assert len(failures(harness)) == 1


def test_steps_that_fail_now_and_then_end_nothing() -> None:
    harness = EngineHarness(PartlyFailing)
    harness.load(sequences=2)
    for number in range(2 * MOST_FAILURES):
        harness.backend.fail_next = True  # type: ignore[attr-defined]
        assert harness.run(ask(2 * number, f"{number}")).reason is FinishReason.FAILED
        assert harness.run(ask(2 * number + 1, f"{number}")).reason is not FinishReason.FAILED
    assert not failures(harness)


def test_a_failed_load_tells_what_its_files_were_like_before_it(tmp_path: Path) -> None:
    """What is written while the load still looks at the old file counts as a change."""
    path = tmp_path / "m.gguf"

    def factory(spec: ModelSpec, progress: object) -> ScriptedBackend:
        path.write_text("here now")
        raise ModelError("there is no file")

    harness = EngineHarness(factory)
    harness.engine.send(Load(ModelSpec(str(path))))
    harness.receive()
    (failed,) = failures(harness)
    assert failed.files == (None,)
    assert not failed.passing
    assert files_state(ModelSpec(str(path))) != failed.files


def test_each_file_of_a_model_counts(tmp_path: Path) -> None:
    parts = [tmp_path / f"m-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    adapter, draft = tmp_path / "a.gguf", tmp_path / "d.gguf"
    spec = ModelSpec(str(parts[0]), adapters=(Adapter(str(adapter)),), draft=str(draft))
    states = [files_state(spec)]
    for path in (*parts, adapter, draft):
        path.write_text("x")
        states.append(files_state(spec))
    parts[1].write_text("longer")
    states.append(files_state(spec))
    os.utime(draft, ns=(1, 1))
    states.append(files_state(spec))
    assert len(set(states)) == len(states)
    assert None not in states[-1]
    assert files_state(spec) == states[-1]


def test_a_name_that_no_file_can_have_is_a_file_that_is_not_there() -> None:
    assert files_state(ModelSpec("a\0b")) == (None,)
    assert files_state(ModelSpec("~nobody-of-that-name/m.gguf")) == (None,)


@pytest.mark.parametrize(
    ("passing", "first", "longest"),
    [(True, PASSING_PAUSE_S, LONGEST_PASSING_PAUSE_S), (False, LASTING_PAUSE_S, LONGEST_LASTING_PAUSE_S)],
)
def test_pauses_grow_up_to_a_limit(passing: bool, first: float, longest: float) -> None:
    retry, now, pauses = Retry(lambda: 0.0), 0.0, []
    for _ in range(12):
        retry.failed(now, ONE, passing=passing, worked=False)
        possible = [min(longest, first * 2**n) for n in range(20)]
        pauses.append(next(pause for pause in possible if retry.due(now + pause)))
        now += pauses[-1]
    assert pauses[0] == first
    assert pauses == sorted(pauses)
    assert pauses[-1] == longest


def test_programs_that_failed_in_the_same_moment_do_not_come_back_in_the_same_moment() -> None:
    """A pause is never shorter than it must be, and at most half as long again."""
    retries = [Retry() for _ in range(100)]
    for retry in retries:
        retry.failed(0.0, ONE, passing=True, worked=True)
    assert not any(retry.due(0.999 * PASSING_PAUSE_S) for retry in retries)
    assert all(retry.due(1.5 * PASSING_PAUSE_S) for retry in retries)
    back = [sum(retry.due(PASSING_PAUSE_S * (1 + tenth / 20)) for retry in retries) for tenth in range(11)]
    assert max(later - before for before, later in zip(back, back[1:], strict=False)) < 40


def test_a_model_that_has_worked_for_long_begins_with_the_first_pause() -> None:
    retry = Retry(lambda: 0.0)
    for now in (0.0, 100.0, 200.0):
        retry.failed(now, ONE, passing=True, worked=False)
    assert not retry.due(200.0 + PASSING_PAUSE_S)
    retry.ready(300.0)
    retry.failed(300.5, ONE, passing=True, worked=True)  # for a moment only
    assert not retry.due(300.5 + PASSING_PAUSE_S)
    retry.ready(400.0)
    retry.failed(900.0, ONE, passing=True, worked=True)
    assert retry.due(900.0 + PASSING_PAUSE_S)
    assert retry.tries == 1


def test_one_look_at_the_files_at_a_time() -> None:
    retry = Retry()
    retry.failed(0.0, ONE, passing=False, worked=False)
    assert retry.should_check_files(0.0)
    assert not retry.should_check_files(100.0)  # the first one hangs in a network mount
    assert not retry.changed(100.0, ONE)
    assert not retry.should_check_files(100.0)
    assert retry.should_check_files(101.0)
    assert retry.changed(101.0, (None,))


def test_files_that_go_on_changing_are_looked_at_less_and_less_often() -> None:
    retry, now, looks = Retry(), 0.0, 0
    retry.failed(now, ONE, passing=False, worked=False)
    while now < 600:
        if retry.should_check_files(now):
            looks += 1
            assert retry.changed(now, ((looks,),))
            retry.failed(now, ((looks,),), passing=False, worked=False)
        now += 0.1
    assert 10 <= looks <= 30


def test_a_model_that_is_ready_again_is_one_like_any_other() -> None:
    harness = EngineHarness(Lost)
    harness.load()
    Lost.lost = True
    for number in range(MOST_FAILURES):
        harness.run(ask(number, "a"))
    Lost.lost = False
    harness.load()
    Lost.lost = True
    assert harness.run(ask(60, "a")).reason is FinishReason.FAILED
    assert len(failures(harness)) == 1  # its failures are counted from the start
    assert len([event for event in harness.events if isinstance(event, ModelReady)]) == 2
