"""Completions in comments as an editor gets them, and the setting that says where they come."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.stdio import StdioClient

Start = Callable[..., StdioClient]
URI = "file:///w/area.py"
KNOWN = '''# The area of a shape is what it covers.
def area(width, height):
    """Return what the rectangle has inside."""
    return width * height
'''
TEXT = 'def area(width, height):\n    """Return what"""\n    # The area of a\n    return width * height\n'
DOCSTRING, COMMENT = (1, len('    """Return what')), (2, len("    # The area of a"))


@pytest.mark.parametrize(
    ("comments", "in_docstring", "in_comment"),
    [
        ("on", " the rectangle has inside.", " shape is what it covers."),
        ("docstrings", " the rectangle has inside.", None),
        ("off", None, None),
    ],
)
def test_as_the_setting_says(
    start: Start, tmp_path: Path, comments: str, in_docstring: str | None, in_comment: str | None
) -> None:
    known = tmp_path / "known"
    known.write_text(KNOWN, "utf-8")
    server = start("serve", "--backend", "scripted", "--model", str(known))
    server.initialize(initializationOptions={"comments": comments})
    server.open(URI, TEXT)
    for (line, character), shown in ((DOCSTRING, in_docstring), (COMMENT, in_comment)):
        items = server.inline(URI, line, character)
        assert [item["insertText"] for item in items] == ([shown] if shown else [])
        if not shown:
            place = {"textDocument": {"uri": URI}, "position": {"line": line, "character": character}}
            assert "(setting `comments`)" in server.call("fimble/status", place)["result"]["why"]
    assert server.finish() == 0
