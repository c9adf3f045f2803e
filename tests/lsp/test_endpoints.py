"""A server that asks other servers: only those of the user's own file, and with the local model behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lsp_server.settings import consent
from tests.endpoints.server import MODELS, Server, endpoint, response, serving_apart, user_file
from tests.support.stdio import SERVE, Message, StdioClient

Start = Callable[..., StdioClient]
URI = "file:///w/a.py"
KNOWN = "def area(width):\n    return area(width)\n"
TEXT = "def area(width):\n    return ar\n"


@pytest.fixture
def other() -> Iterator[Server]:
    with serving_apart("openai", pieces=[" area", "(2)", "\n\n"]) as server:
        yield server


def initialized(start: Start, home: Path, **options: object) -> StdioClient:
    known = home / "known.py"
    known.write_text(KNOWN)
    server = start(*SERVE, "--model", str(known))
    server.initialize(initializationOptions={"answer_ms": 20_000, **options})
    server.open(URI, TEXT)
    return server


def shown(server: StdioClient) -> str:
    (item,) = server.inline(URI, 1, len("    return ar"))
    return str(item["insertText"])


def place(server: StdioClient) -> list[tuple[str, str]]:
    """The state of each place that completes, with the one in use in capitals."""
    places = server.status()["places"]["completion"]
    return [(each["name"].upper() if each["used"] else each["name"], each["state"]) for each in places]


def test_the_endpoint_answers(start: Start, home: Path, other: Server) -> None:
    user_file(home, endpoint(other) + '[routing]\ncompletion = ["team", "local"]\n')
    server = initialized(start, home)
    server.wait(lambda: place(server) == [("TEAM", "ready"), ("local", "ready")])
    assert shown(server) == "ea(2)"
    assert "def area(width)" in other.completions[0]["prompt"]
    assert server.finish() == 0


def test_status_says_where_each_answer_came_from(start: Start, home: Path, other: Server) -> None:
    prices = endpoint(other, price_in=3.0, price_out=2.0)
    user_file(home, 'routing = { completion = ["team", "local"] }\n' + prices)
    (home / "known.py").write_text(KNOWN)
    server = start(*SERVE, "--model", str(home / "known.py"))
    shows = {"experimental": {"fimble": {"notifications": ["state"]}}}
    server.initialize(shows, initializationOptions={"answer_ms": 20_000})
    server.open(URI, TEXT)
    server.wait(lambda: place(server) == [("TEAM", "ready"), ("local", "ready")])
    assert shown(server) == "ea(2)"
    status = server.status()["requests"]
    for found in (status["last"]["asked"], status["lastTen"][0]["asked"]):
        assert (found["place"], found["promptTokens"], found["roundTripMs"] > 0) == ("team", 0, True)
        assert found["cost"] > 0 and found["costText"].startswith("~")

    def is_told(message: Message) -> bool:
        return message.get("method") == "fimble/state" and "team: " in message["params"].get("lastFrom", "")

    told = server.message(is_told, "the state")
    assert "written, cost ~" in told["params"]["lastFrom"]
    why = server.call("workspace/executeCommand", {"command": "fimble.why"})
    assert "error" not in why
    other.answer = response(500, {"error": "oops"})
    server.change(URI, 2, TEXT.replace("ar\n", "a\n"))
    (item,) = server.inline(URI, 1, len("    return a"))
    assert item["insertText"] == "rea(width)"
    assert server.status()["requests"]["last"]["asked"]["place"] == "local"
    assert "lastFrom" not in server.status()["state"]


def test_the_local_model_answers_when_it_fails(start: Start, home: Path, other: Server) -> None:
    other.answer = response(500, {"error": "oops"})
    user_file(home, endpoint(other) + '[routing]\ncompletion = ["team", "local"]\n')
    server = initialized(start, home)
    server.wait(lambda: place(server) == [("TEAM", "ready"), ("local", "ready")])
    assert shown(server) == "ea(width)"
    assert place(server)[1] == ("LOCAL", "ready")
    assert server.notifications("window/showMessage") == []
    assert server.finish() == 0


@pytest.mark.parametrize("where", ["workspace", "options"])
def test_nobody_else_names_a_server(start: Start, home: Path, tmp_path: Path, other: Server, where: str) -> None:
    routing = 'routing = { completion = ["team", "local"] }\n'
    values = {"kind": "openai", "url": f"http://127.0.0.1:{other.port}", "model": MODELS["openai"]}
    options: dict[str, object] = {}
    if where == "workspace":
        (tmp_path / "fimble.toml").write_text(routing + endpoint(other))
    else:
        options = {"endpoints": {"team": values}, "routing": {"completion": ["team", "local"]}}
    known = home / "known.py"
    known.write_text(KNOWN)
    server = start(*SERVE, "--model", str(known))
    server.initialize(initializationOptions={"answer_ms": 20_000, **options}, rootUri=tmp_path.as_uri())
    server.open(URI, TEXT)
    assert shown(server) == "ea(width)"
    problems = server.status()["problems"]
    assert any("`endpoints`" in problem and "set it in your own fimble.toml" in problem for problem in problems)
    assert other.requests == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[endpoints.team]\nkind = "openai"\nurl = "http://llm.example.org"\n', "`remote = true` allows"),
        ('[endpoints.local]\nkind = "openai"\nurl = "http://127.0.0.1:1"\n', "choose another name"),
        ('[endpoints.team]\nkind = "openai"\nurl = "file:///etc/passwd"\n', "must begin with http"),
        ('[endpoints.team]\nkind = "openai"\nurl = "http://u:p@127.0.0.1"\n', "more than host, port and path"),
        ('[endpoints.team]\nkind = "telnet"\nurl = "http://127.0.0.1"\n', "invalid enum value 'telnet'"),
        ('[endpoints.team]\nurl = "http://127.0.0.1"\n', "missing required field `kind`"),
        ('[endpoints.team]\nkind = "openai"\nurl = "http://127.0.0.1"\nkey = "x"\n', "unknown field `key`"),
        (
            '[endpoints.team]\nkind = "openai"\nurl = "http://127.0.0.1"\ndaily_limit = 1\n',
            "`daily_limit` needs `price",
        ),
        ('[endpoints.team]\nkind = "openai"\nurl = "http://127.0.0.1"\nprice_in = -1\n', "expected `float` >= 0"),
        ('[routing]\ncompletion = ["nobody"]\n', "completion names 'nobody', which is no endpoint; there are `local`"),
        ('[routing]\ncompletions = ["local"]\n', "it takes `completion`, `actions` and `edits`"),
        (
            '[routing]\ncompletion = ["c"]\n[endpoints.c]\nkind = "chat"\nurl = "http://127.0.0.1"\n',
            "completes no code",
        ),
    ],
)
def test_a_mistake_is_named(start: Start, home: Path, text: str, words: str) -> None:
    user_file(home, text)
    server = initialized(start, home)
    assert any(words in problem for problem in server.status()["problems"])
    assert shown(server) == "ea(width)"


def test_offline_wins(start: Start, home: Path, other: Server) -> None:
    user_file(home, "offline = true\n" + 'routing = { completion = ["team", "local"] }\n' + endpoint(other))
    server = initialized(start, home)
    assert shown(server) == "ea(width)"
    assert place(server) == [("LOCAL", "ready")]
    assert other.requests == []


def test_a_workspace_does_not_undo_it(start: Start, home: Path, tmp_path: Path, other: Server) -> None:
    user_file(home, "offline = true\n" + endpoint(other))
    (tmp_path / "fimble.toml").write_text('offline = false\n[routing]\ncompletion = ["team", "local"]\n')
    server = initialized(start, home, offline=False)
    folders = {"added": [{"uri": tmp_path.as_uri(), "name": "w"}], "removed": []}
    server.notify("workspace/didChangeWorkspaceFolders", {"event": folders})
    server.wait(lambda: any("says that it is true" in problem for problem in server.status()["problems"]))
    assert shown(server) == "ea(width)"
    assert server.status()["settings"]["offline"] is True
    assert other.requests == []


def test_without_the_local_model_none_is_loaded(start: Start, home: Path, other: Server) -> None:
    user_file(home, endpoint(other) + '[routing]\ncompletion = ["team"]\n')
    server = initialized(start, home)
    assert place(server) == [("TEAM", "ready")]
    assert shown(server) == "ea(2)"


@pytest.fixture
def state(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests write into the servers' state folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))


def allow(server: Server, *folders: Path) -> None:
    """The user has allowed the endpoint for these folders, or for files without a folder."""
    for key in [consent.key_of(folder) for folder in folders] or [consent.NO_FOLDER]:
        consent.remember(key, "team", f"http://0.0.0.0:{server.port}", allowed=True)


def elsewhere(server: Server) -> str:
    """An endpoint whose host is not known to be this machine."""
    return endpoint(server, url=f"http://0.0.0.0:{server.port}", remote="X").replace("'X'", "true")


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize(
    ("denied", "root", "file", "asked"),
    [
        ("{home}/w/secret", "w/public", "w/public/a.py", True),
        ("{home}/w/secret", "w/secret/deep", "w/secret/deep/a.py", False),
        ("{home}/w/secret", "w", "w/a.py", False),
        ("{home}/w/secret", "w/public", "w/secret/a.py", False),
        ("{home}/w/secret", "w/public", "w/public/../secret/a.py", False),
        ("{home}/w/secret", "w/public", "w/public/link/a.py", False),
        ("{home}/w/secret", "w/public/link", "w/public/a.py", False),
        ("{home}/w/public/link/**", "w/public", "w/secret/a.py", False),
        ("{home}/w/S*", "w/public", "w/secret/a.py", False),
        ("relative", "w/public", "w/public/a.py", False),
    ],
)
def test_of_a_denied_folder_nothing_is_sent_to_another_machine(
    start: Start,
    home: Path,
    other: Server,
    monkeypatch: pytest.MonkeyPatch,
    denied: str,
    root: str,
    file: str,
    asked: bool,
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    for folder in ("w/public", "w/secret/deep"):
        (home / folder).mkdir(parents=True)
    (home / "w/public/link").symlink_to(home / "w/secret")
    allow(other, home / root)
    rules = f"endpoints_denied = [{denied.format(home=home)!r}]\nrouting = {{ completion = ['team', 'local'] }}\n"
    user_file(home, rules + elsewhere(other))
    (home / "known.py").write_text(KNOWN)
    server = start(*SERVE, "--model", str(home / "known.py"))
    server.initialize(initializationOptions={"answer_ms": 20_000}, rootUri=(home / root).as_uri())
    uri = f"file://{home}/{file}"
    server.open(uri, TEXT)
    if asked:
        server.wait(lambda: place(server) == [("TEAM", "ready"), ("local", "ready")])
    (item,) = server.inline(uri, 1, len("    return ar"))
    assert item["insertText"] == ("ea(2)" if asked else "ea(width)")
    assert (other.completions != []) == asked
    assert (server.status()["denied"] == "") == asked


@pytest.mark.usefixtures("state")
def test_once_a_denied_document_was_open_no_other_is_sent_either(
    start: Start, home: Path, other: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And an endpoint on this machine is asked all the time."""
    monkeypatch.setenv("NO_PROXY", "*")
    allow(other)
    rules = f"endpoints_denied = ['{home}/secret/']\nrouting = {{ completion = ['team', 'local'] }}\n"
    user_file(home, rules + elsewhere(other))
    server = initialized(start, home)
    server.wait(lambda: place(server) == [("TEAM", "ready"), ("local", "ready")])
    assert shown(server) == "ea(2)"
    server.open(f"vscode-notebook-cell:{home}/secret/a.ipynb#x", "password of the house\n")
    server.notify("textDocument/didClose", {"textDocument": {"uri": f"vscode-notebook-cell:{home}/secret/a.ipynb#x"}})
    assert place(server) == [("LOCAL", "ready")]
    sent = len(other.completions)
    server.change(URI, 2, TEXT + "\n")
    assert shown(server) == "ea(width)"
    assert len(other.completions) == sent
    assert "is open, or was" in server.status()["denied"]
    user_file(home, rules + endpoint(other))
    server.notify("workspace/didChangeConfiguration", {"settings": {"fimble": {}}})
    server.wait(lambda: place(server) == [("TEAM", "ready"), ("local", "ready")])


def test_nobody_else_says_which_folders_are_denied(start: Start, home: Path, tmp_path: Path, other: Server) -> None:
    (tmp_path / "fimble.toml").write_text('endpoints_denied = ["/"]\n')
    user_file(home, endpoint(other))
    server = start(*SERVE)
    server.initialize(rootUri=tmp_path.as_uri())
    status = server.status()
    assert any("`endpoints_denied`" in each and "your own fimble.toml" in each for each in status["problems"])
    assert status["denied"] == ""


def test_an_action_is_not_sent_to_a_place_for_completions(start: Start, home: Path) -> None:
    """Although its model follows instructions, and the model for actions is that for completions."""
    template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}<|im_start|>"
    props = {"model_path": "/models/coder-instruct.gguf", "chat_template": template}
    with serving_apart("llama-server", pieces=["It adds."], probe=response(200, props)) as other:
        told = endpoint(other, kind="llama-server", fim_format="qwen")
        user_file(home, "routing = { completion = ['team', 'local'] }\n" + told)
        (home / "known.py").write_text(KNOWN)
        server = start(*SERVE, "--model", str(home / "known.py"))
        server.initialize(rootUri=home.as_uri())
        server.wait(lambda: place(server) == [("TEAM", "ready"), ("local", "ready")])
        server.open(URI, TEXT)
        start_of_file = {"line": 0, "character": 0}
        where = {"start": start_of_file, "end": {"line": 1, "character": 5}}
        arguments = [{"action": "explain", "uri": URI, "range": where}]
        server.call("workspace/executeCommand", {"command": "fimble.action", "arguments": arguments})
        server.wait(lambda: server.notifications("window/showMessage"), "the end")
        assert not any("Explain" in body["prompt"] for body in other.completions)


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize(("file", "shown"), [("w/public/a.py", False), ("w/a.py", False), ("v/a.py", True)])
def test_of_a_project_with_a_denied_folder_an_action_shows_no_other_file(
    start: Start, home: Path, monkeypatch: pytest.MonkeyPatch, file: str, shown: bool
) -> None:
    """The editor has no workspace, so the folder of the project's file counts, which the denied one is in."""
    monkeypatch.setenv("NO_PROXY", "*")
    for folder in ("w/.git", "w/public", "w/secret", "v/.git", "v/lib"):
        (home / folder).mkdir(parents=True)
    for helper in ("w/secret/b.py", "v/lib/b.py"):
        (home / helper).write_text("def helper(hidden_name):\n    return hidden_name\n")
    with serving_apart("chat", pieces=["It adds."]) as other:
        rules = f"endpoints_denied = ['{home}/w/secret']\nrouting = {{ actions = ['team'] }}\n"
        told = endpoint(other, kind="chat", model=MODELS["chat"], url=f"http://0.0.0.0:{other.port}", remote="X")
        user_file(home, rules + told.replace("'X'", "true"))
        allow(other)
        server = start(*SERVE)
        server.initialize()
        uri = (home / file).as_uri()
        server.open(uri, "def total(a):\n    return helper(a)\n")
        place = {"line": 0, "character": 5}
        arguments = [{"action": "explain", "uri": uri, "range": {"start": place, "end": place}}]
        server.call("workspace/executeCommand", {"command": "fimble.action", "arguments": arguments})
        server.wait(lambda: other.completions, "the question")
        assert server.status()["denied"] == ""
        assert ("hidden_name" in str(other.completions)) == shown


def test_a_document_in_an_archive_and_a_pattern_that_comes_back(start: Start, home: Path, other: Server) -> None:
    rules = f"endpoints_denied = ['{home}/secret', '{home}/other']\n"
    user_file(home, rules + elsewhere(other))
    server = start(*SERVE)
    server.initialize()

    def set_in_force(text: str, denied: bool) -> None:
        user_file(home, text + elsewhere(other))
        server.notify("workspace/didChangeConfiguration", {"settings": {"fimble": {}}})
        server.wait(lambda: (server.status()["denied"] != "") == denied)

    uri = f"jar:file://{home}/secret/a.jar!/A.java"
    server.open("untitled:a/b.py", TEXT)
    assert server.status()["denied"] == ""
    server.open(uri, "class A {}\n", "java")
    server.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    assert "is open, or was" in server.status()["denied"]
    set_in_force("", denied=False)
    set_in_force(rules, denied=True)
    set_in_force(f"endpoints_denied = ['{home}/other']\n", denied=False)
