"""Users without a home, as in containers and services: every command works, and says where it keeps what it keeps."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lsp_server.system import user_folders
from tests.support.stdio import StdioClient
from tests.support.tiny_gguf import write_tiny_gguf

ROOT = Path(__file__).resolve().parents[2]

# As in a container whose user is a number alone.
NAMELESS = f"""
import os, pwd, sys
def unknown(*_):
    raise KeyError("getpwuid(): uid not found")
pwd.getpwuid = unknown
sys.path.insert(0, {str(ROOT)!r})
from lsp_server.__main__ import main
main()
"""

# HOME, and what is said of it.
HOMES = [
    (None, "is not set"),
    ("", "is not set"),
    ("home", "not absolute"),
    ("~", "not absolute"),
    ("/none", "no folder"),
]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-B", "-c", NAMELESS, *arguments]


@pytest.fixture
def homeless(tmp_path: Path) -> dict[str, str]:
    """An environment without any user's folder; temporary folders lie in the test's own."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "work").mkdir()
    left = {name: value for name, value in os.environ.items() if name != "HOME" and not name.startswith("XDG_")}
    return {**left, "TMPDIR": str(tmp_path / "tmp"), "PYTHONDONTWRITEBYTECODE": "1"}


COMMANDS = [("models", "list", "--json"), ("models", "import")]


@pytest.mark.parametrize(
    ("arguments", "home", "why"),
    [*((("doctor", "--json"), *home) for home in HOMES), *((command, *HOMES[0]) for command in COMMANDS)],
)
def test_a_command_without_a_home(
    tmp_path: Path, homeless: dict[str, str], arguments: tuple[str, ...], home: str | None, why: str
) -> None:
    env = homeless if home is None else {**homeless, "HOME": home}
    done = subprocess.run(
        command(*arguments), cwd=tmp_path / "work", env=env, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    assert "cannot be examined" not in done.stdout
    (line,) = done.stderr.splitlines()
    assert "HOME is" in line
    assert why in line
    assert "XDG_CACHE_HOME" in line
    assert str(tmp_path / "tmp") in line
    if "--json" in arguments:
        json.loads(done.stdout)
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("home", [None, "/none"])
def test_serving_without_a_home(tmp_path: Path, homeless: dict[str, str], home: str | None) -> None:
    model = write_tiny_gguf(tmp_path / "m.gguf")
    env = homeless if home is None else {**homeless, "HOME": home}
    serve = command("serve", "--backend", "llama", "--model", str(model))
    server = StdioClient(command=serve, cwd=tmp_path / "work", env=env)
    try:
        server.initialize(initializationOptions={"calibrate": False, "answer_ms": 5000})
        server.open("file:///w/a.py", "x = ")
        server.inline("file:///w/a.py", 0, 4)
        assert server.status()["requests"]["last"]["decodedTokens"] > 0
        assert server.finish() == 0
    finally:
        server.kill()
    assert "XDG_CACHE_HOME" in server.stderr
    assert "Traceback" not in server.stderr
    assert list((tmp_path / "work").iterdir()) == []
    made = [path for path in (tmp_path / "tmp").iterdir() if path.name.startswith("fimble-")]
    (folder,) = (path for path in made if "sockets" not in path.name)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list(folder.rglob("model-files.json"))


@pytest.mark.parametrize("name", ["~nobody-of-that-name/m.gguf", "~/m.gguf"])
def test_a_model_in_a_home_that_nobody_knows(tmp_path: Path, homeless: dict[str, str], name: str) -> None:
    (tmp_path / "work" / "a.py").write_text("x = \n")
    for arguments in (("complete", "a.py:1", "--model", name), ("models", "use", name), ("models", "bench", name)):
        done = subprocess.run(
            command(*arguments), cwd=tmp_path / "work", env=homeless, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert "m.gguf" in done.stderr


def test_a_temporary_home_that_is_somebody_elses_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    expected = tmp_path / f"fimble-{os.getuid()}"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    for make in (lambda: expected.symlink_to(elsewhere), lambda: expected.mkdir(mode=0o777), expected.touch):
        make()
        expected.is_dir() and not expected.is_symlink() and expected.chmod(0o777)
        monkeypatch.setenv("HOME", "nowhere")
        assert str(expected) + ";" not in user_folders.ensure_home()
        used = Path(os.environ["HOME"])
        assert used != expected
        assert stat.S_IMODE(used.stat().st_mode) == 0o700
        expected.rmdir() if expected.is_dir() and not expected.is_symlink() else expected.unlink()


def test_relative_folders_of_the_user_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    assert user_folders.ensure_home() == "XDG_CACHE_HOME must be absolute and does not count"
    assert "XDG_CACHE_HOME" not in os.environ
    assert user_folders.ensure_home() == ""
    assert os.environ["HOME"] == str(tmp_path)
