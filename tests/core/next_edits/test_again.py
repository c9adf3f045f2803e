"""Do it again: two edits of one pattern, and the next place that fits."""

from __future__ import annotations

import pytest

from lsp_server.features.options import Eagerness
from tests.support.edited import Edited, proposed

# The source with its edits, and what the next place becomes.
FOUND = {
    "a call gets another name": (
        "[-log-][+logger+].info('a')\nx = 1\n[-log-][+logger+].info(b)\ny = 2\nlog.info(c, d)\n",
        "logger.info(c, d)",
    ),
    "an argument comes": (
        "a = load(1[+, None+])\n\nb = load(x.y[+, None+])\n\nc = load(g(2, 3))\n",
        "c = load(g(2, 3), None)",
    ),
    "the form changes": (
        "[-self.assertEqual(a, 1)-][+assert a == 1+]\n\n[-self.assertEqual(b, 'x')-][+assert b == 'x'+]\n\n"
        "self.assertEqual(c.d, f(2))\n",
        "assert c.d == f(2)",
    ),
    "names follow from others": (
        'x = [-get("first_name")-][+self.first_name+]\n\ny = [-get("last_name")-][+self.last_name+]\n\n'
        'z = get("age")\n',
        "z = self.age",
    ),
    "lines that follow each other": (
        "x = [-old-][+new+].a()\ny = [-old-][+new+].b()\nz = old.c()\n",
        "z = new.c()",
    ),
    "its own spaces and indentation stay": (
        "    t.foo( a[+, 1+])\n\n    t.foo(b[+, 1+])\n\nif x:\n        t.foo( cc )\n",
        "        t.foo( cc, 1)",
    ),
    "what is put around": (
        "[-x = load(a)-][+if a:\n    x = load(a)+]\n\n[-y = load(b)-][+if b:\n    y = load(b)+]\n\nz = load(c)\n",
        "if c:\n    z = load(c)",
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_the_next_place_gets_the_same(name: str) -> None:
    source, line = FOUND[name]
    assert proposed(source) == plain(source).removesuffix(last(source)) + line + "\n"


@pytest.mark.parametrize(
    ("lines", "eagerness", "shown"), [(290, "low", True), (310, "low", False), (310, "medium", True)]
)
def test_what_is_far_from_the_last_edit_takes_more_eagerness(lines: int, eagerness: Eagerness, shown: bool) -> None:
    source = "[-log-][+logger+].info(1)\n\n[-log-][+logger+].info(2)\n" + "x = 1\n" * lines + "log.info(3)\n"
    assert (proposed(source, eagerness=eagerness) is not None) is shown


def plain(source: str) -> str:
    return Edited(source).document.source.decode()


def last(source: str) -> str:
    return source[source.rstrip("\n").rfind("\n") + 1 :]


def test_a_decorator_comes_over_the_next_class() -> None:
    source = "[+@dec\n+]export class A {\n}\n\n[+@dec\n+]export class B {\n}\n\nexport class C {\n}\n"
    assert proposed(source, "a.ts") == plain(source).replace("export class C", "@dec\nexport class C")


def test_lines_go_where_they_are_the_same() -> None:
    assert proposed("[-#[serial]\n-]fn a() {}\n\n[-#[serial]\n-]fn b() {}\n\n#[serial]\nfn c() {}\n", "a.rs") == (
        "fn a() {}\n\nfn b() {}\n\nfn c() {}\n"
    )


def test_the_other_open_file_is_next_when_this_one_has_no_more() -> None:
    source = "[-log-][+logger+].info('a')\n\n[-log-][+logger+].info(b)\n"
    assert proposed(source, others={"b.py": "x = 1\nlog.info(c)\n"}) == "x = 1\nlogger.info(c)\n"


def test_who_goes_up_is_followed_up() -> None:
    edited = Edited("log.info(1)\n\nlog.info(2)\n\nlog.info(3)\n\nlog.info(4)\n")
    for line in (4, 2):
        at = edited.document.line_start(line)
        edited.edit(at, at + 3, "logger", float(line))
    edit = next(edited.proposals())
    assert edit.document.line_at(edit.start) == 0


SILENT = {
    "one edit is no pattern": "[-log-][+logger+].info('a')\n\nlog.info(b)\n",
    "two edits that have nothing in common": "a = [-1-][+2+]\n\nfoo([-x-][+y+])\n\nb = 1\n",
    "what comes does not follow": "f(a, [-1-][+7+])\n\nf(b, [-2-][+9+])\n\nf(c, 3)\n",
    "a pattern that says nothing": "a = [-1-][+f(1)+]\n\nb = [-2-][+f(2)+]\n\nc = 3\n",
    "the place is inside a text": "[-log-][+logger+].info(1)\n\n[-log-][+logger+].info(2)\n\n'''\nlog.info(3)\n'''\n",
    "imports belong where they are": "[+import a\n+]import b\n\nx = 1\n[+import a\n+]import b\n\ny = 1\nimport b\n",
    "a constant that came may be another": (
        "f('ab')[- == 'ab'-][+ == 'x'+]\n\nf('cd')[- == 'cd'-][+ == 'x'+]\n\nf('ef') == 'ef'\n"
    ),
}


@pytest.mark.parametrize("name", SILENT)
def test_silent_when_in_doubt(name: str) -> None:
    assert proposed(SILENT[name]) is None


def test_a_variable_may_be_any_expression_and_no_more_than_that() -> None:
    source = "a = load([-x-][+*x+])\n\nb = load([-y-][+*y+])\n\nc = load(z)\n"
    assert proposed(source) == plain(source).replace("load(z)", "load(*z)")
    assert proposed(source.replace("load(z)", "load(z or w)")) == plain(source).replace("load(z)", "load(*z or w)")
    assert proposed(source.replace("load(z)", "load(*z)")) is None
    assert proposed(source.replace("load(z)", "load(z=1)")) is None


def test_what_would_break_the_syntax_is_not_proposed() -> None:
    source = "[-check(a)-][+assert a+]\n\n[-check(b)-][+assert b+]\n\ncheck(c)\n"
    assert proposed(source) == plain(source).replace("check(c)", "assert c")
    assert proposed(source.replace("check(c)", "x = [\ncheck(c)\n]")) is None
