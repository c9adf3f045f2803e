"""Options of the commands: none that does nothing, and help that names what there is."""

from __future__ import annotations

import pytest

from lsp_server.cli import run
from lsp_server.features.actions.catalogue import BUILT_IN


@pytest.mark.parametrize(
    "arguments",
    [
        ["doctor", "--model", "x.gguf"],
        ["doctor", "--backend", "scripted"],
        ["init", "helix", "--model", "x.gguf"],
        ["init", "helix", "--backend", "scripted"],
        ["init", "helix", "--log", "debug"],
        ["models", "list", "--backend", "scripted"],
        ["models", "use", "starter", "--model", "x.gguf"],
    ],
    ids=" ".join,
)
def test_an_option_that_would_do_nothing_is_not_there(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(arguments)
    assert "unrecognized arguments" in capsys.readouterr().err


def test_the_help_lists_every_action(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["action", "--help"])
    lines = capsys.readouterr().out.splitlines()
    for action in BUILT_IN:
        (line,) = [line for line in lines if line.split()[:1] == [action.id]]
        assert len(line) > 30
