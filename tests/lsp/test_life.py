"""The server's life: the handshake, what is refused before and after it, how it ends, and what must not end it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.stdio import SERVE, StdioClient, frame, inline_params, notification, offers, request

Start = Callable[..., StdioClient]
URI = "file:///w/a.py"

INLINE = {"textDocument": {"inlineCompletion": {"dynamicRegistration": False}}}


@pytest.mark.parametrize(
    ("capabilities", "client", "menu", "encoding"),
    [
        ({}, None, True, "utf-16"),
        (INLINE, None, False, "utf-16"),
        (offers("utf-32", "utf-8"), None, True, "utf-32"),
        ({**offers("utf-8"), **INLINE}, None, False, "utf-8"),
        (offers("utf-8"), {"name": "emacs", "version": "30"}, False, "utf-8"),
    ],
)
def test_what_is_announced(start: Start, capabilities: dict[str, Any], client: Any, menu: bool, encoding: str) -> None:
    server = start()
    announced = server.initialize(capabilities, ready=False, **({"clientInfo": client} if client else {}))
    assert announced["inlineCompletionProvider"] in ({}, True)
    assert ("completionProvider" in announced) == menu
    assert announced["positionEncoding"] == encoding
    assert announced["textDocumentSync"]["change"] == 2
    assert server.status()["client"]["positionEncoding"] == encoding


METHODS = ["textDocument/inlineCompletion", "textDocument/completion", "fimble/status", "shutdown", "no/such", "x"]


def test_requests_before_initialize_are_refused_and_it_can_still_begin(start: Start) -> None:
    server = start()
    for method in METHODS:
        assert server.call(method, inline_params(URI, 0, 0))["error"]["code"] == -32002, method
    assert "inlineCompletionProvider" in server.initialize()
    assert server.finish() == 0


def test_requests_after_shutdown_are_refused(start: Start) -> None:
    server = start()
    server.initialize()
    assert server.call("shutdown")["result"] is None
    for method in [*METHODS, "initialize"]:
        assert server.call(method, inline_params(URI, 0, 0))["error"]["code"] == -32600, method
    server.notify("exit")
    assert server.ended() == 0


def test_shutdown_and_exit_in_one_write_with_requests_in_flight(start: Start) -> None:
    server = start()
    server.initialize()
    server.open(URI, "x = 1\ny = ")
    requests = [request(f"r{number}", "textDocument/inlineCompletion", inline_params(URI, 1, 4)) for number in range(5)]
    server.send(*requests, request("bye", "shutdown"), notification("exit"))
    assert server.ended() == 0
    assert server.responses()["bye"][0]["result"] is None
    for asked in requests:
        assert len(server.responses()[asked["id"]]) == 1, asked["id"]


def test_initialize_a_second_time_is_refused(start: Start) -> None:
    server = start()
    server.initialize(offers("utf-8"))
    again = server.call("initialize", {"processId": None, "rootUri": None, "capabilities": offers("utf-32")})
    assert again["error"]["code"] == -32600
    assert server.status()["client"]["positionEncoding"] == "utf-8"


def test_exit_without_shutdown_is_a_failure(start_anew: Start) -> None:
    server = start_anew()
    server.initialize()
    server.notify("exit")
    assert server.ended() == 1


def test_exit_without_a_handshake_is_a_failure(start: Start) -> None:
    server = start()
    server.notify("exit")
    assert server.ended() == 1


def test_the_end_of_stdin_ends_it(start_anew: Start) -> None:
    server = start_anew()
    server.initialize()
    server.close_stdin()
    assert server.ended() == 1


@pytest.mark.parametrize("rest", [b"Content-Le", b"Content-Length: 20\r\n\r\n{"])
def test_the_end_of_stdin_within_a_message_ends_it(start: Start, rest: bytes) -> None:
    server = start()
    server.initialize()
    server.write(rest)
    server.close_stdin()
    assert server.ended() == 1


@pytest.mark.parametrize("header", [b"Content-Length: x\r\n\r\n", b"Hello: 1\r\n\r\n{}", b"Content-Length: -5\r\n\r\n"])
def test_bytes_that_are_no_frame_end_it(start: Start, header: bytes) -> None:
    server = start()
    server.initialize()
    server.write(header)
    assert server.ended() == 1
    assert "Traceback" not in server.stderr


def test_it_ends_with_the_clients_process_though_somebody_holds_stdin_open(start_anew: Start) -> None:
    server = start_anew()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as client:
        server.initialize(processId=client.pid)
        server.open(URI, "x = ")
        assert server.status()["documents"] == 1
        client.kill()
        assert server.ended() == 1
    assert "Traceback" not in server.stderr


@pytest.mark.parametrize("process", [None, 0, -1, 2**31 - 2])
def test_a_process_that_cannot_be_seen_from_here_ends_nothing(start: Start, process: int | None) -> None:
    """As that of an editor whose server runs in a container."""
    server = start()
    server.initialize(processId=process)
    server.open(URI, "x = ")
    assert server.status()["documents"] == 1
    assert server.finish() == 0


def test_it_ends_though_nobody_reads_its_output(start_anew: Start) -> None:
    server = start_anew(reading=False)
    server.send(request(1, "initialize", {"processId": None, "rootUri": None, "capabilities": {}}))
    server.process.stdout.close()  # type: ignore[union-attr]
    server.send(request(2, "no/such"), notification("exit"))
    assert server.ended() == 1


@pytest.mark.parametrize(
    "arguments",
    [("serve", "--backend", "scripted", "--stdio"), ("--backend=scripted",), ("--stdio", "--backend=scripted")],
)
def test_ways_to_start_it(start: Start, arguments: tuple[str, ...]) -> None:
    server = start(*arguments)
    server.initialize()
    assert server.finish() == 0


def test_no_argument_at_all_serves_when_stdin_is_a_pipe(start_anew: Start) -> None:
    server = start_anew(command=[sys.executable, "-m", "lsp_server"])
    assert "inlineCompletionProvider" in server.initialize(ready=False)


def test_a_wrong_command_is_a_usage_error_and_stdout_stays_empty(home: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "lsp_server", "sreve"], capture_output=True, cwd=home, timeout=20, check=False
    )
    assert (ended.returncode, ended.stdout) == (2, b"")
    assert b"sreve" in ended.stderr


EMPTY: dict[str, Any] = {
    "textDocument/inlineCompletion": {"items": []},
    "textDocument/completion": {"isIncomplete": True, "items": []},
    "textDocument/codeAction": [],
    "textDocument/hover": None,
}

WRONG = [
    ("not JSON", b"{nonsense", None, -32700),
    ("not UTF-8", b'{"jsonrpc": "2.0", "id": 1, "method": "\xff"}', None, -32700),
    ("deep nesting", b"[" * 100_000, None, -32700),
    ("empty", b"", None, -32700),
    ("batch", [request("a", "fimble/status"), request("b", "fimble/status")], None, -32600),
    ("string", "hello", None, -32600),
    ("null", None, None, -32600),
    ("number", 7, None, -32600),
    ("unknown method", request("q", "no/such"), "q", -32601),
    ("unknown method with params", request("q", "no/such", {"a": [1, {"jsonrpc": "2.0"}]}), "q", -32601),
    ("no params", request("q", "textDocument/inlineCompletion"), "q", -32602),
    ("params of another kind", request("q", "textDocument/inlineCompletion", {"x": 1}), "q", -32602),
    ("params a list", request("q", "textDocument/completion", [1, 2]), "q", -32602),
    ("position a string", request("q", "textDocument/inlineCompletion", inline_params(URI, "a", 0)), "q", -32602),  # type: ignore[arg-type]
    ("line negative", request("q", "textDocument/inlineCompletion", inline_params(URI, -1, 0)), "q", -32602),
    ("column negative", request("q", "textDocument/inlineCompletion", inline_params(URI, 0, -1)), "q", -32602),
    ("method a number", request("q", 7), "q", None),  # type: ignore[arg-type]
    ("method a list", request("q", ["x"]), "q", None),  # type: ignore[arg-type]
    ("another JSON-RPC", {"jsonrpc": "1.0", "id": "q", "method": "fimble/status"}, "q", -32600),
    ("another JSON-RPC, with params", {**request("q", "textDocument/hover", {}), "jsonrpc": 2}, "q", -32600),
]


@pytest.mark.parametrize(("message", "id", "code"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_a_wrong_message_gets_one_error_and_the_server_stays_up(
    lasting_server: StdioClient, message: Any, id: Any, code: Any
) -> None:
    server = lasting_server
    server.open(URI, "x = 1\n")
    before = len(server.messages)
    server.send(message)
    server.wait(lambda: len(server.messages) > before, "the error")
    assert server.status()["documents"] == 1
    said = server.messages[before:-1]
    assert [(answer["id"], "error" in answer) for answer in said] == [(id, True)]
    error = said[0]["error"]
    assert code is None or error["code"] == code
    assert error["message"]
    assert not error.get("data")
    assert "Traceback" not in str(error)


@pytest.mark.parametrize("method", sorted(EMPTY))
@pytest.mark.parametrize(("uri", "line"), [(URI, 1), (URI, 2**31 - 1), ("file:///closed.py", 0)])
def test_a_place_that_is_not_there_yet_or_any_more_has_nothing(
    lasting_server: StdioClient, method: str, uri: str, line: int
) -> None:
    """A change may be on its way that makes it, so it is no error, and no line in the editor's log for each key."""
    server = lasting_server
    server.open(URI, "x = 1")
    for _ in range(3):
        params = inline_params(uri, line, 0) | {"range": whole_line(line)}
        params["context"] |= {"diagnostics": []}
        assert server.call(method, params)["result"] == EMPTY[method]
    if uri != URI:
        server.wait(lambda: uri in server.stderr)
    assert server.stderr.count(uri) == (uri != URI)


def whole_line(line: int) -> dict[str, Any]:
    return {"start": {"line": line, "character": 0}, "end": {"line": line, "character": 0}}


@pytest.mark.parametrize("method", sorted(EMPTY))
def test_a_document_that_one_of_two_views_has_closed(lasting_server: StdioClient, method: str) -> None:
    """The other view goes on: it gets nothing, which is said once, until it sends the whole text."""
    server = lasting_server
    uri = f"file:///w/{method.rpartition('/')[2]}.py"
    server.open(uri, "value = ")
    server.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    for version in range(2, 6):
        server.change(uri, version, {"range": whole_line(0), "text": "x"})
        params = inline_params(uri, 0, 1) | {"range": whole_line(0)}
        params["context"] |= {"diagnostics": []}
        assert server.call(method, params)["result"] == EMPTY[method]
    server.wait(lambda: uri in server.stderr)
    assert server.stderr.count(uri) == 1
    server.change(uri, 6, {"range": whole_line(0), "text": "lost"}, "total = ", {"range": whole_line(0), "text": "a_"})
    assert server.call("textDocument/inlineCompletion", inline_params(uri, 0, 10, trigger=1))["result"]["items"]
    server.notify("textDocument/didClose", {"textDocument": {"uri": uri}})
    assert server.call("textDocument/inlineCompletion", inline_params(uri, 0, 1))["result"] == {"items": []}


def test_what_the_editor_shows_of_a_model_and_its_path_hides_nothing(start: Start, tmp_path: Path) -> None:
    model = tmp_path / "model\u202e\x1b[31m.gguf"
    server = start("serve", "--backend", "scripted", "--model", str(model))
    server.initialize({"window": {"workDoneProgress": True}}, ready=False)
    (shown,) = server.wait(lambda: server.notifications("window/showMessage"), "the message")
    ended = server.wait(lambda: [each for each in server.notifications("$/progress") if each["value"]["kind"] == "end"])
    for message in (shown["message"], ended[0]["value"]["message"]):
        assert r"model\u202e\x1b[31m.gguf" in message
    server.wait(lambda: "model" in server.stderr)
    assert "\x1b" not in server.stderr


def test_the_status_is_told_without_params(lasting_server: StdioClient) -> None:
    lasting_server.send({"jsonrpc": "2.0", "id": "bare", "method": "fimble/status"})
    assert lasting_server.response("bare")["result"]["version"]


IGNORED = [
    {"jsonrpc": "2.0"},
    {"jsonrpc": "2.0", "id": "nobody asked", "result": {}},
    {"jsonrpc": "2.0", "id": "nobody asked", "error": {"code": 1, "message": "x"}},
    {"jsonrpc": "2.0", "id": ["odd"], "result": {}},
    notification("no/such"),
    notification("$/cancelRequest", {"id": "never sent"}),
    notification("$/cancelRequest", {"id": ["odd"]}),
    notification("$/cancelRequest"),
    notification("$/setTrace", {"value": "verbose"}),
    notification("textDocument/didOpen", {"nonsense": True}),
    notification(
        "textDocument/didChange", {"textDocument": {"uri": "file:///no.py", "version": 2}, "contentChanges": []}
    ),
    notification("textDocument/didClose", {"textDocument": {"uri": "file:///no.py"}}),
    notification("textDocument/didSave", {"textDocument": {"uri": URI}}),
    notification("workspace/didChangeConfiguration", {"settings": [1, "x", None]}),
    notification("workspace/didChangeWatchedFiles", {"changes": []}),
    notification("window/workDoneProgress/cancel", {"token": "unknown"}),
]


@pytest.mark.parametrize("message", IGNORED, ids=[str(message)[:90] for message in IGNORED])
def test_a_message_without_an_answer_gets_none(lasting_server: StdioClient, message: Any) -> None:
    server = lasting_server
    server.open(URI, "x = 1\n")
    before = len(server.messages)
    server.send(message)
    assert server.status()["documents"] == 1
    assert len(server.messages) == before + 1, server.messages[before:-1]


def test_a_nested_key_called_jsonrpc_breaks_nothing(start: Start) -> None:
    server = start()
    server.initialize(initializationOptions={"fimble": {"extra": {"jsonrpc": "2.0", "id": 1, "method": "x"}}})
    settings = {"fimble": {"residentPrompts": 3, "other": {"jsonrpc": "2.0"}}, "deep": [{"jsonrpc": "1.0"}]}
    server.notify("workspace/didChangeConfiguration", {"settings": settings})
    server.model_ready(2)
    assert server.status()["model"]["sequences"] == 3
    assert server.finish() == 0


@pytest.mark.parametrize("id", ["1", 10**9, "", "ü\u2028", 0, -1])
def test_ids_are_given_back_as_they_came(lasting_server: StdioClient, id: Any) -> None:
    lasting_server.send(request(id, "fimble/status"))
    assert lasting_server.response(id)["result"]["version"]
    assert len(lasting_server.responses()[id]) == 1


def test_one_message_in_many_writes_and_many_in_one(start: Start) -> None:
    server = start(*SERVE)
    handshake = request(1, "initialize", {"processId": None, "rootUri": None, "capabilities": {}})
    text = frame(handshake) + frame(notification("initialized", {})) + frame(request("s", "fimble/status"))
    for offset in range(0, len(text), 7):
        server.write(text[offset : offset + 7])
    assert server.response("s")["result"]["client"]["positionEncoding"] == "utf-16"
