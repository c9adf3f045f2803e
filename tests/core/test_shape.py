"""From what a model wrote to what is shown."""

from __future__ import annotations

import re
from typing import Any

import pytest

from lsp_server.core.hole import find_hole
from lsp_server.core.shape import shape
from lsp_server.core.spelled_markers import spellable
from lsp_server.core.stopping import find_end, stop_rule
from tests.support.cursor import parse_cursor


def check(
    source: str,
    written: str,
    shown: str | None,
    max_lines: int = 8,
    *,
    language: str = "python",
    path: str = "",
    **options: Any,
) -> None:
    """Where the model wrote `written` at `$0`, `shown` is suggested; None if nothing is."""
    document, offset = parse_cursor(source, language_id=language, path=path or "main.py")
    hole = find_hole(document, offset)
    suggestion = shape(written, document, hole, stop_rule(document, hole, max_lines), **options)
    assert (suggestion and suggestion.text) == shown
    if suggestion is not None:
        assert (suggestion.start, suggestion.end) == (offset, offset)


@pytest.mark.parametrize(
    ("source", "written", "shown"),
    [
        pytest.param("return a$0", " + b", " + b", id="line"),
        pytest.param("return a$0", " + b  \nmore", " + b", id="white space at the end"),
        pytest.param("return a$0", "", None, id="nothing"),
        pytest.param("return a$0", "  \n", None, id="only white space"),
        pytest.param("return a$0", "\nmore", None, id="only another line"),
        pytest.param("f($0)", "a, b)", "a, b", id="the bracket to the right"),
        pytest.param("f($0)", ")", None, id="nothing but what is to the right"),
        pytest.param("f($0)  ", "a)", "a", id="the bracket to the right, with spaces"),
        pytest.param("f(a$0, c)", ", b, c)", ", b", id="the rest of the call to the right"),
        pytest.param("f($0)", "a", "a", id="nothing repeated"),
        pytest.param("print($0);", "len(x));", "len(x)", id="the bracket and more to the right"),
        pytest.param("def f($0) -> int:", "self):", "self", id="less than what is to the right"),
        pytest.param("def f($0):", "self, x)", "self, x", id="only the bracket of what is to the right"),
        pytest.param("print($0)", "len(x)", "len(x)", id="a bracket of its own is not the one to the right"),
        pytest.param("a[$0]", "f(x)[0]]", "f(x)[0]", id="the bracket to the right behind others"),
        pytest.param("def f():$0", "\n    return 1\n\nx", "\n    return 1", id="block"),
        pytest.param("def f():\n    $0\n", "a = 1\n    return a\nb = 2", "a = 1\n    return a", id="dedent"),
        pytest.param("def f():\n    $0\n", "\ta = 1", "a = 1", id="indentation that stands there already"),
        pytest.param("$0\nnext_line()\n", "a\nnext_line()\n", "a", id="the next line"),
        pytest.param("$0\nnext_line()\n", "next_line()\n", None, id="nothing but the next line"),
        pytest.param("x = 1\n$0\ny = 2\n", '"""a\nb', None, id="half a long quote is no string"),
        pytest.param("x = 1\n$0\ny = 2\n", 'z = "" +', 'z = ""', id="an empty string is one"),
        pytest.param("$0\n", "a = 1\nif a:\n", "a = 1", id="a header without its block, behind more"),
        pytest.param("$0\n", "if a:\n    for b in a:\n", "if a:", id="a header in another"),
        pytest.param("$0\n", "if a:\n    b()\nelse:\n", "if a:\n    b()", id="another branch without its block"),
        pytest.param("$0\n    b()\n", "# c\nif a:\n", "# c\nif a:", id="a header, with its block below"),
        pytest.param("$0\n", "a = 1\nb = {\n  c:\n", "a = 1", id="an open bracket"),
        pytest.param("語$0", "日本 = '😀'", "日本 = '😀'", id="not ASCII"),
    ],
)
def test_what_is_shown(source: str, written: str, shown: str | None) -> None:
    check(source, written, shown)


def test_at_most_so_many_lines() -> None:
    check("$0\n", "a\nb\nc\n", "a\nb", max_lines=2)


@pytest.mark.parametrize(
    ("source", "written", "shown"),
    [
        ("a\r\n$0\r\n", "b\nc", "b\r\nc"),
        ("a\r\n$0\r\n", "b\r\nc\r\n", "b\r\nc"),
        ("a\r\n$0\r\n", "b\r\nc\nd", "b\r\nc\r\nd"),
        ("a\r$0\r", "b\nc", "b\rc"),
        ("a\r$0\r", "b\r\nc", "b\rc"),
        ("a\n$0\n", "b\nc", "b\nc"),
        ("a\n$0\n", "b\r\nc", "b\nc"),
    ],
)
def test_line_ends_are_the_documents(source: str, written: str, shown: str) -> None:
    check(source, written, shown)


@pytest.mark.parametrize(
    ("written", "shown"), [("a\nnext_line()", "a"), ("a\n  next_line()", "a"), ("next_line()", None)]
)
def test_the_next_line_at_the_very_end_is_a_repetition_too(written: str, shown: str | None) -> None:
    """A model that ends its text behind the repeated line writes no newline there."""
    check("$0\nnext_line()\n", written, shown)


@pytest.mark.parametrize(
    ("language", "source", "written", "shown"),
    [
        ("python", "def f(x):\n    $0return x\n", "print(x)", "print(x)\n    "),
        ("python", "def f(x):\n    $0return x\n", "print(x)\n    y = x\n", "print(x)\n    "),
        ("python", "def f(x):\n$0    return x\n", "    print(x)\n", "    print(x)\n"),
        ("python", "def f(x):\n  $0  return x\n", "print(x)\n", "  print(x)\n  "),
        ("python", "def f(x):\n    $0return x\n", "print(x\n", None),
        ("python", "def f(x):\n    $0return x\n", "if x:\n", None),
        ("python", "$0f(1)\n", "x = 2", "x = 2\n"),
        ("python", "x = [\n    $0'b',\n]\n", "'a',\n", "'a',\n    "),
        ("python", "$0.append(1)\n", "items", "items"),
        ("python", "$0 = 1\n", "size", "size"),
        ("python", "$0f(x)\n", "return ", "return "),
        ("javascript", "function f(x) {\n  $0return x;\n}\n", "log(x);\n", "log(x);\n  "),
        ("javascript", "function f(x) {\n$0}\n", "  return x;\n", "  return x;\n"),
        ("javascript", "function f(x) {\n  $0f(x);\n}\n", "await ", "await "),
        ("typescript", "call(\n  a,\n$0)\n", "  b,\n)", "  b,\n"),
        ("go", "package a\n\nfunc f() int {\n\t$0return 1\n}\n", "g()\n", "g()\n\t"),
        ("rust", "fn f() {\n    $0g();\n}\n", "let x = 1;\n", "let x = 1;\n    "),
        ("c", "int f(void) {\n\t$0return 1;\n}\n", "g();\n", "g();\n\t"),
        ("lua", "local function f()\n  $0return 1\nend\n", "local x = 1\n", "local x = 1\n  "),
        ("ruby", "def f\n  $0g\nend\n", "x = 1\n", "x = 1\n  "),
        ("shellscript", "$0ls\n", "cd /tmp\n", "cd /tmp\n"),
        ("css", "a {\n  $0color: red;\n}\n", "margin: 0;\n", "margin: 0;\n  "),
        ("css", "a {\n  $0color: red;\n}\n", "margin: 0\n", None),
        ("yaml", "$0name: x\n", "version: 1", "version: 1\n"),
        ("yaml", "$0name: x\n", "version: 1\nauthor: y\n", "version: 1\n"),
        ("yaml", "$0name: x\n", "version", None),
        ("toml", "[a]\n$0b = 1\n", "c = 2\n", "c = 2\n"),
        ("json", '{\n  $0"a": 1\n}\n', '"b": 2,\n', '"b": 2,\n  '),
        ("json", '{\n  $0"a": 1\n}\n', '"b": 2\n', None),
        ("markdown", "$0- two\n", "- one\n", "- one\n"),
        ("plaintext", "$0world\n", "Hello", "Hello\n"),
        ("plaintext", "hello $0world\n", "my dear", None),
        ("python", "f($0bar)\n", "baz", None),
        ("python", "x = $0name\n", "version: 1", None),
    ],
)
def test_a_text_never_becomes_one_with_what_stands_right_of_it(
    language: str, source: str, written: str, shown: str | None
) -> None:
    """At a line's beginning it is a line of its own there, with its line end, or nothing."""
    check(source, written, shown, language=language, path="main")


def test_a_line_in_front_of_another_is_shown_once_it_is_whole() -> None:
    document, offset = parse_cursor("def f(x):\r\n    $0return x\r\n")
    hole = find_hole(document, offset)
    rule = stop_rule(document, hole, 8)
    assert shape("print(x)", document, hole, rule, whole=False) is None
    found = shape("print(x)\n", document, hole, rule, whole=False)
    assert found is not None
    assert found.text == "print(x)\r\n    "


SPECIALS = spellable(
    ["<s>", "</s>", "[INST]", "▁<EOT>", "<pad>", "<unk>", "<|endoftext|>", "<|fim_pad|>", "<unused7>", "a", "▁"]
)


@pytest.mark.parametrize(
    ("language", "source", "written", "shown"),
    [
        ("python", "print($0)", '"usage: tidy <filename>"', '"usage: tidy <filename>"'),
        ("python", "S = $0\n", '["<pad>", "<unk>"]', '["<pad>", "<unk>"]'),
        ("python", "S = [$0]\n", '"<|endoftext|>", "</s>"', '"<|endoftext|>", "</s>"'),
        ("python", 'S = "$0"\n', "<pad>", "<pad>"),
        ("python", "x = a$0\n", "[INST]", "[INST]"),
        ("html", "<p>$0\n", "<s>old</s>", "<s>old</s>"),
        ("html", "<p>$0\n", "<filename>", "<filename>"),
        ("markdown", "Run $0\n", "it with <filename>", "it with <filename>"),
        ("markdown", "Run $0\n", "`tidy <pad>` or <unk> first", "`tidy <pad>` or <unk> first"),
        ("rust", "let x: $0\n", "Vec<unused7>", "Vec<unused7>"),
        ("python", "return a$0\n", " + b <EOT>", " + b"),
        ("python", "return a$0\n", " + b<|endoftext|>", " + b"),
        ("python", "return a$0\n", " + b <EOT>\nmore", " + b"),
        ("python", "return a$0\n", "<|fim_pad|><|endoftext|>", None),
        ("html", "<p>$0\n", "old</s>", "old"),
        ("plaintext", "It doesn't $0\n", "matter.</s>\n", "matter."),
        ("python", "x = f(a)\n$0\n", "y = 1\nz = 2 [INST]", "y = 1\nz = 2"),
    ],
)
def test_a_special_token_is_cut_where_it_is_spelled_out_at_the_end_and_text_that_looks_like_one_stays(
    language: str, source: str, written: str, shown: str | None
) -> None:
    check(source, written, shown, language=language, path="main", specials=SPECIALS)


def test_the_beginning_of_a_special_token_is_not_shown_before_it_is_known_to_be_none() -> None:
    document, offset = parse_cursor("return a$0\n")
    hole = find_hole(document, offset)
    rule = stop_rule(document, hole, 8)
    written = " + b <EOT>"
    for length in range(len(written) + 1):
        found = shape(written[:length], document, hole, rule, whole=False, specials=SPECIALS)
        assert found is None or " + b".startswith(found.text)
    found = shape(" + b <EOTA> c", document, hole, rule, whole=False, specials=SPECIALS)
    assert found is not None
    assert found.text == " + b <EOTA> c"


@pytest.mark.parametrize(
    ("language", "source", "written", "shown"),
    [
        ("html", "<div><p>$0</p></div>\n", "Hello</p>", "Hello"),
        ("html", "<div><p>$0</p></div>\n", "Hello</p></div>\n", "Hello"),
        ("html", "<div><p>$0</p></div>\n", "Hello <b>you</b>", "Hello <b>you</b>"),
        ("html", "<div><p>$0</p></div>\n", "<b>you</b></p>", "<b>you</b>"),
        ("html", "<div><p>$0</p></div>\n", "a</p><p>b</p>", "a</p><p>b"),
        ("html", "<p>$0<b>x</b></p>\n", "Hello</p> <i>", "Hello"),
        ("html", '<a href="$0">x</a>\n', '/home">', "/home"),
        ("typescriptreact", "const a = <p>$0</p>;\n", "{name}</p>;", "{name}"),
        ("typescriptreact", "const a = <p>$0</p>;\n", "{name}</p>", "{name}"),
        ("typescriptreact", "const a = <>$0</>;\n", "<b>x</b></>", "<b>x</b>"),
        ("vue", "<div><p>$0</p></div>\n", "Hello</p>", "Hello"),
        ("xml", "<a><b>$0</b></a>\n", "1</b>", "1"),
        ("python", "f(a$0, c, d)\n", ", b, c", ", b"),
        ("python", "f(a$0, c, d)\n", ", g(c), c", ", g(c)"),
        ("python", "x = [1, $02, 3]\n", "4, 2", "4,"),
        ("python", 'x = ["$0", "b"]\n', 'a", ', "a"),
        ("python", "if a $0and b:\n", "is None and", "is None "),
        ("python", "x = a$0.strip().lower()\n", ".b.strip()", ".b"),
        ("python", "x = a$0 + 1\n", "(b) +", "(b)"),
        ("python", "x = $0[0]\n", "a[0]", "a"),
        ("javascript", "for (let i = 0; $0; i++) {\n}\n", "i < n;", "i < n"),
        ("javascript", "const a = {b: $0, c: 1};\n", "2, c:", "2"),
        ("go", "package a\n\nfunc f(a int$0, c int) {\n}\n", ", b int, c", ", b int"),
        ("rust", "fn f(a: $0, b: u8) -> u8 {\n    a\n}\n", "u8, b: u8)", "u8"),
        ("markdown", "Some **$0** text\n", "bold** text", "bold"),
        ("markdown", "Some `$0` text\n", "code`", "code"),
        ("plaintext", "the $0 of the day\n", "end of the", "end"),
        ("python", "with$0 open(path) as file:\n    pass\n", ' open(path, "r") as file:\n', None),
        ("javascript", "const a = $0load(path, true);\n", "await read(path, true);", None),
    ],
)
def test_what_stands_to_the_right_is_not_written_again(
    language: str, source: str, written: str, shown: str | None
) -> None:
    """Nor any beginning of it, in whole words, brackets and tags. As long as more may come, nothing is shown that would
    have to be taken back."""
    check(source, written, shown, language=language, path="main")
    document, offset = parse_cursor(source, language_id=language, path="main")
    hole = find_hole(document, offset)
    rule = stop_rule(document, hole, 8)
    for length in range(len(written)):
        part = shape(written[:length], document, hole, rule, whole=False)
        assert part is None or shown is None or shown.startswith(part.text)


ASKED = "FROM x\n$0"
FENCED = "```dockerfile\nRUN a\nRUN b\n```"


@pytest.mark.parametrize(
    ("language", "source", "written", "shown"),
    [
        ("dockerfile", ASKED, FENCED, "RUN a\nRUN b"),
        ("dockerfile", ASKED, f"{FENCED}\n\nThis runs both.\n", "RUN a\nRUN b"),
        ("dockerfile", ASKED, f"Sure, here is the rest:\n\n{FENCED}\n", "RUN a\nRUN b"),
        ("dockerfile", ASKED, "Sure, here is the rest:\nRUN a\n", None),
        ("dockerfile", ASKED, "RUN a\nRUN b\n```\n\nThis runs both.\n", "RUN a\nRUN b"),
        ("dockerfile", ASKED, "```\nRUN a\nRUN b", "RUN a\nRUN b"),
        ("dockerfile", ASKED, "```", None),
        ("plaintext", "Milk\n$0", "```\nBread\n```", "Bread"),
        ("plaintext", "Milk\n$0", "~~~ text\nBread\n~~~", "Bread"),
        ("plaintext", "Milk\n$0", "Sure, here is the rest:\n", None),
        ("plaintext", "Milk\n$0", "Certainly! Here's the completed list:\nBread\n", None),
        ("plaintext", "Milk\n$0", "I'm sorry, but I cannot help.\n", None),
        ("plaintext", "Milk\n$0", "当然，以下是其余部分：\n", None),
        ("plaintext", "Milk\n$0", "Natürlich, hier ist der Rest:\n", None),
        ("plaintext", "Dear all,\n$0", "Here is the list of guests:\n", "Here is the list of guests:"),
        ("plaintext", "Dear all,\n$0", "Sure things are rare.\n", "Sure things are rare."),
        ("plaintext", "```\na\n```\n$0", "```\nb\n```", "```\nb\n```"),
        ("elixir", "x = 1\n$0", "```elixir\ny = 2\n```\n", "y = 2"),
        ("elixir", "x = 1\n$0", "Here is the rest of the code:\n\n```elixir\ny = 2\n```\n", "y = 2"),
        ("elixir", "x = 1\n$0", "I'd write it so:\n```elixir\ny = 2\n```\n", "y = 2"),
        ("elixir", "x = 1\n$0", "<think>\nWhat is y?\n</think>\n\ny = 2\n", "\ny = 2"),
        ("elixir", "x = 1\n$0", "<think>\nWhat is y?\n", None),
        ("elixir", "x = $0\n", "```elixir\n1\n```\n", None),
        ("python", "x = $0", "```python", None),
        ("python", "x = $0", "```python\nx = 1\n```", None),
        ("python", "x = $0", "Sure, here is the rest:\n1\n", None),
        ("python", "x = 1\n$0", "Sure, here is the rest:\n```python\ny = 2\n```", "y = 2"),
        ("python", "x = 1\n$0", "Here is the completed code:\n\ny = 2\n", None),
        ("python", "def f():$0\n", "```python\n    return 1\n```", "\n    return 1"),
        ("python", "def f():\n    $0\n", "```python\n    return 1\n```", "return 1"),
        ("python", "x = 1\n$0", "y = 2\nThis code sets y to 2.\n", "y = 2"),
        ("python", "x = 1\n$0", 'y = """\n```\na\n```\n"""\n', 'y = """\n```\na\n```\n"""'),
        ("python", 'def f():\n    """$0"""\n', "This function has the full code.", "This function has the full code."),
        ("html", "<p>\n  $0\n</p>\n", "Here is the list of items.\n", "Here is the list of items."),
        ("go", "package a\n\nfunc f() {\n\t$0\n}\n", "ok, err := g()\n", "ok, err := g()"),
        ("shellscript", "ls\n$0", "Sure! Here is the script:\n\n```bash\ncd a\n```\n", "cd a"),
        ("markdown", "# Use\n\n$0", "```sh\nmake\n```\n", "```sh\nmake\n```"),
        ("markdown", "# Use\n\n$0", "Here is the code:\n", "Here is the code:"),
        ("markdown", "```output\n1\n$0\n", "2\n```\n", "2\n```"),
        ("markdown", "```python\nx = 1\n$0\n```\n", "y = 2\n```\n", "y = 2"),
        ("markdown", "```python\nx = 1\n$0\n```\n", "```python\ny = 2\n```\n", "y = 2"),
    ],
)
def test_what_a_model_says_around_code_is_not_shown(language: str, source: str, written: str, shown: str) -> None:
    check(source, written, shown, language=language, path="main")
    document, offset = parse_cursor(source, language_id=language, path="main")
    hole = find_hole(document, offset)
    rule = stop_rule(document, hole, 8)
    for length in range(len(written)):
        part = shape(re.sub(r"\w+$", "", written[:length]), document, hole, rule, whole=False)  # in whole words
        assert part is None or (shown or "").startswith(part.text)
    end = find_end(written, rule)
    assert end is None or all(find_end(written[:length], rule) in (None, end) for length in range(len(written)))


MAKE = "all:\n\tcc a.c\n\nclean:\n"
TABBED = "if a\n\tb\n\tc\nend\n"


@pytest.mark.parametrize(
    ("language", "source", "written", "shown"),
    [
        ("makefile", f"{MAKE}$0", "    rm a", "\trm a"),
        ("makefile", f"{MAKE}$0", "rm a\n", "\trm a"),
        ("makefile", f"{MAKE}$0", "  rm a\n  rm b\n", "\trm a\n\trm b"),
        ("makefile", f"{MAKE}\t$0", "rm a\n    rm b\n", "rm a\n\trm b"),
        ("makefile", "clean:$0", "\n    rm a\n", "\n\trm a"),
        (
            "makefile",
            f"{MAKE}$0",
            "    for x in a; do \\\n        rm $$x; \\\n    done\n",
            "\tfor x in a; do \\\n\t\trm $$x; \\\n\tdone",
        ),
        ("makefile", f"{MAKE}$0", "ifdef A\n    rm a\nelse\n    rm b\nendif\n", "ifdef A\n\trm a\nelse\n\trm b\nendif"),
        ("makefile", f"{MAKE}\trm a\n$0", "install: all\n    cp a b\n", "install: all\n\tcp a b"),
        ("makefile", "A = 1\n$0", "B = 2\n", "B = 2"),
        ("makefile", "ifdef A\n$0", "  B = 2\n", "  B = 2"),
        ("", f"{TABBED}if d\n$0", "    e\n", "\te"),
        ("", f"{TABBED}$0", "if d\n    e\n    if f\n        g\n", "if d\n\te\n\tif f\n\t\tg"),
        ("", f"{TABBED}$0", "if d\n  e\n  if f\n    g\n", "if d\n\te\n\tif f\n\t\tg"),
        ("", "if a\n  b\n  c\nend\n$0", "if d\n\te\n\t\tf\n", "if d\n  e\n    f"),
        ("", "if a\n  b\n  c\nend\n$0", "if d\n  e\n", "if d\n  e"),
        ("lisp", "(defun f ()\n\t(g))\n$0", "(defun h ()\n  (g))\n", "(defun h ()\n\t(g))"),
        (
            "dart",
            "void f() {\n\tg();\n}\n\n$0",
            "void h() {\n  g();\n  if (a) {\n    g();\n  }\n}\n",
            "void h() {\n\tg();\n\tif (a) {\n\t\tg();\n\t}\n}",
        ),
        ("perl", "sub f {\n\treturn 1;\n}\n\n$0", "sub g {\n    return 2;\n}\n", "sub g {\n\treturn 2;\n}"),
        ("elixir", "def f do\n  1\nend\n\n$0", "def g do\n    2\nend\n", "def g do\n  2\nend"),
        ("go", "package a\n\nfunc f() {$0\n}\n", "\n    if a {\n        g()\n    }\n}\n", "\n\tif a {\n\t\tg()\n\t}"),
        ("go", "package a\n\nfunc f() {\n  g()\n  $0\n}\n", "h()\n", "h()"),
        ("markdown", "- a\n\t- b\n$0", "- c\n    - d\n", "- c\n\t- d"),
    ],
)
def test_the_indentation_is_the_files_in_any_language(language: str, source: str, written: str, shown: str) -> None:
    """A tab where the language wants one, and else what the file is indented by; of a beginning as of the whole."""
    check(source, written, shown, language=language, path="main")
    document, offset = parse_cursor(source, language_id=language, path="main")
    hole = find_hole(document, offset)
    for length in range(len(written)):
        part = shape(written[:length], document, hole, stop_rule(document, hole, 8), whole=False)
        assert part is None or shown is None or shown.startswith(part.text)
