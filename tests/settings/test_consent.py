"""The user's decisions about endpoints, as files: written by several processes, damaged, and too many."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from lsp_server.http.serve import _endpoints
from lsp_server.settings import consent
from lsp_server.settings.fields import Settings

URL = "https://llm.example.org"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def _many(number: int) -> None:
    for each in range(40):
        consent.remember(f"/w/{number}/{each}", "team", URL, allowed=True)
        consent.remember("/w/same", "team", URL, allowed=bool(number))


def test_processes_that_write_at_once_lose_nothing() -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_many, args=(number,)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    found = {each.folder for each in consent.decisions()}
    assert found == {"/w/same", *(f"/w/{number}/{each}" for number in range(4) for each in range(40))}
    assert [name for name in consent.decisions_path().iterdir() if name.suffix != ".json"] == []


def test_a_decision_is_about_one_folder_one_name_and_one_url() -> None:
    consent.remember("/w", "team", URL, allowed=True)
    consent.remember("/w", "team", URL + "/v1", allowed=False)
    consent.remember("/w", "other", URL, allowed=False)
    consent.remember("/w", "team", URL, allowed=False)
    assert {each.about: each.allowed for each in consent.decisions()} == {
        ("/w", "team", URL): False,
        ("/w", "team", URL + "/v1"): False,
        ("/w", "other", URL): False,
    }
    assert consent.forget("team", "/v") == 0
    assert consent.forget("team", "/w") == 2
    assert [each.endpoint for each in consent.decisions()] == ["other"]


def test_there_are_not_more_than_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consent, "_MOST_DECISIONS", 2)
    consent.remember("/a", "team", URL, allowed=True)
    consent.remember("/b", "team", URL, allowed=True)
    with pytest.raises(OSError, match="there are 2 decisions already"):
        consent.remember("/c", "team", URL, allowed=True)
    consent.remember("/a", "team", URL, allowed=False)
    assert [each.folder for each in consent.decisions() if each.allowed] == ["/b"]


@pytest.mark.parametrize(
    ("path", "folder", "expected"),
    [
        ("/w", "/w", True),
        ("/w/in", "/w", True),
        ("/w", "/w/in", False),
        ("/way", "/w", False),
        ("/W/In", "/w", True),
        ("/u\u0308/a", "/\u00fc", True),
        ("", "/w", False),
        ("/w", "", False),
    ],
)
def test_what_lies_in_a_folder(path: str, folder: str, expected: bool) -> None:
    assert consent.is_in(path, folder) is expected


def test_over_http_only_what_is_allowed_without_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    here = {"kind": "openai", "url": "http://localhost:1"}
    settings = Settings(
        endpoints={"team": {"kind": "openai", "url": URL, "remote": True}, "here": here},
        routing={"completion": ["team", "here"]},
    )
    consent.remember("/w", "team", URL, allowed=True)
    assert list(_endpoints(settings)) == ["here"]
    assert "`fimble endpoints allow team --no-folder`" in capsys.readouterr().err
    consent.remember(consent.NO_FOLDER, "team", URL, allowed=True)
    assert list(_endpoints(settings)) == ["team", "here"]
    consent.remember("/v", "team", URL, allowed=False)
    assert list(_endpoints(settings)) == ["here"]
