"""`fimble report`: enough for a report of a bug, from a real server's run, and nothing of the user's."""

from __future__ import annotations

import json
import logging
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lsp_server.cli import run
from lsp_server.settings import last_run
from lsp_server.settings.last_run import SHOWN, LastRun, without_paths
from tests.conftest import environment
from tests.support.stdio import SERVE, StdioClient

Start = Callable[..., StdioClient]
CODE = "def zanzibar(quokka):\n    return quokka\n\nvalue = "


@pytest.fixture
def reported(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What the command prints in the home where the test's servers run."""
    for name, value in environment(home).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(home)

    def report(*options: str) -> str:
        assert run(["report", *options]) == 0
        return capsys.readouterr().out

    return report


def last(report: Callable[..., str]) -> Any:
    return json.loads(report("--json"))["lastRun"]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("model file /srv/models/x.gguf cannot be read: no such file", "model file … cannot be read: no such file"),
        (r"C:\Users\ann\x.gguf: it is empty", "… it is empty"),
        (r"\\server\share\x.gguf is empty", "… is empty"),
        ("see ~/work/x and ~ann/y", "see … and …"),
        ("file:///home/ann/a%20b.py is not open", "… is not open"),
        ("src/shop.py:12 and ../other/thing", "…:12 and …"),
        ("expected `int` >= 1, found 'my own words'", "expected `int` >= 1, found …"),
        ('no `maxx` in "here"; it isn\'t one, isn\'t it?', "no `maxx` in …; it isn't one, isn't it?"),
        ("4800 GB/s, CPU/GPU, 3 of 4, read and/or written", "4800 GB/s, CPU/GPU, 3 of 4, read and/or written"),
        ("Qwen/Qwen2.5-Coder-0.5B is ready", "Qwen/Qwen2.5-Coder-0.5B is ready"),
    ],
)  # fmt: skip
def test_paths_and_quoted_texts_are_left_out(text: str, left: str) -> None:
    assert without_paths(text) == left


def test_known_paths_may_have_spaces() -> None:
    text = "model file /d/My secret plan/x.gguf is empty; trust /d/My secret plan"
    assert without_paths(text, ["/d/My secret plan"]) == "model file … is empty; trust …"


def test_after_a_run_that_ended(start: Start, home: Path, reported: Callable[..., str]) -> None:
    project = home / "top secret project"
    project.mkdir()
    server = start()
    server.initialize(workspaceFolders=[{"uri": project.as_uri(), "name": "x"}])
    uri = (project / "zanzibar.py").as_uri()
    server.open(uri, CODE)
    server.inline(uri, 3, 8)
    server.notify("workspace/didChangeConfiguration", {"settings": {"fimble": {"model": str(project / "zebra.gguf")}}})
    assert server.finish() == 0
    found = last(reported)
    assert found["state"] == "ended in order"
    assert found["counted"]["requests"]["answered"] == 1
    assert found["counted"]["evaluatedTokens"] > 0
    text = reported()
    assert "- requests: " in text
    assert not [word for word in ("zanzibar", "quokka", "secret", "zebra", str(home)) if word in text]
    assert stat.S_IMODE(last_run.path().stat().st_mode) == 0o600


def test_an_error_that_the_user_saw_is_in_it_without_its_path(
    start: Start, home: Path, reported: Callable[..., str]
) -> None:
    missing = home / "my own models" / "zebra.gguf"
    server = start(*SERVE[:1], "--model", str(missing))
    server.initialize(ready=False)
    server.message(lambda m: m.get("method") == "window/showMessage", "the error")
    assert server.finish() == 0
    (error,) = last(reported)["errors"]
    assert error["level"] == "error"
    assert "does not exist" in error["text"]
    assert not [word for word in ("zebra", "my own", str(home)) if word in reported()]


def test_a_server_that_was_ended_by_force(start_anew: Start, reported: Callable[..., str]) -> None:
    server = start_anew()
    server.initialize()
    server.wait(lambda: last_run.read() is not None, "the note of the run")
    assert last(reported)["state"] == "runs"
    server.process.kill()
    server.process.wait()
    assert last(reported)["state"].startswith("ended without a word")


def test_of_a_log_record_only_what_fimble_says_is_kept(reported: Callable[..., str]) -> None:
    """What is put in for `%s`, and what an exception says, may be of the user's code."""
    handler, logger = LastRun(lambda: []), logging.getLogger("lsp_server.test")
    logger.addHandler(handler)
    try:
        for number in range(50):
            logger.warning("cannot write %s: %s", "quokka", number)
        try:
            without_paths(None)  # type: ignore[arg-type]
        except TypeError:
            logger.exception("a task failed")
        logger.error("%s", "shown: /a/b", extra=SHOWN)
        for number in range(100):
            logger.error(f"error {number}")
    finally:
        logger.removeHandler(handler)
    handler.write({}, ended=True)
    handler.write({"late": 1})  # by a thread that was left behind
    found = last(reported)
    assert found["counted"] == {}
    repeated, raised, shown, *rest = found["errors"]
    assert (repeated["text"], repeated["times"]) == ("cannot write %s: %s", 50)
    assert raised["raised"] == "TypeError"
    assert raised["at"][-1].startswith("settings/last_run.py:")
    assert shown["text"] == "shown: …"
    assert len(rest) == 17
    assert "quokka" not in reported()


def test_settings_that_differ_without_texts_of_the_user(home: Path, reported: Callable[..., str]) -> None:
    file = home / "config/fimble/fimble.toml"
    file.parent.mkdir(parents=True)
    file.write_text(
        'max_lines = 3\ncalibrate = false\nmodel = "/a b/zebra.gguf"\nflash_attention = "on"\n'
        'disabled_languages = ["go"]\nlora = ["zebra.gguf", "y.gguf"]\nchat_modle = "zebra"\n'
        '[actions.zebra]\ntitle = "zebra"\nprompt = "zebra"\n'
    )
    found = json.loads(reported("--json"))
    assert found["settings"] == {
        "max_lines": 3,
        "calibrate": False,
        "model": "set",
        "flash_attention": "on",
        "disabled_languages": ["go"],
        "lora": "2 set",
        "actions": "1 set",
    }
    assert "did you mean `chat_model`" in found["problems"][0]
    assert "zebra" not in reported()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"errors": 3, "counted": [], "started": "x"}', "null"])
def test_a_note_that_is_damaged(reported: Callable[..., str], content: str) -> None:
    last_run.path().parent.mkdir(parents=True, exist_ok=True)
    last_run.path().write_text(content)
    assert "## The server that wrote last" in reported()
