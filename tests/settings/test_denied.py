"""Folders that are denied to endpoints on other machines: links, `..`, case, wildcards, and mistakes that bar all."""

from __future__ import annotations

from pathlib import Path

import pytest

from lsp_server.settings.denied import DeniedFolders
from lsp_server.settings.sources import Source, merge


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in ("work/secret/deep", "work/public", "data/[odd] name", "clients/a/private", "clients/b"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "work/public/link").symlink_to("../secret")
    (tmp_path / "short").symlink_to("work")
    (tmp_path / "odd").symlink_to("data/[odd] name")
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "path", "denied"),
    [
        ("~/work/secret", "work/secret", True),
        ("~/work/secret/**", "work/secret", True),
        ("~/work/secret/", "work/secret/deep/a.py", True),
        ("~/work/secret", "work/secrets/a.py", False),
        ("~/work/secret", "work/a.py", False),
        ("~/work/secret", "work/public/../secret/a.py", True),
        ("~/work/secret", "work/public/link/a.py", True),
        ("~/work/secret", "work/public/link/../a.py", False),
        ("~/work/secret", "work/public/link/../public/a.py", False),
        ("~/work/secret", "short/secret/a.py", True),
        ("~/short/secret", "work/secret/a.py", True),
        ("~/short/secret", "short/secret/a.py", True),
        ("~/work/public/../secret", "work/secret/a.py", True),
        ("~/work/public/link", "work/secret/deep/a.py", True),
        ("~/WORK/Secret", "work/secret/a.py", True),
        ("~/odd", "data/[odd] name/a.py", True),
        ("~/data/[odd] name", "data/[odd] name/a.py", True),
        ("~/data/[odd] name", "odd/a.py", True),
        ("~/data/[odd] name", "data/d name/a.py", True),
        ("~/clients/*/private", "clients/a/private/a.py", True),
        ("~/clients/*/private", "clients/b/a.py", False),
        ("~/clients/[a]*", "clients/a/x.py", True),
        ("~/clients/[a]*", "clients/b/x.py", False),
        ("~/work/secret/*", "work/secret/a.py", True),
        ("/", "anything", True),
        ("~", "anything", True),
    ],
)
def test_what_lies_in_a_denied_folder(disk: Path, pattern: str, path: str, denied: bool) -> None:
    folders = DeniedFolders([pattern])
    assert folders.problems == []
    assert folders.contain(Path(f"{disk}/{path}")) == denied
    assert DeniedFolders(["~/nowhere", pattern]).contain(Path(f"{disk}/{path}")) == denied


@pytest.mark.parametrize(
    ("pattern", "folder", "meets"),
    [
        ("~/work/secret", "work", True),
        ("~/work/secret", "", True),
        ("~/work/secret", "work/secret/deep", True),
        ("~/work/secret", "work/public", False),
        ("~/work/secret", "work/public/link", True),
        ("~/short/secret", "work", True),
        ("~/work/secret", "short", True),
        ("~/clients/*/private", "clients/b", True),
        ("~/clients/*/private", "work", False),
    ],
)
def test_a_workspace_that_lies_in_one_or_may_have_one_in_it(disk: Path, pattern: str, folder: str, meets: bool) -> None:
    assert DeniedFolders([pattern]).overlap(disk / folder) == meets


@pytest.mark.parametrize("pattern", ["", "secret", "./secret", "**/secret", "~/**/secret", "~/*/../x", "~x/y", "/a\0b"])
def test_while_one_cannot_be_understood_all_are_denied(disk: Path, pattern: str) -> None:
    folders = DeniedFolders(["~/work/secret", pattern])
    assert len(folders.problems) == 1
    assert folders
    assert folders.contain(disk / "work/public/a.py")
    assert folders.overlap(disk / "work/public")


def test_without_any_nothing_is_denied(disk: Path) -> None:
    folders = DeniedFolders([])
    assert not folders
    assert not folders.contain(disk)
    assert not folders.overlap(disk)


@pytest.mark.parametrize("value", ["~/work/secret", 7, [7], {"a": 1}])
def test_a_value_of_another_type_denies_all(value: object) -> None:
    settings, problems = merge([Source("mine", {"endpointsDenied": value}, own_file=True)])
    assert DeniedFolders(settings.endpoints_denied).contain(Path("/anything"))
    assert any("`endpointsDenied` in mine" in problem for problem in problems)


def test_an_editors_settings_deny_nothing() -> None:
    settings, problems = merge([Source("the editor", {"endpoints_denied": ["/"]})])
    assert settings.endpoints_denied == []
    assert len(problems) == 1


def test_which_endpoints_may_be_asked_where_a_folder_is_denied() -> None:
    """A server that does not know a request's folder, over HTTP, asks these alone."""
    table = {
        "here": {"kind": "openai", "url": "http://127.0.0.1:1"},
        "there": {"kind": "openai", "url": "https://llm.example.org", "remote": True},
    }
    settings, problems = merge([Source("mine", {"endpoints": table, "endpoints_denied": ["~/x"]}, own_file=True)])
    assert problems == []
    assert list(settings.endpoints_in_use()) == ["here", "there"]
    assert list(settings.endpoints_in_use(elsewhere=False)) == ["here"]
