"""Terminals and pipes that cannot show every character, and files whose names are no text: no command breaks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import environment
from tests.support.forked import run
from tests.support.tiny_gguf import write_tiny_gguf

TEXT = "größe = '日本 😀'  # ▏→ ≈\nlänge = '日本 😀'  # ▏→ ≈\n"
ANSWER = "größe is 日本 😀, ≈ 3 → 4"
COMMANDS = {
    "complete": ["complete", "--backend", "scripted", "--model", "known.py", "--explain", "typed.py:2"],
    "explain": ["action", "--backend", "scripted", "--chat-model", "replies.json", "explain", "code.py:1"],
    "doctor": ["doctor"],
    "list": ["models", "list", "--all"],
    "use": ["models", "use", "größe-日本.gguf"],
    "a wrong place": ["complete", "größe-日本.py:1"],
    "a wrong command": ["größe-日本"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    (folder / "known.py").write_text(TEXT, "utf-8")
    (folder / "typed.py").write_text(TEXT[: TEXT.index("日本 😀", 30)], "utf-8")
    (folder / "code.py").write_text("def größe(x):\n    return x\n", "utf-8")
    (folder / "replies.json").write_text(json.dumps([["", ANSWER]]))
    write_tiny_gguf(folder / "größe-日本.gguf", name="größe 日本")
    return folder


def fimble(folder: Path, encoding: str, *arguments: str | bytes) -> subprocess.CompletedProcess[bytes]:
    env = {**environment(folder), "PYTHONIOENCODING": encoding, "COLUMNS": "200"}
    command = [sys.executable, "-B", "-m", "lsp_server", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, check=False)


@pytest.mark.parametrize("name", COMMANDS)
def test_what_an_encoding_cannot_show_is_written_otherwise(folder: Path, name: str) -> None:
    done = fimble(folder, "cp1252", *COMMANDS[name])
    assert b"Traceback" not in done.stderr
    assert b"UnicodeEncodeError" not in done.stdout + done.stderr
    shown = (done.stdout + done.stderr).decode("cp1252")
    assert shown.strip()
    if name in ("complete", "explain"):
        assert "gr\u00f6\u00dfe" in shown  # cp1252 has these
        assert "\\u65e5\\u672c" in shown
    if name == "doctor":
        assert {line.split()[0] for line in shown.splitlines() if line.strip()} >= {"ok"}
        assert "\\u" not in shown


@pytest.mark.parametrize("encoding", ["ascii", "latin-1:strict", "utf-16"])
def test_other_encodings(folder: Path, encoding: str) -> None:
    done = fimble(folder, encoding, *COMMANDS["complete"])
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    shown = done.stdout.decode(encoding.partition(":")[0])
    assert "segment" in shown


# Not UTF-8: a name that Python keeps with characters which no encoding has.
NAME = os.fsdecode(b"caf\xe9\xff")


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work") / NAME
    try:
        folder.mkdir()
    except (OSError, UnicodeError):
        pytest.skip("this disk has no such names")
    for name in (f"{NAME}.py", "known.py"):
        (folder / name).write_text("def area(width, height):\n    return width * height\n")
    (folder / "replies.json").write_text(json.dumps([["", ANSWER]]))
    write_tiny_gguf(folder / f"{NAME}.gguf")
    return folder


ODD = {
    "complete": (["complete", "--backend", "scripted", "--explain", f"{NAME}.py:2:12"], 0),
    "complete with it open": (["complete", "--backend", "scripted", "--open", f"{NAME}.py", "known.py:2:12"], 0),
    "complete --json": (["complete", "--backend", "scripted", "--json", f"{NAME}.py:2:12"], 0),
    "not there": (["complete", f"{NAME}-not.py:2"], 2),
    "a line that is not there": (["complete", f"{NAME}.py:99"], 2),
    "explain": (
        ["action", "--backend", "scripted", "--chat-model", "replies.json", "explain", f"{NAME}.py:1"],
        0,
    ),
    "a model": (["complete", "--model", f"{NAME}.gguf", "known.py:2:12"], 0),
    "bench": (["models", "bench", f"{NAME}.gguf"], 0),
    "use": (["models", "use", f"{NAME}.gguf"], 2),
    "a model that is not there": (["models", "use", f"{NAME}-not.gguf"], 2),
    "list": (["models", "list"], 0),
    "doctor": (["doctor", "--json"], 0),
}


@pytest.mark.parametrize("name", ODD)
def test_a_name_that_is_not_utf_8(odd: Path, name: str) -> None:
    arguments, status = ODD[name]
    done = run(arguments, odd, environment(odd))
    assert "Traceback" not in done.stderr, done.stderr
    assert "codec" not in done.stdout + done.stderr
    if name != "doctor":  # it may have other things to say of the machine
        assert done.returncode == status, done.stderr
    if status:
        (line,) = done.stderr.splitlines()
        assert "caf\\udce9\\udcff" in line
    if "json" in name:
        json.loads(done.stdout)
