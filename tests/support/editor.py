"""A scripted editor: one recorded client's capabilities, its buffers, and a strict reading of what edits it gets."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.buffer import Buffer
from tests.support.stdio import Message, StdioClient

CLIENTS = Path(__file__).parents[1] / "recordings"
# An action begins when nobody has typed for a moment.
SHORT_REST = {"lsp_server.engine.core.REST_SECONDS": 0.01}
ENCODINGS = {"coc": "utf-16", "code": "utf-16", "eglot": "utf-32", "helix": "utf-8", "lsp": "utf-32", "nvim": "utf-8"}


def recorded(client: str) -> Message:
    """The parameters of the `initialize` that a client sent."""
    return json.loads((CLIENTS / f"{client}.initialize.json").read_text("utf-8"))["params"]


class Editor:
    """Holds documents and applies edits to them as the protocol says, or refuses them.

    replies: for the chat model, what has to stand in a question and what is answered. files: what the server
    has created, by URI. before_edit: called before an edit is applied, for tests that type meanwhile. initialize: what
    a client sends that there is no recording of; it then counts in UTF-16.
    """

    def __init__(
        self,
        start: Callable[..., StdioClient],
        folder: Path,
        replies: list[tuple[str, str]],
        client: str = "code_server_1_139_vlc11",
        initialize: Message | None = None,
        **settings: Any,
    ) -> None:
        script = folder.parent / f"{folder.name}-replies.json"
        script.write_text(json.dumps(replies), "utf-8")
        self.folder = folder
        self.server = start(waits=SHORT_REST)
        sent = initialize or recorded(client)
        self.capabilities = sent["capabilities"]
        self.client = sent.get("clientInfo", {}).get("name", "")
        self.buffers: dict[str, Buffer] = {}
        self.files: dict[str, str] = {}
        self.edits: list[Message] = []
        self.shown: list[str] = []
        self.refused: list[str] = []
        self.requests: list[Message] = []
        self.before_edit: Callable[[], None] = lambda: None
        self.encoding = "utf-16" if initialize else ENCODINGS[client.split("_", maxsplit=1)[0]]
        self.lock = threading.RLock()
        self.server.answers |= {
            "workspace/applyEdit": self._apply,
            "window/showDocument": self._show,
            "window/showMessageRequest": self.requests.append,
        }
        options = {"chatModel": str(script), **settings}
        given = sent | {
            "rootUri": folder.as_uri(),
            "workspaceFolders": [{"uri": folder.as_uri(), "name": "w"}],
            "initializationOptions": options,
            "processId": None,
        }
        self.announced = self.server.call("initialize", given)["result"]["capabilities"]
        self.server.notify("initialized", {})
        self.server.model_ready()

    def open(self, name: str, text: str, language: str = "python") -> str:
        uri = (self.folder / name).as_uri()
        self.buffers[uri] = Buffer(uri, text, self.encoding)
        self.server.open(uri, text, language)
        return uri

    def type(self, uri: str, start: int, end: int, text: str) -> None:
        """Replaces characters of a buffer, as typing does."""
        with self.lock:
            buffer = self.buffers[uri]
            change = buffer.edit(start, end, text)
            self.server.notify("textDocument/didChange", buffer.did_change(change))

    def where(self, uri: str, start: int, end: int | None = None) -> Message:
        buffer = self.buffers[uri]
        ends = [buffer.position(start), buffer.position(start if end is None else end)]
        return {name: {"line": p[0], "character": p[1]} for name, p in zip(("start", "end"), ends, strict=True)}

    def offered(self, uri: str, start: int, end: int | None = None, **context: Any) -> list[Message]:
        params = {
            "textDocument": {"uri": uri},
            "range": self.where(uri, start, end),
            "context": {"diagnostics": [], **context},
        }
        answer = self.server.call("textDocument/codeAction", params)
        assert "error" not in answer, answer
        return answer["result"]

    def choose(self, uri: str, id: str, start: int, end: int | None = None, **context: Any) -> Message:
        """Asks for the actions at a place and has one carried out; returns the answer to the command."""
        found = [each for each in self.offered(uri, start, end, **context) if _action(each) == id]
        assert len(found) == 1, found
        command = found[0]["command"] if isinstance(found[0]["command"], dict) else found[0]
        params = {"command": command["command"], "arguments": command["arguments"]}
        return self.server.call("workspace/executeCommand", params)

    def finished(self, count: int = 1) -> str:
        """Waits for the end of the `count`-th action and returns the last words about it."""

        def ends() -> list[str]:
            return [
                value["message"]
                for value in (params["value"] for params in self.server.notifications("$/progress"))
                if value["kind"] == "end" and not value["message"].startswith("scripted")
            ]

        return self.server.wait(lambda: ends()[count - 1 : count], "the action's end")[0]

    # What the server asks --------------------------------------------------------------------------------

    def _apply(self, params: Message) -> Message:
        self.before_edit()
        with self.lock:
            self.edits.append(params)
            try:
                self._apply_all(params["edit"])
            except AssertionError as error:
                self.refused.append(str(error))
                return {"applied": False, "failureReason": str(error)}
            return {"applied": True}

    def _apply_all(self, edit: Message) -> None:
        able = self.capabilities["workspace"]["workspaceEdit"]
        annotations = edit.get("changeAnnotations") or {}
        if "changeAnnotationSupport" not in able:
            assert not annotations, "this client knows no annotations"
        if edit.get("changes"):
            for uri, edits in edit["changes"].items():
                self._edit(uri, edits, annotations)
            return
        assert able.get("documentChanges") or able.get("resourceOperations"), "this client knows no documentChanges"
        for change in edit["documentChanges"]:
            if change.get("kind") == "create":
                assert "create" in able.get("resourceOperations", []), "this client creates no files"
                assert change["uri"] not in self.buffers, "the file exists already"
                self.files[change["uri"]] = ""
                self.buffers[change["uri"]] = Buffer(change["uri"], "", self.encoding)
                continue
            uri, version = change["textDocument"]["uri"], change["textDocument"]["version"]
            if uri not in self.buffers:
                path = Path(uri.removeprefix("file://"))
                visits = self.client == "Eglot" and not path.exists()  # as find-file does
                text = "" if visits else path.read_text("utf-8")
                self.buffers[uri] = Buffer(uri, text, self.encoding)
                self.files[uri] = ""
            assert version in (None, self.buffers[uri].version), f"version {version} is not the document's"
            self._edit(uri, change["edits"], annotations)
            if uri in self.files:
                self.files[uri] = self.buffers[uri].text

    def _edit(self, uri: str, edits: list[Message], annotations: Message) -> None:
        buffer = self.buffers[uri]
        places = []
        for edit in edits:
            assert "annotationId" not in edit or edit["annotationId"] in annotations
            start, end = (self.offset(uri, edit["range"][name]) for name in ("start", "end"))
            places.append((start, end, edit["newText"]))
        places.sort()
        assert all(a[1] <= b[0] for a, b in zip(places, places[1:], strict=False)), "edits overlap"
        changes = [buffer.edit(*place) for place in reversed(places)]
        if uri not in self.files:
            buffer.version -= len(changes) - 1  # one step, one version
            self.server.notify("textDocument/didChange", buffer.did_change(*changes))

    def offset(self, uri: str, position: Message) -> int:
        """The offset of a position, which must be there exactly."""
        buffer = self.buffers[uri]
        lines = re.split("(\r\n|\r|\n)", buffer.text)
        start = sum(map(len, lines[: 2 * position["line"]]))
        for column in range(len(lines[2 * position["line"]]) + 1):
            if buffer.position(start + column)[1] == position["character"]:
                return start + column
        raise AssertionError(f"{position} is not in the document")

    def _show(self, params: Message) -> Message:
        assert params["selection"]["start"] == {"line": 0, "character": 0}
        self.shown.append(Path(params["uri"].removeprefix("file://")).read_text("utf-8"))
        return {"success": True}


def _action(action: Message) -> str | None:
    """Which of the actions it is; None for one of another kind."""
    command = action["command"] if isinstance(action["command"], dict) else action
    return command["arguments"][0]["action"] if command["command"] == "fimble.action" else None
