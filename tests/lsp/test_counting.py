"""What a server counts of a session, for clients of each kind, and what its file of counts has in it."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from lsp_server.backends.scripted import ScriptedBackend
from lsp_server.lsp import client_settings, counting, weekly
from lsp_server.settings import comparison
from lsp_server.stats import store
from lsp_server.stats.counts import Key, Tally
from tests.conftest import server_in
from tests.support.buffer import Buffer
from tests.support.editor import ENCODINGS, Editor, recorded
from tests.support.inprocess import served
from tests.support.samples import FOLDER
from tests.support.stdio import SERVE, StdioClient

URI = "file:///w/secret_project/größe.py"
LINE = "kundennummer = berechne_die_summe(größte_länge, 'naïve 🎉')"
KNOWN = f"\n\n{LINE}\n\n\n"
SETTINGS = {"answer_ms": 20000, "max_lines": 1}
SAMPLE = (FOLDER / "store.py").read_text("utf-8")
CLIENTS = ["nvim_0_12_4", "code_server_1_139_vlc11", "lsp_mode_10_0_0", "helix_25_07_git20260723", "coc_0_0_82_vim9"]


class User:
    """Types into one document, and accepts what the server answers. menu: whether it asks for entries of a menu; whole:
    whether it sends the whole text with each change."""

    def __init__(
        self, server: StdioClient, encoding: str = "utf-8", *, menu: bool = False, whole: bool = False
    ) -> None:
        self.server, self.menu, self.whole = server, menu, whole
        self.buffer = Buffer(URI, "", encoding)
        self.item: dict[str, Any] = {}
        server.open(URI, "")

    def put(self, text: str, back: int = 0) -> None:
        """Puts text at the document's end, in place of the last `back` characters."""
        end = len(self.buffer.text)
        change = self.buffer.edit(end - back, end, text)
        if self.whole:
            change = {"text": self.buffer.text}
        self.server.notify("textDocument/didChange", self.buffer.did_change(change))

    def ask(self) -> str:
        """The text that is suggested at the document's end."""
        params = {"textDocument": {"uri": URI}, "context": {"triggerKind": 2}}
        line, character = self.buffer.position(len(self.buffer.text))
        params["position"] = {"line": line, "character": character}
        if self.menu:
            items = self.server.call("textDocument/completion", params)["result"]["items"]
            self.item = items[0]["textEdit"] if items else {}
            return self.item["newText"][character - self.item["range"]["start"]["character"] :] if items else ""
        items = self.server.call("textDocument/inlineCompletion", params)["result"]["items"]
        self.item = items[0] if items else {}
        return self.item.get("insertText", "")

    def accept(self, text: str) -> None:
        """Puts in what is suggested as the client does: a menu's entry in place of the word that it begins with."""
        word = self.item["newText"].removesuffix(text) if self.menu else ""
        self.put(word + text, back=len(word))

    def type(self, text: str) -> None:
        for key in text:
            self.put(key)
            self.ask()

    def tell(self, method: str, **more: Any) -> None:
        self.server.notify(method, {"item": self.item, **more})

    def run_command(self) -> None:
        command = self.item["command"]
        params = {"command": command["command"], "arguments": command["arguments"]}
        assert self.server.call("workspace/executeCommand", params).get("result") is None


@pytest.fixture
def counts(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Counter[str]]:
    """All that the servers of a test have counted, once they have ended."""
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))

    def read() -> Counter[str]:
        found: Counter[str] = Counter()
        for counts in store.read().counts.values():
            found.update(counts)
        return found

    return read


@pytest.fixture
def serve(home: Path) -> Iterator[Callable[..., StdioClient]]:
    servers = []
    (home / "known.py").write_text(KNOWN)

    def start(client: str = "nvim_0_12_4", **settings: Any) -> StdioClient:
        servers.append(server_in(home, *SERVE, "--model", str(home / "known.py")))
        sent = recorded(client)
        servers[-1].initialize(
            sent["capabilities"],
            clientInfo=sent.get("clientInfo", {"name": "a client"}),
            initializationOptions=SETTINGS | settings,
        )
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.mark.parametrize("client", [*CLIENTS, "nvim_0_11_4 with whole texts"])
def test_what_is_counted_is_what_happened(
    serve: Callable[..., StdioClient], counts: Callable[[], Counter[str]], client: str
) -> None:
    client, _, whole = client.partition(" ")
    server = serve(client)
    user = User(server, ENCODINGS[client.split("_", maxsplit=1)[0]], menu=client.startswith("helix"), whole=bool(whole))
    user.type(LINE[:24])
    assert user.ask() == LINE[24:]
    user.accept(LINE[24:])
    user.put("", back=3)
    server.notify("textDocument/didSave", {"textDocument": {"uri": URI}})
    user.put("\n")
    user.type(LINE[:16])
    assert user.ask() == LINE[16:]
    user.put(LINE[16:33])  # a part
    user.type(LINE[33:])
    assert server.finish() == 0
    found = counts()
    rest = len(LINE) - 24
    assert (found["accepted"], found["accepted_whole"], found["accepted_words"]) == (2, 1, 1)
    assert (found["accepted_characters"], found["due_save"], found["kept_save"]) == (rest + 17, rest, rest - 3)
    assert found["typed"] == 24 + 1 + 16 + len(LINE) - 33
    assert found["shown_told"] == 0
    assert found["shown_guessed"] == found["accepted"] + found["typed_through"] + found["dismissed"]
    latencies = sum(sum(buckets.values()) for buckets in store.read().latencies.values())
    assert latencies == found["requests"] - sum(found[kind] for kind in ("place", "withheld", "nothing", "late"))
    assert {key.source for key in store.read().latencies} <= {"memory", "model", "adopted"}


def test_a_client_that_tells_is_believed(serve: Callable[..., StdioClient], counts: Callable[[], Counter[str]]) -> None:
    server = serve()
    user = User(server)
    user.type(LINE[:24])
    user.tell("textDocument/didShowCompletion")
    user.put(LINE[24:33])
    user.tell("textDocument/didPartiallyAcceptCompletion", acceptedLength=9)
    user.ask()
    user.put(LINE[33:])
    user.run_command()
    assert server.finish() == 0
    found = counts()
    assert (found["shown_told"], found["accepted"], found["accepted_words"], found["accepted_whole"]) == (1, 1, 1, 1)
    assert found["accepted_characters"] == len(LINE) - 24


@pytest.mark.parametrize(
    "params",
    [
        None,
        [],
        {},
        {"item": None},
        {"item": {"command": {"arguments": ["x"]}}},
        {"item": {"command": {"arguments": 3}}},
    ],
    ids=repr,
)
def test_what_a_client_tells_that_makes_no_sense_is_passed_over(serve: Callable[..., StdioClient], params: Any) -> None:
    server = serve()
    user = User(server)
    for method in ("textDocument/didShowCompletion", "textDocument/didPartiallyAcceptCompletion"):
        server.notify(method, params)
    for arguments in ([], [None], [99], ["x"], [[1]]):
        server.call("workspace/executeCommand", {"command": "fimble.accepted", "arguments": arguments})
    user.type(LINE[:24])
    assert user.ask() == LINE[24:]
    assert server.status()["stats"] == "on"
    assert server.finish() == 0


def test_nothing_of_what_was_typed_or_where_is_in_the_file(
    home: Path, serve: Callable[..., StdioClient], counts: Callable[[], Counter[str]]
) -> None:
    server = serve()
    user = User(server)
    user.type(LINE[:24])
    user.ask()
    user.put(LINE[24:])
    user.run_command()
    user.put("\n")
    user.type("class Geheimnis:\n    passwort = 'hunter2'\n")
    lines = SAMPLE.splitlines()
    for line in lines:
        user.put(line[: len(line) // 2])
        user.ask()
        user.put(f"{line[len(line) // 2 :]}\n")
    server.notify("textDocument/didSave", {"textDocument": {"uri": URI}})
    assert server.finish() == 0
    assert counts()["accepted"] == 1
    content = store.path().read_bytes().lower()
    words = {"kundennummer", "berechne", "summe", "größte", "länge", "naïve", "geheimnis", "passwort", "hunter2"}
    for word in words | {"secret_project", "größe", "known.py", str(home), "class", "file:"}:
        assert word.lower().encode() not in content, word
    assert stat.S_IMODE(store.path().stat().st_mode) == 0o600
    assert not [line for line in lines if len(line.strip()) > 3 and line.strip().lower().encode() in content]
    with sqlite3.connect(store.path()) as connection:
        schema = " ".join(row[0] for row in connection.execute("SELECT sql FROM sqlite_master")).lower()
        names = set(re.findall(r"\w{4,}", SAMPLE.lower())) - set(re.findall(r"[a-z]+", schema))
        assert len(names) > 50
        assert not [name for name in names if name.encode() in content and name not in schema]
        rows = list(connection.execute("SELECT language, model, source, arm, day FROM counts"))
    connection.close()
    known = {"", "Python", "scripted", "memory", "model", "adopted", date.today().isoformat()}
    assert {text for row in rows for text in row} <= known


def test_counting_is_switched_off_and_on(serve: Callable[..., StdioClient], counts: Callable[[], Counter[str]]) -> None:
    server = serve(stats=False)
    user = User(server)
    user.type(LINE[:24])
    assert set(user.item) == {"insertText", "range"}
    assert server.status()["stats"] == "off"
    assert server.finish() == 0
    assert not store.path().exists()


def test_a_workspace_does_not_switch_it_off(home: Path, serve: Callable[..., StdioClient]) -> None:
    from lsp_server.settings import sources

    settings, problems = sources.merge([sources.Source("w/fimble.toml", {"stats": False}, users=False)])
    assert settings.stats
    assert "set it in your own" in problems[0]


def test_a_damaged_file_stops_counting_and_nothing_else(serve: Callable[..., StdioClient], home: Path) -> None:
    folder = home / "state" / "fimble"
    folder.mkdir(parents=True)
    (folder / "stats.sqlite").write_bytes(os.urandom(9000))
    server = serve()
    user = User(server)
    user.type(LINE[:24])
    server.wait(lambda: server.status()["stats"] == "damaged", "the end of counting")
    assert user.ask() == LINE[24:]
    assert server.finish() == 0


def test_two_servers_count_into_one_file(serve: Callable[..., StdioClient], counts: Callable[[], Counter[str]]) -> None:
    servers = [serve(), serve()]
    users = [User(server) for server in servers]
    for key in LINE[:24]:
        for user in users:
            user.put(key)
            user.ask()
    assert [server.finish() for server in servers] == [0, 0]
    assert (counts()["keys"], counts()["typed"]) == (48, 48)


def test_a_server_that_is_killed_has_written_what_is_older_than_some_seconds(
    serve: Callable[..., StdioClient], counts: Callable[[], Counter[str]]
) -> None:
    server = serve()
    User(server).type(LINE[:24])
    server.wait(lambda: counts()["keys"] == 24, "the counts")
    server.process.kill()
    assert counts()["typed"] == 24


def test_actions_are_counted_by_what_became_of_them(
    start: Callable[..., StdioClient], tmp_path: Path, counts: Callable[[], Counter[str]]
) -> None:
    own = {"title": "Geheim", "prompt": "Do it.", "targets": ["function"], "result": "replace"}
    replies = [
        ("Do it", "no code at all"),
        ("area", "```python\ndef area(width, height):\n    return height * width\n```"),
    ]
    editor = Editor(start, tmp_path, replies, actions={"geheim": own})
    uri = editor.open("a.py", "def area(width, height):\n    return width * height\n")
    applies = editor.server.answers["workspace/applyEdit"]
    editor.server.answers["workspace/applyEdit"] = lambda _: {"applied": False, "failureReason": "no, thanks"}
    editor.choose(uri, "simplify", 30)
    editor.finished(1)
    editor.server.answers["workspace/applyEdit"] = applies
    editor.choose(uri, "simplify", 30)
    editor.finished(2)
    editor.choose(uri, "geheim", 30)
    editor.finished(3)
    assert editor.server.finish() == 0
    found = {key.source: counts for key, counts in store.read().counts.items() if counts["actions"]}
    assert found["simplify"] == {"actions": 2, "actions_applied": 1, "actions_declined": 1}
    assert found["own action"] == {"actions": 1, "actions_refused": 1}
    assert b"geheim" not in store.path().read_bytes().lower()


def said(server: StdioClient) -> list[str]:
    return [shown["message"] for shown in server.notifications("window/showMessage")]


def test_the_last_week_is_shown_once_if_the_user_wants_that(
    serve: Callable[..., StdioClient], counts: Callable[[], Counter[str]]
) -> None:
    found = Tally()
    found.add(Key((date.today() - timedelta(days=7)).isoformat(), "Python"), shown_told=40, accepted=10)
    store.add(found, date.today())
    silent = serve()
    first = serve(stats_weekly=True)
    first.wait(lambda: said(first), "the week")
    second = serve(stats_weekly=True)
    assert [server.finish() for server in (silent, first, second)] == [0, 0, 0]
    assert "40 suggestions were shown, 25% of them were accepted" in said(first)[0]
    assert (said(silent), len(said(first)), said(second)) == ([], 1, [])


def test_a_server_that_goes_on_shows_it_when_the_next_week_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    class Calendar(date):
        ahead = 0

        @classmethod
        def today(cls) -> Calendar:
            return cls.fromordinal(date.today().toordinal() + cls.ahead)

    for module in (counting, weekly):
        monkeypatch.setattr(module, "date", Calendar)
    monkeypatch.setattr(counting, "_WRITE_SECONDS", 0.01)
    server, _ = served(lambda spec, progress: ScriptedBackend(spec, progress, texts=[KNOWN.encode()]))
    try:
        server.initialize(recorded("nvim_0_12_4")["capabilities"], initializationOptions={"stats_weekly": True})
        user = User(server)
        user.type(LINE[:24])
        user.put("x")
        server.wait(lambda: store.read().counts, "the counts")
        assert said(server) == []
        Calendar.ahead = 7
        user.put("y")
        server.wait(lambda: said(server), "the week")
        assert server.finish() == 0
    finally:
        server.kill()
        store.clear()


def test_on_another_day_the_other_settings_of_a_trial_are_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a server that goes on over midnight. What is counted says whose day it was."""

    class Calendar(date):
        ahead = 0

        @classmethod
        def today(cls) -> Calendar:
            return cls.fromordinal(date.today().toordinal() + cls.ahead)

    for module in (counting, client_settings):
        monkeypatch.setattr(module, "date", Calendar)
    going = comparison.start(("A.toml", "B.toml"), ({"max_lines": 3}, {"max_lines": 9}), date.today())
    server, _ = served(lambda spec, progress: ScriptedBackend(spec, progress, texts=[KNOWN.encode()]))
    try:
        server.initialize(recorded("nvim_0_12_4")["capabilities"])
        user = User(server)
        lines = {}
        for Calendar.ahead in (0, 1):
            turn = going.turn(Calendar.today())
            user.type("x")
            expected = (3, 9)[turn]
            server.wait(
                lambda expected=expected: server.status()["settings"]["max_lines"] == expected, "the day's settings"
            )
            lines[turn] = expected
            user.type("y")
        assert lines == {0: 3, 1: 9}
        assert server.finish() == 0
        found = store.read()
        days = {key.day: key.arm for key in found.counts if found.counts[key]["keys"] and key.arm}
        assert sorted(days.values()) == sorted(going.arms)
    finally:
        server.kill()
        comparison.stop()
        store.clear()
