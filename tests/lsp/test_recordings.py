"""What real editors sent, word for word: each of their requests gets exactly one answer.

The recordings in `tests/clients` were made with another server, so they also ask for what fimble does not have.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import converters, types

from lsp_server.lsp.clients import client_needs
from tests.support.stdio import Message, StdioClient

Start = Callable[..., StdioClient]
FOLDER = Path(__file__).parents[1] / "recordings"

# Whether the completion menu is served, the position encoding, and whether the client can be asked for its
# settings and told when they change.
CLIENTS = {
    "coc_0_0_82_vim9": (False, "utf-16", True, True),
    "code_server_1_139_vlc11": (False, "utf-16", True, True),
    "eglot_emacs30_2": (True, "utf-32", True, False),
    "helix_25_07_git20260723": (True, "utf-8", True, False),
    "lsp_mode_10_0_0": (False, "utf-32", True, False),
    "nvim_0_11_4": (True, "utf-8", True, False),
    "nvim_0_12_4": (False, "utf-8", True, False),
}
OURS = {
    "initialize": "",
    "shutdown": "",
    "textDocument/inlineCompletion": "inlineCompletionProvider",
    "textDocument/completion": "completionProvider",
    "textDocument/codeAction": "codeActionProvider",
    "codeAction/resolve": "codeActionProvider",
    "workspace/executeCommand": "executeCommandProvider",
    "textDocument/hover": "hoverProvider",
}


def recording(client: str) -> list[Message]:
    lines = (FOLDER / f"{client}.client.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_the_table_has_every_recording() -> None:
    assert {path.name.removesuffix(".client.jsonl") for path in FOLDER.glob("*.client.jsonl")} == set(CLIENTS)
    assert {path.name.removesuffix(".initialize.json") for path in FOLDER.glob("*.initialize.json")} == set(CLIENTS)


@pytest.mark.parametrize("client", CLIENTS)
def test_what_a_client_needs(client: str) -> None:
    message = json.loads((FOLDER / f"{client}.initialize.json").read_text("utf-8"))
    params = converters.get_converter().structure(message["params"], types.InitializeParams)
    needs = client_needs(params)
    assert (needs.completion, needs.encoding, needs.configuration, needs.watch_configuration) == CLIENTS[client]
    assert needs.progress
    assert needs.name == message["params"]["clientInfo"]["name"]


@pytest.mark.parametrize(
    ("client", "at_once"),
    [*((client, False) for client in CLIENTS), ("code_server_1_139_vlc11", True), ("helix_25_07_git20260723", True)],
)
def test_every_request_is_answered_once(start: Start, client: str, at_once: bool) -> None:
    server = start()
    said = [message for message in recording(client) if "method" in message]
    _answer_as(server, recording(client))
    requests = {message["id"]: message for message in said if "id" in message}
    life = [message for message in said if message["method"] not in ("shutdown", "exit")]
    if at_once:
        server.send(*life)
    for message in [] if at_once else life:
        server.send(message)
        if message["method"] == "initialized":
            server.model_ready()
        elif "id" in message:
            server.response(message["id"])
    for message in life:
        if "id" in message:
            server.response(message["id"])
    assert server.finish() == 0
    answers = server.responses()
    announced = answers[said[0]["id"]][0]["result"]["capabilities"]
    assert ("completionProvider" in announced) == CLIENTS[client][0]
    assert announced["positionEncoding"] == CLIENTS[client][1]
    cancelled = {message["params"]["id"] for message in said if message["method"] == "$/cancelRequest"}
    for id, asked in requests.items():
        if asked["method"] == "shutdown":
            continue
        assert len(answers.get(id, [])) == 1, f"{id} {asked['method']}: {answers.get(id)}"
        _check(asked, answers[id][0], announced, id in cancelled)
    if not at_once and any(map(_is_inline, said)):
        given = [answers[id][0].get("result") for id, asked in requests.items() if _is_inline(asked)]
        assert any(result and result["items"] for result in given)
    assert not server.notifications("window/showMessage")


def _answer_as(server: StdioClient, messages: list[Message]) -> None:
    """Gives our requests the answers that the client gave to another server's, whose ids mean nothing to us.

    What they answered shows in their form. Requests of ours that were not recorded keep their usual answers.
    """
    forms = {"applied": "workspace/applyEdit", "success": "window/showDocument"}
    for message in messages:
        if "method" not in message:
            result = message["result"]
            method = next((forms[key] for key in result or {} if key in forms), "window/workDoneProgress/create")
            server.answers[method] = lambda params, result=result: result  # type: ignore[misc]


def _is_inline(message: Message) -> bool:
    return message["method"] == "textDocument/inlineCompletion"


def _check(asked: Message, answer: Message, announced: Message, cancelled: bool) -> None:
    provider = OURS.get(asked["method"], "nobody's")
    if asked["method"] == "workspace/executeCommand":  # the commands of the other server
        assert answer["error"]["code"] in (-32601, -32602), (asked, answer)
    elif provider and provider not in announced and provider != "completionProvider":
        assert answer["error"]["code"] in (-32601, -32602), (asked, answer)
        assert not answer["error"].get("data")
    elif "error" in answer:
        assert cancelled, (asked, answer)
        assert answer["error"]["code"] == -32800


def test_a_client_that_asks_for_a_menu_it_was_not_offered_is_answered(start: Start) -> None:
    """coc asks in one session for both kinds; the menu's answer has items or not, but comes."""
    message: Any = json.loads((FOLDER / "coc_0_0_82_vim9.initialize.json").read_text("utf-8"))
    server = start()
    server.send(message)
    assert "completionProvider" not in server.response(message["id"])["result"]["capabilities"]
    server.notify("initialized", {})
    server.model_ready()
    server.open("file:///w/a.py", "value = ")
    asked = {"textDocument": {"uri": "file:///w/a.py"}, "position": {"line": 0, "character": 8}}
    assert server.call("textDocument/completion", asked)["result"]["isIncomplete"] is True
