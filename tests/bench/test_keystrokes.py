"""`bench keystrokes`: what a short session costs in tokens, counted with the server's engine and one token a byte."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from bench.sessions import counting, tables
from bench.sessions.counting import Anchored, KeyCount, Rules, Usual, count, percentile, summarise
from bench.sessions.live import LiveKey, add_credit
from bench.sessions.recordings import Change, Replacement
from bench.sessions.repository import retyped
from bench.sessions.timeline import Beat, densest, spread, with_gaps
from lsp_server.core.document import DocumentSnapshot
from tests.support.formats import format_named

KEY_MS = 100.0
# A window for 1,500 bytes before the hole and 300 after it, where the engine's counts bytes too.
BUDGET = Rules(context_tokens=720)
CLOCK = Rules(context_tokens=8192, ms_per_token=0.05)
FORMATS = ("qwen-fim", "starcoder2", "seed-coder", "codestral", "prefix-only")
FUNCTION = (
    "def scaled(values, factor):\n    result = []\n    for value in values:\n        result.append(value * factor)\n"
)
SOURCE = "".join(f"def number_{line}():\n    return {line}\n" for line in range(200)).encode()


class Bytes:
    """A tokeniser with a token for every byte and one for every marker."""

    size = 300

    def __init__(self) -> None:
        self._markers: dict[str, int] = {}

    def tokenize(self, text: bytes) -> list[int]:
        return list(text)

    def start_tokens(self) -> list[int]:
        return [256]

    def marker(self, spelling: str) -> int | None:
        return self._markers.setdefault(spelling, 257 + len(self._markers))


class Typist:
    """Types into a file of 400 lines and keeps what was done as changes."""

    def __init__(self, source: bytes = SOURCE) -> None:
        self.document = DocumentSnapshot.of("file:///numbers.py", source, path="numbers.py")
        self.cursor = 0
        self.now_ms = 0.0
        self.changes: list[Change] = []

    def go(self, line: int) -> None:
        self.now_ms += 1000
        self.cursor = self.document.line_start(line)

    def type(self, text: str) -> None:
        for character in text:
            self._replace(self.cursor, self.cursor, character.encode())

    def paste(self, text: str) -> None:
        self._replace(self.cursor, self.cursor, text.encode())

    def backspace(self, times: int) -> None:
        for _ in range(times):
            self._replace(self.cursor - 1, self.cursor, b"")

    def _replace(self, start: int, end: int, text: bytes) -> None:
        before, self.document = self.document, self.document.edited(start, end, text)
        self.cursor = start + len(text)
        self.now_ms += KEY_MS
        change = Replacement(start, end, text)
        self.changes.append(Change(self.now_ms, before, self.document, (change,), self.cursor, types=True))


def counted(changes: Iterable[Change], form_name: str, clock: Rules = CLOCK) -> list[KeyCount]:
    form = format_named(form_name)
    return list(count(changes, Anchored(form, BUDGET), Bytes(), clock))


@pytest.mark.parametrize("form", FORMATS)
def test_a_typed_character_costs_a_token(form: str) -> None:
    typist = Typist()
    typist.go(200)
    typist.type(FUNCTION)
    first, *keys = counted(typist.changes, form)
    assert first.evaluated > 200, "the first key evaluates the whole prompt"
    assert {key.evaluated for key in keys} == {1}
    assert all(key.answered for key in keys)


@pytest.mark.parametrize("form", FORMATS)
def test_coming_back_finds_the_earlier_prompt(form: str) -> None:
    typist = Typist()
    typist.go(200)
    typist.type("total = one")
    typist.go(350)
    typist.type("other = two")
    away = len(typist.changes)
    typist.now_ms += 1000
    typist.cursor = typist.document.source.index(b"total = one") + len("total = one")
    typist.type(" + three")
    keys = counted(typist.changes, form)
    assert keys[11].evaluated > 60, "another place is another prompt"
    # One that grew at its very end is found whole; up to four tokens' logits are made again for healing.
    assert keys[away].evaluated <= 6
    assert [key.evaluated for key in keys[away + 1 :]] == [1] * (len(keys) - away - 1)


@pytest.mark.parametrize("form", FORMATS)
def test_lines_inserted_above_do_not_cost_the_prompt(form: str) -> None:
    typist = Typist()
    typist.go(300)
    typist.type("total = one")
    typist.go(0)
    typist.paste("import math\nimport random\n")
    elsewhere = len(typist.changes)
    typist.now_ms += 1000
    typist.cursor = typist.document.source.index(b"total = one") + len("total = one")
    typist.type(" + three")
    keys = counted(typist.changes, form)
    assert keys[elsewhere].evaluated <= 6


@pytest.mark.parametrize("form", FORMATS)
def test_deleting_costs_a_few_tokens(form: str) -> None:
    typist = Typist()
    typist.go(200)
    typist.type("    result = compute_everything(")
    typist.backspace(12)
    typist.type("nothing(")
    keys = counted(typist.changes, form)
    # A key back is in the cache; only the logits that healing looks at are made again, five tokens' at most.
    assert max(key.evaluated for key in keys[1:]) <= 5
    assert percentile(sorted(key.evaluated for key in keys), 50) == 1


def test_the_usual_prompt_pays_for_what_follows_the_cursor() -> None:
    typist = Typist()
    typist.go(200)
    typist.type(FUNCTION)
    keys = list(count(typist.changes, Usual(BUDGET), Bytes(), CLOCK))
    suffix_bytes = 300
    assert min(key.evaluated for key in keys[1:]) > suffix_bytes // 2


def test_psm_gets_its_whole_suffix_at_rest_and_suffix_first_does_not_need_it() -> None:
    typist = Typist()
    typist.go(200)
    typist.type("x")  # a cold window, which gets the whole suffix at once
    typist.go(203)
    typist.type("total")
    typist.now_ms += 2000
    typist.type(" = 1")
    assert [key.rest > 0 for key in counted(typist.changes, "qwen-fim")] == [False] * 5 + [True] + [False] * 4
    assert not any(key.rest for key in counted(typist.changes, "prefix-only"))


def test_a_key_that_comes_too_soon_goes_unanswered_and_its_work_is_kept() -> None:
    typist = Typist()
    typist.go(200)
    typist.type("total = one + two + three + four")
    slow = Rules(context_tokens=8192, ms_per_token=1.0)
    keys = counted(typist.changes, "prefix-only", slow)
    unanswered = [key for key in keys if not key.answered]
    assert 5 < len(unanswered) < len(keys) - 5
    assert not any(key.answered for key in keys[: len(unanswered)]), "once the prompt is there, every key is answered"
    whole = counted(typist.changes, "prefix-only")[0].evaluated
    assert sum(key.evaluated for key in keys[: len(unanswered) + 1]) <= whole + 2 * len(unanswered)


def test_counting_does_not_depend_on_the_run() -> None:
    typist = Typist()
    typist.go(100)
    typist.type(FUNCTION)
    assert counted(typist.changes, "qwen-fim") == counted(typist.changes, "qwen-fim")


def test_a_summary_leaves_unanswered_keys_out() -> None:
    keys = [KeyCount(True, 1, 0)] * 90 + [KeyCount(True, 40, 300)] * 9 + [KeyCount(False, 500, 0)]
    summary = summarise("made up", "psm", keys)
    assert (summary.keys, summary.unanswered, summary.p50, summary.p95, summary.p99) == (100, 1, 1, 40, 40)
    assert summary.mean == pytest.approx(450 / 99, abs=0.01)
    assert summary.evaluated_per_key == pytest.approx(9.5)
    assert summary.rest_per_key == 27
    assert tables.count_table([summary]).row_count == 1


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (50, 2), (75, 3), (76, 4), (100, 4)])
def test_percentiles_are_values_of_the_list(percent: float, value: int) -> None:
    assert percentile([1, 2, 3, 4], percent) == value


def at(*times_ms: float) -> list[Change]:
    typist = Typist(b"")
    typist.type("x")
    change = typist.changes[0]
    return [
        Change(time_ms, change.before, change.document, change.replacements, change.cursor, types=True)
        for time_ms in times_ms
    ]


def test_equal_stamps_are_spread_over_a_second_at_most() -> None:
    assert [change.time_ms for change in spread(at(0, 0, 1000, 5000, 5000))] == [0, 500, 1000, 5000, 5500]
    assert [change.time_ms for change in spread(at(0, 0, 400, 300))] == [0, 200, 400, 900]
    assert [gap_ms for _, gap_ms in with_gaps(at(0, 70, 100))] == [70, 30, float("inf")]


def test_the_densest_part_has_the_most_typed_characters_a_second() -> None:
    slow = [Beat(1000.0 * index, typed=True) for index in range(10)]
    held = [Beat(10_000 + 10.0 * index, typed=False) for index in range(10)]
    quick = [Beat(20_000 + 80.0 * index, typed=True) for index in range(10)]
    assert densest([*slow, *held, *quick], 10, 2000) == 20
    assert densest(slow, 20, 2000) == 0


def test_a_file_is_typed_with_its_indentation() -> None:
    source = "a = 1\nb = 2\nif a:\n    b = 3\nc = 4\nd = 5\n"
    changes = list(retyped(source, "sample.py", 100.0, 50.0))
    assert changes[0].before.source == b"a = 1\nb = 2\nc = 4\nd = 5\n"
    assert changes[-1].document.source == source.encode()
    keys = [change.replacements[0].inserted for change in changes]
    assert keys == [b"i", b"f", b" ", b"a", b":", b"\n    ", b"b", b" ", b"=", b" ", b"3", b"\n"]
    assert [change.time_ms for change in changes[:3]] == [100, 150, 200]


def test_credit_is_what_was_typed_of_a_suggestion() -> None:
    typist = Typist(b"\n")
    typist.type("total = one")
    typist.backspace(1)
    keys = [LiveKey(0, 100, "", index, None, ms=1.0, decoded_tokens=4) for index in range(len(typist.changes))]
    keys[0].suggestion = "otal = two"  # behind the t: "otal = " is typed
    keys[4].suggestion = " = one"  # behind total: all of it
    keys[5].suggestion = "x"
    add_credit(keys, typist.changes)
    assert [key.credit for key in keys[:6]] == [7, 0, 0, 0, 6, 0]
    assert [key.wasted_tokens for key in keys[:6]] == [pytest.approx(1.2), 4, 4, 4, 0, 4]


def test_the_counting_backend_refuses_to_evaluate_out_of_order() -> None:
    form = format_named("qwen-fim")
    backend = counting.CountingBackend(Bytes(), form, CLOCK, 2)
    with pytest.raises(AssertionError):
        backend.evaluate(0, 3, [1], logits=1)
