"""`fimble models list` as it is read in a terminal: short columns, and a legend of what is shown."""

from __future__ import annotations

from typing import Any

import pytest

from lsp_server.commands.models import _print_list

LONG = "a licence whose name goes on for far longer than anybody would read in a table of models"


def installed(*, used: bool, licence: str = LONG) -> dict[str, Any]:
    entry = {"name": "m.gguf", "used": used, "problem": "", "bytes": 10**9, "kind": "model", "source": "here"}
    return {**entry, "quantisation": "Q8_0", "fim": "qwen", "licence": licence}


def known(*, recommended: bool) -> dict[str, Any]:
    entry = {"name": "other", "bytes": 10**9, "need": 10**9, "fits": True, "recommended": recommended}
    return {**entry, "fim": "qwen", "use": "code", "licence": "mit", "source": "hub"}


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("recommended", [False, True])
def test_the_legend_explains_the_marks_that_are_shown_and_no_others(
    capsys: pytest.CaptureFixture[str], used: bool, recommended: bool
) -> None:
    _print_list([installed(used=used)], [known(recommended=recommended)], True)
    shown = capsys.readouterr().out
    assert shown.count("●") == 2 * used
    assert shown.count("★") == 2 * recommended
    assert ("fimble models pull NAME" in " ".join(shown.split())) is recommended


def test_a_long_licence_is_cut_and_a_short_one_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    _print_list([installed(used=True), installed(used=True, licence="apache-2.0")], [], True)
    shown = capsys.readouterr().out
    assert "a licence whose name go…" in shown and "table of models" not in shown
    assert "apache-2.0" in shown
