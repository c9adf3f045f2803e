"""What is reckoned and said from counts: percentiles, rates, weeks, and advice that follows from data alone."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, timedelta

import pytest

from lsp_server.stats.calculations import late_share, percentile, rate, sparkline
from lsp_server.stats.counts import BUCKETS, Key, Tally, bucket_of
from lsp_server.stats.report import report

TODAY = date(2026, 11, 28)
MODEL = "a model"


def on(back: int = 0, language: str = "Python", source: str = "model") -> Key:
    return Key((TODAY - timedelta(days=back)).isoformat(), language, MODEL, source)


def week(found: Tally | None = None, *, ms: float = 50, language: str = "Python", **counts: int) -> Tally:
    """Counts of today, and a latency for each suggestion that was shown."""
    found = found or Tally()
    found.add(on(language=language), **counts)
    for _ in range(counts.get("shown_told", 0)):
        found.took(on(language=language), ms)
    return found


def test_percentiles_are_those_of_the_latencies() -> None:
    chance = random.Random(1)
    for mean in (0.5, 2, 4, 6):
        times = sorted(chance.lognormvariate(mean, 0.7) for _ in range(5000))
        buckets = Counter(map(bucket_of, times))
        for share in (0.5, 0.95, 0.99):
            found, true = percentile(buckets, share), times[int(share * len(times))]
            assert found is not None
            assert found == pytest.approx(true, rel=0.25, abs=0.6), (mean, share)
        assert late_share(buckets) == sum(ms > 100 for ms in times) / len(times)


def test_of_nothing_nothing_is_reckoned() -> None:
    assert (percentile({}, 0.5), late_share({}), rate(0, 0)) == (None, None, None)
    assert percentile({len(BUCKETS): 3}, 0.5) == BUCKETS[-1]
    assert sparkline([]) == ""
    assert sparkline([0, 0]) == "  "
    assert sparkline([0, 1, 8]) == " ▂█"


def test_an_interval_holds_the_truth_as_often_as_it_says() -> None:
    chance = random.Random(2)
    for truth, count in ((0.3, 40), (0.02, 200), (0.9, 100)):
        hits = 0
        for _ in range(1000):
            found = rate(sum(chance.random() < truth for _ in range(count)), count)
            assert found is not None
            hits += found[1] <= truth <= found[2]
        assert 0.92 <= hits / 1000 <= 0.985, (truth, count)


def test_this_week_stands_against_the_one_before() -> None:
    found = Tally()
    for back in range(21):
        found.add(on(back), shown_guessed=10, accepted=1 if back < 7 else 2, typed=100, accepted_characters=50)
    made = report(found, TODAY)
    assert (made.week.shown, made.before.shown) == (70, 70)
    assert (made.week.counts["accepted"], made.before.counts["accepted"]) == (7, 14)
    assert made.week.written_share == pytest.approx(1 / 3)
    assert made.week.is_estimate
    assert len(made.days) == 21
    assert [group.shown for _, group in made.last_days(22)] == [0] + 21 * [10]


def test_keys_saved_are_characters_without_the_keys_that_accepted_them() -> None:
    made = report(week(accepted_characters=120, accepted_whole=3, accepted_words=4, accepted_lines=1), TODAY)
    assert made.week.saved == 112


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (week(shown_told=99), "99 suggestions in four weeks are too few"),
        (week(shown_told=500, accepted=200, requests=1000, overtaken=400), "late in 40% of keys"),
        (
            week(shown_told=500, accepted=200, ms=300),
            "100% of suggestions took longer than 100 ms (a model takes 43 ms",
        ),
        (week(shown_told=500, accepted=200, requests=1000, loading=100), "`unload_minutes`"),
        (week(shown_told=500, accepted=20), "`min_confidence = 0.4`"),
        (
            week(shown_told=500, accepted=200, accepted_whole=200, due_300=2000, kept_300=900),
            "only 45% is there after 5 minutes",
        ),
        (week(shown_told=500, accepted=100, ms=8), "There is time for a larger model"),
        (
            week(week(shown_told=500, accepted=200), language="Markdown", shown_told=300),
            '`disabled_languages = ["Markdown"]`',
        ),
        (
            week(shown_told=500, accepted=250, accepted_whole=250, due_300=2000, kept_300=1900),
            "Nothing stands out",
        ),
    ],
)
def test_advice_follows_from_the_counts(found: Tally, words: str) -> None:
    advice = report(found, TODAY, {MODEL: 43.0}).advice
    assert words in advice[0]
    assert len(advice) == 1


def test_old_counts_give_no_advice() -> None:
    found = Tally()
    found.add(on(40), shown_told=5000, accepted=1)
    assert "too few" in report(found, TODAY).advice[0]
