"""What a client gets of suggestions in which something was found, and what the status says of the checks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from lsp_server.backends.scripted import ScriptedBackend
from tests.support.editor import recorded
from tests.support.inprocess import served

if TYPE_CHECKING:
    from lsp_server.backends.base import ModelSpec

URI = "file:///w/a.py"
SOURCE = "import os\n\n\ndef remove(path):\n    result = os.system("
TEXT = "'rm ' + path)"


def known(spec: ModelSpec, progress: Callable[[float], bool]) -> ScriptedBackend:
    return ScriptedBackend(spec, progress, texts=[f"{SOURCE}{TEXT}\n".encode(), f"{SOURCE} {TEXT}\n".encode()])


def opened(client: str, source: str) -> tuple[Any, dict[str, Any]]:
    server, _ = served(known)
    server.initialize(**recorded(client) | {"processId": None})
    server.open(URI, source)
    line = source.count("\n")
    return server, {
        "textDocument": {"uri": URI},
        "position": {"line": line, "character": len(source.rsplit("\n", maxsplit=1)[-1])},
    }


def finished(server: Any) -> None:
    assert server.finish() == 0
    server.kill()


@pytest.mark.parametrize(
    ("source", "trigger", "shown"),
    [
        pytest.param(f"{SOURCE} ", 1, True, id="opened by hand"),
        pytest.param(SOURCE, 1, False, id="invoked behind a bracket"),
        pytest.param(f"{SOURCE} ", 2, False, id="opened by a character"),
        pytest.param(f"{SOURCE} ", 3, False, id="asked again"),
    ],
)
def test_a_menu_that_is_asked_for_shows_it_with_its_finding(source: str, trigger: int, shown: bool) -> None:
    server, where = opened("helix_25_07_git20260723", source)
    answer = server.response(server.ask("textDocument/completion", where | {"context": {"triggerKind": trigger}}))
    items = answer["result"]["items"]
    checks = server.status()["checks"]["danger"]
    if shown:
        (item,) = items
        assert "CWE-78" in item["documentation"]
        assert "subprocess.run" in item["documentation"]
        assert item["textEdit"]["newText"] == TEXT
        assert (checks["found"], checks["withheld"], checks["shown"]) == (1, 0, 1)
    else:
        assert items == []
        why = server.call("fimble/status", where)["result"]
        assert "CWE-78" in why["why"]
        assert "CWE-78" in why["requests"]["lastTen"][0]["why"]
        assert (checks["found"], checks["withheld"], checks["shown"]) == (1, 1, 0)
    finished(server)


@pytest.mark.parametrize(("kind", "shown"), [(1, True), (2, False)], ids=["invoked", "automatic"])
def test_an_inline_completion_is_shown_to_one_who_asks(kind: int, shown: bool) -> None:
    server, where = opened("eglot_emacs30_2", SOURCE)
    context = {"context": {"triggerKind": kind}}
    answer = server.response(server.ask("textDocument/inlineCompletion", where | context))
    assert [item["insertText"] for item in answer["result"]["items"]][:1] == ([TEXT] if shown else [])
    finished(server)
