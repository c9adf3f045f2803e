"""`fimble cache`, and doctor's line on it: how much of evaluated prompts there is, and away with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lsp_server.cli import run
from lsp_server.commands import doctor
from lsp_server.system import saved_prompt_files


def write(count: int) -> None:
    for number in range(count):
        saved_prompt_files.write("key", [number], [(1, memoryview(bytes(1_000_000)))], 0.0, limit_bytes=1 << 30)


def test_what_there_is_and_its_removal(capsys: pytest.CaptureFixture[str]) -> None:
    folder = saved_prompt_files.folder()
    assert run(["cache"]) == 0
    assert capsys.readouterr().out == f"0 evaluated prompts (0 MB) in {folder}\n"
    write(3)
    (folder / "of-an-earlier-version.prompt0").write_bytes(bytes(1_000_000))
    (folder / "x.part").write_bytes(b"half")
    assert run(["cache"]) == 0
    assert capsys.readouterr().out == f"4 evaluated prompts (4 MB) in {folder}\n"
    assert run(["cache", "--empty"]) == 0
    assert capsys.readouterr().out == f"removed 4 evaluated prompts (4 MB) from {folder}\n"
    assert list(folder.iterdir()) == []


def test_a_file_of_the_users_in_the_folder_stays(place: Path) -> None:
    write(1)
    mine = saved_prompt_files.folder() / "notes.txt"
    mine.write_text("mine")
    assert run(["cache", "--empty"]) == 0
    assert [path.name for path in saved_prompt_files.folder().iterdir()] == ["notes.txt"]


def test_doctor_says_how_much_there_is(place: Path) -> None:
    def line() -> doctor.Check:
        (found,) = [check for check in doctor.examine() if check.topic == "prompts"]
        return found

    assert line().text.startswith("0 evaluated prompts, 0 MB of 1024 MB")
    write(2)
    assert line().text.startswith("2 evaluated prompts, 2 MB of 1024 MB")
    assert (line().status, line().fix) == ("green", "")
    settings = place / "config" / "fimble" / "fimble.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("saved_prompts_mb = 0\n")
    assert (line().status, line().fix) == ("yellow", "fimble cache --empty")
    assert run(["cache", "--empty"]) == 0
    assert line() == doctor.Check("prompts", "green", "none are kept: `saved_prompts_mb` is 0")
