"""`fimble endpoints`: what it lists, what a check says of a server that works and of one that does not, and what was
asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import msgspec
import pytest

from lsp_server.endpoints.sent_log import Sent
from tests.conftest import environment
from tests.endpoints.server import Server, endpoint, response, serving_apart, user_file
from tests.support.forked import run


@pytest.fixture
def other() -> Iterator[Server]:
    with serving_apart("openai") as server:
        yield server


@pytest.fixture
def endpoints(home: Path) -> Callable[..., tuple[int, str]]:
    def call(*arguments: str) -> tuple[int, str]:
        done = run(["endpoints", *arguments], home, environment(home))
        return done.returncode, done.stdout + done.stderr

    return call


def test_without_endpoints_the_way_to_some_is_named(endpoints: Callable[..., tuple[int, str]]) -> None:
    assert endpoints() == (0, "no endpoints; your own fimble.toml can name some (docs/endpoints.md)\n")
    assert endpoints("check") == (2, "fimble: your own fimble.toml names no endpoint; see docs/endpoints.md\n")


def test_the_list_says_what_each_answers(endpoints: Callable[..., tuple[int, str]], home: Path, other: Server) -> None:
    user_file(home, endpoint(other) + '[endpoints.spare]\nkind = "chat"\nurl = "http://localhost:1"\nmodel = "m"\n')
    status, text = endpoints()
    assert status == 0
    assert text.splitlines() == [
        f"team: openai at http://127.0.0.1:{other.port} (this machine); not in `routing`, so nothing is asked of it",
        "spare: chat at http://localhost:1 (this machine); not in `routing`, so nothing is asked of it",
    ]
    user_file(home, endpoint(other) + '[routing]\ncompletion = ["team", "local"]\n')
    assert "answers completion" in endpoints("list")[1]
    user_file(home, endpoint(other, ask_again="X").replace("'X'", "true"))
    assert endpoints()[1].endswith("(this machine); asked about a code action again when you say so\n")
    assert other.requests == []


def test_a_check_of_a_server_that_works(
    endpoints: Callable[..., tuple[int, str]],
    home: Path,
    other: Server,
) -> None:
    other.pieces = ["return ", "value", " * 3", "\n"]
    user_file(home, endpoint(other))
    status, text = endpoints("check", "team")
    assert status == 0, text
    assert "format qwen" in text
    assert "it fills the hole with 'return value * 3'" in text
    assert all("triple" in body["prompt"] for body in other.completions)


def test_a_check_says_what_is_wrong(endpoints: Callable[..., tuple[int, str]], home: Path, other: Server) -> None:
    user_file(home, endpoint(other))
    other.pieces = ["Hello! ", "How can I help?", "\n"]
    status, text = endpoints("check", "team")
    assert status == 1
    assert "FIM does not seem to work; see `fim_format`" in text
    other.answer = response(401, {"error": "no"})
    assert endpoints("check")[1].endswith("refuses the key (401): no; see `api_key_env`\n")
    assert endpoints("check", "teem") == (2, "fimble: there is no endpoint 'teem'; your own fimble.toml has team\n")
    user_file(home, "offline = true\n" + endpoint(other))
    assert endpoints("check")[1] == "fimble: the setting `offline` is true, so no endpoint is asked\n"


def sent(number: int, **more: object) -> bytes:
    given = {"at": 1_700_000_000.0 + number, "endpoint": "team", "job": "completion", "prompt_tokens": 7}
    given |= {"answer_tokens": number, "first_ms": 12.3, "total_ms": 45.6, "result": "stop"}
    return msgspec.json.encode(Sent(**{**given, **more})) + b"\n"  # type: ignore[arg-type]


def test_the_log_shows_what_was_asked_and_leaves_out_what_is_damaged(
    endpoints: Callable[..., tuple[int, str]], home: Path
) -> None:
    assert endpoints("log") == (0, "nothing was asked of any endpoint yet\n")
    assert endpoints("log", "--json") == (0, "[]\n")
    file = home / "state" / "fimble" / "endpoint-requests.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    failed = sent(2, endpoint="spare", job="actions", result="failed", problem="has failed (500)", first_ms=None)
    damaged = b'\xff\n[]\n{"at": 1e300}\n' + b"[" * 9000 + b"\n" + sent(9)[:40] + b"\n"
    file.write_bytes(sent(3) + damaged + failed + sent(1))
    status, text = endpoints("log", "--json")
    assert status == 0
    assert [(each["answerTokens"], each["endpoint"]) for each in json.loads(text)] == [
        (1, "team"),
        (2, "spare"),
        (3, "team"),
    ]
    status, text = endpoints("log")
    assert status == 0
    assert text.split()[:3] == ["when", "endpoint", "job"]
    assert "failed: has failed (500)" in text
    assert len(text.splitlines()) == 4
    assert len(endpoints("log", "spare")[1].splitlines()) == 2
    assert endpoints("log", "nobody") == (0, "nothing was asked of nobody yet\n")
    file.write_bytes(b"\0" * (5 << 20))
    assert endpoints("log", "--json") == (0, "[]\n")
    assert endpoints("list", "--json") == (2, "fimble: `--json` is for `fimble endpoints log`\n")


def test_the_log_shows_costs_where_prices_are_set(endpoints: Callable[..., tuple[int, str]], home: Path) -> None:
    file = home / "state" / "fimble" / "endpoint-requests.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(sent(1, cost=0.25) + sent(2, cost=0.0031, estimated=True) + sent(3))
    costs = file.parent / "endpoint-costs"
    costs.mkdir()
    (costs / f"{date.today()}.jsonl").write_text('["team",1.5]\n["spare",2]\n["team",0.25]\n')
    status, text = endpoints("log")
    assert status == 0
    assert "cost" in text.splitlines()[0]
    assert [line.split()[8] for line in text.splitlines()[1:4]] == ["0.25", "~0.0031", "stop"]
    assert text.splitlines()[4:] == ["spare has cost 2.00 today", "team has cost 1.75 today"]
    assert json.loads(endpoints("log", "--json")[1])[1]["cost"] == 0.0031


def test_decisions_are_made_shown_and_taken_back(endpoints: Callable[..., tuple[int, str]], home: Path) -> None:
    url = "https://llm.example.org"
    user_file(home, f'[endpoints.team]\nkind = "openai"\nurl = "{url}"\nremote = true\n')
    (home / "w").mkdir()
    assert "allowed for no workspace yet" in endpoints()[1]
    status, text = endpoints("allow", "team", "w")
    assert (status, text.split(";")[0]) == (0, f"team ({url}) may be sent code of {home / 'w'}")
    assert endpoints("allow", "team", "--no-folder")[0] == 0
    assert endpoints("never", "team")[0] == 0
    assert endpoints()[1].splitlines()[1:] == [
        f"  allowed for {home / 'w'}",
        "  allowed for files that are opened without a folder",
        f"  never for {home}",
    ]
    user_file(home, '[endpoints.team]\nkind = "openai"\nurl = "https://other.example.org"\nremote = true\n')
    assert f"but as {url}, so it counts no more" in endpoints()[1]
    assert "is forgotten" in endpoints("forget", "team", "w")[1]
    assert "is forgotten" in endpoints("forget", "team")[1]
    assert endpoints("forget", "team") == (0, "nothing was said about team\n")


def test_decisions_that_cannot_be_made(endpoints: Callable[..., tuple[int, str]], home: Path, other: Server) -> None:
    user_file(home, endpoint(other))
    assert endpoints("allow", "team") == (2, "fimble: `team` is on this machine, and needs no permission\n")
    assert endpoints("allow", "teem") == (2, "fimble: there is no endpoint 'teem'; your own fimble.toml has team\n")
    assert endpoints("forget") == (2, "fimble: name the endpoint whose decisions are to be forgotten\n")
    assert endpoints("check", "team", "w") == (2, "fimble: `fimble endpoints check` takes no folder\n")
    assert "`--no-folder` is for" in endpoints("never", "team", "--no-folder")[1]
    user_file(home, endpoint(other, url="https://llm.example.org", remote="X").replace("'X'", "true"))
    assert endpoints("allow", "team", "nowhere") == (2, "fimble: nowhere is not a folder\n")
