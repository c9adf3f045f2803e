"""`fimble models rm`: what cannot be removed stays pinned and is told in one line; what is gone is no error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lsp_server.cli import run
from lsp_server.models import lock

NAME = "someone/Tiny-GGUF/tiny.gguf"


@pytest.fixture
def file(place: Path) -> Path:
    """A pinned model's file."""
    pin = lock.Pin(NAME, 4, "0" * 64, "someone/Tiny-GGUF")
    path = lock.path_of(pin)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"GGUF")
    lock.add(pin)
    return path


def test_the_file_its_empty_folders_and_its_pin_are_removed(file: Path) -> None:
    assert run(["models", "rm", NAME]) == 0
    assert [path.name for path in lock.models_folder().iterdir()] == [lock.FILE_NAME]
    assert lock.pins() == {}


def test_a_folder_with_other_files_stays(file: Path) -> None:
    other = file.with_name("other.gguf")
    other.write_bytes(b"GGUF")
    assert run(["models", "rm", NAME]) == 0
    assert (file.exists(), other.exists()) == (False, True)


@pytest.mark.skipif(os.name != "posix", reason="unlink of a folder")
def test_what_cannot_be_removed_stays_pinned(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.unlink()
    file.mkdir()  # also the administrator cannot unlink it
    assert run(["models", "rm", NAME]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{file} cannot be removed: " in line
    assert list(lock.pins()) == [NAME]


def test_a_model_whose_folder_is_gone_is_forgotten(file: Path) -> None:
    file.unlink()
    file.parent.rmdir()
    assert run(["models", "rm", NAME]) == 0
    assert [path.name for path in lock.models_folder().iterdir()] == [lock.FILE_NAME]
    assert lock.pins() == {}
