"""Which language a line is in, where a file holds several, and that shaping goes by it."""

from __future__ import annotations

import pytest

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.embedded import language_at
from lsp_server.core.hole import HoleKind, find_hole, refined
from lsp_server.core.shape import shape
from lsp_server.core.stopping import stop_rule
from lsp_server.core.syntax import WINDOW_BYTES, view_of
from tests.support.cursor import parse_cursor

# Each line begins with the language that it is in.
PAGE = """\
HTML <!DOCTYPE html>
HTML <head>
HTML <script src="a.js"></script>
HTML <style media="print">
CSS p { margin: 0; }
CSS
HTML </style>
HTML <script type="application/ld+json">
JSON {"a": 1}
HTML </script>
HTML <script lang="ts">
TypeScript let x: number = 1
HTML </script>
HTML <p>text
HTML <script type="module">
JavaScript let a = 1
JavaScript
HTML </script></p>
HTML <script>
HTML let a = 1
"""
PHP = """\
HTML <html>
HTML <script>
JavaScript let a = 1
HTML </script>
PHP <?php
PHP $a = 1;
PHP ?>
HTML <p>
PHP <?= $a ?>
HTML </p>
PHP <?php if ($a) {
PHP echo 1; }
"""
MARKDOWN = """\
Markdown text
Markdown ```python
Python x = 1
Python
Markdown ```
Markdown ~~~~ rust
Rust let x = 1;
Rust ~~~
Rust let y = 2;
Markdown ~~~~
Markdown text
Markdown ```nothing
plain text x
"""


@pytest.mark.parametrize(("path", "lines"), [("a.html", PAGE), ("a.php", PHP), ("a.md", MARKDOWN)])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_language_of_each_line(path: str, lines: str, newline: str) -> None:
    named = [line.replace("plain text", "plain-text").partition(" ") for line in lines.splitlines()]
    document = DocumentSnapshot.of("file:///w/x", newline.join(text for _, _, text in named).encode(), path=path)
    found = [language_at(document, line)[0].name.replace(" ", "-") for line in range(document.line_count)]
    assert found == [name for name, _, _ in named]


@pytest.mark.parametrize(
    ("path", "source", "language", "text", "shown"),
    [
        pytest.param(
            "a.html",
            "<p>\n<script>\nfunction area(w) {\n  return $0\n}\n</script>\n</p>\n",
            "JavaScript",
            "w * w;\n}\n",
            "w * w;",
            id="a script in a page",
        ),
        pytest.param(
            "a.html", "<style>\np {\n  margin: $0\n}\n</style>\n", "CSS", "0;\n}\n", "0;", id="a style in a page"
        ),
        pytest.param(
            "a.php",
            "<?php f(); ?>\n<ul>\n  $0\n</ul>\n",
            "HTML",
            "<li>a</li>\n</ul>\n",
            "<li>a</li>",
            id="a page in PHP",
        ),
        pytest.param("a.md", "```python\nx = f($0)\n```\n", "Python", "1, 2))\n", "1, 2", id="fenced code"),
    ],
)
def test_shaping_goes_by_the_embedded_language(path: str, source: str, language: str, text: str, shown: str) -> None:
    document, cursor = parse_cursor(source, path=path, language_id="")
    hole = refined(document, find_hole(document, cursor))
    view = view_of(document, document.line_at(cursor))
    assert view.language.name == language
    found = shape(text, document, hole, stop_rule(document, hole, 8))
    assert found is not None
    assert found.text == shown


def test_a_comment_in_a_script_is_one() -> None:
    document, cursor = parse_cursor("<script>\n// all of it is$0 here\n</script>\n", path="a.html", language_id="")
    assert refined(document, find_hole(document, cursor)).kind is HoleKind.NONE


@pytest.mark.parametrize("behind", ["<?php\n", "?>\n"])
def test_a_part_of_a_large_file_in_php_is_parsed_as_what_it_is(behind: str) -> None:
    before = "<?php\n" + "f();\n" * WINDOW_BYTES if behind == "?>\n" else "<p>x</p>\n" * WINDOW_BYTES
    after = "<p>y</p>\n" * WINDOW_BYTES if behind == "?>\n" else "f();\n" * WINDOW_BYTES
    document = DocumentSnapshot.of("file:///w/a.php", (before + behind + after).encode(), path="a.php")
    for line in (document.line_at(len(before)) + 2, document.line_count - 10, 10):
        assert view_of(document, line).errors == []
