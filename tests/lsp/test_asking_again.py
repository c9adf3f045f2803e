"""Another place is asked about an action that one has answered: who is offered, what it is sent, and who decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.endpoints.server import MODELS, Server, endpoint, response, serving_apart, user_file
from tests.features.actions.cases import CASES
from tests.support.editor import Editor
from tests.support.stdio import Message, StdioClient

Start = Callable[..., StdioClient]
CASE = CASES[0]
GOOD = f"```\n{CASE.new}\n```"
PASSWORD = 'password = "hunter2hunter7x"'
BAD = f"I would rather not.\n{PASSWORD}\n"
LATER = '[routing]\nactions = ["local", "team"]\n'


@pytest.fixture
def team() -> Iterator[Server]:
    with serving_apart("chat", pieces=[GOOD]) as server:
        yield server


def editor_of(start: Start, home: Path, team: Server, text: str, *replies: tuple[str, str], **more: Any) -> Editor:
    """An editor whose user has `text` in his own file, beside the endpoint `team`, in a folder `w`."""
    table = {name: more.pop(name) for name in ("ask_again", "late_ms") if name in more}
    user_file(home, text + endpoint(team, kind="chat", model=MODELS["chat"], **table).replace("True", "true"))
    folder = home / "w"
    folder.mkdir()
    if workspace := more.pop("workspace", ""):
        (folder / "fimble.toml").write_text(workspace)
    return Editor(start, folder, [*replies], formatEdits=False, **more)


def opened(editor: Editor) -> tuple[str, int]:
    document, offset = CASE.document()
    text = document.source.decode()
    return editor.open(CASE.path, text, CASE.language), len(document.source[:offset].decode())


def asking(editor: Editor, uri: str, at: int, **context: Any) -> list[Message]:
    return [each for each in editor.offered(uri, at, **context) if "again: " in each["title"]]


def chosen(editor: Editor, offer: Message) -> Message:
    command = offer["command"]
    assert command["command"] == "fimble.askAgain"
    params = {"command": command["command"], "arguments": command["arguments"]}
    return editor.server.call("workspace/executeCommand", params)


def prompts(team: Server) -> list[str]:
    return ["\n".join(message["content"] for message in body["messages"]) for body in team.completions]


def warnings(editor: Editor) -> list[str]:
    return [each["message"] for each in editor.server.notifications("window/showMessage")]


def test_the_button_of_a_refusal_asks_with_the_failed_attempt_and_the_reason(
    start: Start, home: Path, team: Server
) -> None:
    editor = editor_of(start, home, team, LATER, ("", BAD))
    buttons: list[Message] = []

    def press(params: Message) -> Message:
        buttons.append(params)
        return params["actions"][0]

    editor.server.answers["window/showMessageRequest"] = press
    uri, offset = opened(editor)
    editor.choose(uri, "simplify", offset)
    assert editor.finished().startswith("no edit: ")
    assert team.completions == [] or buttons, "nothing is sent before the user says so"
    assert editor.finished(2) == "edited"
    assert editor.buffers[uri].text == CASE.expected()
    (asked,) = buttons
    assert asked["actions"] == [{"title": "Ask team"}]
    assert asked["message"].startswith("fimble: no edit: ")
    assert asked["message"].endswith("`team` can be asked")
    (prompt,) = prompts(team)
    assert "I would rather not." in prompt
    assert "That answer cannot be used: " in prompt
    assert "hunter2" not in prompt
    assert "REDACTED" in prompt
    assert asking(editor, uri, offset) == [], "the code is another now"
    assert editor.server.finish() == 0


def test_what_was_shown_can_be_asked_about_again_at_its_place_as_long_as_that_is_as_it_was(
    start: Start, home: Path, team: Server
) -> None:
    team.pieces = ["It is a sum."]
    editor = editor_of(start, home, team, LATER, ("", "It does things."))
    uri, offset = opened(editor)
    assert asking(editor, uri, offset) == []
    editor.choose(uri, "explain", offset)
    assert editor.finished() == "explained"
    (offer,) = asking(editor, uri, offset)
    assert offer["title"] == "fimble: Ask team again: Explain `total`"
    assert offer["kind"] == "refactor.fimble.explain"
    text = editor.buffers[uri].text
    assert asking(editor, uri, text.index("return total")) == []
    assert asking(editor, uri, offset, only=["quickfix"]) == []
    editor.type(uri, 0, 0, "# é😀\n")
    offset += len("# é😀\n")
    (offer,) = asking(editor, uri, offset)
    assert team.completions == []
    chosen(editor, offer)
    assert editor.finished(2) == "explained"
    assert "It is a sum." in editor.shown[1]
    assert "It does things." in prompts(team)[0]
    assert "That answer was not good enough." in prompts(team)[0]
    assert asking(editor, uri, offset) == [], "it has been asked"
    editor.choose(uri, "explain", offset)
    assert editor.finished(3) == "explained"
    assert len(asking(editor, uri, offset)) == 1
    editor.type(uri, offset + 40, offset + 40, "x")
    assert asking(editor, uri, offset) == []
    assert len(team.completions) == 1


def test_a_fix_and_an_instruction_move_along_with_what_is_typed(start: Start, home: Path, team: Server) -> None:
    """The client names a number alone, and what it sent with the first command is known."""
    refusals = ("use sum", "I would rather not."), ("", BAD)
    editor = editor_of(start, home, team, LATER, *refusals, client="eglot_emacs30_2")
    uri, offset = opened(editor)
    problem = {"range": editor.where(uri, offset + 40, offset + 44), "message": "this is too slow", "source": "lint"}
    editor.choose(uri, "fix", offset + 40, diagnostics=[problem])
    assert editor.finished().startswith("no edit: ")
    editor.type(uri, 0, 0, "# é😀\n")
    offset += len("# é😀\n")
    moved = {**problem, "range": editor.where(uri, offset + 40, offset + 44)}
    assert asking(editor, uri, offset) == [], "without the problem there is no fix"
    (offer,) = asking(editor, uri, offset + 40, diagnostics=[moved])
    assert "Ask team again: Fix: this is too slow" in offer["title"]
    chosen(editor, offer)
    assert editor.finished(2) == "edited"
    assert editor.buffers[uri].text == "# é😀\n" + CASE.expected()
    assert "this is too slow (lint)" in prompts(team)[0]
    (line,) = [line for line in prompts(team)[0].splitlines() if "this is too slow (lint)" in line]
    assert line.startswith("- line 2, `result = 0`: "), "counted in the function"

    other = editor.open("other.py", CASE.document()[0].source.decode())
    where = editor.where(other, offset - len("# é😀\n"))
    arguments = [{"action": "edit", "uri": other, "range": where, "instruction": "use sum"}]
    editor.server.call("workspace/executeCommand", {"command": "fimble.action", "arguments": arguments})
    assert editor.finished(3).startswith("no edit: ")
    editor.type(other, 0, 0, "# x\n")
    (offer,) = asking(editor, other, offset)
    assert offer["title"] == "fimble: Ask team again: use sum"
    chosen(editor, offer)
    assert editor.finished(4) == "edited"
    assert "Instruction: use sum" in prompts(team)[1]
    assert editor.buffers[other].text == "# x\n" + CASE.expected()


@pytest.mark.parametrize(
    ("text", "workspace", "more", "offered"),
    [
        ("", "", {}, False),
        ("", LATER, {"routing": {"actions": ["local", "team"]}}, False),
        ("", '[routing]\nactions = ["local"]\n', {"ask_again": True}, True),
        (LATER, '[routing]\nactions = ["local"]\n', {}, True),
        ("offline = true\n" + LATER, "", {"ask_again": True}, False),
        (LATER, "offline = true\n", {}, False),
    ],
)
def test_the_users_own_file_alone_decides_who_may_be_asked(
    start: Start, home: Path, team: Server, text: str, workspace: str, more: dict[str, Any], offered: bool
) -> None:
    editor = editor_of(start, home, team, text, ("", "It adds."), workspace=workspace, **more)
    uri, offset = opened(editor)
    editor.choose(uri, "explain", offset)
    assert editor.finished() == "explained"
    assert "It adds." in editor.shown[0]
    assert bool(asking(editor, uri, offset)) == offered
    for place in ("team", "elsewhere"):
        arguments = [{"number": 1, "place": place}]
        if place not in ("team",) or not offered:
            editor.server.call("workspace/executeCommand", {"command": "fimble.askAgain", "arguments": arguments})
            assert f"`{place}` may not be asked about it" in warnings(editor)[-1]
    assert team.completions == []


@pytest.mark.parametrize("client", ["eglot_emacs30_2", "nvim_0_11_4", "helix_25_07_git20260723"])
def test_an_endpoint_that_is_only_asked_by_name_is_not_asked_what_it_is_before(
    start: Start, home: Path, team: Server, client: str
) -> None:
    editor = editor_of(start, home, team, "", ("", BAD), ask_again=True, client=client)
    uri, offset = opened(editor)
    editor.choose(uri, "simplify", offset)
    assert editor.finished().startswith("no edit: ")
    editor.server.wait(lambda: warnings(editor), "the message")
    assert warnings(editor)[-1].endswith("; `team` can be asked, with the code action `Ask team again`")
    assert team.requests == []
    editor.server.call("workspace/executeCommand", {"command": "fimble.askAgain", "arguments": []})
    assert editor.finished(2) == "edited"
    assert editor.buffers[uri].text == CASE.expected()


def test_a_place_that_fails_is_named_and_the_local_model_stays_in_use(start: Start, home: Path, team: Server) -> None:
    team.answer = response(500, {"error": "oops"})
    editor = editor_of(start, home, team, LATER, ("", "It adds."))
    uri, offset = opened(editor)
    editor.choose(uri, "explain", offset)
    editor.finished()
    (offer,) = asking(editor, uri, offset)
    chosen(editor, offer)
    assert "endpoint `team` (127.0.0.1) has failed (500)" in editor.finished(2)
    editor.choose(uri, "explain", offset)
    assert editor.finished(3) == "explained"
    assert len(team.completions) == 1
    team.answer, team.pieces = None, ["It is a sum."]
    (offer,) = asking(editor, uri, offset)
    chosen(editor, offer)
    assert editor.finished(4) == "explained"
    assert "It is a sum." in editor.shown[2]


def test_a_place_that_has_just_failed_is_not_offered(start: Start, home: Path, team: Server) -> None:
    team.probe = response(401, {})
    editor = editor_of(start, home, team, '[routing]\nactions = ["team"]\n')
    uri, offset = opened(editor)
    editor.choose(uri, "explain", offset)
    assert "refuses the key (401)" in editor.finished()
    assert "can be asked" not in editor.server.wait(lambda: warnings(editor), "the message")[-1]
    assert asking(editor, uri, offset) == []


def test_a_place_that_comes_first_answers_first_and_the_local_model_can_be_asked(
    start: Start, home: Path, team: Server
) -> None:
    team.pieces = ["From the team."]
    editor = editor_of(start, home, team, '[routing]\nactions = ["team", "local"]\n', ("", "From here."))
    editor.server.wait(lambda: editor.server.status()["places"]["actions"][0]["state"] == "ready", "the endpoint")
    uri, offset = opened(editor)
    editor.choose(uri, "explain", offset)
    assert editor.finished() == "explained"
    (offer,) = asking(editor, uri, offset)
    assert "Ask local again" in offer["title"]
    chosen(editor, offer)
    assert editor.finished(2) == "explained"
    assert ["From the team." in editor.shown[0], "From here." in editor.shown[1]] == [True, True]
    assert len(team.completions) == 1


def test_a_command_that_makes_no_sense_is_an_error_or_a_message(start: Start, home: Path, team: Server) -> None:
    editor = editor_of(start, home, team, LATER)
    for arguments in ([7], ["x"], [{"number": "x"}], [{"place": 3}]):
        params = {"command": "fimble.askAgain", "arguments": arguments}
        assert editor.server.call("workspace/executeCommand", params)["error"]["code"] == -32602, arguments
    for arguments in ([], [None], [{}], [{"number": 5, "place": "team"}]):
        params = {"command": "fimble.askAgain", "arguments": arguments}
        assert editor.server.call("workspace/executeCommand", params)["result"] is None
        assert "not known any more" in warnings(editor)[-1]


def test_an_answer_about_code_with_a_secret_is_not_told_to_another_place(
    start: Start, home: Path, team: Server
) -> None:
    """The local model has read the secret, and may repeat it in a sentence, where no detector finds it."""
    team.pieces = ["It logs in."]
    editor = editor_of(start, home, team, LATER, ("", "It logs in with hunter2hunter7x, as you see."))
    text = 'def login(connect):\n    password = "hunter2hunter7x"\n    return connect("me", password)\n'
    uri = editor.open("login.py", text)
    editor.choose(uri, "explain", 6)
    assert editor.finished() == "explained"
    (offer,) = asking(editor, uri, 6)
    chosen(editor, offer)
    assert editor.finished(2) == "explained"
    (prompt,) = prompts(team)
    assert "REDACTED" in prompt
    assert "hunter2" not in prompt
    assert "as you see" not in prompt


def ask_the_last_again(editor: Editor) -> None:
    editor.server.call("workspace/executeCommand", {"command": "fimble.askAgain", "arguments": []})


def test_a_document_that_is_opened_once_more_is_another(start: Start, home: Path, team: Server) -> None:
    """Some clients do so without closing it first. Its version may be the same, and its text another."""
    editor = editor_of(start, home, team, LATER, ("", "It adds."))
    uri, offset = opened(editor)
    editor.choose(uri, "explain", offset)
    assert editor.finished() == "explained"
    editor.server.open(uri, "x = 1\n" * 3 + editor.buffers[uri].text)
    ask_the_last_again(editor)
    assert "not known any more" in editor.server.wait(lambda: warnings(editor), "the message")[-1]
    assert team.completions == []


def test_the_place_is_found_although_a_client_gives_every_text_the_same_version(
    start: Start, home: Path, team: Server
) -> None:
    team.pieces = ["It is a sum."]
    editor = editor_of(start, home, team, LATER, ("", "It adds."))
    uri, offset = opened(editor)
    editor.choose(uri, "explain", offset)
    assert editor.finished() == "explained"
    first = {"line": 0, "character": 0}
    editor.server.change(uri, 1, {"range": {"start": first, "end": first}, "text": "x = 1\n" * 3})
    ask_the_last_again(editor)
    assert editor.finished(2) == "explained"
    assert "\ndef total(prices, tax=RATE):\n" in prompts(team)[0]
    assert "RATE = 0.19" not in prompts(team)[0].partition("This is the function")[2]


def test_the_button_of_a_failure_is_about_what_has_failed(start: Start, home: Path, team: Server) -> None:
    """The same place fails at two functions with the same words."""
    team.answer = response(500, {"error": "oops"})
    with serving_apart("chat", pieces=["It is."]) as big:
        more = endpoint(big, kind="chat", model=MODELS["chat"]).replace("team", "big", 1)
        editor = editor_of(
            start, home, team, '[routing]\nactions = ["team", "local", "big"]\n' + more, ("", "It adds.")
        )
        press: list[Message] = []
        editor.server.answers["window/showMessageRequest"] = press.append
        editor.server.wait(lambda: editor.server.status()["places"]["actions"][0]["state"] == "ready", "the endpoint")
        one = editor.open("one.py", "def first(a):\n    return a + 1\n")
        editor.choose(one, "explain", 6)
        assert "has failed (500)" in editor.finished()
        editor.server.wait(lambda: press, "the buttons")
        two = editor.open("two.py", "def second(a):\n    return a + 2\n")
        editor.choose(two, "explain", 6)
        assert editor.finished(2) == "explained"
        editor.server.answers["window/showMessageRequest"] = lambda params: params["actions"][-1]
        chosen(editor, asking(editor, two, 6)[0])
        assert "has failed (500)" in editor.finished(3)
        editor.server.wait(lambda: warnings(editor), "the message")
        assert big.completions == []
        assert len(press) == 1


def test_a_place_is_asked_once_however_often_that_is_said(start: Start, home: Path, team: Server) -> None:
    team.stall = True
    editor = editor_of(start, home, team, LATER, ("", "It adds."))
    uri, offset = opened(editor)
    editor.choose(uri, "explain", offset)
    assert editor.finished() == "explained"
    ask_the_last_again(editor)
    editor.server.wait(lambda: team.completions, "the question")
    ask_the_last_again(editor)
    assert "`team` is being asked about it already" in warnings(editor)[-1]
    editor.server.call("workspace/executeCommand", {"command": "fimble.cancel", "arguments": []})
    assert editor.finished(2) == "cancelled"
    assert len(team.completions) == 1
    team.stall, team.pieces = False, ["It is a sum."]
    ask_the_last_again(editor)
    assert editor.finished(3) == "explained"
    assert len(team.completions) == 2
