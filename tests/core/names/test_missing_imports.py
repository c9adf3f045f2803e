"""An import that a suggestion lacks and that is certain comes with it, in place of the suggestion being withheld."""

from __future__ import annotations

import pytest

from lsp_server.core.document import DocumentSnapshot
from lsp_server.core.names.missing_imports import missing_imports
from lsp_server.core.names.undefined import without_undefined
from lsp_server.core.shape import Suggestion
from tests.support.cursor import parse_cursor


def with_imports(source: str, text: str) -> str | None:
    """The document with a suggestion and the imports it lacks; None if it is cut or withheld."""
    document, cursor = parse_cursor(source)
    checked = without_undefined(Suggestion(text, cursor, cursor), document)
    if checked.suggestion is None or checked.suggestion.text != text:
        return None
    for start, end, made in missing_imports(document, text):
        document = document.edited(start, end, made)
        cursor += len(made) - (end - start)
    return document.edited(cursor, cursor, text.encode()).source.decode()


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        ("import sys\n\nx = $0\n", "os.path.sep", "import os\nimport sys\n\nx = os.path.sep\n"),
        ("import re\nx = $0\n", "json.dumps(os.sep)", "import json\nimport os\nimport re\nx = json.dumps(os.sep)\n"),
        ('"""About."""\nx = $0\n', "os.sep", '"""About."""\nimport os\n\nx = os.sep\n'),
        ("# A\nx = $0\n", "os.sep", "# A\nimport os\n\nx = os.sep\n"),
        ("import os\nx = $0\n", "os.sep", "import os\nx = os.sep\n"),
        ("from a import b\ndef f(time): $0\n", "time.x", "from a import b\ndef f(time): time.x\n"),
    ],
)  # fmt: skip
def test_a_certain_import_comes_with_the_suggestion(source: str, text: str, expected: str) -> None:
    found = with_imports(source, text)
    assert found is not None
    assert sorted(found.splitlines()) == sorted(expected.splitlines())
    compile(found, "a.py", "exec")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("import sys\nx = $0\n", "numpy.zeros(1)"),
        ("import sys\nx = $0\n", "os"),
        ("import sys\nx = $0\n", "urllib.request.urlopen(x)"),
        ("import sys\nx = $0\n", "os.sep + unknown"),
        ("import sys\nfor json in []: pass\ndel json\nx = $0\n", "json.dumps(1) + unknown"),
    ],
)
def test_one_that_is_not_certain_does_not(source: str, text: str) -> None:
    assert with_imports(source, text) is None


def test_lines_may_end_as_on_windows() -> None:
    document = DocumentSnapshot.of("file:///a.py", b"import sys\r\nx = 1\r\n", path="a.py", language_id="python")
    [(start, end, made)] = missing_imports(document, "os.sep")
    assert (start, end, made) == (0, 0, b"import os\r\n")
    assert missing_imports(document, "sys.argv") == ()
