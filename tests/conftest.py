"""What all tests share: user folders of their own, so that no test reads or writes the user's, and servers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support import starter
from tests.support.forked import ForkedProcess
from tests.support.stdio import SERVE, StdioClient

ROOT = Path(__file__).resolve().parent.parent

# As `load_library` does, but before any test imports torch or llama_cpp: OpenMP reads it once, and with two workers
# on two cores the models' threads would spin for most of the time.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Shells start what runs in the background with Ctrl-C ignored, and whatever a test starts would ignore it, too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# The files that take longest go first, so that no worker is left alone with one at the end. Those that wait for an
# editor or a server stand beside those that compute.
SLOWEST = (
    "real_model/test_default_model.py",
    "editors/test_neovim.py",
    "models/test_pull_packages.py",
    "lsp/test_documents.py",
    "commands/test_optimize.py",
    "models/test_pull.py",
    "models/test_estimate.py",
    "lsp/test_counting.py",
    "lsp/test_footprint.py",
    "test_project.py",
    "lsp/test_actions.py",
    "editors/test_neovim_typing.py",
    "core/test_fits.py",
    "commands/test_encodings.py",
    "engine/test_proof.py",
    "real_model/test_recurrent.py",
    "editors/test_neovim_edits.py",
    "bench/test_quality.py",
    "real_model/test_tiny_model.py",
    "real_model/test_lora.py",
    "editors/test_neovim_state.py",
    "lsp/test_turns.py",
    "core/danger/test_check.py",
    "lsp/test_settings.py",
    "lsp/test_endpoints.py",
    "commands/test_homes.py",
    "lsp/test_fuzz.py",
    "lsp/test_session.py",
    "lsp/test_index.py",
    "engine/test_process.py",
)


def pytest_xdist_auto_num_workers() -> int | None:
    """Half as many workers again as there are cores, since tests wait for a third of their time."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None  # xdist reads it
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + (cores + 1) // 2


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--editors", action="store_true", help="also in the editors that tests.editors.install fetches")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--editors"):
        fetched = [item for item in items if item.get_closest_marker("fetched_editor")]
        items[:] = [item for item in items if not item.get_closest_marker("fetched_editor")]
        config.hook.pytest_deselected(items=fetched)
    places = {ROOT / "tests" / name: place for place, name in enumerate(SLOWEST)}
    assert all(path.exists() for path in places), "a file of SLOWEST is gone"
    items.sort(key=lambda item: places.get(item.path, len(places)))


def environment(home: Path) -> dict[str, str]:
    """The environment of a process whose home and user folders lie in `home`."""
    folders = {f"XDG_{name}_HOME": str(home / name.lower()) for name in ("CACHE", "CONFIG", "STATE", "DATA")}
    folders["XDG_RUNTIME_DIR"] = str(home)
    folders["COLUMNS"] = "200"  # of tables
    return {**os.environ, **folders, "HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture(scope="session", autouse=True)
def user_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Empty user folders for all that runs inside the tests' own process."""
    home = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(home).items():
            patch.setenv(name, value)
        yield home


@pytest.fixture(scope="session")
def starter_file() -> Path:
    """The real starter model. Its tests are marked with `model`."""
    return starter.fetched()


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty home folder for the servers of one test."""
    return tmp_path_factory.mktemp("home")


# The scripted models write code that uses what it likes, and most tests are about other things.
NAMES_UNCHECKED = {"lsp_server.core.names.undefined.MOST_BYTES": -1}


def server_in(
    home: Path, *arguments: str, reading: bool = True, waits: Mapping[str, float] | None = None
) -> StdioClient:
    """A client of a new server, whose user folders lie in `home`. waits: a ForkedProcess's constants."""
    # A shared engine outlives its servers; in tests, hardly.
    waits = {"lsp_server.engine.shared.LINGER_SECONDS": 0.5, **NAMES_UNCHECKED, **(waits or {})}
    process = ForkedProcess(arguments or SERVE, home, environment(home), waits)
    return StdioClient(process=process, reading=reading)


@pytest.fixture
def start(home: Path) -> Iterator[Callable[..., StdioClient]]:
    """Starts servers; those that a test leaves running are ended."""
    clients: list[StdioClient] = []

    def start_one(*arguments: str, **options: Any) -> StdioClient:
        clients.append(server_in(home, *arguments, **options))
        return clients[-1]

    yield start_one
    for client in clients:
        client.kill()


@pytest.fixture
def start_anew(home: Path) -> Iterator[Callable[..., StdioClient]]:
    """Starts servers as an editor does, by their command line, for tests of how a process begins and ends."""
    clients: list[StdioClient] = []

    def start_one(*arguments: str, **options: Any) -> StdioClient:
        clients.append(StdioClient(*arguments, cwd=home, env=environment(home), **options))
        return clients[-1]

    yield start_one
    for client in clients:
        client.kill()


@pytest.fixture(scope="module")
def lasting_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StdioClient]:
    """One initialised server for all tests of a module that ask for it. It has to survive them all."""
    client = server_in(tmp_path_factory.mktemp("home"))
    try:
        client.initialize()
        yield client
        assert client.finish() == 0
    finally:
        client.kill()
