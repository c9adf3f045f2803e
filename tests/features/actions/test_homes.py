"""An answer about a part of a file that defines what stands elsewhere in it: it goes there, or nothing is edited."""

from __future__ import annotations

import pytest

from lsp_server.core.document import DocumentSnapshot
from lsp_server.features.actions.catalogue import catalogue
from lsp_server.features.actions.offers import problem_subject, subject_at
from lsp_server.features.actions.results import read_insertion, read_rewriting
from lsp_server.features.actions.subject import Problem

ACTIONS, _ = catalogue({"beside": {"prompt": "Write a variant.", "result": "insert_after"}})


def fixed(path: str, source: str, at: str, answer: str, action: str = "fix") -> str:
    """The document after an answer to a diagnostic at the text `at`, or to an action on the lines that hold it; or the
    problem behind `!`."""
    document = DocumentSnapshot.of(f"file:///w/{path}", source.encode(), path=path)
    start = source.index(at)
    end = start + len(at)
    subject = problem_subject(document, [Problem(start, end, "r may be negative")])
    if action != "fix":
        found = subject_at(document, start, end)
        assert found is not None
        subject = found
    proposal = read_rewriting(answer, document, subject, ACTIONS[action])
    if proposal.problem:
        return f"!{proposal.problem}"
    return document.edited(proposal.start, proposal.end, proposal.text).source.decode()


def fenced(code: str) -> str:
    return f"```\n{code}\n```"


# path, the line of the diagnostic, the function as it is and as it is answered.
FILES = {
    "python": (
        "n.py",
        "import math",
        "def area(r):\n    return math.pi * r * r",
        "def area(r):\n    if r < 0:\n        raise ValueError(r)\n    return math.pi * r * r",
    ),
    "typescript": (
        "n.ts",
        'import { pi } from "./numbers";',
        "export function area(r: number): number {\n  return pi * r * r;\n}",
        "export function area(r: number): number {\n  if (r < 0) throw new Error();\n  return pi * r * r;\n}",
    ),
    "javascript_arrow": (
        "n.js",
        'const { pi } = require("./numbers");',
        "const area = (r) => {\n  return pi * r * r;\n};",
        "const area = (r) => {\n  if (r < 0) throw new Error();\n  return pi * r * r;\n};",
    ),
    "go": (
        "n.go",
        'import "math"',
        "func Area(r float64) float64 {\n\treturn math.Pi * r * r\n}",
        "func Area(r float64) float64 {\n\tif r < 0 {\n\t\tpanic(r)\n\t}\n\treturn math.Pi * r * r\n}",
    ),
    "rust": (
        "n.rs",
        "use std::f64::consts::PI;",
        "fn area(r: f64) -> f64 {\n    PI * r * r\n}",
        "fn area(r: f64) -> f64 {\n    assert!(r >= 0.0);\n    PI * r * r\n}",
    ),
    "c": (
        "n.c",
        "#include <math.h>",
        "double area(double r) {\n    return M_PI * r * r;\n}",
        "double area(double r) {\n    if (r < 0) return 0;\n    return M_PI * r * r;\n}",
    ),
    "cpp": (
        "n.cpp",
        "#include <cmath>",
        "double area(double r) {\n    return M_PI * r * r;\n}",
        "double area(double r) {\n    if (r < 0) return 0;\n    return M_PI * r * r;\n}",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_function_that_is_answered_to_a_diagnostic_elsewhere_is_replaced_where_it_stands(name: str) -> None:
    path, line, old, new = FILES[name]
    head = "package n\n\n" if path == "n.go" else ""
    source = f"{head}{line}\n\n{old}\n"
    for answer in (new, f"{line}\n\n{new}", f"{source.replace(old, new)}"):
        assert fixed(path, source, line, fenced(answer)) == source.replace(old, new)


@pytest.mark.parametrize(
    ("path", "header"),
    [
        ("n.py", "@cached\n@app.get('/')\nasync def area(r: float) -> float:"),
        ("n.ts", "export default async function area(r: number): Promise<number> {"),
        ("n.rs", "#[inline]\npub unsafe fn area(r: f64) -> f64 {"),
    ],
)
def test_what_stands_in_front_of_the_function_stays_if_the_answer_leaves_it_out(path: str, header: str) -> None:
    first, end = {"n.py": ("import os", ""), "n.ts": ("import 'x';", "}\n"), "n.rs": ("use x;", "}\n")}[path]
    bare = {"n.py": "def area(r):", "n.ts": "function area(r) {", "n.rs": "fn area(r: f64) -> f64 {"}[path]
    ending = ";" if path != "n.py" else ""
    source = f"{first}\n\n{header}\n    return 3 * r{ending}\n{end}"
    after = source.replace("3 * r", "3 * abs(r)")
    assert fixed(path, source, first, fenced(f"{bare}\n    return 3 * abs(r){ending}\n{end}")) == after


METHODS = {
    "n.py": ("import math", "class Disc:\n    def area(self):\n        return math.pi\n", "        return ", "+"),
    "N.java": ("import java.util.List;", "class Disc {\n    int area(int r) {\n        return r;\n    }\n}\n", "return ", "2 * "),
    "n.ts": ('import "./a";', "class Disc {\n  area(r: number) {\n    return r;\n  }\n}\n", "return ", "2 * "),
}  # fmt: skip


@pytest.mark.parametrize("path", METHODS)
def test_so_is_a_method_without_its_class(path: str) -> None:
    line, body, before, more = METHODS[path]
    source = f"{line}\n\n{body}"
    new = source.replace(before, before + more)
    method = "\n".join(new.split("\n")[3 : -2 if body.count("}") else None])
    assert "area" in method
    assert fixed(path, source, line, fenced(method)) == new


@pytest.mark.parametrize(
    ("path", "source", "at", "answer", "problem"),
    [
        # Two functions are rewritten: which of them is meant?
        (
            "n.py",
            "import os\n\ndef a(x):\n    return x\n\ndef b(x):\n    return a(x)\n",
            "import os",
            "def a(x):\n    return x + 1\n\ndef b(x):\n    return a(x) + 1",
            "defines",
        ),
        # Parts of the function alone, which would stand in none.
        ("n.py", "import os\n\ndef a(x):\n    return x\n", "import os", "if x < 0:\n    raise ValueError\nreturn x", "outside"),
        ("n.js", "import 'x';\n\nexport function a(x) {\n  return x;\n}\n", "import 'x'", "if (x < 0) { return 0; }", "outside"),
        ("n.c", "#include <x.h>\n\nint a(int x) {\n  return x;\n}\n", "#include <x.h>", "if (x < 0) { x = 0; }", "outside"),
        ("n.go", "package n\n\nimport \"x\"\n\nfunc A(x int) int {\n\treturn x\n}\n", 'import "x"', "if x < 0 {\n\tx = 0\n}", "outside"),
        ("n.rs", "use x;\n\nfn a(x: i8) -> i8 {\n    x\n}\n", "use x;", "if x < 0 { return 0; }", "outside"),
        ("N.java", "import x.Y;\n\nclass A {\n    int a(int x) { return x; }\n}\n", "import x.Y;", "if (x < 0) { x = 0; }", "outside"),
        # Another function of that name.
        ("n.py", "import os\n\ndef a(x):\n    return x\n", "import os", "def a(x, y):\n    return x or y", "defines"),
        # There is other code besides.
        ("n.py", "import os\n\ndef a(x):\n    return x\n", "import os", "import sys\n\ndef a(x):\n    return 1", "defines"),
        ("n.ts", 'import x from "x";\nconst LIMIT = 8;\nuse(x);\n', "import x", "const LIMIT = 10;", "takes away `x`"),
        ("n.py", "import math\nLIMIT = 8\n", "import math", "LIMIT = 10", "sets `LIMIT`"),
        ("n.py", "import math\nprint(math.pi)\n", "import math", "import numpy as np", "takes away `math`"),
        ("n.py", "def f(path):\n    found = load(path)\n    return found\n", "found = load(path)", "x = load(path)", "no `return`"),
        ("n.rb", "require 'set'\n\ndef area(r)\n  3 * r * r\nend\n", "require 'set'", "def area(r)\n  4 * r * r\nend", "defines `area`"),
        ("n.php", "<?php\nuse A\\B;\n\nfunction area($r) {\n  return $r;\n}\n", "use A\\B;", "function area($r) {\n  return 2 * $r;\n}", "defines `area`"),
        ("N.cs", "using System;\n\nclass Disc {\n    double Area(double r) { return r; }\n}\n", "using System;", "class Disc {\n    double Area(double r) { return 2 * r; }\n}", "defines `Area`"),
        ("n.kt", "import a.b\n\nfun area(r: Int): Int {\n    return r\n}\n", "import a.b", "fun area(r: Int): Int {\n    return 2 * r\n}", "defines `area`"),
        ("n.swift", "import Foundation\n\nfunc area(r: Int) -> Int {\n    return r\n}\n", "import Foundation", "func area(r: Int) -> Int {\n    return 2 * r\n}", "defines `area`"),
        ("n.scala", "import a.b\n\ndef area(r: Int): Int = r\n", "import a.b", "def area(r: Int): Int = 2 * r", "defines `area`"),
        ("n.lua", "local m = require 'm'\n\nfunction area(r)\n  return r\nend\n", "local m = require 'm'", "function area(r)\n  return 2 * r\nend", "defines `area`"),
        ("n.sh", "set -e\n\narea() {\n  echo $1\n}\n", "set -e", "area() {\n  echo 2\n}", "defines `area`"),
        ("n.ex", "import Math\n\ndef area(r) do\n  r\nend\n", "import Math", "def area(r) do\n  2 * r\nend", "defines `area`"),
        ("n.jl", "using Test\n\nfunction area(r)\n  r\nend\n", "using Test", "function area(r)\n  2r\nend", "defines `area`"),
        ("n.R", "library(x)\n\narea <- function(r) {\n  r\n}\n", "library(x)", "area <- function(r) {\n  2 * r\n}", "defines `area`"),
        ("n.el", "(require 'x)\n\n(defun area (r)\n  r)\n", "(require 'x)", "(defun area (r)\n  (* 2 r))", "defines `area`"),
        ("n.dart", "import 'x';\n\ndouble area(double r) {\n  return r;\n}\n", "import 'x';", "double area(double r) {\n  return 2 * r;\n}", "defines `area`"),
    ],
)  # fmt: skip
def test_what_would_stand_twice_or_be_gone_is_no_edit(
    path: str, source: str, at: str, answer: str, problem: str
) -> None:
    after = fixed(path, source, at, fenced(answer))
    assert after.startswith("!"), after
    assert problem in after


@pytest.mark.parametrize("path", ["n.py", "n.ts", "n.ex"])
def test_an_import_may_still_be_mended(path: str) -> None:
    old, new = {
        "n.py": ("import maths", "import math"),
        "n.ts": ('import { pi } from "./number";', 'import { pi } from "./numbers";'),
        "n.ex": ("import Maths", "import Math"),
    }[path]
    assert fixed(path, f"{old}\n\nuse(pi)\n", old, fenced(new)) == f"{new}\n\nuse(pi)\n"


SELECTED = """\
def area(r):
    size = 3 * r * r
    return size


def other(r):
    return r
"""


def test_the_function_around_a_selection_is_replaced_as_a_whole_and_no_other_one() -> None:
    new = SELECTED.replace("    size = 3 * r * r\n    return size\n", "    return 3 * r * r\n")
    whole = "def area(r):\n    return 3 * r * r"
    assert fixed("n.py", SELECTED, "size = 3 * r * r", fenced(whole), "simplify") == new
    other = "def other(r):\n    return 2 * r + 0"
    after = fixed("n.py", SELECTED, "size = 3 * r * r", fenced(other), "simplify")
    assert after.startswith("!"), after


def test_a_function_that_is_there_is_not_inserted_once_more() -> None:
    document = DocumentSnapshot.of("file:///w/n.py", SELECTED.encode(), path="n.py")
    subject = subject_at(document, 4, 4)
    assert subject is not None
    again = "def area(r):\n    return r\n\n\ndef area_of_all(rs):\n    return sum(map(area, rs))"
    assert "`area`" in read_insertion(fenced(again), document, subject, ACTIONS["beside"]).problem
    found = read_insertion(fenced(again[again.index("def area_of_all") :]), document, subject, ACTIONS["beside"])
    assert found.problem == ""


def test_inner_functions_of_one_name_may_stand_in_several() -> None:
    source = "def a(f):\n    return f\n\n\ndef b(f):\n    def inner(x):\n        return f(x)\n    return inner\n"
    answer = "    def inner(x):\n        return f(x)\n    return inner"
    assert fixed("n.py", source, "    return f\n", fenced(answer), "edit") == source.replace(
        "    return f\n", answer + "\n", 1
    )
