"""Text of a workspace goes to another machine only where the user has said so: who is asked, when, and what is kept."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import anyio
import pytest

from lsp_server.core.document_store import DocumentStore
from lsp_server.engine.endpoint import Endpoint
from lsp_server.features.actions.asking import ActionFailedError
from lsp_server.lsp.consent import Consent
from lsp_server.settings import consent
from tests.conftest import environment
from tests.endpoints.server import MODELS, Server, endpoint, response, serving_apart, user_file
from tests.features.actions.cases import CASES
from tests.support.editor import Editor
from tests.support.forked import run
from tests.support.stdio import SERVE, Message, StdioClient

Start = Callable[..., StdioClient]
ASKS = {"window": {"showMessage": {"messageActionItem": {}}}}
ROUTING = 'routing = { completion = ["team", "local"] }\n'
KNOWN = "def area(width):\n    return area(width)\n"
TEXT = "def area(width):\n    return ar\n"
ALLOW, NOT_NOW, NEVER = "Allow for this workspace", "Not now", "Never here"
OPEN = "no answer"


@pytest.fixture(autouse=True)
def folders(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))  # the tests look into the servers' state folder


@pytest.fixture
def team() -> Iterator[Server]:
    with serving_apart("openai", pieces=[" area", "(2)", "\n\n"]) as server:
        yield server


def elsewhere(server: Server, host: str = "0.0.0.0", **more: object) -> str:
    """An endpoint whose host is not known to be this machine."""
    url = f"http://{host}:{server.port}"
    return endpoint(server, url=url, remote="X", **more).replace("'X'", "true")


class Window:
    """A client with folders and an open document, that answers each question as `said` says. None: with no button;
    OPEN: not at all."""

    def __init__(
        self, start: Start, home: Path, *roots: str, said: str | None = None, asks: bool = True, name: str = ""
    ) -> None:
        (home / "known.py").write_text(KNOWN)
        self.home, self.said = home, said
        self.questions: list[Message] = []
        self.server = start(*SERVE, "--model", str(home / "known.py"))
        if said != OPEN:
            self.server.answers["window/showMessageRequest"] = self._answered
        for root in roots:
            (home / root).mkdir(parents=True, exist_ok=True)
        given = [{"uri": (home / root).as_uri(), "name": root} for root in roots]
        self.server.initialize(
            ASKS if asks else {},
            initializationOptions={"answer_ms": 20_000},
            workspaceFolders=given or None,
            **({"clientInfo": {"name": name}} if name else {}),
        )
        self.uri = (home / (roots[0] if roots else "loose") / "a.py").as_uri()
        self.server.open(self.uri, TEXT)

    def _answered(self, params: Message) -> Message | None:
        self.questions.append(params)
        return next((each for each in params["actions"] if each["title"] == self.said), None)

    def standing(self) -> str:
        (found,) = self.server.status()["consent"]
        return found["consent"]

    def stands(self, standing: str) -> None:
        self.server.wait(lambda: self.standing() == standing, standing)

    def asked(self) -> bool:
        """Whether the endpoint is a place of completions, and works."""
        places = self.server.status()["places"]["completion"]
        return any(each["name"] == "team" and each["state"] == "ready" for each in places)

    def shown(self) -> str:
        (item,) = self.server.inline(self.uri, 1, len("    return ar"))
        return str(item["insertText"])


def kept(home: Path) -> list[tuple[str, bool]]:
    return [(Path(each.folder).name, each.allowed) for each in consent.decisions()]


def test_nothing_is_sent_before_the_answer_and_then_it_is(start: Start, home: Path, team: Server) -> None:
    user_file(home, ROUTING + elsewhere(team))
    window = Window(start, home, "w", said=OPEN)
    asked = window.server.message(lambda m: m.get("method") == "window/showMessageRequest", "the question")
    assert window.shown() == "ea(width)"
    assert window.standing() == "asking"
    assert "waiting for your answer" in window.server.status()["state"]["text"]
    assert team.requests == [], "nobody has even asked whether the server is there"
    params = asked["params"]
    assert f"`team` (http://0.0.0.0:{team.port})" in params["message"] and str(home / "w") in params["message"]
    assert [each["title"] for each in params["actions"]] == [ALLOW, NOT_NOW, NEVER]
    window.server.send({"jsonrpc": "2.0", "id": asked["id"], "result": {"title": ALLOW}})
    window.server.wait(window.asked, "the endpoint")
    window.server.change(window.uri, 2, TEXT + "\n")
    assert window.shown() == "ea(2)"
    assert kept(home) == [("w", True)]


def test_it_is_asked_once_and_kept_for_the_user_alone(start: Start, home: Path, team: Server) -> None:
    user_file(home, ROUTING + elsewhere(team))
    first = Window(start, home, "w", said=ALLOW)
    first.stands("allowed")
    (file,) = consent.decisions_path().iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert not (home / "w").joinpath(".fimble").exists() and list((home / "w").iterdir()) == []
    assert first.server.finish() == 0
    second = Window(start, home, "w", said=NEVER)
    second.stands("allowed")
    assert second.questions == []


@pytest.mark.parametrize(("said", "standing", "stays"), [(NOT_NOW, "not now", []), (NEVER, "never", [("w", False)])])
def test_a_refusal(start: Start, home: Path, team: Server, said: str, standing: str, stays: list[Any]) -> None:
    user_file(home, ROUTING + elsewhere(team))
    window = Window(start, home, "w", said=said)
    window.stands(standing)
    window.server.open((home / "w/b.py").as_uri(), TEXT)
    assert window.shown() == "ea(width)"
    assert len(window.questions) == 1
    assert (kept(home), team.requests) == (stays, [])


@pytest.mark.parametrize("answer", ["error", "nonsense", "nothing"])
def test_what_is_no_answer_is_no_consent(start: Start, home: Path, team: Server, answer: str) -> None:
    user_file(home, ROUTING + elsewhere(team))
    window = Window(start, home, "w", said=OPEN)
    asked = window.server.message(lambda m: m.get("method") == "window/showMessageRequest", "the question")
    answers = {"error": {"error": {"code": -32603, "message": "no"}}, "nothing": {"result": None}}
    answers["nonsense"] = {"result": {"title": "Allow everything"}}
    window.server.send({"jsonrpc": "2.0", "id": asked["id"], **answers[answer]})
    window.stands("not now")
    assert window.shown() == "ea(width)"
    assert (kept(home), team.requests) == ([], [])


def test_a_client_that_cannot_ask_says_how_to_allow_it(start: Start, home: Path, team: Server) -> None:
    user_file(home, ROUTING + elsewhere(team))
    window = Window(start, home, "w", asks=False)
    window.stands("not asked")
    (told,) = window.server.status()["consent"]
    assert "`fimble endpoints allow team`, run in its folder, allows it" in told["text"]
    assert window.shown() == "ea(width)"
    logged = [each["message"] for each in window.server.notifications("window/logMessage")]
    assert sum("fimble endpoints allow team" in message for message in logged) == 1
    done = run(["endpoints", "allow", "team"], home / "w", environment(home))
    assert (done.returncode, done.stderr) == (0, "")
    window.server.open((home / "w/b.py").as_uri(), TEXT)
    window.server.wait(window.asked, "the endpoint")
    done = run(["endpoints", "forget", "team"], home, environment(home))
    assert done.returncode == 0
    window.server.open((home / "w/c.py").as_uri(), TEXT)
    window.stands("not asked")
    sent = len(team.completions)
    assert window.shown() == "ea(width)"
    assert len(team.completions) == sent


@pytest.mark.parametrize("name", ["Neovim", "helix", "eglot", "emacs"])
def test_a_question_that_takes_the_keyboard_is_asked_for_an_action_alone(
    start: Start, home: Path, team: Server, name: str
) -> None:
    user_file(home, ROUTING + elsewhere(team))
    window = Window(start, home, "w", said=ALLOW, name=name)
    shown = window.server.message(lambda m: m.get("method") == "window/showMessage", "what to do")["params"]["message"]
    assert "`fimble endpoints allow team`, run in its folder, allows it" in shown
    window.server.open((home / "w/b.py").as_uri(), TEXT)
    assert window.shown() == "ea(width)"
    assert (window.standing(), window.questions, team.requests) == ("not asked", [], [])
    done = run(["endpoints", "allow", "team"], home / "w", environment(home))
    assert (done.returncode, done.stderr) == (0, "")
    window.server.open((home / "w/c.py").as_uri(), TEXT)
    window.server.wait(window.asked, "the endpoint")


def test_another_url_is_asked_about_again(start: Start, home: Path, team: Server) -> None:
    user_file(home, ROUTING + elsewhere(team))
    window = Window(start, home, "w", said=ALLOW)
    window.stands("allowed")
    window.said = NOT_NOW
    with serving_apart("openai") as other:
        user_file(home, ROUTING + elsewhere(other))
        window.server.notify("workspace/didChangeConfiguration", {"settings": {"fimble": {}}})
        window.stands("not now")
        assert f":{other.port}" in window.questions[1]["message"]
        assert other.requests == []


def test_every_folder_of_the_workspace_must_be_allowed(start: Start, home: Path, team: Server) -> None:
    user_file(home, ROUTING + elsewhere(team))
    window = Window(start, home, "w", said=ALLOW)
    window.server.wait(window.asked, "the endpoint")
    window.said = NOT_NOW
    (home / "v").mkdir()
    added = {"added": [{"uri": (home / "v").as_uri(), "name": "v"}], "removed": []}
    window.server.notify("workspace/didChangeWorkspaceFolders", {"event": added})
    window.stands("not now")
    assert str(home / "v") in window.questions[1]["message"]
    sent = len(team.completions)
    window.server.change(window.uri, 2, TEXT + "\n")
    assert window.shown() == "ea(width)"
    assert len(team.completions) == sent
    removed = {"removed": added["added"], "added": []}
    window.server.notify("workspace/didChangeWorkspaceFolders", {"event": removed})
    window.stands("allowed")


@pytest.mark.parametrize("place", ["w/never/a.py", "w/link/a.py", "other/../w/never/a.py"])
def test_one_document_of_a_forbidden_folder_forbids_it(start: Start, home: Path, team: Server, place: str) -> None:
    (home / "w/never").mkdir(parents=True)
    (home / "w/link").symlink_to(home / "w/never")
    (home / "other").mkdir()
    user_file(home, ROUTING + elsewhere(team))
    url = f"http://0.0.0.0:{team.port}"
    consent.remember(consent.key_of(home / "w/never"), "team", url, allowed=False)
    consent.remember(consent.key_of(home / "other"), "team", url, allowed=True)
    window = Window(start, home, "other")
    window.server.wait(window.asked, "the endpoint")
    window.server.open(f"file://{home}/{place}", "password of the house\n")
    assert window.standing() == "never"
    sent = len(team.completions)
    window.server.change(window.uri, 2, TEXT + "\n")
    assert window.shown() == "ea(width)"
    assert len(team.completions) == sent
    assert window.questions == []
    consent.forget("team", consent.key_of(home / "w/never"))
    window.server.wait(window.asked, "the endpoint")


def test_a_workspace_around_or_in_a_forbidden_folder_is_forbidden(start: Start, home: Path, team: Server) -> None:
    (home / "w/in").mkdir(parents=True)
    user_file(home, ROUTING + elsewhere(team))
    url = f"http://0.0.0.0:{team.port}"
    consent.remember(consent.key_of(home / "w/in"), "team", url, allowed=False)
    consent.remember(consent.key_of(home / "w"), "team", url, allowed=True)
    Window(start, home, "w").stands("never")
    Window(start, home, "w/in/deep").stands("never")
    consent.forget("team", consent.key_of(home / "w/in"))
    Window(start, home, "w/in", said=NOT_NOW).stands("not now")  # that of the folder above does not count for it
    assert team.requests == []


def test_a_link_to_a_folder_is_that_folder(start: Start, home: Path, team: Server) -> None:
    user_file(home, ROUTING + elsewhere(team))
    for folder in ("one", "two"):
        (home / folder).mkdir()
    (home / "link").symlink_to(home / "one")
    first = Window(start, home, "link", said=ALLOW)
    first.stands("allowed")
    assert kept(home) == [("one", True)]
    assert first.server.finish() == 0  # or it would ask about the other one, too
    (home / "link").unlink()
    (home / "link").symlink_to(home / "two")
    window = Window(start, home, "link", said=NOT_NOW)
    window.stands("not now")
    assert str(home / "two") in window.questions[0]["message"]


def test_a_workspace_chooses_an_endpoint_but_does_not_consent(start: Start, home: Path, team: Server) -> None:
    """Neither by its routing, nor by files like those of the state folder."""
    user_file(home, elsewhere(team))
    (home / "w").mkdir()
    (home / "w/fimble.toml").write_text(ROUTING)
    url = f"http://0.0.0.0:{team.port}"
    consent.remember(consent.key_of(home / "w"), "team", url, allowed=True)
    (home / "w/endpoint-decisions").mkdir()
    (file,) = consent.decisions_path().iterdir()
    file.rename(home / "w/endpoint-decisions" / file.name)
    window = Window(start, home, "w", said=NOT_NOW)
    window.stands("not now")
    assert len(window.questions) == 1
    assert team.requests == []


def test_a_damaged_file_is_no_consent(start: Start, home: Path, team: Server) -> None:
    user_file(home, ROUTING + elsewhere(team))
    url = f"http://0.0.0.0:{team.port}"
    consent.remember(consent.key_of(home / "w"), "team", url, allowed=True)
    (file,) = consent.decisions_path().iterdir()
    whole = file.read_bytes()
    spoilt = [whole[:-9], b"\xff" + whole, b"[" * 9000, b"", whole.replace(b"team", b"teem"), b"0" * (80 << 10)]
    for data in spoilt:
        file.write_bytes(data)
        assert consent.decisions() == []
    window = Window(start, home, "w", said=ALLOW)
    window.stands("allowed")
    assert len(window.questions) == 1
    assert kept(home) == [("w", True)]


def test_an_answer_that_cannot_be_kept_counts_until_the_editor_ends(start: Start, home: Path, team: Server) -> None:
    user_file(home, ROUTING + elsewhere(team))
    consent.decisions_path().parent.mkdir(parents=True)
    consent.decisions_path().write_text("a file where the folder should be")
    window = Window(start, home, "w", said=ALLOW)
    window.server.wait(window.asked, "the endpoint")
    messages = [each["message"] for each in window.server.notifications("window/showMessage")]
    assert any("cannot be written" in each and "until the editor ends" in each for each in messages)


def test_without_a_folder_the_answer_counts_until_the_editor_ends(start: Start, home: Path, team: Server) -> None:
    user_file(home, ROUTING + elsewhere(team))
    window = Window(start, home, said="Allow until the editor ends")
    window.server.wait(window.asked, "the endpoint")
    assert [each["title"] for each in window.questions[0]["actions"]] == ["Allow until the editor ends", NOT_NOW]
    assert kept(home) == []
    again = Window(start, home, said=NOT_NOW)
    again.stands("not now")
    assert "allow team --no-folder`" in again.server.status()["consent"][0]["text"]
    assert run(["endpoints", "allow", "team", "--no-folder"], home, environment(home)).returncode == 0
    third = Window(start, home, said=None)
    third.server.wait(third.asked, "the endpoint")
    assert third.questions == []


def test_one_question_at_a_time(start: Start, home: Path, team: Server) -> None:
    other = elsewhere(team, host="0.0.0.0").replace("[endpoints.team]", "[endpoints.other]")
    user_file(home, 'routing = { completion = ["team", "other", "local"] }\n' + elsewhere(team) + other)
    window = Window(start, home, "w", said=OPEN)

    def questions() -> list[Message]:
        return [m for m in window.server.messages if m.get("method") == "window/showMessageRequest"]

    window.server.wait(questions, "the question")
    window.server.open((home / "w/b.py").as_uri(), TEXT)
    stands = {each["endpoint"]: each["consent"] for each in window.server.status()["consent"]}
    assert stands == {"team": "asking", "other": "not asked"}
    assert len(questions()) == 1
    window.server.send({"jsonrpc": "2.0", "id": questions()[0]["id"], "result": {"title": NOT_NOW}})
    window.server.wait(lambda: len(questions()) == 2, "the next question")
    assert "`other`" in questions()[1]["params"]["message"]


def test_an_unanswered_question_holds_up_nothing(start: Start, home: Path, team: Server) -> None:
    user_file(home, ROUTING + elsewhere(team))
    window = Window(start, home, "w", said=OPEN)
    window.server.open((home / "w/b.py").as_uri(), TEXT)
    assert window.shown() == "ea(width)"
    assert window.server.finish() == 0


def test_a_redirect_to_an_allowed_host_leads_nowhere(start: Start, home: Path, team: Server) -> None:
    """And one from an allowed host to one that is not is not followed either."""
    with serving_apart("openai", probe=response(302, {}, Location=f"http://127.0.0.1:{team.port}/v1/models")) as other:
        user_file(home, ROUTING + elsewhere(other))
        window = Window(start, home, "w", said=ALLOW)
        window.server.wait(lambda: other.requests, "the probe")
        assert window.shown() == "ea(width)"
        assert team.requests == []


# Actions ------------------------------------------------------------------------------------------------

CASE = CASES[0]


def editor_of(start: Start, home: Path, team: Server, text: str, *replies: tuple[str, str]) -> Editor:
    user_file(home, text + elsewhere(team, kind="chat", model=MODELS["chat"]))
    (home / "w").mkdir(exist_ok=True)
    return Editor(start, home / "w", [*replies], formatEdits=False)


def chosen(editor: Editor) -> str:
    document, offset = CASE.document()
    uri = editor.open(CASE.path, document.source.decode(), CASE.language)
    editor.choose(uri, "simplify", len(document.source[:offset].decode()))
    return uri


@pytest.fixture
def big() -> Iterator[Server]:
    with serving_apart("chat", pieces=[f"```\n{CASE.new}\n```"]) as server:
        yield server


@pytest.mark.parametrize("said", [ALLOW, NOT_NOW])
def test_an_action_waits_for_the_answer(start: Start, home: Path, big: Server, said: str) -> None:
    editor = editor_of(start, home, big, 'routing = { actions = ["team", "local"] }\n', ("", f"```\n{CASE.new}\n```"))
    questions: list[Message] = []

    def answered(params: Message) -> Message:
        questions.append(params)
        assert big.requests == []
        return {"title": said}

    editor.server.answers["window/showMessageRequest"] = answered
    chosen(editor)
    editor.finished()
    assert len(questions) == 1
    assert (len(big.completions) > 0) == (said == ALLOW)
    (told,) = editor.server.status()["requests"]["lastActions"]
    assert (told["action"], told["asked"]["place"]) == ("simplify", "team" if said == ALLOW else "local")


def test_the_press_of_a_named_button_is_consent_to_that_request_alone(start: Start, home: Path, big: Server) -> None:
    editor = editor_of(start, home, big, 'routing = { actions = ["local", "team"] }\n', ("", "I would rather not."))
    questions: list[Message] = []

    def press(params: Message) -> Message:
        questions.append(params)
        return params["actions"][0]

    editor.server.answers["window/showMessageRequest"] = press
    chosen(editor)
    editor.server.wait(lambda: big.completions, "the second answer")
    assert [each["title"] for each in questions[0]["actions"]] == ["Ask team"]
    assert len(questions) == 1
    assert kept(home) == []


def test_an_action_waits_for_a_minute_at_most() -> None:
    """On virtual time; then the local model answers if it is named, and else the action says what it waited for."""

    class Silent:
        """What `Consent` needs of a session whose user never answers."""

        roots: ClassVar[list[Path]] = []
        documents = DocumentStore()
        client = SimpleNamespace(asks=True, asks_aside=True)
        questions = 0

        def start_task(self, function: Callable[..., Awaitable[None]], *args: object) -> None:
            tasks.append(asyncio.ensure_future(function(*args)))

        async def window_show_message_request_async(self, params: Any) -> None:
            self.questions += 1
            await asyncio.Event().wait()

    tasks: list[asyncio.Future[None]] = []

    async def timed_out(service: Consent, session: Any) -> list[str]:
        """Starts an action, and lets a minute go by once the question is asked."""
        reports: list[str] = []
        action = asyncio.ensure_future(service.before_action(None, reports.append))
        while not session.questions or not reports:
            await asyncio.sleep(0)
        loop.ahead += 59
        await asyncio.sleep(0.001)
        assert not action.done()
        loop.ahead += 1
        await action
        return reports

    async def main() -> None:
        session: Any = Silent()
        service = Consent(session, lambda: None)
        team = Endpoint(url="https://llm.example.org", kind="chat", remote=True)
        service.follow({"team": team}, [], ["team", "local"])
        reports = await timed_out(service, session)
        assert reports[0] == "waiting for your answer: may `team` be sent code of this workspace?"
        service.follow({"team": team}, [], ["team"])
        with pytest.raises(ActionFailedError, match="waited for your answer: may `team` be sent"):
            await timed_out(service, session)
        assert session.questions == 1
        for task in tasks:
            task.cancel()

    class Ahead(asyncio.SelectorEventLoop):
        """Its clock can be set forward."""

        ahead = 0.0

        def time(self) -> float:
            return super().time() + self.ahead

    loop = Ahead()
    anyio.run(main, backend_options={"loop_factory": lambda: loop})


@pytest.mark.parametrize("said", [ALLOW, NOT_NOW])
def test_the_command_that_names_nobody_asks_first(start: Start, home: Path, big: Server, said: str) -> None:
    editor = editor_of(start, home, big, 'routing = { actions = ["local", "team"] }\n', ("", "I would rather not."))
    questions: list[Message] = []

    def answered(params: Message) -> Message | None:
        questions.append(params)
        return {"title": said} if len(params["actions"]) == 3 else None

    editor.server.answers["window/showMessageRequest"] = answered
    chosen(editor)
    editor.finished()
    editor.server.call("workspace/executeCommand", {"command": "fimble.askAgain", "arguments": []})
    editor.finished(2)
    assert [len(each["actions"]) for each in questions][:2] == [1, 3]
    assert (len(big.completions) > 0) == (said == ALLOW)


def test_a_forbidden_endpoint_is_not_offered_again(start: Start, home: Path, big: Server) -> None:
    url = f"http://0.0.0.0:{big.port}"
    (home / "w").mkdir()
    consent.remember(consent.key_of(home / "w"), "team", url, allowed=False)
    editor = editor_of(start, home, big, 'routing = { actions = ["local", "team"] }\n', ("", "I would rather not."))
    uri = chosen(editor)
    editor.finished()
    offset = len(CASE.document()[0].source[: CASE.document()[1]].decode())
    assert not [each for each in editor.offered(uri, offset) if "again: " in each["title"]]
    arguments = [{"number": 0, "place": "team"}]
    editor.server.call("workspace/executeCommand", {"command": "fimble.askAgain", "arguments": arguments})
    editor.server.status()
    assert big.requests == []


def test_next_edits_ask_too(start: Start, home: Path, big: Server) -> None:
    text = 'next_edit = "eager"\nrouting = { edits = ["team"] }\n'
    user_file(home, text + elsewhere(big, kind="chat", model=MODELS["chat"], edit_format="instruct"))
    window = Window(start, home, "w", said=NOT_NOW)
    window.stands("not now")
    window.server.change(window.uri, 2, TEXT + "\narea(1)\n")
    params = {"textDocument": {"uri": window.uri, "version": 2}, "position": {"line": 3, "character": 0}}
    window.server.call("textDocument/copilotInlineEdit", params)
    assert "`team`" in window.questions[0]["message"]
    assert json.dumps(window.server.status()["nextEdits"])
    assert big.requests == []
