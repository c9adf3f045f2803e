"""Suggestions with a finding: held back unasked, cut in front of it, and shown with it to one who asks."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.shape import Suggestion
from lsp_server.features import dangers as module
from lsp_server.features.background import PARSING
from lsp_server.features.outcome import Trigger
from lsp_server.features.reasons import kind_of
from tests.features.harness import Opener, knowing
from tests.support.cursor import parse_cursor

SHELL = "import os\n\n\ndef remove(path):\n    result = os.sys$0\n"
SHELL_TEXT = "tem('rm ' + path)"
BLOCK = "import os\n\n\ndef remove(path):$0\n"
BLOCK_TEXT = "\n    path = path.strip()\n    os.system('rm ' + path)\n"


def written(source: str, text: str) -> bytes:
    return source.replace("$0", text).encode()


async def test_what_is_dangerous_is_held_back_and_the_reason_says_why(bench: Opener) -> None:
    async with bench(knowing(written(SHELL, SHELL_TEXT))) as b:
        await b.ready()
        outcome = await b.complete(SHELL)
        assert outcome.suggestion is None
        assert "CWE-78" in outcome.reason
        assert "shell command" in outcome.reason
        assert "ask for the suggestion" in outcome.reason
        assert "check_danger" in outcome.reason
        assert kind_of(outcome) == "withheld"
        assert SHELL_TEXT in outcome.written
        assert b.completer.dangers.summary()["danger"] == {
            "checked": 1,
            "unchecked": 0,
            "found": 1,
            "cut": 0,
            "withheld": 1,
            "shown": 0,
        }


async def test_from_memory_it_is_held_back_as_well(bench: Opener) -> None:
    async with bench(knowing(written(SHELL, SHELL_TEXT))) as b:
        await b.ready()
        first = await b.complete(SHELL)
        again = await b.complete(SHELL)
        typed = await b.complete(SHELL.replace("$0", "tem($0"))
        assert (again.source, again.suggestion, again.reason) == ("memory", None, first.reason)
        assert (typed.source, typed.suggestion) == ("memory", None)
        assert b.generates() == 1


async def test_what_the_user_has_typed_of_it_is_no_danger_of_ours(bench: Opener) -> None:
    source = "import os\n\n\ndef remove(path):\n    result = os.$0\n"
    text = "system('rm ' + path); print(path)"
    async with bench(knowing(written(source, text))) as b:
        await b.ready()
        assert (await b.complete(source)).suggestion is None
        outcome = await b.complete(source.replace("$0", "system('rm ' + path)$0"))
        assert outcome.suggestion is not None
        assert (outcome.source, outcome.suggestion.text) == ("memory", "; print(path)")


async def test_the_suggestion_ends_in_front_of_the_statement(bench: Opener) -> None:
    async with bench(knowing(written(BLOCK, BLOCK_TEXT))) as b:
        await b.ready()
        for source in ("model", "memory"):
            outcome = await b.complete(BLOCK)
            assert (outcome.source, outcome.reason) == (source, "")
            assert outcome.suggestion is not None
            assert outcome.suggestion.text == "\n    path = path.strip()"
        assert b.completer.dangers.summary()["danger"]["cut"] == 1
        below = await b.complete(BLOCK.replace("$0", "\n    path = path.strip()\n    $0"))
        assert (below.source, below.suggestion) == ("memory", None)
        assert "CWE-78" in below.reason


@pytest.mark.parametrize(
    ("language", "source", "text", "shown"),
    [
        pytest.param(
            "c", "void f(char *a, char *b) {$0\n}\n", "\n  int n = 0;\n  strcpy(a, b);", "\n  int n = 0;", id="C"
        ),
        pytest.param(
            "javascript",
            "function f(e, name) {$0\n}\n",
            "\n  if (name) {\n    e.innerHTML = name;\n  }",
            None,
            id="nothing is left of an open block",
        ),
        pytest.param(
            "python",
            "def apply(formula, x):$0\n",
            "\n    # It is Python.\n    return eval(formula)",
            None,
            id="comments alone are nothing",
        ),
        pytest.param(
            "python",
            "def apply(formula, x):$0\n",
            "\n    y = x\n    # Code.\n    if x:\n        eval(formula)",
            "\n    y = x",
            id="nor are headers",
        ),
    ],
)
async def test_what_is_left_fits_the_syntax(
    bench: Opener, language: str, source: str, text: str, shown: str | None
) -> None:
    async with bench(knowing(written(source, text))) as b:
        await b.ready()
        outcome = await b.completer.complete(*parse_cursor(source, language_id=language, path=""))
        assert (outcome.suggestion and outcome.suggestion.text) == shown


async def test_one_who_asks_sees_it_with_what_was_found(bench: Opener) -> None:
    async with bench(knowing(written(SHELL, SHELL_TEXT))) as b:
        await b.ready()
        outcome = await b.complete(SHELL, Trigger.INVOKED)
        assert outcome.suggestion is not None
        assert outcome.suggestion.text == SHELL_TEXT
        assert [each.cwe for each in outcome.found] == [78]
        assert b.completer.dangers.summary()["danger"]["shown"] == 1
        # What was asked for stays while it is typed.
        typed = await b.complete(SHELL.replace("$0", "tem($0"))
        assert typed.suggestion is not None


async def test_one_generation_serves_both(bench: Opener) -> None:
    async with bench(knowing(written(SHELL, SHELL_TEXT))) as b:
        await b.ready()
        assert (await b.complete(SHELL)).suggestion is None
        document, offset = parse_cursor(SHELL)
        warned = await b.completer.complete(document, offset, warns=True)
        assert warned.suggestion is not None
        assert warned.found
        assert b.generates() == 1


async def test_switched_off_it_is_shown_and_the_switch_is_part_of_the_memorys_key(bench: Opener) -> None:
    async with bench(knowing(written(SHELL, SHELL_TEXT))) as b:
        await b.ready()
        assert (await b.complete(SHELL)).suggestion is None
        b.options = replace(b.options, check_danger=False)
        outcome = await b.complete(SHELL)
        assert (outcome.source, outcome.suggestion and outcome.suggestion.text) == ("model", SHELL_TEXT)


@pytest.mark.parametrize("trigger", [Trigger.AUTOMATIC, Trigger.INVOKED])
@pytest.mark.parametrize("on", [True, False])
async def test_a_name_that_looks_like_another_is_shown_to_nobody(bench: Opener, trigger: Trigger, on: bool) -> None:
    source = "admin = 1\nresult_of_it = $0\n"
    async with bench(knowing(written(source, "\u0430dmin"))) as b:
        b.options = replace(b.options, check_danger=on)
        await b.ready()
        outcome = await b.complete(source, trigger)
        assert outcome.suggestion is None
        assert "CWE-1007" in outcome.reason
        assert "\\u0430dmin" in outcome.reason
        assert outcome.reason.isascii()
        assert kind_of(outcome) == "withheld"


async def test_such_a_name_that_stands_in_the_document_is_the_users(bench: Opener) -> None:
    source = "\u0430dmin = 1\nresult_of_it = $0\n"
    async with bench(knowing(written(source, "\u0430dmin"))) as b:
        await b.ready()
        outcome = await b.complete(source)
        assert outcome.suggestion is not None


async def test_checks_are_made_where_parses_are(bench: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[str] = set()
    check = module.check

    def noted(document: DocumentSnapshot, suggestion: Suggestion, *, rules: bool = True) -> object:
        threads.add(threading.current_thread().name)
        return check(document, suggestion, rules=rules)

    monkeypatch.setattr(module, "check", noted)
    async with bench(knowing(written(BLOCK, BLOCK_TEXT))) as b:
        await b.ready()
        await b.complete(BLOCK)
        await b.complete(BLOCK)
    assert {name.rpartition("_")[0] for name in threads} == {PARSING}
