"""`fimble status`: the page, its waterfall, JSON, watching, and servers that do not answer."""

from __future__ import annotations

import io
import json
import re
import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from lsp_server import __version__
from lsp_server.cli import run
from lsp_server.commands import status, status_page
from lsp_server.endpoints import money
from lsp_server.system import user_sockets

PARTS = {
    "prompt": 5.0,
    "waiting": 10.0,
    "prefill": 40.0,
    "decode": 30.0,
    "shaping": 5.0,
    "checks": 5.0,
    "transport": 5.0,
}


def request(**more: Any) -> dict[str, Any]:
    entry = {"language": "Python", "secondsAgo": 3.0, "appeared": "yes", "why": "", "source": "model"}
    return {**entry, "waitedMs": 100.0, "partsMs": PARTS, **more}


def server(*requests: dict[str, Any], **more: Any) -> dict[str, Any]:
    model = {"name": "Qwen", "state": "ready", "progress": 1.0, "message": "", "bytes": 491_000_000, "device": "CPU"}
    doing = {"kind": "idle", "role": "completion", "done": 0.0}
    return {
        **{"version": __version__, "pid": 42, "client": "Neovim", "runsSeconds": 7200, "state": "idle", "off": ""},
        **{"stats": "on", "models": {"completion": model}, "lastTen": list(requests)},
        "memory": {"server": 700_000_000, "children": 0},
        "engine": {"home": "in-process", "requests": 1, "doing": doing},
        "requests": {
            "counts": {"answered": 3, "model": 1, "memory": 1, "empty": 1},
            "latencyMs": {"last": 1.0, "median": 81.0, "p95": 100.0},
        },
        **more,
    }


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the sockets, with a path that is short enough for them."""
    with tempfile.TemporaryDirectory(prefix="fimble-") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        yield user_sockets.folder()


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(status, "servers", lambda: list(found))
    return found


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["status", *arguments]) == 0
    return capsys.readouterr().out


def test_without_servers_it_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "None of your servers answers" in printed(capsys)
    assert json.loads(printed(capsys, "--json")) == []


def test_the_page_tells_of_each_server(answers: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    answers += [
        server(request(), request(appeared="no", why="the model is not sure", partsMs={}, source="model")),
        server(client="Helix", models={}, off="completions are snoozed until 12:00"),
    ]
    page = printed(capsys)
    assert f"Neovim · process 42 · fimble {__version__} · for 2 h" in page
    assert "model: Qwen, ready, 491 MB, CPU" in page
    assert "memory: 700 MB in the server" in page
    assert "1 request in the engine, which is in the server" in page
    assert "1 from the model, 1 from memory, 1 empty, 81 ms at the median" in page
    assert re.search(r"3 s ago +Python +nothing +100 ms +the model is not sure", page)
    assert "now: completions are snoozed until 12:00" in page
    assert "no completion has been asked for yet" in page
    assert "R prefill: the model reads the prompt" in page


@pytest.mark.parametrize(
    ("told", "line"),
    [
        ({"pid": 1, "version": "9.9", "memory": {}}, "process 1 · fimble 9.9: this is fimble"),
        ({"memory": {}, "engine": [], "lastTen": 3}, "process None · fimble None: this is fimble"),
        ({"pid": 1, "version": __version__, "memory": {}}, "a server tells of itself what makes no sense"),
        (server({}), "a server tells of itself what makes no sense"),
    ],
)
def test_a_server_that_tells_something_else_is_one_line_and_hides_no_other(told: dict[str, Any], line: str) -> None:
    page = status_page_of([told, server(request())])
    assert page.startswith(line)
    assert ("restart its editor" in page) == (told.get("version") != __version__)
    assert "Neovim · process 42" in page


def test_each_model_is_told_with_what_it_is_for() -> None:
    model = {"name": "m", "state": "ready", "progress": 1.0, "message": ""}
    page = status_page_of([server(models={"completion": model, "chat": model, "edit": model})])
    assert [each in page for each in ("  model: m", "  for actions: m", "  for next edits: m")] == [True] * 3


def asked(**more: Any) -> dict[str, Any]:
    entry = {"place": "team", "roundTripMs": 81.4, "promptTokens": 1200, "answerTokens": 9, "cost": 0.0025}
    return {**entry, "costText": "~0.0025", **more}


def test_where_answers_came_from(answers: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    folder = money.costs_path()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{date.today()}.jsonl"
    file.write_text('["team",1.5]\n')
    local = asked(place="local", costText="")
    acted = {"action": "explain", "secondsAgo": 4.0, "asked": asked(promptTokens=0, costText="")}
    told = {"lastActions": [acted], "consent": ["`spare` is sent nothing, for you were not asked yet"]}
    answers.append(server(request(asked=asked()), request(asked=local), request(source="memory", asked=None), **told))
    page = printed(capsys)
    file.unlink()
    assert page.count("team, 81 ms, 1,200 + 9 tokens, cost ~0.0025") == 1
    assert "action explain, 4 s ago: team, 81 ms, 9 tokens\n" in page
    assert "`spare` is sent nothing" in page
    assert page.endswith("team has cost 1.50 today\n")


def test_the_waterfall_shows_what_took_the_time() -> None:
    assert status_page.waterfall(PARTS, 100, 100).plain == "ppwwwRRRRRRRRRRRRRWWWWWWWWWssc·· 40 ms prefill"
    half = status_page.waterfall(PARTS, 100, 200).plain.split(" ")[0]
    assert len(half) == 16
    assert status_page.waterfall({}, 3, 100).plain == ""


@pytest.mark.parametrize("total", [0, 50, 100, 1000])
def test_the_waterfall_is_never_wider_than_its_column(total: float) -> None:
    """Parts that are measured apart can be more than the whole."""
    assert len(status_page.waterfall(PARTS, total, max(total, 1)).plain.split(" ")[0]) <= 32


def test_a_program_can_read_it(answers: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    answers.append(server(request()))
    assert json.loads(printed(capsys, "--json")) == answers


def test_it_is_drawn_again_until_it_is_stopped(
    answers: list[dict[str, Any]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers.append(server(request()))

    def sleep(seconds: float) -> None:
        assert seconds == 1
        answers.append(server(client="another"))
        if len(answers) > 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)
    assert run(["status", "--watch"]) == 130
    pages = capsys.readouterr().out.split("Neovim · ")
    assert [page.count("another · ") for page in pages[1:]] == [0, 1, 2]
    del answers[1:]
    assert run(["status", "--watch", "--json"]) == 130
    lines = capsys.readouterr().out.splitlines()
    assert [len(json.loads(line)) for line in lines] == [1, 2, 3]


def test_what_is_drawn_again_is_no_longer_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdout", terminal := Terminal())
    for name, value in (("TERM", "xterm"), ("COLUMNS", "70"), ("LINES", "12")):
        monkeypatch.setenv(name, value)
    found = [server(*[request(appeared="no", why="what the model wrote does not fit " * 5)] * 10)]
    status_page.watch([found, found])
    begin, *pages, end = re.split(r"\x1b\[H\x1b\[2J|\x1b\[\?1049l", terminal.getvalue())
    assert (begin, end) == ("\x1b[?1049h", "")
    for page in pages:
        lines = re.sub(r"\x1b\[[\d;]*m", "", page).splitlines()
        assert len(lines) == 11
        assert lines[0].startswith("Neovim · process 42")
        assert max(map(len, lines)) <= 70
        assert "…" in page


def test_a_server_that_does_not_answer_holds_up_no_other(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "_SECONDS", 0.1)
    with user_sockets.listening(folder / "1-a.status"), user_sockets.listening(folder / "2-b.status") as talks:
        talks.settimeout(5)
        pool = ThreadPoolExecutor(1)

        def talk() -> None:
            talks.accept()[0].close()  # the look for those that have ended
            with talks.accept()[0] as connection:
                connection.sendall(json.dumps(server()).encode())

        done = pool.submit(talk)
        found = status.servers()
        done.result()
        pool.shutdown()
    assert [each.get("problem", each.get("client")) for each in found] == ["Neovim", "does not answer within 0.1 s"]
    assert "a server does not answer within 0.1 s" in status_page_of(found)


def status_page_of(found: list[dict[str, Any]]) -> str:
    from rich.console import Console

    console = Console(width=200)
    with console.capture() as captured:
        console.print(status_page.page(found))
    return captured.get()


@pytest.mark.parametrize("said", [b"", b"[1]", b'"x"', b"{", b"\xff"])
def test_what_makes_no_sense_is_told_as_a_problem(folder: Path, said: bytes) -> None:
    with user_sockets.listening(folder / "1-a.status") as listening, ThreadPoolExecutor(1) as pool:
        listening.settimeout(5)

        def talk() -> None:
            listening.accept()[0].close()  # the look for those that have ended
            with listening.accept()[0] as connection:
                connection.sendall(said)

        done = pool.submit(talk)
        (found,) = status.servers()
        done.result()
    assert set(found) == {"problem"}
    assert status_page_of([found]).strip() == "a server tells of itself what makes no sense"


def test_where_there_are_no_unix_sockets_it_says_what_to_do_instead(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_sockets, "is_possible", lambda: False)
    assert run(["status"]) == 2
    assert "this system has no Unix sockets; ask in the editor" in capsys.readouterr().err


def test_a_socket_that_appears_listens(folder: Path) -> None:
    with user_sockets.listening(folder / "1-a.status"):
        assert [path.name for path in folder.iterdir()] == ["1-a.status"]
        with user_sockets.listening(folder / "1-a.status"):  # in place of one that has ended
            assert [path.name for path in folder.iterdir()] == ["1-a.status"]
    assert user_sockets.sweep(folder.iterdir()) == []
    assert list(folder.iterdir()) == []
    assert user_sockets.sweep([folder / "1-a.status"]) == [], "one that another process has removed meanwhile"
    with pytest.raises(OSError), socket.socket(socket.AF_UNIX):
        user_sockets.listening(folder / ("x" * 200))
