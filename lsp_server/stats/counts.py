"""The counters: their keys, their names, the latency buckets, and the sums that wait to be written."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

# Why an answer had no suggestion, by the counter that counts it.
EMPTY_ANSWERS: Mapping[str, str] = {
    "overtaken": "the next key or request came first",
    "off": "completions were off for the language or file",
    "loading": "there was no model yet",
    "unsure": "the model was not sure enough (`min_confidence`)",
    "late": "the model took too long",
    "withheld": "what the model wrote did not fit",
    "nothing": "the model wrote nothing",
    "place": "nothing is wanted at such a place",
}

# All counters with their descriptions. The database has a column for each.
COUNTERS: Mapping[str, str] = {
    "keys": "changes of a text by hand that put something in",
    "typed": "characters typed by hand",
    "requests": "requests, all of them",
    **{kind: f"empty answers: {reason}" for kind, reason in EMPTY_ANSWERS.items()},
    "suggestions": "suggestions that were made",
    "shown_told": "suggestions that the editor says it has shown",
    "shown_guessed": "suggestions that an editor which does not say so has most likely shown",
    "accepted": "suggestions of which something was accepted",
    "accepted_whole": "times that all that was left of a suggestion was accepted",
    "accepted_words": "times that a part was accepted that does not end with a line",
    "accepted_lines": "times that a part was accepted that ends with a line",
    "typed_through": "suggestions that were typed to their end instead",
    "dismissed": "suggestions that were shown, and of which nothing was accepted and not all typed",
    "undone": "acceptances that were taken back as a whole",
    "accepted_characters": "characters put in by accepting",
    "agreed_characters": "characters typed as a suggestion said",
    "due_30": "accepted characters that were looked at after 30 seconds",
    "kept_30": "of them, those still there",
    "due_300": "accepted characters that were looked at after 5 minutes",
    "kept_300": "of them, those still there",
    "due_save": "accepted characters that were looked at when the file was saved for the first time",
    "kept_save": "of them, those still there",
    "evaluated_tokens": "tokens of prompts that were evaluated",
    "decoded_tokens": "tokens that were written",
    "wasted_tokens": "tokens of suggestions of which nothing was accepted or typed",
    "cpu_ms": "processor time of the server, in ms",
    "actions": "code actions that were run",
    "actions_applied": "of them, those whose result was used",
    "actions_declined": "of them, those whose edit the user or the editor did not take",
    "actions_refused": "of them, those whose answer could not be used",
    "actions_cancelled": "of them, those that the user ended",
}

# The upper bounds of the latency buckets, in ms; one more bucket has everything above the last. 100 is one of them, so
# the share above it is exact.
BUCKETS = (
    *(1, 2, 3, 5, 7, 10, 15, 20, 25, 30, 40, 50, 60, 70, 80, 90, 100),
    *(120, 150, 200, 250, 300, 400, 500, 700, 1000, 1500, 2000, 3000, 5000, 8000, 15000),
)


def bucket_of(ms: float) -> int:
    """The index of a latency's bucket."""
    return bisect_left(BUCKETS, ms)


@dataclass(frozen=True, slots=True)
class Key:
    """The key of a row. day: as 2026-11-28. language: fimble's name for it. model: its name. source: where the
    suggestions came from, or the identifier of a code action; empty for other counts. arm: the settings that were
    tried; empty without a trial."""

    day: str
    language: str = ""
    model: str = ""
    source: str = ""
    arm: str = ""


@dataclass(slots=True)
class Tally:
    """The sums since the last `take`. Belongs to one thread."""

    counts: dict[Key, Counter[str]] = field(default_factory=dict)
    latencies: dict[Key, Counter[int]] = field(default_factory=dict)

    def add(self, key: Key, **counts: int) -> None:
        """Adds to counters of a key. Negative numbers correct earlier counts."""
        found = self.counts.get(key)
        if found is None:
            found = self.counts[key] = Counter()
        for name, count in counts.items():
            found[name] += count

    def took(self, key: Key, ms: float) -> None:
        """Adds one latency, in ms."""
        found = self.latencies.get(key)
        if found is None:
            found = self.latencies[key] = Counter()
        found[bucket_of(ms)] += 1

    def take(self) -> Tally:
        """Returns the sums and starts again from zero."""
        taken = Tally(self.counts, self.latencies)
        self.counts, self.latencies = {}, {}
        return taken

    def merge(self, other: Tally) -> None:
        """Adds the sums of another tally, which could not be written."""
        for key, counts in other.counts.items():
            self.counts.setdefault(key, Counter()).update(counts)
        for key, buckets in other.latencies.items():
            self.latencies.setdefault(key, Counter()).update(buckets)

    def __bool__(self) -> bool:
        return bool(self.counts or self.latencies)
