"""`fimble models pull` against a server that speaks the hub's protocol: a whole file or none, and one clear line."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import environment
from tests.models.hub_server import CERTIFICATE, Hub, serving
from tests.support import forked
from tests.support.tiny_gguf import write_tiny_gguf

FILE = "someone/Tiny-GGUF/tiny-Q4_K_M.gguf"
PULL = [sys.executable, "-m", "lsp_server", "models", "pull", "someone/Tiny-GGUF"]
LARGE = 24 << 20  # the client writes in pieces of 10 MB; what lies behind the tensors is nobody's


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_tiny_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf").read_bytes()


@pytest.fixture
def hub(content: bytes) -> Iterator[Hub]:
    with serving() as server:
        server.files[FILE] = content
        yield server


def variables(home: Path, hub: Hub, **more: str) -> dict[str, str]:
    """The environment of a command that pulls from `hub`."""
    proxies = {f"{name}_proxy": "" for name in ("http", "https", "all", "HTTP", "HTTPS", "ALL")}
    environ = {**environment(home), **proxies, "HF_ENDPOINT": hub.url, "NO_PROXY": "127.0.0.1", **more}
    if "HF_HUB_OFFLINE" not in more:
        environ.pop("HF_HUB_OFFLINE", None)
    return environ


def run(home: Path, hub: Hub, *arguments: str, **more: str) -> tuple[int, str, list[str]]:
    """Exit status, stdout, and the lines of stderr that are not the progress bar."""
    done = forked.run(["models", *arguments], home, variables(home, hub, **more))
    lines = [line for line in done.stderr.replace("\r", "\n").splitlines() if line.strip() and "%|" not in line]
    return done.returncode, done.stdout, lines


def models(home: Path) -> Path:
    return home / "cache" / "fimble" / "models"


def in_place(home: Path) -> list[str]:
    return [path.name for path in models(home).rglob("*.gguf")]


def pins(home: Path) -> dict[str, dict[str, object]]:
    path = models(home) / "fimble.lock.json"
    return json.loads(path.read_text())["files"] if path.exists() else {}


def test_a_whole_file_and_its_pin(home: Path, hub: Hub, content: bytes) -> None:
    status, out, errors = run(home, hub, "pull", "someone/Tiny-GGUF")
    assert (status, errors) == (0, [])
    assert "licence apache-2.0" in out
    assert (models(home) / FILE).read_bytes() == content
    (pin,) = pins(home).values()
    assert pin["size"] == len(content)
    assert str(pin["source"]).startswith("someone/Tiny-GGUF@0123")
    status, out, _ = run(home, hub, "pull", "someone/Tiny-GGUF:q4_k_m")
    assert status == 0
    assert "already here" in out
    assert len(hub.ranges) == 1  # not loaded again


def test_a_cut_is_gone_on_from_at_once(home: Path, hub: Hub, content: bytes) -> None:
    content = hub.files[FILE] = content + bytes(LARGE)
    hub.cuts = [LARGE - 1000]
    status, _, errors = run(home, hub, "pull", "someone/Tiny-GGUF")
    assert (status, errors) == (0, [])
    assert hub.ranges[0] is None
    assert str(hub.ranges[1]).startswith("bytes=")
    assert (models(home) / FILE).read_bytes() == content


def test_a_stop_by_ctrl_c_is_gone_on_from_later(home: Path, hub: Hub, content: bytes) -> None:
    import threading

    content = hub.files[FILE] = content + bytes(LARGE)
    hub.hold = threading.Event()
    process = subprocess.Popen(PULL, cwd=home, env=variables(home, hub), stderr=subprocess.PIPE, text=True)
    assert hub.halfway.wait(60)
    (partial,) = _wait_for_part(home, LARGE // 4)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "is kept, the same command goes on" in err
    assert "Traceback" not in err
    assert in_place(home) == []
    assert pins(home) == {}
    kept = partial.stat().st_size
    hub.hold.set()
    hub.hold = None
    status, _, errors = run(home, hub, "pull", "someone/Tiny-GGUF")
    assert (status, errors) == (0, [])
    assert hub.ranges[-1] == f"bytes={kept}-"
    assert (models(home) / FILE).read_bytes() == content
    assert [path.name for path in (models(home) / FILE).parent.iterdir()] == ["tiny-Q4_K_M.gguf"]


def _wait_for_part(home: Path, size: int) -> list[Path]:
    """The partial file, when so much of it has been written."""
    import time

    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        found = [path for path in models(home).rglob("*.part") if path.stat().st_size >= size]
        if found:
            return found
    raise AssertionError("nothing was written")


def test_a_wrong_checksum_leaves_nothing(home: Path, hub: Hub) -> None:
    hub.hashes[FILE] = "ab" * 32
    status, _, errors = run(home, hub, "pull", "someone/Tiny-GGUF")
    assert status == 2
    (line,) = errors
    assert "is not what the hub describes" in line
    assert not [path for path in models(home).rglob("*") if path.is_file()]


def test_a_file_that_is_no_model_is_not_kept(home: Path, hub: Hub) -> None:
    hub.files[FILE] = b"GGUF" + bytes(1000)
    status, _, errors = run(home, hub, "pull", "someone/Tiny-GGUF")
    assert status == 2
    (line,) = errors
    assert "cannot be used" in line
    assert in_place(home) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("someone/Nothing-GGUF", "no such repository"),
        ("nonsense", "no model called 'nonsense'"),
        ("someone/Tiny-GGUF:Q9_9", "name one of Q4_K_M"),
        ("../../etc/passwd", "no model called"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(home: Path, hub: Hub, name: str, words: str) -> None:
    status, out, errors = run(home, hub, "pull", name)
    assert (status, out) == (2, "")
    (line,) = errors
    assert words in line
    assert in_place(home) == []


def test_a_file_that_vanished(home: Path, hub: Hub) -> None:
    hub.gone = True
    status, _, errors = run(home, hub, "pull", "someone/Tiny-GGUF")
    assert status == 2
    (line,) = errors
    assert "no longer has that file" in line


def test_a_name_that_leads_out_of_the_folder_is_refused(home: Path, hub: Hub, content: bytes) -> None:
    hub.files = {"someone/Tiny-GGUF/../../../escape.gguf": content}
    status, _, errors = run(home, hub, "pull", "someone/Tiny-GGUF")
    assert status == 2
    (line,) = errors
    assert "is no name for a file" in line
    assert not list(home.rglob("escape.gguf"))


def test_a_full_disk(home: Path, hub: Hub, content: bytes) -> None:
    """No file of this process may become larger than a third of the model: writing fails as on a full disk."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(content) // 3, len(content) // 3))

    done = subprocess.run(
        PULL,
        env=variables(home, hub),
        cwd=home,
        capture_output=True,
        text=True,
        preexec_fn=limit,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    last = done.stderr.replace("\r", "\n").strip().splitlines()[-1]
    assert "cannot be pulled: File too large" in last
    assert in_place(home) == []
    assert run(home, hub, "pull", "someone/Tiny-GGUF")[0] == 0


def test_too_little_room_is_said_before_anything_is_loaded(home: Path, hub: Hub) -> None:
    hub.sizes[FILE] = 1 << 60
    status, out, errors = run(home, hub, "pull", "someone/Tiny-GGUF")
    assert (status, out) == (2, "")
    (line,) = errors
    assert f"tiny-Q4_K_M.gguf needs {1 << 40} MB more in {models(home) / 'someone/Tiny-GGUF'}, where" in line
    assert line.endswith("MB are free")
    assert hub.ranges == []
    assert not [path for path in models(home).rglob("*") if path.is_file()]


@pytest.mark.parametrize("way", ["setting", "variable"])
def test_offline_means_no_connection(home: Path, hub: Hub, way: str) -> None:
    more = {"HF_HUB_OFFLINE": "1"} if way == "variable" else {}
    if way == "setting":
        (home / "config" / "fimble").mkdir(parents=True)
        (home / "config" / "fimble" / "fimble.toml").write_text("offline = true\n")
        (home / "fimble.toml").write_text("offline = false\n")  # a workspace cannot allow it
    status, _, errors = run(home, hub, "pull", "someone/Tiny-GGUF", **more)
    assert status == 2
    (line,) = errors
    assert "cannot be pulled" in line
    assert "offline" in line.lower()
    assert hub.ranges == []


def test_no_connection(home: Path, hub: Hub) -> None:
    status, _, errors = run(home, hub, "pull", "someone/Tiny-GGUF", HF_ENDPOINT="http://127.0.0.1:9")
    assert status == 2
    (line,) = errors
    assert line.startswith("fimble: someone/Tiny-GGUF cannot be pulled: ")


@pytest.mark.parametrize(
    ("refusal", "token", "words"),
    [
        ((401, ""), "hf_wrong", ["HF_TOKEN is not accepted (401)", "expired"]),
        ((401, ""), "", ["set HF_TOKEN", "no such repository"]),
        ((401, "RepoNotFound"), "hf_wrong", ["HF_TOKEN is not accepted (401)"]),
        ((403, "GatedRepo"), "", ["agreement", "set HF_TOKEN"]),
        ((403, "GatedRepo"), "hf_good", ["agreement", "the account that HF_TOKEN belongs to"]),
        ((401, "GatedRepo"), "hf_good", ["agreement", "the account that HF_TOKEN belongs to"]),
        ((403, ""), "hf_weak", ["HF_TOKEN may not read it (403)"]),
        ((404, "RepoNotFound"), "hf_good", ["no such repository", "the token may not see it"]),
        ((404, "RepoNotFound"), "", ["no such repository", "HF_TOKEN is not set"]),
        ((429, ""), "", ["too often (429)", "set HF_TOKEN"]),
        ((500, ""), "", ["trouble of its own (500)"]),
    ],
)
def test_why_the_hub_refuses(home: Path, hub: Hub, refusal: tuple[int, str], token: str, words: list[str]) -> None:
    hub.refusal = refusal
    status, _, errors = run(home, hub, "pull", "someone/Tiny-GGUF", HF_TOKEN=token)
    assert status == 2
    (line,) = errors
    assert line.startswith("fimble: someone/Tiny-GGUF cannot be pulled: ")
    for each in words:
        assert each in line
    assert token not in line or not token


def test_a_certificate_that_nobody_knows_here(home: Path, content: bytes) -> None:
    with serving(tls=True) as hub:
        hub.files[FILE] = content
        status, _, errors = run(home, hub, "pull", "someone/Tiny-GGUF")
        assert status == 2
        (line,) = errors
        assert f"certificate of 127.0.0.1:{hub.server_address[1]}" in line
        assert "SSL_CERT_FILE" in line
        assert run(home, hub, "pull", "someone/Tiny-GGUF", SSL_CERT_FILE=str(CERTIFICATE))[0] == 0


def test_a_server_that_speaks_no_tls(home: Path, hub: Hub) -> None:
    endpoint = hub.url.replace("http:", "https:")
    status, _, errors = run(home, hub, "pull", "someone/Tiny-GGUF", HF_ENDPOINT=endpoint)
    assert status == 2
    assert "speaks no TLS" in errors[0]


def test_a_cache_folder_that_cannot_be_written(home: Path, hub: Hub) -> None:
    status, _, errors = run(home, hub, "pull", "someone/Tiny-GGUF", XDG_CACHE_HOME="/dev/null/cache")
    assert status == 2
    (line,) = errors
    assert "/dev/null/cache/fimble" in line
    assert "set XDG_CACHE_HOME to a folder that can be written to" in line


def test_all_parts_are_pulled(home: Path, hub: Hub, content: bytes) -> None:
    hub.files = {
        "someone/Tiny-GGUF/big-Q8_0-00002-of-00002.gguf": content,
        "someone/Tiny-GGUF/big-Q8_0-00001-of-00002.gguf": content,
        "someone/Tiny-GGUF/mmproj-F16.gguf": b"GGUF",
        "someone/Tiny-GGUF/README.md": b"hello",
    }
    status, out, errors = run(home, hub, "pull", "someone/Tiny-GGUF")
    assert (status, errors) == (0, [])
    assert "00001-of-00002.gguf (" in out
    assert sorted(in_place(home)) == ["big-Q8_0-00001-of-00002.gguf", "big-Q8_0-00002-of-00002.gguf"]


def test_pulled_used_verified_and_removed(home: Path, hub: Hub) -> None:
    """The path of a new user, and what happens when the file changes behind our back."""
    assert run(home, hub, "pull", "someone/Tiny-GGUF")[0] == 0
    user = home / "config" / "fimble" / "fimble.toml"
    user.parent.mkdir(parents=True)
    user.write_text("# mine\nmax_lines = 3  # short\n")
    status, out, errors = run(home, hub, "use", "someone/Tiny-GGUF")
    assert (status, errors) == (0, [])
    assert f"model = {json.dumps(str(models(home) / FILE))}" in out
    assert user.read_text().startswith("# mine\nmax_lines = 3  # short\n")
    assert str(models(home) / FILE) in user.read_text()
    assert run(home, hub, "verify")[:2] == (0, f"{FILE}: ok\n")
    listed = json.loads(run(home, hub, "list", "--json")[1])
    (entry,) = [one for one in listed["installed"] if one["name"] == FILE]
    assert entry["used"]
    assert entry["fim"] == "qwen"
    assert entry["licence"] == "apache-2.0"
    path = models(home) / FILE
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    status, out, _ = run(home, hub, "verify", "someone/Tiny-GGUF")
    assert status == 1
    assert "CHANGED" in out
    status, _, errors = run(home, hub, "use", "someone/Tiny-GGUF")
    assert status == 2
    assert "has changed since it was pinned" in errors[0]
    assert run(home, hub, "rm", "someone/Tiny-GGUF")[0] == 0
    assert [path.name for path in models(home).iterdir()] == ["fimble.lock.json"]
    assert pins(home) == {}


@pytest.mark.skipif(os.name != "posix", reason="uses a POSIX path")
def test_bench_measures(home: Path, hub: Hub) -> None:
    assert run(home, hub, "pull", "someone/Tiny-GGUF")[0] == 0
    status, out, errors = run(home, hub, "bench", "someone/Tiny-GGUF", "--json")
    assert (status, errors) == (0, [])
    speed = json.loads(out)
    assert speed["name"] == "tiny"
    assert min(speed["prefill_tokens_s"], speed["decode_tokens_s"], speed["grown_bytes"]) > 0


def test_without_a_network_it_says_so(home: Path, hub: Hub) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # not listening
        host = f"127.0.0.1:{bound.getsockname()[1]}"
        status, _, errors = run(home, hub, "pull", "someone/Tiny-GGUF", HF_ENDPOINT=f"http://{host}")
    assert status == 2
    expected = f"fimble: someone/Tiny-GGUF cannot be pulled: {host} cannot be reached; check the network or the proxy"
    assert errors == [expected]


@pytest.mark.parametrize("action", ["use", "rm", "verify"])
def test_a_model_of_the_catalogue_has_to_be_pulled_first(home: Path, hub: Hub, action: str) -> None:
    status, _, errors = run(home, hub, action, "qwen2.5-coder-7b")
    assert (status, errors) == (
        2,
        ["fimble: qwen2.5-coder-7b is not here yet: `fimble models pull qwen2.5-coder-7b`"],
    )
