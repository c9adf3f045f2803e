"""`fimble stats`: the page, its other forms, and what is said when the counts cannot be read."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from lsp_server.cli import run
from lsp_server.commands import stats_html
from lsp_server.stats import store
from lsp_server.stats.counts import COUNTERS, Key, Tally

MODEL = "<script>alert(1)</script> & Co"
VOID = {"meta"}


def fill(days: int, model: str = MODEL, first: int = 0) -> None:
    found = Tally()
    for back in range(first, first + days):
        key = Key((date.today() - timedelta(days=back)).isoformat(), "Python", model, "memory")
        found.add(key, requests=60, suggestions=45, shown_guessed=40, accepted=10, accepted_whole=10, withheld=3)
        found.add(key, accepted_characters=200 + back, due_300=200, kept_300=150, typed=400)
        for ms in (1, 60, 130):
            found.took(key, ms)
    store.add(found, date.today())


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["stats", *arguments]) == 0
    return capsys.readouterr().out


def test_without_counts_it_says_so(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    assert "Nothing has been counted yet" in printed(capsys)
    assert "there are no counts" in printed(capsys, "clear")
    assert json.loads(printed(capsys, "--json"))["days"] == {}
    assert printed(capsys, "--csv").count("\n") == 1
    assert not store.path().exists(), "to look at the counts makes no file"


def test_the_page_tells_of_the_week(capsys: pytest.CaptureFixture[str]) -> None:
    fill(10)
    page = printed(capsys)
    assert re.search(r"suggestions shown +~280 +~120\n", page)
    assert re.search(r"accepted +~25% \(20% to 30%\)", page)
    assert re.search(r"kept after 5 minutes +75% ", page)
    assert re.search(r"21 +what the model wrote did not fit", page)
    assert "~: an estimate" in page
    assert "█" in page


def test_a_program_can_read_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    fill(10)
    found = json.loads(printed(capsys, "--json"))
    assert found["week"]["shown"] == 280
    assert found["week"]["counts"]["accepted"] == 70
    assert found["languages"]["Python"]["lateShare"] == pytest.approx(1 / 3)
    assert len(found["days"]) == 10


def test_a_spreadsheet_can_read_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    fill(3, model="=HYPERLINK(1)")
    rows = list(csv.DictReader(io.StringIO(printed(capsys, "--csv"))))
    assert [row["accepted"] for row in rows] == ["10", "10", "10"]
    assert set(COUNTERS) < set(rows[0])
    assert {row["model"] for row in rows} == {"'=HYPERLINK(1)"}


class Page(HTMLParser):
    """Reads a page strictly: what is opened is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.seen if name == tag)


@pytest.mark.parametrize("days", [0, 1, 40, 400])
def test_the_html_page_is_whole_and_fetches_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, days: int
) -> None:
    fill(days)
    printed(capsys, "--html", str(tmp_path / "page.html"))
    text = (tmp_path / "page.html").read_text("utf-8")
    page = Page(text)
    assert not {tag for tag, _ in page.seen} & {"script", "link", "img", "iframe", "object"}
    assert not any(name in attributes for _, attributes in page.seen for name in ("src", "href", "style"))
    assert not re.search(r"https?:|url\(|@import", text)
    assert [attributes["lang"] for attributes in page.all("html")] == ["en"]
    assert "prefers-color-scheme: dark" in text
    charts = list(page.all("svg"))
    assert len(charts) == (2 if days else 0)
    assert all(chart["role"] == "img" and chart["aria-label"] for chart in charts)
    assert len(list(page.all("rect"))) == min(days, 365)
    for name in ("x", "y", "width", "height"):
        assert all(0 <= float(str(bar[name])) <= 720 for bar in page.all("rect"))
    assert MODEL not in text


def html(capsys: pytest.CaptureFixture[str], folder: Path) -> str:
    printed(capsys, "--html", str(folder / "page.html"))
    return (folder / "page.html").read_text("utf-8")


@pytest.mark.parametrize(("free", "lines"), [(3, 1), (4, 2)])
def test_a_weekend_does_not_part_a_line_and_holidays_do(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, free: int, lines: int
) -> None:
    for first in (0, 5 + free):
        fill(5, first=first)
    page = Page(html(capsys, tmp_path))
    assert [line["class"] for line in page.all("polyline")].count("line") == lines
    assert len([dot for dot in page.all("circle") if dot["class"] == "dot"]) == 10


@pytest.mark.parametrize(("scheme", "part"), [("light", 0), ("dark", 1)])
def test_colours_can_be_told_apart(scheme: str, part: int) -> None:
    """As WCAG reckons it: 4.5 for text, also on cards and where a shadow says that a table goes on; 3 for charts."""
    named = re.findall(r"--(\w+): #(\w+)", stats_html._STYLE)
    half = len(named) // 2
    colours = {name: value * (2 if len(value) == 3 else 1) for name, value in named[part * half : (part + 1) * half]}
    assert set(colours) == {"ink", "soft", "line", "back", "card", "one", "two"}
    pairs = [(text, on, 4.5) for text in ("ink", "soft") for on in ("back", "card", "line")]
    for one, other, least in [*pairs, ("one", "back", 3), ("two", "back", 3)]:
        light, dark = sorted((luminance(colours[one]), luminance(colours[other])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= least, (one, other)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_the_last_week_is_told_in_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "--weekly") == "No suggestion was shown in the last week.\n"
    fill(14)
    assert re.fullmatch(r"The week from .*: about 280 suggestions were shown, 25% .*\n", printed(capsys, "--weekly"))


def test_counts_are_cleared(capsys: pytest.CaptureFixture[str]) -> None:
    fill(2)
    assert "all counts are deleted" in printed(capsys, "clear")
    assert "Nothing has been counted yet" in printed(capsys)


def test_a_damaged_file_is_named_with_what_mends_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    fill(2)
    store.path().write_bytes(b"no database " * 1000)
    assert run(["stats"]) == 2
    said = capsys.readouterr().err
    assert str(store.path()) in said
    assert "damaged; `fimble stats clear` begins anew" in said
    assert run(["stats", "clear"]) == 0
    assert "Nothing has been counted yet" in printed(capsys).replace("all counts are deleted\n", "")
    assert run(["stats", "--html", str(tmp_path / "no folder" / "x.html")]) == 2
