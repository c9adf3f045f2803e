"""`bench names`: where names are cut out, what counts as invented, and the command on a scripted model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import names
from bench.__main__ import main
from lsp_server.backends.base import Backend, ModelSpec
from lsp_server.backends.scripted import ScriptedBackend

SHOP = """\
from collections import OrderedDict


class Shop:
    def __init__(self, größe):
        self.prices = OrderedDict()
        self.größe = größe

    def total(self):
        return sum(self.prices.values(), start=self.größe)
"""
SHOP += "\n\n# Smaller files are no sources.\n" * 80


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "shop.py").write_text(SHOP)
    (folder / "broken.py").write_text("class Shop:\n    x = (\n")
    (folder / "latin.py").write_bytes(b"x = '\xe4'\n")
    return folder


def known(text: bytes) -> Callable[[], Callable[..., Backend]]:
    def load(spec: ModelSpec, progress: Any) -> Backend:
        return ScriptedBackend(spec, progress, texts=[text])

    return lambda: load


def test_places_are_names_and_the_rest_of_their_lines_is_gone(repo: Path) -> None:
    places = names.drawn(repo, names.KINDS, 4, seed=0)
    for place in places:
        reference = place.task.reference
        assert place.whole[place.start : place.end] == reference
        assert place.task.before + SHOP[place.start :].partition("\n")[0] + place.task.after == SHOP
        assert (place.known is not None) is (place.kind in ("self", "import"))
    found = {kind: {place.task.reference for place in places if place.kind == kind} for kind in names.KINDS}
    assert found["self"] == {"prices", "größe"}
    assert found["member"] == {"values"}
    assert found["import"] == {"OrderedDict"}
    assert found["keyword"] == {"start"}
    assert found["bare"] <= {"OrderedDict", "größe", "sum", "self"}


def test_only_limited_places_are_drawn_where_that_is_asked_for(repo: Path) -> None:
    assert {place.kind for place in names.drawn(repo, names.KINDS, 9, seed=0, limited=True)} == {"self", "import"}


def test_limits_alone_need_no_model(repo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["names", "--repo", str(repo), "--limits-only", "--kind", "self"]) == 0
    assert "0 (0.0%)" in capsys.readouterr().out


def test_of_the_authors_own_texts_those_are_told_that_the_check_cuts(
    repo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["names", "--repo", str(repo), "--false-alarms"]) == 0
    assert " 0 would be cut (0.0%)" in capsys.readouterr().out
    (repo / "shop.py").write_text(SHOP.replace("sum(", "sun("))
    assert main(["names", "--repo", str(repo), "--false-alarms", "--limit", "100"]) == 0
    assert ": sun" in capsys.readouterr().out
    (repo / "shop.py").write_text(SHOP.replace("start=", "begin="))
    assert main(["names", "--repo", str(repo), "--false-alarms"]) == 0
    told = capsys.readouterr().out
    assert "of 1 keyword arguments where the parameters are known 1 would be cut (100.0%)" in told
    assert "shop.py:10: begin of sum" in told


def test_a_folder_without_python_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["names", "--repo", str(tmp_path)]) == 2
    assert "no names" in capsys.readouterr().out


def test_what_is_invented_is_limited_or_withheld(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model knows a shop whose names are others."""
    wrong = SHOP.replace("sum(self.prices", "sun(self.costs")
    monkeypatch.setattr(names, "model_factory", known(wrong.encode()))
    out = tmp_path / "names.json"
    assert main(["names", "--repo", str(repo), "--kind", "self", "--kind", "bare", "--out", str(out)]) == 0
    results = json.loads(out.read_text())
    arms = {arm: [row for row in results if row["arm"] == arm] for arm in names.ARMS}
    assert len({len(rows) for rows in arms.values()}) == 1

    def invented(arm: str, kind: str) -> int:
        return sum(row["exists"] is False for row in arms[arm] if row["kind"] == kind)

    assert invented("nothing", "self") > 0
    assert invented("limit", "self") == invented("both", "self") == 0
    assert invented("nothing", "bare") > 0
    assert invented("check", "bare") == invented("both", "bare") == 0
    removed = [row for row in arms["both"] if row["removed"]]
    assert removed
    assert all(not row["name"] for row in removed)
    assert "not shown for `sun`" in capsys.readouterr().out


SCRIPT = """\
export class Shop {
  readonly größe = 1;

  constructor(private readonly prices: number[]) {
    this.prices = prices;
  }

  total(): number {
    return this.prices.length + this.größe;
  }

  static other(): number {
    return this.length;
  }
}
"""


def test_behind_this_places_are_in_other_languages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "shop.ts").write_text(SCRIPT + "// Smaller files are no sources.\n" * 80)
    (tmp_path / "shop.py").write_text(SHOP)
    places = names.drawn(tmp_path, [names.THIS], 9, seed=0)
    assert {place.task.reference: place.known is not None for place in places} == {
        "prices": True,
        "größe": True,
        "length": False,
    }
    assert main(["names", "--repo", str(tmp_path), "--limits-only", "--kind", "this"]) == 0
    assert "│ this │      3 │       2 │" in capsys.readouterr().out
