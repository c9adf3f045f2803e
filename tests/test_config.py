"""Files of settings that a stranger has written: what is wrong is one line, and the other settings hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from lsp_server import config


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own file; the workspace is `tmp_path / "w"`."""
    (tmp_path / "w").mkdir()
    monkeypatch.setattr(config, "user_config_path", lambda _: tmp_path)
    (tmp_path / "fimble.toml").write_text("max_tokens = 7\n")
    return tmp_path / "fimble.toml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('model = "~nosuchuser/x.gguf"', "cannot be used"),
        ('model = "~nosuch\\u0000user/x.gguf"', "cannot be used"),
        (f"actions = {'[' * 5000}{']' * 5000}", "cannot be used"),
        ("# " + "x" * (1 << 20), "larger than 1 MB"),
        ("/dev/zero", "is not a file"),
        ("[actions.explain]\nprompt = 'x'", "action `explain`"),
        ("prettier = true", "`prettier`"),
    ],
    ids=lambda value: value[:20],
)
def test_a_workspaces_file_spoils_nothing(own: Path, text: str, message: str) -> None:
    file = own.parent / "w" / "fimble.toml"
    if text.startswith("/dev"):
        file.symlink_to(text)
    else:
        file.write_text(text)
    settings, problems = config.load([own.parent / "w"], [config.Source("the editor", {"max_lines": 3})])
    (problem,) = problems
    assert message in problem
    assert str(file) in problem
    assert "\n" not in problem
    assert settings == config.Settings(max_tokens=7, max_lines=3)


def test_a_folder_that_cannot_be_is_one_problem(own: Path) -> None:
    settings, problems = config.load([Path("/a\0b")])
    assert settings.max_tokens == 7
    assert len(problems) <= 1


def test_the_user_may_do_both(own: Path) -> None:
    own.write_text("prettier = true\n[actions.explain]\nprompt = 'x'\n")
    settings, problems = config.load([own.parent / "w"])
    assert not problems
    assert settings.action_options().prettier
    assert set(settings.actions) == {"explain"}
    assert config.load([], [config.Source("the editor", {"prettier": True})])[0].prettier
