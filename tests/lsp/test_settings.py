"""Settings on the way from the editor and the files to the model: precedence, mistakes, clients that stay silent.

What is in force shows in the model: the scripted backend has `resident_prompts` sequences and a window of four
times `context_tokens`.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lsp_server.lsp import client_settings
from lsp_server.settings import sources
from lsp_server.settings.fields import Settings
from tests.support.stdio import SERVE, Message, StdioClient, inline_params, request

Start = Callable[..., StdioClient]
DEFAULTS = Settings()
URI = "file:///w/a.py"
PULL = {"workspace": {"configuration": True}}
REGISTER = {"workspace": {"configuration": True, "didChangeConfiguration": {"dynamicRegistration": True}}}


def user_file(home: Path, text: str | bytes) -> Path:
    path = home / "config" / "fimble" / "fimble.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def trust_folders(home: Path, answers: dict[str, bool]) -> None:
    path = home / "state" / "fimble" / "trusted-folders.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"folders": answers}))


def model(server: StdioClient) -> tuple[int, int]:
    """Sequences and window of the model that is loaded."""
    status = server.status()["model"]
    assert status["state"] == "ready"
    return status["sequences"], status["context_tokens"] // 4


def warnings(server: StdioClient) -> list[str]:
    """All messages shown to the user so far; there must be nothing but warnings."""
    shown = server.notifications("window/showMessage")
    assert all(message["type"] == 2 for message in shown), shown
    return [message["message"] for message in shown]


def answer_with(server: StdioClient, *settings: Any) -> list[Message]:
    """Lets the client answer workspace/configuration with these, the last one from then on."""
    asked: list[Message] = []
    queue = list(settings)

    def answer(params: Message) -> list[Any]:
        asked.append(params)
        return [queue.pop(0) if len(queue) > 1 else queue[0]]

    server.answers["workspace/configuration"] = answer
    return asked


@pytest.mark.parametrize("layers", range(5), ids=["user", "workspace", "options", "pushed", "pulled"])
def test_each_place_outranks_the_ones_before(start: Start, home: Path, layers: int) -> None:
    root = home / "project"
    root.mkdir()
    user_file(home, "resident_prompts = 2\ncontext_tokens = 1000\n")
    if layers >= 1:
        (root / "fimble.toml").write_text("resident_prompts = 3\n")
    options = {"resident_prompts": 5} if layers >= 2 else None
    server = start()
    if layers == 4:
        answer_with(server, {"residentPrompts": 7})
    folders = [{"uri": root.as_uri(), "name": "project"}]
    server.initialize(PULL if layers == 4 else {}, workspaceFolders=folders, initializationOptions=options)
    if layers == 3:
        server.notify("workspace/didChangeConfiguration", {"settings": {"fimble": {"resident_prompts": 6}}})
        server.model_ready(2)
    assert model(server) == ([2, 3, 5, 6, 7][layers], 1000)
    assert server.finish() == 0
    assert not warnings(server)


def test_the_command_line_outranks_all(start: Start, home: Path) -> None:
    known = home / "known.py"
    known.write_text("alpha = beta_gamma_delta + 1\n")
    user_file(home, 'model = "/no/such/file"\n')
    server = start(*SERVE, "--model", str(known))
    answer_with(server, {"model": "/no/other/file"})
    server.initialize(PULL, initializationOptions={"model": "/nor/this"})
    assert server.status()["model"]["path"] == str(known)
    assert server.finish() == 0
    assert not warnings(server)


@pytest.mark.parametrize("root", ["rootUri", "workspaceFolders"])
def test_the_workspace_is_found_however_the_client_names_it(start: Start, home: Path, root: str) -> None:
    folder = home / "ä b"
    folder.mkdir()
    (folder / "fimble.toml").write_text("resident_prompts = 9\n")
    uri: Any = folder.as_uri()
    server = start()
    server.initialize(**{root: uri if root == "rootUri" else [{"uri": uri, "name": "x"}]})
    assert model(server)[0] == 9


@pytest.mark.parametrize("options", [{"residentPrompts": 3}, {"fimble": {"model": None, "resident_prompts": 3}}])
def test_spellings_of_initialization_options(start: Start, options: Message) -> None:
    server = start()
    server.initialize(initializationOptions=options)
    assert model(server)[0] == 3
    assert server.finish() == 0
    assert not warnings(server)


@pytest.mark.parametrize("options", ["x", {"fimble": 3}])
def test_initialization_options_of_another_kind_are_no_settings(start: Start, options: Any) -> None:
    server = start()
    server.initialize(initializationOptions=options)
    assert model(server) == (DEFAULTS.resident_prompts, DEFAULTS.context_tokens)


def test_a_changed_configuration_is_asked_for(start: Start) -> None:
    server = start()
    asked = answer_with(server, {"residentPrompts": 2}, {"residentPrompts": 5}, None)
    server.initialize(REGISTER)
    (registered,) = (m for m in server.messages if m.get("method") == "client/registerCapability")
    (registration,) = registered["params"]["registrations"]
    assert registration["method"] == "workspace/didChangeConfiguration"
    assert model(server)[0] == 2
    server.notify("workspace/didChangeConfiguration", {"settings": None})
    server.model_ready(2)
    assert model(server)[0] == 5
    assert asked == [{"items": [{"section": "fimble"}]}] * 2


def test_no_registration_without_the_capability(start: Start) -> None:
    server = start()
    server.initialize(PULL)
    assert server.finish() == 0
    assert not [m for m in server.messages if m.get("method") == "client/registerCapability"]


def test_equal_settings_do_not_load_the_model_again(start: Start) -> None:
    server = start()
    server.initialize()
    for settings in (
        {"fimble": {"maxTokens": 5}},
        {"fimble": {"maxTokens": 6, "residentPrompts": DEFAULTS.resident_prompts}},
        {},
    ):
        server.notify("workspace/didChangeConfiguration", {"settings": settings})
    server.notify("workspace/didChangeConfiguration", {"settings": {"fimble": {"residentPrompts": 2}}})
    server.model_ready(2)
    assert server.finish() == 0
    ready = [m for m in server.notifications("window/logMessage") if "is ready" in m["message"]]
    assert len(ready) == 2


def test_a_model_that_drafts_and_is_not_used(start: Start, home: Path) -> None:
    """It is told once why, and the other works without. A relative file is one beside the settings."""
    user_file(home, 'draft_model = "small.txt"\n')
    small = home / "config" / "fimble" / "small.txt"
    small.write_text("alpha = beta\n")
    server = start()
    server.initialize()
    server.notify("workspace/didChangeConfiguration", {"settings": {"fimble": {"residentPrompts": 2}}})
    server.model_ready(2)
    status = server.status()["model"]
    assert server.finish() == 0
    (shown,) = warnings(server)
    assert shown.startswith(f"fimble: `draft_model` {small} is not used: how fast scripted is here was not measured; ")
    assert (status["state"], status["draft"], status["message"]) == ("ready", "", shown.removeprefix("fimble: "))


@pytest.mark.parametrize("reload", [{}, {"residentPrompts": 2}])
def test_switching_off_and_on(start: Start, reload: Message) -> None:
    """Whether the same change of settings loads the model again or not."""
    server = start()
    server.initialize()
    server.open(URI, "value = ")
    assert len(server.inline(URI, 0, 8)) == 1
    server.notify("workspace/didChangeConfiguration", {"settings": {"fimble": {"enabled": False, **reload}}})
    server.status()
    if reload:
        server.model_ready(2)
    assert server.inline(URI, 0, 8) == []
    assert server.status()["requests"]["whyLastEmpty"] == "completions are switched off (setting `enabled`)"
    server.notify("workspace/didChangeConfiguration", {"settings": {"fimble": {"enabled": True, **reload}}})
    server.status()
    assert len(server.inline(URI, 0, 8)) == 1


def test_a_language_switched_off_still_answers_when_asked_for(start: Start) -> None:
    server = start()
    server.initialize(initializationOptions={"disabledLanguages": ["python"]})
    server.open(URI, "value = ")
    server.open("file:///w/a.go", "value = ", language="go")
    assert server.inline(URI, 0, 8) == []
    assert "`disabled_languages`" in server.status()["requests"]["whyLastEmpty"]
    assert len(server.inline("file:///w/a.go", 0, 8)) == 1
    invoked = server.call("textDocument/inlineCompletion", inline_params(URI, 0, 8, trigger=1))
    assert len(invoked["result"]["items"]) == 3


# Each mistake, and the words that must be in the one message about it.
MISTAKES = [
    ({"resident_prompts": "many"}, ["resident_prompts", "int", "'many'"]),
    ({"residentPrompts": 99}, ["residentPrompts", "16", "99"]),
    ({"enabled": "yes"}, ["enabled", "bool", "'yes'"]),
    ({"enabled": 1}, ["enabled", "bool", "1"]),
    ({"disabled_languages": "go"}, ["disabled_languages", "array", "'go'"]),
    ({"disabled_languages": ["go", 3]}, ["disabled_languages", "str", "3"]),
    ({"flash_attention": "maybe"}, ["flash_attention", "'maybe'"]),
    ({"model": 3}, ["model", "str", "3"]),
    ({"max_tokens": 2.5}, ["max_tokens", "int", "2.5"]),
    ({"residentPromts": 3}, ["residentPromts", "resident_prompts"]),
    ({"tint": "red"}, ["tint", "max_tokens"]),
]


@pytest.mark.parametrize(("mistake", "words"), MISTAKES, ids=[str(mistake) for mistake, _ in MISTAKES])
def test_a_mistake_is_shown_once_and_the_rest_holds(
    lasting_server: StdioClient, mistake: Message, words: list[str]
) -> None:
    server = lasting_server
    before = warnings(server)
    sequences, window = model(server)
    change = {"settings": {"fimble": {"context_tokens": window + 1, **mistake}}}
    for _ in range(3):
        server.notify("workspace/didChangeConfiguration", change)
    server.wait(lambda: server.ask("fimble/status") and in_force(server)[1] == window + 1, "the other setting")
    assert model(server)[0] == sequences
    (shown,) = warnings(server)[len(before) :]
    assert all(word in shown for word in [*words, "the editor's settings"]), shown
    assert "\n" not in shown


MANY = [
    ({"max_tokens": 0, "enabled": 1}, 2, ["(1)", "`max_tokens`", "(2)", "`enabled`"]),
    ({f"mistake{number}": number for number in range(1000)}, 21, ["21 mistakes", "`mistake0`", "(4)", "17 more"]),
    (
        {"max_lines": "x", "actions": {"a": {}, "b": 3, "c": {"prompt": "x", "result": "burn"}}},
        4,
        ["`max_lines`", "`a` has no `prompt`", "`b` must be a table", "`c`: `result`"],
    ),
]


@pytest.mark.parametrize(("mistakes", "count", "words"), MANY, ids=["two", "a thousand", "in actions"])
def test_all_mistakes_are_one_message(start: Start, mistakes: Message, count: int, words: list[str]) -> None:
    server = start()
    server.initialize(initializationOptions=mistakes)
    assert len(server.status()["problems"]) == count
    assert server.finish() == 0
    (shown,) = warnings(server)
    assert all(word in shown for word in words), shown
    assert "\n" not in shown
    assert len(shown) < 1000


def test_mistakes_in_several_files_are_one_message_and_gone_when_mended(start: Start, home: Path) -> None:
    root = home / "project"
    root.mkdir()
    paths = [user_file(home, "max_tokens = 'x'\n"), root / "fimble.toml"]
    paths[1].write_text("max_lines = 'y'\n")
    server = start()
    server.initialize(workspaceFolders=[folder(root)])
    problems = server.status()["problems"]
    assert [str(path) in problem for path, problem in zip(paths, problems, strict=True)] == [True, True]
    for path in paths:
        path.write_text("")
    server.notify("workspace/didChangeConfiguration", {"settings": {}})
    assert server.status()["problems"] == []
    assert server.finish() == 0
    (shown,) = warnings(server)
    assert "'x'" in shown and "'y'" in shown


FILES = [
    (b"resident_prompts = [", ["not valid TOML"]),
    (b"\xff\xfe = 1", ["not valid TOML"]),
    (b"resident_prompts = 'x'", ["resident_prompts", "int", "'x'"]),
    (b"[fimble]\nresident_prompts = 2", ["fimble", "unknown"]),
]


def test_a_mistake_in_a_file_names_the_file(start: Start, home: Path) -> None:
    path = user_file(home, "")
    server = start()
    server.initialize(initializationOptions={"context_tokens": 777})
    for number, (content, words) in enumerate(FILES):
        path.write_bytes(content)
        server.notify("workspace/didChangeConfiguration", {"settings": {}})
        server.wait(lambda: len(warnings(server)) == number + 1, f"the warning about {content!r}")  # noqa: B023
        shown = warnings(server)[-1]
        assert all(word in shown for word in [*words, str(path)]), shown
        assert model(server) == (DEFAULTS.resident_prompts, 777)
    assert server.finish() == 0
    assert len(warnings(server)) == len(FILES)


def test_a_folder_in_place_of_the_file(start: Start, home: Path) -> None:
    user_file(home, "").unlink()
    (home / "config" / "fimble" / "fimble.toml").mkdir()
    server = start()
    server.initialize(initializationOptions={"context_tokens": 777})
    assert model(server)[1] == 777
    assert server.finish() == 0
    assert "fimble.toml cannot be read" in warnings(server)[0]


WAITS_FOR_SETTINGS = "lsp_server.lsp.server._CONFIGURATION_SECONDS"


def test_a_client_that_never_tells_its_settings_blocks_nothing(start: Start) -> None:
    server = start(waits={WAITS_FOR_SETTINGS: 1.0})
    del server.answers["workspace/configuration"]
    server.initialize(PULL, ready=False, initializationOptions={"residentPrompts": 3})
    server.open(URI, "value = ")
    assert server.inline(URI, 0, 8) == []  # at once: the model has not been asked for yet
    assert server.status()["model"]["state"] == "none"
    assert server.status()["requests"]["whyLastEmpty"]
    server.model_ready()
    assert model(server)[0] == 3
    assert len(server.inline(URI, 0, 8)) == 1
    assert server.finish() == 0
    assert not warnings(server)


def test_settings_that_come_late_count_when_they_come(start: Start) -> None:
    server = start(waits={WAITS_FOR_SETTINGS: 0.1})
    del server.answers["workspace/configuration"]
    server.initialize(PULL, ready=False)
    question = server.message(lambda m: m.get("method") == "workspace/configuration")
    server.open(URI, "value = ")
    server.model_ready()
    assert len(server.inline(URI, 0, 8)) == 1
    server.send({"jsonrpc": "2.0", "id": question["id"], "result": [{"enabled": False}]})
    assert any(server.inline(URI, 0, 8) == [] for _ in range(1000))
    assert "enabled" in server.status()["requests"]["whyLastEmpty"]
    assert server.finish() == 0


def test_settings_of_other_servers_are_not_ours(start: Start) -> None:
    server = start()
    server.initialize(initializationOptions={"residentPrompts": 3})
    server.notify("workspace/didChangeConfiguration", {"settings": {"pylsp": {"plugins": {}}, "gopls": {}}})
    assert server.finish() == 0
    assert not warnings(server)


def refuse(params: Message) -> None:
    raise ValueError("no settings here")


def test_odd_answers_to_the_question_for_settings(start: Start) -> None:
    odd = [[], [None], [3], ["x"], [[1]], {"a": 1}, [{"fimble": None}]]
    server = start()
    server.answers["workspace/configuration"] = refuse
    server.initialize(REGISTER, initializationOptions={"residentPrompts": 3})
    for number, answer in enumerate(odd):
        server.answers["workspace/configuration"] = lambda params, answer=answer: answer
        server.notify("workspace/didChangeConfiguration", {"settings": None})
        asked = number + 2
        server.message(lambda m: m.get("method") == "workspace/configuration", "the question", count=asked)
    answer_with(server, {"contextTokens": 777})
    server.notify("workspace/didChangeConfiguration", {"settings": None})
    server.model_ready(2)
    assert model(server) == (3, 777)
    assert server.finish() == 0
    assert not warnings(server)


def test_the_newest_of_many_changes_holds(start: Start) -> None:
    server = start()
    server.initialize()
    for number in (2, 3, 5, 6, 7):
        server.notify("workspace/didChangeConfiguration", {"settings": {"fimble": {"residentPrompts": number}}})
    server.wait(lambda: server.ask("fimble/status") and in_force(server)[0] == 7, "the model of the last change")


def test_an_old_answer_that_comes_late_changes_nothing(start: Start) -> None:
    """Two questions for the settings are out at a time; the answer to the first comes last."""
    server = start()
    server.initialize(PULL)
    del server.answers["workspace/configuration"]
    for _ in range(2):
        server.notify("workspace/didChangeConfiguration", {"settings": None})
    question = [
        server.message(lambda m: m.get("method") == "workspace/configuration", "the question", count=count)["id"]
        for count in (2, 3)
    ]
    server.send({"jsonrpc": "2.0", "id": question[1], "result": [{"residentPrompts": 7}]})
    server.model_ready(2)
    server.send({"jsonrpc": "2.0", "id": question[0], "result": [{"residentPrompts": 2}]})
    assert [server.status()["model"].get("sequences") for _ in range(10)] == [7] * 10


def in_force(server: StdioClient) -> tuple[int, int]:
    """Sequences and window in the last status that came; zeros while there is no model."""
    statuses = [m["result"] for m in list(server.messages) if "version" in (m.get("result") or {})]
    last = statuses[-1]["model"] if statuses else {}
    return last.get("sequences", 0), last.get("context_tokens", 0) // 4


def folder(root: Path) -> Message:
    return {"uri": root.as_uri(), "name": root.name}


def change_folders(server: StdioClient, added: list[Path], removed: list[Path]) -> None:
    event = {"added": list(map(folder, added)), "removed": list(map(folder, removed))}
    server.notify("workspace/didChangeWorkspaceFolders", {"event": event})


@pytest.mark.parametrize("capabilities", [{}, PULL], ids=["silent", "pulled"])
def test_the_settings_of_folders_that_come_and_go(start: Start, home: Path, capabilities: Message) -> None:
    roots = [home / name for name in ("first", "second")]
    for root, count in zip(roots, (2, 3), strict=True):
        root.mkdir()
        (root / "fimble.toml").write_text(f"resident_prompts = {count}\n")
    server = start()
    if capabilities:
        answer_with(server, {"contextTokens": 777})
    announced = server.initialize(capabilities, workspaceFolders=[folder(roots[0])])
    assert announced["workspace"]["workspaceFolders"] == {"supported": True, "changeNotifications": True}
    window = 777 if capabilities else DEFAULTS.context_tokens
    assert model(server) == (2, window)
    change_folders(server, [roots[1]], [])
    server.model_ready(2)
    assert model(server) == (3, window)
    change_folders(server, [roots[0]], [roots[1], home / "never there"])
    server.model_ready(3)
    assert model(server) == (2, window)
    change_folders(server, [], [roots[0]])
    server.model_ready(4)
    assert model(server) == (DEFAULTS.resident_prompts, window)
    assert server.finish() == 0
    assert not warnings(server)


def test_documents_of_a_new_folder_are_named_in_it(start: Start, home: Path) -> None:
    server = start()
    server.initialize()
    root = home / "later"
    change_folders(server, [root], [])
    (root / "inside").mkdir(parents=True)
    for name, text in (("inside/shop.py", "def price_of(item):\n    return item.price\n"), ("b.py", "price_of")):
        server.open((root / name).as_uri(), text)
    pieces = server.context((root / "b.py").as_uri())
    assert [piece["path"] for piece in pieces] == ["inside/shop.py"]
    assert server.finish() == 0


def test_open_documents_follow_the_folders(start: Start, home: Path) -> None:
    """A folder that is renamed is one that goes and one that comes."""
    server = start()
    old, new = home / "old", home / "old" / "inside"
    new.mkdir(parents=True)
    server.initialize(workspaceFolders=[folder(old)])
    shop, user = (new / "shop.py").as_uri(), (new / "b.py").as_uri()
    server.open(shop, "def price_of(item):\n    return item.price\n")
    change_folders(server, [new], [old])
    server.open(user, "price_of")
    assert [piece["path"] for piece in server.context(user)] == ["shop.py"]
    assert server.finish() == 0


@pytest.mark.parametrize("place", ["user", "workspace", "options", "pushed", "command line"])
def test_the_error_about_a_model_says_where_it_was_named(start: Start, home: Path, tmp_path: Path, place: str) -> None:
    root = home / "project"
    root.mkdir()
    missing = str(tmp_path / "missing")
    named = {"user": user_file(home, ""), "workspace": root / "fimble.toml"}
    if place in named:
        named[place].write_text(f'model = "{missing}"\n')
    trust_folders(home, {str(root): True})
    server = start(*SERVE, *(["--model", missing] if place == "command line" else []))
    options = {"model": missing} if place == "options" else {"model": None}
    server.initialize(ready=False, workspaceFolders=[folder(root)], initializationOptions=options)
    if place == "pushed":
        server.notify("workspace/didChangeConfiguration", {"settings": {"fimble": {"model": missing}}})
    server.message(lambda m: m.get("method") == "window/showMessage", "the error")
    (shown,) = server.notifications("window/showMessage")
    words = {"options": "initializationOptions", "pushed": "the editor's settings", "command line": "the command line"}
    assert shown["message"].endswith(f" (`model` comes from {named.get(place, words.get(place))})")
    assert missing in shown["message"]
    assert server.finish() == 0


def test_the_status_has_the_settings_in_force(start: Start, home: Path) -> None:
    user_file(home, 'disabled_languages = ["go"]\nmax_lines = 3\n')
    server = start()
    server.initialize(initializationOptions={"maxLines": 4})
    assert server.status()["settings"] == {
        **msgspec.to_builtins(DEFAULTS),
        "disabled_languages": ["go"],
        "max_lines": 4,
        "engine": os.environ.get("FIMBLE_TEST_ENGINE", "in-process"),
    }
    assert server.finish() == 0


def test_an_answer_that_went_stale_is_not_the_last_empty_one(start: Start) -> None:
    server = start()
    server.initialize(initializationOptions={"disabledLanguages": ["python"]})
    server.open(URI, "value = ")
    server.open("file:///w/a.go", "value := ", "go")
    assert server.inline(URI, 0, 8) == []
    asked = [request(id, "textDocument/inlineCompletion", inline_params("file:///w/a.go", 0, 9)) for id in (-1, -2)]
    server.send(*asked)  # the newer one ends the older one
    for id in (-1, -2):
        server.response(id)
    requests = server.status()["requests"]
    assert [entry["stale"] for entry in requests["recent"]] == [False, True, False]
    assert "`disabled_languages`" in requests["whyLastEmpty"]
    assert server.finish() == 0


ASKS = {"window": {"showMessage": {"messageActionItem": {"additionalPropertiesSupport": True}}}}


@pytest.mark.parametrize("answer", ["Trust this folder", "Do not trust it", None])
def test_a_workspace_that_names_files_is_asked_about_once(start: Start, home: Path, answer: str | None) -> None:
    root = home / "project"
    root.mkdir()
    known = root / "known.py"
    known.write_text("alpha = beta_gamma_delta + 1\n")
    (root / "fimble.toml").write_text('model = "known.py"\n')
    asked: list[Message] = []

    def ask(params: Message) -> Message | None:
        asked.append(params)
        return {"title": answer} if answer else None

    for run in range(2):
        server = start()
        server.answers["window/showMessageRequest"] = ask
        server.initialize(ASKS, workspaceFolders=[folder(root)], ready=False)
        if answer == "Trust this folder":
            server.wait(lambda: server.status()["model"].get("path") == str(known), "it")  # noqa: B023
        else:
            server.wait(lambda: len(asked) == (run + 1 if answer is None else 1), "it")  # noqa: B023
            server.model_ready()
            server.notify("workspace/didChangeConfiguration", {"settings": {}})
            status = server.status()
            assert status["model"].get("path") != str(known)
            assert "fimble trust" in status["problems"][0]
        assert server.finish() == 0
        assert not warnings(server)
    assert len(asked) == (2 if answer is None else 1)
    assert str(root) in asked[0]["message"]
    assert [action["title"] for action in asked[0]["actions"]] == ["Trust this folder", "Do not trust it"]


def test_a_client_that_cannot_ask_is_told_what_to_do(start: Start, home: Path) -> None:
    root = home / "project"
    root.mkdir()
    (root / "fimble.toml").write_text('model = "a.gguf"\nlora = ["b.gguf"]\n')
    server = start()
    server.initialize(workspaceFolders=[folder(root)])
    assert server.finish() == 0
    (shown,) = warnings(server)
    assert "`model` and `lora`" in shown
    assert f"`fimble trust {root}`" in shown


async def test_files_that_do_not_answer_hold_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a file on a network does whose server has gone: to look at it takes for ever, and each new look too."""
    answers = threading.Event()
    monkeypatch.setattr(client_settings, "_READ_SECONDS", 0.05)
    monkeypatch.setattr(sources, "collect", lambda *_: answers.wait())
    try:
        for _ in range(6):
            found, _ = await client_settings.read([], [sources.Source("the editor", {"max_lines": 3})])
            assert found.settings.max_lines == 3
            assert "did not answer within 0.05 s" in found.problems[0]
    finally:
        answers.set()
