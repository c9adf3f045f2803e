"""Doc comments: in the convention of the language and the file, and the code under them untouched."""

from __future__ import annotations

import ast
import re

import pytest

from lsp_server.core.document import DocumentSnapshot
from lsp_server.features.actions.docs import python_style, read_doc
from lsp_server.features.actions.offers import subject_at


def documented(source: str, answer: str, language: str = "python", path: str = "a.py") -> str:
    """The document afterwards, or the problem behind `!`."""
    left, right = source.split("$0")
    document = DocumentSnapshot.of(f"file:///{path}", (left + right).encode(), path=path, language_id=language)
    subject = subject_at(document, len(left.encode()), len(left.encode()))
    assert subject is not None
    found = read_doc(answer, document, subject)
    if found.problem:
        return f"!{found.problem}"
    return document.edited(found.start, found.end, found.text).source.decode()


PY = "class A:\n    def f(self, a):\n        ret$0urn a\n"
EXPECTED = 'class A:\n    def f(self, a):\n        """Gives a back.\n\n        Args:\n            a: what.\n        """\n        return a\n'
TEXT = "Gives a back.\n\nArgs:\n    a: what."


@pytest.mark.parametrize(
    "answer",
    [
        TEXT,
        f'"""{TEXT}\n"""',
        f'```python\n"""{TEXT}\n"""\n```',
        f"Here is the docstring:\n{TEXT}",
        'Sure!\n```python\ndef f(self, a):\n    """Gives a back.\n\n    Args:\n        a: what.\n    """\n    return 666\n```',
        f'"""{TEXT}\n    b: there is no b.\n"""',
    ],
)
def test_a_docstring_however_it_comes(answer: str) -> None:
    assert documented(PY, answer) == EXPECTED


QUOTED = (
    """'''Gives a back.'''""",
    """\"\"\"'''Gives a back.'''\"\"\"""",
    """\"\"\"'''Gives a back.\"\"\"""",
    """\"\"\"'''\nGives a back.\n'''\n\"\"\"""",
    """\"\"\"\"Gives a back.\"\"\"\"""",
    '"Gives a back."',
    '"Gives a back.',
    "'Gives a back.'",
    "“Gives a back.”",
    """/**\n * \"\"\"Gives a back.\"\"\"\n */""",
    """/// '''Gives a back.'''""",
    """r\"\"\"r'''Gives a back.'''\"\"\"""",
)


@pytest.mark.parametrize("answer", QUOTED)
@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        ("a.py", "def f(a):\n    ret$0urn a\n", 'def f(a):\n    """Gives a back."""\n    return a\n'),
        ("a.ts", "function f(a) { ret$0urn a; }\n", "/**\n * Gives a back.\n */\nfunction f(a) { return a; }\n"),
        ("a.rs", "fn f(a: u8) -> u8 { a$0 }\n", "/// Gives a back.\nfn f(a: u8) -> u8 { a }\n"),
        ("a.go", "package a\n\nfunc F() { g($0) }\n", "package a\n\n// F: Gives a back.\nfunc F() { g() }\n"),
    ],
)
def test_quotation_marks_around_a_comment_are_taken_off(path: str, source: str, expected: str, answer: str) -> None:
    assert documented(source, answer, "", path) == expected


@pytest.mark.parametrize(
    "text",
    [
        '"Doubled" is what a is.',
        "'a' and 'b' are doubled.",
        "Doubles `a`",
        'Doubles "a"',
        "`a` or `doubled`",
        "``a`` doubled.",
    ],
)
def test_what_a_comment_quotes_stays(text: str) -> None:
    (function,) = ast.parse(documented("def f(a):\n    ret$0urn a\n", text)).body
    assert (ast.get_docstring(function) or "").strip() == text  # type: ignore[arg-type]


def test_an_old_docstring_is_replaced_and_one_line_functions_are_opened() -> None:
    old = 'def f(a):\n    """Old."""\n    ret$0urn a\n'
    assert documented(old, '"""Newer."""') == 'def f(a):\n    """Newer."""\n    return a\n'
    assert documented("def f(a): ret$0urn a\n", "Newer.") == 'def f(a):\n    """Newer."""\n    return a\n'


@pytest.mark.parametrize(
    ("language", "path", "source", "answer", "expected"),
    [
        (
            "typescript",
            "a.ts",
            "class A {\n  f(a: number) {\n    ret$0urn a;\n  }\n}\n",
            "/**\n * Gives a back.\n * @param a - what\n * @param b - no such\n */",
            "class A {\n  /**\n   * Gives a back.\n   * @param a - what\n   */\n  f(a: number) {\n    return a;\n  }\n}\n",
        ),
        (
            "go",
            "a.go",
            "package a\n\nfunc F() { g$0() }\n",
            "// Calls g.",
            "package a\n\n// F: Calls g.\nfunc F() { g() }\n",
        ),
        (
            "rust",
            "a.rs",
            "/// Old.\n#[inline]\nfn f() {\n    g$0()\n}\n",
            "```rust\n/// Calls g.\n```",
            "/// Calls g.\n#[inline]\nfn f() {\n    g()\n}\n",
        ),
        (
            "java",
            "A.java",
            "class A {\n    /** Old. */\n    int f() { ret$0urn 1; }\n}\n",
            "/** Ends */ System.exit(1); /* it. */",
            "class A {\n    /**\n     * Ends\n     */\n    int f() { return 1; }\n}\n",
        ),
    ],
)
def test_other_conventions(language: str, path: str, source: str, answer: str, expected: str) -> None:
    assert documented(source, answer, language, path) == expected


# What stands in front of a function, the function itself, what is around the two, and the comment that is written.
DECORATED = {
    "a.ts": ("@Get('/')\n@Auth()", "async find(@Param() id: string) {\n  return $01;\n}", "class A {\n  x = 1;\n\n@@\n}\n", "/**\n * Finds.\n */"),
    "a.tsx": ("@Memo", "render(id: string) {\n  return $0<b>1</b>;\n}", "class A {\n@@\n}\n", "/**\n * Finds.\n */"),
    "b.ts": ("@Component({ selector: 'a' })", "export class Find {\n  x = 1;$0\n}", "import x from 'x';\n\n@@\n", "/**\n * Finds.\n */"),
    "a.js": ("@get\n@auth('/')", "find(id) {\n  return $01;\n}", "class A {\n@@\n}\n", "/**\n * Finds.\n */"),
    "A.java": ("@Override\n@Get(\"/\")", "public int find(int id) {\n  return $01;\n}", "class A {\n@@\n}\n", "/**\n * Finds.\n */"),
    "a.rs": ("#[inline]\n#[must_use]", "fn find(id: u8) -> u8 {\n    $0id\n}", "use std::fs;\n\n@@\n", "/// Finds."),
    "a.cpp": ("template <class T>\n[[nodiscard]]", "int find(T id) {\n  return $01;\n}", "#include <x>\n\n@@\n", "/**\n * Finds.\n */"),
}  # fmt: skip


@pytest.mark.parametrize("path", DECORATED)
@pytest.mark.parametrize("where", ["nowhere", "above", "between", "answered with the code"])
def test_a_comment_stands_once_and_above_the_decorators(path: str, where: str) -> None:
    marks, function, around, comment = DECORATED[path]
    old = "/// Old." if path == "a.rs" else "/** Old. */"
    indent = "  " if around.startswith("class") else ""

    def file(*parts: str) -> str:
        return around.replace("@@", re.sub(r"(?m)^(?=.)", indent, "\n".join(parts)))

    expected = file(comment, marks, function).replace("$0", "")
    source = {
        "nowhere": file(marks, function),
        "above": file(old, marks, function),
        "between": file(marks, old, function),
        "answered with the code": file(comment.replace("Finds", "Found"), marks, function),
    }[where]
    answer = (
        f"```\n{comment}\n{marks}\n{function.replace('$0', '')}\n```" if where == "answered with the code" else comment
    )
    assert documented(source, answer, "", path) == expected


def test_a_note_below_the_decorators_is_no_doc_comment() -> None:
    source = "class A {\n  @Get()\n  // for now\n  find() {\n    return $01;\n  }\n}\n"
    commented = source.replace("  @Get", "  /**\n   * Finds.\n   */\n  @Get").replace("$0", "")
    assert documented(source, "/** Finds. */", "typescript", "a.ts") == commented


def test_an_order_to_a_tool_stays_below_the_comment() -> None:
    source = "package a\n\n// Find is old.\n//go:noinline\nfunc Find() { g$0() }\n"
    expected = "package a\n\n// Find calls g.\n//go:noinline\nfunc Find() { g() }\n"
    assert documented(source, "// Find calls g.", "go", "a.go") == expected


@pytest.mark.parametrize(
    "answer",
    ["", "```\n```", "123", "def f(self, a):\n    return a", "\n".join(f"word {i}" for i in range(200))],
)
def test_what_is_no_comment_changes_nothing(answer: str) -> None:
    assert documented(PY, answer).startswith("!")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("It ends with a backslash \\", "It ends with a backslash \\"),
        ("'''It says \"\"\".\nimport os\n\"\"\"\n'''", "It says '''.\nimport os"),
        ('It says \\"""\nimport os\n"""', "import os"),
    ],
)
def test_nothing_ends_the_docstring_early(answer: str, text: str) -> None:
    (function,) = ast.parse(documented(PY, answer)).body[0].body  # type: ignore[attr-defined]
    assert [type(part) for part in function.body] == [ast.Expr, ast.Return]
    assert ast.get_docstring(function) == text


@pytest.mark.parametrize(
    ("source", "style"),
    [
        (b'"""A.\n\n    Args:\n        a: b\n"""', "google"),
        (b'"""A.\n\n    Parameters\n    ----------\n"""', "numpy"),
        (b'"""A.\n\n    :param a: b\n"""', "sphinx"),
        (b"", "google"),
    ],
)
def test_the_style_of_a_file(source: bytes, style: str) -> None:
    assert python_style(source) == style


@pytest.mark.parametrize(
    ("path", "source", "answer"),
    [
        ("a.py", "def total(xs):\n    return 1\n", '"""def total(xs: list[int]) -> int:"""'),
        ("a.go", "package a\n\nfunc Total(xs []int) int {\n\treturn 1\n}\n", "// func Total(xs, ys []int) int {"),
        ("a.py", "def total(xs):\n    return 1\n", "def total(xs: list[int]) -> int:"),
        ("a.rs", "fn total(a: u8) -> u8 {\n    a\n}\n", "pub fn total(a: &u8) -> u8"),
    ],
)
def test_the_header_is_no_comment(path: str, source: str, answer: str) -> None:
    marked = re.sub("(?i)(?=total)", "$0", source, count=1)
    assert "comment" in documented(marked, f"```\n{answer}\n```", "", path).partition("!")[2]
    assert not documented(marked, "```\nAdds what the total needs: the items.\n```", "", path).startswith("!")
