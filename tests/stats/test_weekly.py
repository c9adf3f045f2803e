"""The last week in a few sentences: Monday to Sunday, whatever day it is, against the week before."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from lsp_server.stats import store
from lsp_server.stats.counts import Key, Tally
from lsp_server.stats.weekly import last_week, week_of, weekly

MONDAY = date(2026, 11, 16)


def counted(first: date, days: int, accepted: int = 10, kind: str = "shown_told") -> Tally:
    found = Tally()
    for number in range(days):
        key = Key((first + timedelta(days=number)).isoformat(), "Python", "a model", "model")
        found.add(key, **{kind: 40}, accepted=accepted, accepted_whole=accepted, accepted_characters=20 * accepted)
        found.add(key, due_300=200, kept_300=150)
        for ms in (50, 50, 200):
            found.took(key, ms)
    return found


@pytest.mark.parametrize("weekday", range(7))
def test_it_is_of_the_last_whole_week(weekday: int) -> None:
    today = MONDAY + timedelta(days=7 + weekday)
    assert last_week(today) == (MONDAY, MONDAY + timedelta(days=6))
    told = weekly(counted(MONDAY - timedelta(days=30), 60), today)
    assert told.startswith("The week from 2026-11-16 to 2026-11-22: 280 suggestions were shown, ")


def test_it_tells_what_was_accepted_kept_saved_and_how_soon_it_came() -> None:
    found = counted(MONDAY, 7)
    found.merge(counted(MONDAY - timedelta(days=7), 7, accepted=20))
    assert weekly(found, MONDAY + timedelta(days=7)) == (
        "The week from 2026-11-16 to 2026-11-22: 280 suggestions were shown, 25% of them were accepted (50% the week "
        "before), and 75% of what was accepted was there after 5 minutes. You pressed 1,330 fewer keys. Half of them "
        "came within 48 ms, and 95% within 192 ms."
    )


def test_what_an_editor_does_not_say_is_an_estimate() -> None:
    assert ": about 280 suggestions" in weekly(counted(MONDAY, 7, kind="shown_guessed"), MONDAY + timedelta(days=7))


def test_of_a_week_without_suggestions_nothing_is_told() -> None:
    assert weekly(Tally(), MONDAY) == ""
    assert weekly(counted(MONDAY, 7), MONDAY) == ""
    assert weekly(counted(MONDAY, 7), MONDAY + timedelta(days=14)) == ""


def test_a_week_is_shown_once(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    weeks = [week_of(MONDAY + timedelta(days=days)) for days in (0, 6, 7, 7, 14)]
    assert weeks == ["2026-W47", "2026-W47", "2026-W48", "2026-W48", "2026-W49"]
    assert [store.claim(week) for week in weeks] == [True, False, True, False, True]
    store.add(counted(MONDAY, 1), MONDAY)
    assert not store.claim(weeks[-1])
    assert store.read().counts
