"""How suggestions are indented in a file that has no indented lines yet: seen in what is shown of a model's text."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lsp_server.core.document import DocumentSnapshot
from tests.features.harness import Opener, knowing

SPACES = "def is_it_positive(value):\n    if x:\n        return 1\n"


async def shown(bench: Opener, path: Path, *, language: str = "python", buffers: dict[str, str] | None = None) -> str:
    """What is shown in the new file `path` of `SPACES`, behind its first line."""
    async with bench(knowing(SPACES.encode())) as b:
        await b.ready()
        b.buffers = [
            DocumentSnapshot.of(f"file:///w/{name}", text.encode(), path=name) for name, text in (buffers or {}).items()
        ]
        outcome = await b.complete("def is_it_positive(value):$0\n", path=path.as_posix().lstrip("/"))
        assert outcome.suggestion is not None
        return outcome.suggestion.text


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ("[*]\nindent_style = tab\n", "\n\tif x:\n\t\treturn 1"),
        ("[*]\nindent_style = space\nindent_size = 2\n", "\n  if x:\n    return 1"),
        ("[*]\nindent_size = tab\n", "\n\tif x:\n\t\treturn 1"),
        ("[*]\nindent_style = space\ntab_width = 3\n", "\n   if x:\n      return 1"),
        ("[*.{js,py}]\nindent_size = 2\n", "\n  if x:\n    return 1"),
        ("[*.js]\nindent_size = 2\n", "\n    if x:\n        return 1"),
        ("[*]\nindent_size = 99999999999\n", "\n    if x:\n        return 1"),
        ("[*]\nindent_size\nno such line\n", "\n    if x:\n        return 1"),
        ("[*a*a*a*a*a*a*a*a*a*a*a*a*b]\nindent_size = 2\n", "\n    if x:\n        return 1"),
        ("[" + "{a," * 400 + "]\nindent_size = 2\n", "\n    if x:\n        return 1"),
        ("\xff\xfe", "\n    if x:\n        return 1"),
        ("[*]\nindent_size = 2\n" + "# much\n" * 6000, "\n    if x:\n        return 1"),
    ],
)
async def test_a_new_file_is_indented_as_editorconfig_says(
    bench: Opener, tmp_path: Path, config: str, text: str
) -> None:
    (tmp_path / ".editorconfig").write_bytes(f"root = true\n{config}".encode("latin-1"))
    assert await shown(bench, tmp_path / "new.py") == text


async def test_the_nearest_editorconfig_counts_most_and_a_root_is_the_last(bench: Opener, tmp_path: Path) -> None:
    inner = tmp_path / "a b" / "c"
    inner.mkdir(parents=True)
    (tmp_path / ".editorconfig").write_text("root = true\n[*]\nindent_style = tab\n")
    assert await shown(bench, inner / "new.py") == "\n\tif x:\n\t\treturn 1"
    (tmp_path / "a b" / ".editorconfig").write_text("[*.py]\nindent_style = space\nindent_size = 2\n")
    assert await shown(bench, inner / "new.py") == "\n  if x:\n    return 1"
    (inner / ".editorconfig").write_text("root = true\n")
    assert await shown(bench, inner / "new.py") == "\n    if x:\n        return 1"


async def test_an_editorconfig_that_is_no_file_is_not_waited_for(bench: Opener, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".editorconfig")
    assert await shown(bench, tmp_path / "new.py") == "\n    if x:\n        return 1"


async def test_without_an_editorconfig_open_files_of_the_language_say_it(bench: Opener, tmp_path: Path) -> None:
    (tmp_path / ".editorconfig").write_text("root = true\n")
    tabs = {"flat.py": "x = 1\n", "tabs.go": "func f() {\n\tg()\n}\n", "two.py": "if a:\n  b()\n"}
    assert await shown(bench, tmp_path / "new.py", buffers=tabs) == "\n  if x:\n    return 1"
