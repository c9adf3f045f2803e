"""What is offered where, from cursor fixtures: `$0` is the cursor, or two of them a selection."""

from __future__ import annotations

from typing import Any

import pytest

from lsp_server.core.document import DocumentSnapshot
from lsp_server.features.actions.catalogue import ActionError, catalogue, user_action
from lsp_server.features.actions.offers import Offer, offers
from lsp_server.features.actions.subject import Problem

PY = """\
import os


class Box:
    def area(self):
        sizes = []
        for side in self.sides:
            sizes.append(side)
        return 1


def free(a):
    \"\"\"Doc.\"\"\"
    return a
"""


def offered(
    source: str,
    language: str = "python",
    path: str = "a.py",
    only: list[str] | None = None,
    problem: str = "",
    asked: bool = True,
) -> list[Offer]:
    parts = source.split("$0")
    text = "".join(parts).encode()
    start = len(parts[0].encode())
    end = start + len(parts[1].encode()) if len(parts) == 3 else start
    document = DocumentSnapshot.of(f"file:///{path}", text, path=path, language_id=language)
    problems = [Problem(start, end, problem)] if problem else []
    return offers(document, start, end, problems, catalogue({})[0], only, asked=asked)


def check(source: str, *titles: str, **options: object) -> None:
    assert [offer.title for offer in offered(source, **options)] == list(titles)  # type: ignore[arg-type]


METHOD = (
    "Explain `area`",
    "Check `area` for dangerous patterns",
    "Generate tests for `area`",
    "Write the doc comment of `area`",
    "Simplify `area`",
    "Add types to `area`",
    "Handle errors and edge cases in `area`",
    "Extract a function from `area`",
    "Convert the loop to a comprehension",
)


def test_in_a_method() -> None:
    check(PY.replace("return 1", "ret$0urn 1"), *METHOD)
    check(PY.replace("    def area", "  $0  def area"), *METHOD)


def test_a_class_a_documented_function_and_nothing() -> None:
    check(
        PY.replace("class Box", "class B$0ox"),
        "Explain `Box`",
        "Check `Box` for dangerous patterns",
        "Generate tests for `Box`",
        "Write the doc comment of `Box`",
        "Simplify `Box`",
        "Add types to `Box`",
        "Handle errors and edge cases in `Box`",
    )
    assert "Update the doc comment of `free`" in [
        offer.title for offer in offered(PY.replace("return a", "$0return a"))
    ]
    check(PY.replace("import os", "import$0 os"))


def test_a_selection_and_a_selected_function() -> None:
    source = PY.replace("for side in", "$0for side in").replace("append(side)", "append(side)$0")
    found = offered(source)
    assert found[0].title == "Explain the selection"
    assert "Generate tests" not in " ".join(offer.title for offer in found)
    subject = found[0].subject
    assert PY.encode()[subject.start : subject.end].decode() == (
        "        for side in self.sides:\n            sizes.append(side)"
    )
    whole = PY.replace("def free", "$0def free").replace("return a\n", "return a$0\n")
    assert offered(whole)[0].title == "Explain `free`"


def test_diagnostics_and_kinds() -> None:
    source = PY.replace("return 1", "ret$0urn 1")
    check(source, "Fix: undefined name x", only=["quickfix"], problem="undefined name x")
    check(source, "Extract a function from `area`", only=["refactor.extract"])
    check(source, only=["source", "refactor.inline", "refactor.rewritten"])
    assert len(offered(source, only=[""])) == len(METHOD)


@pytest.mark.parametrize(
    ("language", "path", "source", "name"),
    [
        ("typescript", "a.ts", "export const f = async (a: number) => {\n  return a$0;\n};\n", "f"),
        ("go", "a.go", "package a\n\nfunc (b *Box) Area() int {\n\treturn$0 1\n}\n", "Area"),
        ("rust", "a.rs", "impl Box {\n    #[inline]\n    fn area(&self) -> u8 {\n        1$0\n    }\n}\n", "area"),
        ("java", "A.java", "class A {\n    @Override\n    int area() { return$0 1; }\n}\n", "area"),
        ("c", "a.c", "static int *area(int a) {\n  return$0 0;\n}\n", "area"),
        ("cpp", "a.cc", "template <class T> T area(T a) {\n  return$0 a;\n}\n", "area"),
    ],
)
def test_other_languages(language: str, path: str, source: str, name: str) -> None:
    found = offered(source, language=language, path=path)
    assert f"Explain `{name}`" in [offer.title for offer in found]
    assert f"Generate tests for `{name}`" in [offer.title for offer in found]


@pytest.mark.parametrize(
    ("comment", "instruction"),
    [
        ("# fimble: make this async", "make this async"),
        ("# Fimble:use a set  ", "use a set"),
        ("# nothing", ""),
        ('x = "fimble: no"', ""),
    ],
)
def test_an_instruction_in_a_comment(comment: str, instruction: str) -> None:
    found = [offer for offer in offered(f"{comment}\ndef f():\n    return$0 1\n") if offer.action.id == "edit"]
    assert [offer.instruction for offer in found] == ([instruction] if instruction else [])


def test_an_unknown_language_has_selections_only() -> None:
    titles = [offer.title for offer in offered("some $0words$0 here\n", language="plaintext", path="a.txt")]
    assert titles == [
        "Explain the selection",
        "Simplify the selection",
    ]


def ids(source: str, path: str, **options: Any) -> set[str]:
    return {offer.action.id for offer in offered(source, "", path, **options)}


# What an action is about, in code where it applies, one line each, and in code that is like it where it does not.
CONVERSIONS: dict[str, tuple[str, list[str], list[str]]] = {
    "to_fstring": (
        "a.py",
        ['return "%s" % a', "return '%d of %d' % (a, b)", 'return "{}".format(a)', 'return ("a"\n        "%s") % a', 'x = u"{0:>3}".format(a, b)'],
        ["return a % 2", "return a + b", 'return b"%s" % a', "return a.format(b)", "return a % b == 0", 'return "{}".format(*a)', 'return "a".join(b)', 'return f"{a}"', 'log.info("%s", a)', 'return "done".format()'],
    ),
    "to_comprehension": (
        "a.py",
        ["x = []\n    for y in a:\n        x.append(y)", "for y in a:\n        if y:\n            x.add(f(y))", "for y in a:\n        x[y] = f(y)", "t = 0\n    for y in a:\n        t += y", "for y in a:\n        z = f(y)\n        x.append(z)", "for y in a:\n        for z in y:\n            x.append(z)", "for y in a:\n        if y > 2:\n            return True\n    return False", "for y in a:\n        t = t + y"],
        ["for y in a:\n        print(y)", "for y in a:\n        f(y)\n        g(y)", "for y in a:\n        x.append(await y)", "for y in a:\n        x.append(y)\n    else:\n        g()", "while a:\n        x.append(a.pop())", "for y in a:\n        x.append(y)\n        z.append(y)", "for y in a:\n        try:\n            x.append(y)\n        except E:\n            pass", "for y in a:\n        break"],
    ),
    "to_loop": ("a.py", ["return [x for x in a]", "return {x: 1 for x in a}", "return {x for x in a}"], ["return [a, b]", "for x in a:\n        f(x)"]),
    "to_async": (
        "a.ts",
        ["return g(a).then((x) => x.y);", "g(a).then(function (x) { h(x); }).catch(fail);", "g().finally(() => b());"],
        ["return a.map((x) => x.y);", "const h = (x: number) => x;", "return await g(a);", "a.then();"],
    ),
    "to_methods": (
        "a.js",
        ["const r = [];\n  for (const x of a) { r.push(x); }", "let t = 0;\n  for (let i = 0; i < 3; i++) { t += a[i]; }", "for (const x of a) { if (x) return x; }", "for (const k in a) { r[k] = 1; }"],
        ["for (const x of a) { console.log(x); }", "for (const x of a) { r.push(await x); }", "for (const x of a) { if (x) break; r.push(x); }", "while (a) { r.push(a.pop()); }"],
    ),
    "to_iterator": (
        "a.rs",
        ["let mut r = vec![];\n    for x in a { r.push(x); }", "let mut t = 0;\n    for i in 0..3 { t = t + a[i]; }", "for x in a { t += x; }"],
        ["for x in a { println!(\"{}\", x); }", "for x in a { r.push(f(x)?); }", "loop { r.push(1); }"],
    ),
    "to_stream": (
        "A.java",
        ["for (int x : a) { r.add(x); }", "for (int i = 0; i < 3; i++) { t += a[i]; }", "for (int x : a) { t = t + x; }"],
        ["for (int x : a) { System.out.println(x); }", "for (int x : a) { if (x > 1) break; r.add(x); }"],
    ),
    "to_switch": (
        "a.go",
        ['if a == 1 {\n\t\tf()\n\t} else if a == 2 {\n\t\tg()\n\t} else {\n\t\th()\n\t}'],
        ["if a == 1 {\n\t\tf()\n\t}", "if a == 1 {\n\t\tf()\n\t} else {\n\t\tg()\n\t}", "switch a {\n\tcase 1:\n\t\tf()\n\t}"],
    ),
    "types": (
        "b.py",
        ["def g(a):\n    return a", "def g(a: int):\n    return a", "def g(*a, b: int) -> int:\n    return b", "class A:\n    def g(self, a) -> int:\n        return a"],
        ["def g(a: int, *b: str) -> int:\n    return a", "class A:\n    def g(self, a: int) -> int:\n        return a", "def g(a: int = 1, /, *, b: int) -> None:\n    f = lambda x: x"],
    ),
    "types ": (
        "b.ts",
        ["export function g(a) { return a; }", "export function g(a: number) { return a; }", "const g = (a) => a;", "class A { g(a): number { return 1; } }"],
        ["export function g(a: number, b = 1): number { return [1].map((x) => x)[0]; }", "const g = (a: number): number => a;", "class A { constructor(a: number) { f(a); } }", "class A { set a(b: number) { f(b); } }"],
    ),
}  # fmt: skip
FUNCTIONS = {
    "a.py": "def f(a, b):\n    @@\n",
    "a.ts": "export function f(a, b) {\n  @@\n}\n",
    "a.js": "export function f(a, b) {\n  @@\n}\n",
    "a.rs": "pub fn f(a: &[i32]) {\n    @@\n}\n",
    "A.java": "class A {\n    void f(int[] a) {\n        @@\n    }\n}\n",
    "a.go": "package a\n\nfunc F(a int) {\n\t@@\n}\n",
}


@pytest.mark.parametrize("action", CONVERSIONS)
def test_a_conversion_is_offered_where_there_is_something_to_convert(action: str) -> None:
    path, fitting, others = CONVERSIONS[action]
    around = FUNCTIONS.get(path, "@@\n")
    for code in (*fitting, *others):
        cursor = "f$0(" if path in FUNCTIONS else ""
        source = around.replace("f(", cursor).replace("F(", "F$0(") if cursor else around.replace("@@", "$0@@")
        assert (action.strip() in ids(source.replace("@@", code), path)) == (code in fitting), code
        selected = around.replace("@@", f"$0{code}$0")
        assert (action.strip() in ids(selected, path)) == (code in fitting), code


@pytest.mark.parametrize(
    ("path", "source", "missing"),
    [
        ("test_a.py", "def helper(a):\n    retu$0rn a + 1\n", {"tests"}),
        ("a_test.go", "package a\n\nfunc Help(a int) int { return$0 a + 1 }\n", {"tests"}),
        ("a.test.ts", "export function help(a: number): number { return$0 a + 1; }\n", {"tests"}),
        ("ATest.java", "class ATest { int help(int a) { return$0 a + 1; } }\n", {"tests"}),
        ("a.rs", "#[test]\nfn works() {\n    assert!($0true);\n}\n", {"tests"}),
        ("a.py", "def f(a):\n    def inner(b):\n        retu$0rn b + 1\n    return inner\n", {"tests"}),
        ("a.ts", "function help(a: number): number { return$0 a + 1; }\n", {"tests"}),
        ("a.ts", "export interface A$0 {\n  b: number;\n}\n", {"tests", "simplify", "errors", "types"}),
        ("a.ts", "export type A$0 = { b: number };\n", {"tests", "simplify", "errors", "types"}),
        ("a.py", "class A$0(Exception):\n    pass\n", {"tests", "simplify", "errors", "types"}),
        ("a.py", "def f(a: int) -> None:\n    \"\"\"Doc.\"\"\"\n    p$0ass\n", {"simplify", "errors", "extract", "types"}),
        ("a.rs", "pub struct A$0 {\n    b: u8,\n}\n", {"tests", "simplify", "errors"}),
        ("a.go", "package a\n\ntype A$0 struct {\n\tb int\n}\n", {"tests", "simplify", "errors"}),
        ("a.c", "struct A$0 {\n  int b;\n};\n", {"tests", "simplify", "errors"}),
        ("a.js", "export function f(a) { return$0 a; }\n", {"simplify", "errors", "extract"}),
        ("a.py", "$0import os\nimport re$0\n", {"simplify", "errors", "extract"}),
        ("a.py", "x = 1\n$0# a comment$0\n", {"errors", "extract"}),
        ("a.md", "$0# Title\n\nSome text.$0\n", {"errors", "extract", "types"}),
        ("a.json", '{\n$0"a": 1$0\n}\n', {"errors", "extract"}),
        ("notes.rst", "$0Title\n=====$0\n", {"errors", "extract"}),
    ],
)  # fmt: skip
def test_what_cannot_come_to_anything_is_not_offered(path: str, source: str, missing: set[str]) -> None:
    found = ids(source, path)
    assert "explain" in found
    assert not found & missing


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("a.py", "def f(a):\n    retu$0rn a + 1\n"),
        ("a.py", "class A$0:\n    def f(self, a):\n        return a + 1\n"),
        ("a.js", "function f(a) { return$0 a + 1; }\nmodule.exports = { f };\n"),
        ("a.js", "class A$0 { f(a) { return a + 1; } }\nexport { A };\n"),
        ("a.ts", "export default class A {\n  f(a) { return$0 a + 1; }\n}\n"),
        ("a.rs", "impl A$0 {\n    fn f(&self, a: u8) -> u8 { a + 1 }\n}\n"),
    ],
)
def test_what_does_something_can_be_tested_and_simplified(path: str, source: str) -> None:
    assert ids(source, path) >= {"explain", "tests", "doc", "simplify", "errors"}


@pytest.mark.parametrize("blank", ["\n$0\n", "\n    $0  \n"])
def test_a_blank_line_offers_nothing_until_it_is_asked(blank: str) -> None:
    source = f"def f(a):\n    b = a + 1\n{blank}    return b\n"
    assert "simplify" in ids(source, "a.py")
    assert ids(source, "a.py", asked=False) == set()
    assert ids(source, "a.py", asked=False, problem="bad") == {"fix", "explain"}
    assert "simplify" in ids(source.replace("b = a", "$0b = a").replace(blank, "\n\n"), "a.py", asked=False)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "has no `prompt`"),
        ({"prompt": 3}, "`prompt` must be a text"),
        ({"prompt": "x", "result": "burn"}, "`result` must be one of"),
        ({"prompt": "x", "targets": ["house"]}, "`targets` may hold"),
        ({"prompt": "x", "languages": "Python"}, "`languages` must be a list"),
        ({"prompt": "x", "result": "new_file"}, "needs `file`"),
        ({"prompt": "x", "titel": "x"}, "unknown key `titel`"),
    ],
)
def test_a_wrong_action_in_the_settings_is_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(ActionError, match=message):
        user_action("mine", values)
    assert len(catalogue({"mine": values})[1]) == 1
