"""A summary of the last week in a few sentences: for `fimble stats --weekly`, and for a server to show once a week."""

from __future__ import annotations

from datetime import date, timedelta

from lsp_server.stats.calculations import percentile
from lsp_server.stats.counts import Tally
from lsp_server.stats.report import WEEK, Group, report


def week_of(day: date) -> str:
    """The ISO week of a day, such as 2026-W48."""
    return day.strftime("%G-W%V")


def last_week(today: date) -> tuple[date, date]:
    """Monday and Sunday of the week before this one."""
    monday = today - timedelta(days=today.weekday() + WEEK)
    return monday, monday + timedelta(days=WEEK - 1)


def weekly(found: Tally, today: date) -> str:
    """The summary of the last complete week, compared with the week before; empty if nothing was shown in it."""
    monday, sunday = last_week(today)
    made = report(found, sunday)
    week, before = made.week, made.before
    if not week.shown:
        return ""
    mark = "about " if week.is_estimate else ""
    told = [f"The week from {monday} to {sunday}: {mark}{week.shown:,} suggestions were shown"]
    if week.accept_rate is not None:
        told.append(f", {week.accept_rate[0]:.0%} of them were accepted{_against(before)}")
    if week.keep_rate is not None:
        told.append(f", and {week.keep_rate[0]:.0%} of what was accepted was there after 5 minutes")
    told.append(f". You pressed {week.saved:,} fewer keys." if week.saved > 0 else ".")
    middle, high = (percentile(week.buckets, share) for share in (0.5, 0.95))
    if middle is not None and high is not None:
        told.append(f" Half of them came within {middle:.0f} ms, and 95% within {high:.0f} ms.")
    return "".join(told)


def _against(before: Group) -> str:
    return f" ({before.accept_rate[0]:.0%} the week before)" if before.accept_rate is not None else ""
