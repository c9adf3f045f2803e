"""The content of `fimble stats`: this week and the one before, by language, model and source, and advice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from lsp_server.stats.calculations import BUDGET_MS, late_share, percentile, rate
from lsp_server.stats.counts import Key, Tally

WEEK = 7
# Advice is based on this many days, and at least this many shown suggestions.
LATELY_DAYS, _LEAST_SHOWN = 28, 100


@dataclass(slots=True)
class Group:
    """The counts of one group, over some days."""

    counts: Counter[str] = field(default_factory=Counter)
    buckets: Counter[int] = field(default_factory=Counter)

    @property
    def shown(self) -> int:
        return self.counts["shown_told"] + self.counts["shown_guessed"]

    @property
    def is_estimate(self) -> bool:
        """Whether some of the shown suggestions are estimates, from editors that do not report them."""
        return self.counts["shown_guessed"] > 0

    @property
    def acceptances(self) -> int:
        """How many times text was accepted: a suggestion can be accepted in parts."""
        return sum(self.counts[f"accepted_{part}"] for part in ("whole", "words", "lines"))

    @property
    def accept_rate(self) -> tuple[float, float, float] | None:
        return rate(self.counts["accepted"], self.shown)

    @property
    def keep_rate(self) -> tuple[float, float, float] | None:
        """The share of accepted characters that were there after 5 minutes. The characters of an acceptance are kept or
        deleted together, so the interval is computed for as many trials as there were acceptances."""
        return rate(self.counts["kept_300"], self.counts["due_300"], self.acceptances)

    @property
    def saved(self) -> int:
        """The number of key strokes saved; an acceptance costs one."""
        return self.counts["accepted_characters"] - self.acceptances

    @property
    def written_share(self) -> float | None:
        """The share of accepted characters among all typed and accepted characters."""
        written = self.counts["typed"] + self.counts["accepted_characters"]
        return self.counts["accepted_characters"] / written if written > 0 else None

    def as_json(self) -> dict[str, Any]:
        return {
            "counts": {name: count for name, count in self.counts.items() if count},
            "shown": self.shown,
            "shownIsEstimate": self.is_estimate,
            "acceptRate": self.accept_rate,
            "keepRate": self.keep_rate,
            "savedKeys": self.saved,
            "writtenShare": self.written_share,
            "latencyMs": {f"p{round(100 * share)}": percentile(self.buckets, share) for share in (0.5, 0.95, 0.99)},
            "lateShare": late_share(self.buckets),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """today: the last day of the week. days: every day with counts, the oldest first. languages, models, sources: of
    the last four weeks."""

    today: date
    week: Group
    before: Group
    days: dict[str, Group]
    languages: dict[str, Group]
    models: dict[str, Group]
    sources: dict[str, Group]
    advice: list[str]

    def last_days(self, count: int) -> list[tuple[str, Group]]:
        """The last days up to today, also those without counts."""
        names = [(self.today - timedelta(days=back)).isoformat() for back in reversed(range(count))]
        return [(name, self.days.get(name, Group())) for name in names]

    def as_json(self) -> dict[str, Any]:
        def of(groups: Mapping[str, Group]) -> dict[str, Any]:
            return {name: group.as_json() for name, group in groups.items()}

        return {
            "today": self.today.isoformat(),
            "week": self.week.as_json(),
            "weekBefore": self.before.as_json(),
            "languages": of(self.languages),
            "models": of(self.models),
            "sources": of(self.sources),
            "days": of(self.days),
            "advice": self.advice,
        }


def report(found: Tally, today: date, token_ms: Mapping[str, float] | None = None) -> Report:
    """The report of a week that ends today. token_ms: the measured time per token on this machine, by the model's
    name."""
    this = _between(found, today - timedelta(days=WEEK - 1), today)
    last = _between(found, today - timedelta(days=2 * WEEK - 1), today - timedelta(days=WEEK))
    lately = _between(found, today - timedelta(days=LATELY_DAYS - 1), today)
    return Report(
        today,
        _sum(this),
        _sum(last),
        dict(sorted(_by(found, lambda key: key.day).items())),
        _most_first(_by(lately, lambda key: key.language)),
        _most_first(_by(lately, lambda key: key.model)),
        {name: group for name, group in _by(lately, lambda key: key.source).items() if group.buckets},
        advice(lately, token_ms or {}),
    )


def advice(lately: Tally, token_ms: Mapping[str, float]) -> list[str]:
    """Advice from the counts, the most important first. None from too few counts."""
    every = _sum(lately)
    if every.shown < _LEAST_SHOWN:
        return [f"{every.shown} suggestions in four weeks are too few for advice; it begins at {_LEAST_SHOWN}."]
    found = [*_of_time(every, lately, token_ms), *_of_languages(lately), *_of_quality(every)]
    return found or ["Nothing stands out: the suggestions come in time, and enough of them are kept."]


def _of_time(every: Group, lately: Tally, token_ms: Mapping[str, float]) -> list[str]:
    found = []
    models = _most_first(_by(lately, lambda key: key.model))
    model = next((name for name in models if name), "")
    speed = f" ({model} takes {token_ms[model]:.0f} ms a token here)" if model in token_ms else ""
    overtaken = every.counts["overtaken"] / max(1, every.counts["requests"])
    late = late_share(every.buckets) or 0.0
    if overtaken > 0.3:
        found.append(
            f"The model is late in {overtaken:.0%} of keys: the next key came before an answer{speed}. A smaller model "
            "helps most: see `fimble models list`."
        )
    elif late > 0.2:
        found.append(
            f"{late:.0%} of suggestions took longer than {BUDGET_MS} ms{speed}. A smaller model, or a lower "
            "`answer_ms`, shows the beginning sooner."
        )
    if every.counts["loading"] > 0.05 * max(1, every.counts["requests"]):
        share = every.counts["loading"] / max(1, every.counts["requests"])
        found.append(f"In {share:.0%} of requests there was no model yet: set `unload_minutes` higher, or to 0.")
    return found


def _of_languages(lately: Tally) -> list[str]:
    noisy = []
    for name, group in _by(lately, lambda key: key.language).items():
        taken = rate(group.counts["accepted"] + group.counts["typed_through"], group.shown)
        if name and group.shown >= _LEAST_SHOWN and taken is not None and taken[2] < 0.05:
            noisy.append(f'"{name}"')
    if not noisy:
        return []
    return [
        f"In {', '.join(each[1:-1] for each in noisy)} nearly nothing is taken: `disabled_languages = "
        f"[{', '.join(noisy)}]` spares you the noise."
    ]


def _of_quality(every: Group) -> list[str]:
    found = []
    taken, kept = rate(every.counts["accepted"] + every.counts["typed_through"], every.shown), every.keep_rate
    quick = (percentile(every.buckets, 0.95) or BUDGET_MS) < 0.4 * BUDGET_MS
    if taken is not None and taken[2] < 0.15:
        found.append(
            f"Only {taken[0]:.0%} of what is shown is taken. `min_confidence = 0.4` shows less and surer suggestions; "
            "`fimble compare` tells whether that is better for you."
        )
    if kept is not None and every.acceptances >= 30 and kept[2] < 0.7:
        found.append(f"Of what you accept only {kept[0]:.0%} is there after 5 minutes: a larger model may be worth it.")
    elif quick and taken is not None and taken[2] < 0.3:
        found.append(
            "There is time for a larger model: 95% of suggestions come within 40 ms. See `fimble models list`."
        )
    return found


def _between(found: Tally, first: date, last: date) -> Tally:
    names = first.isoformat(), last.isoformat()
    return Tally(
        {key: counts for key, counts in found.counts.items() if names[0] <= key.day <= names[1]},
        {key: buckets for key, buckets in found.latencies.items() if names[0] <= key.day <= names[1]},
    )


def _sum(found: Tally) -> Group:
    return _by(found, lambda _: "").get("", Group())


def _by(found: Tally, name: Callable[[Key], str]) -> dict[str, Group]:
    groups: dict[str, Group] = {}
    for key, counts in found.counts.items():
        groups.setdefault(name(key), Group()).counts.update(counts)
    for key, buckets in found.latencies.items():
        groups.setdefault(name(key), Group()).buckets.update(buckets)
    return groups


def _most_first(groups: dict[str, Group]) -> dict[str, Group]:
    """The groups that have a name and any activity, the most used first."""
    used = {name: group for name, group in groups.items() if name and (group.shown or group.counts["keys"])}
    return dict(sorted(used.items(), key=lambda entry: -entry[1].shown))
