"""Generated tests: where they belong, what is kept of an answer, and that pytest collects them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lsp_server.core.languages import find_language
from lsp_server.core.outline import broken_at, definitions
from lsp_server.features.actions.generated_tests.place import Place, PlaceError
from lsp_server.features.actions.generated_tests.places import find_place
from lsp_server.features.actions.generated_tests.runtests import run_tests
from lsp_server.features.actions.generated_tests.testcode import NewTests, read_tests

SOURCES = {
    "python": ("pack/shop.py", "def total(a):\n    return sum(a)\n"),
    "typescript": ("src/shop.ts", "export function total(a: number[]): number {\n  return a.length;\n}\n"),
    "go": ("shop/shop.go", "package shop\n\nfunc Total(a []int) int {\n\treturn len(a)\n}\n"),
    "rust": ("src/shop.rs", "pub fn total(a: &[i32]) -> usize {\n    a.len()\n}\n"),
    "java": (
        "src/main/java/x/Shop.java",
        "package x;\n\nclass Shop {\n    int total(int a) {\n        return a;\n    }\n}\n",
    ),
}
ANSWERS = {
    "python": "from your_module import total\nimport numpy\n\ndef total(a):\n    return 0\n\ndef test_total():\n    assert total([1]) == 1\n",
    "typescript": 'import { total } from "./x";\n\ntest("adds", () => {\n  expect(total([1])).toBe(1);\n});\n',
    "go": 'package other\n\nimport (\n\t"os"\n\t"testing"\n\t"strings"\n)\n\nfunc TestTotal(t *testing.T) {\n\tif Total(nil) != len(strings.Fields("")) {\n\t\tt.Fail()\n\t}\n}\n',
    "rust": "#[cfg(test)]\nmod tests {\n    use super::*;\n\n    #[test]\n    fn counts() {\n        assert_eq!(total(&[1]), 1);\n    }\n}\n",
    "java": "class ShopTest {\n    @Test\n    void adds() {\n        assertEquals(1, new Shop().total(1));\n    }\n}\n",
}
PLACES = {
    "python": "tests/test_shop.py",
    "typescript": "src/shop.test.ts",
    "go": "shop/shop_test.go",
    "rust": "src/shop.rs",
    "java": "src/test/java/x/ShopTest.java",
}


def made(root: Path, language_id: str, answer: str, existing: str = "") -> tuple[Place, NewTests]:
    name, source = SOURCES[language_id]
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source)
    language = find_language(language_id)
    target = next(one for one in definitions(language, source.encode()) if one.kind == "function")
    place = find_place(file, language, target, [root])
    old = source if language_id == "rust" and not existing else existing
    return place, read_tests(answer, old, place, language, target, source)


@pytest.mark.parametrize("language", SOURCES)
def test_a_new_file_in_the_usual_place(tmp_path: Path, language: str) -> None:
    (tmp_path / "package.json").write_text('{"devDependencies": {"vitest": "1"}}')
    place, found = made(tmp_path, language, f"Here:\n```\n{ANSWERS[language]}```\nEnjoy.")
    assert found.problem == ""
    assert place.file == tmp_path / PLACES[language]
    assert len(found.names) == 1
    assert not broken_at(find_language(language), found.text.encode())
    if language == "python":
        assert found.text == "from pack.shop import total\n\n\ndef test_total():\n    assert total([1]) == 1\n"
    elif language == "go":
        assert found.text.startswith('package shop\n\nimport "testing"\nimport "strings"\n')
        assert '"os"' not in found.text
    elif language == "typescript":
        assert 'import { total } from "./shop";' in found.text
        assert "./x" not in found.text


def test_a_bracket_in_a_string_does_not_end_the_tests_of_a_file(tmp_path: Path) -> None:
    module = (
        ANSWERS["rust"].replace("assert_eq!(total(&[1]), 1);", 'assert_eq!(close(), "}");').replace("counts", "closes")
    )
    _, found = made(tmp_path, "rust", f"```\n{ANSWERS['rust']}```", SOURCES["rust"][1] + "\n" + module)
    assert found.problem == ""
    closes, counts = found.text.index("fn closes"), found.text.index("fn counts")
    assert found.text[closes:counts].count("{") == found.text[closes:counts].count("}") - 1  # one is in the string


# A check of each language, and a step after which it means something else.
CHECKS = {
    "python": ("    assert total([1]) == 1\n", "    total.cache_clear()\n"),
    "typescript": ("  expect(total([1])).toBe(1);\n", "  clear();\n"),
    "rust": ("        assert_eq!(total(&[1]), 1);\n", "        clear();\n"),
    "java": ("        assertEquals(1, new Shop().total(1));\n", "        clear();\n"),
}


@pytest.mark.parametrize("language", CHECKS)
def test_what_is_checked_again_is_left_out_unless_something_happens_in_between(tmp_path: Path, language: str) -> None:
    check, step = CHECKS[language]
    answer = ANSWERS[language]
    assert check in answer
    other = check.replace("[1]", "[1, 2]").replace("total(1)", "total(2)")
    _, found = made(tmp_path, language, answer.replace(check, f"{check}{check}{other}\n{check}{step}{check}{check}"))
    assert found.problem == ""
    lines = [line.strip() for line in found.text.split("\n")]
    kept = [line for line in lines if line in {each.strip() for each in (check, other, step)}]
    assert kept == [each.strip() for each in (check, other, step, check)]


def test_of_two_tests_that_are_alike_one_is_kept(tmp_path: Path) -> None:
    tests = [
        f"def test_{name}():\n    assert total([{item}]) == {item}\n" for name, item in (("a", 1), ("b", 1), ("c", 2))
    ]
    _, found = made(tmp_path, "python", "\n".join(tests))
    assert found.names == ("test_a", "test_c")


@pytest.mark.parametrize("language", SOURCES)
def test_adding_twice_says_nothing_twice(tmp_path: Path, language: str) -> None:
    _, first = made(tmp_path, language, ANSWERS[language])
    place, again = made(tmp_path, language, ANSWERS[language], first.text)
    assert "already" in again.problem
    changed = ANSWERS[language].replace("1)", "2)").replace("[1]", "[2]").replace("nil", "[]int{}")
    _, third = made(tmp_path, language, changed, first.text)
    assert third.problem == ""
    assert not broken_at(find_language(language), third.text.encode())
    lines = [line for line in third.text.split("\n") if line.strip().startswith(("import", "from", "use", "package"))]
    assert len(lines) == len(set(lines))
    assert place.file.is_relative_to(tmp_path)


HELPED = {
    "python": "def two():\n    return one() * {}\n\ndef one():\n    return 1\n\ndef unused():\n    return 0\n\n"
    "def test_two():\n    assert total([two()]) == two()\n",
    "go": "func two() int {{\n\treturn one() * {}\n}}\n\nfunc one() int {{\n\treturn 1\n}}\n\nfunc unused() {{}}\n\n"
    "func TestTwo(t *testing.T) {{\n\tif Total([]int{{two()}}) != 1 {{\n\t\tt.Fail()\n\t}}\n}}\n",
    "typescript": "function two() {{\n  return one() * {};\n}}\n\nfunction one() {{\n  return 1;\n}}\n\n"
    'function unused() {{}}\n\ntest("two", () => {{\n  expect(total([two()])).toBe(1);\n}});\n',
    "rust": "fn two() -> i32 {{\n    one() * {}\n}}\n\nfn one() -> i32 {{\n    1\n}}\n\nfn unused() {{}}\n\n"
    "#[test]\nfn counts_two() {{\n    assert_eq!(total(&[two()]), 1);\n}}\n",
}


@pytest.mark.parametrize("language", HELPED)
def test_helpers_of_helpers_come_along_and_nothing_is_defined_twice(tmp_path: Path, language: str) -> None:
    (tmp_path / "package.json").write_text('{"devDependencies": {"vitest": "1"}}')
    _, first = made(tmp_path, language, HELPED[language].format(2))
    assert first.problem == ""
    assert "one()" in first.text
    assert "unused" not in first.text
    _, second = made(tmp_path, language, HELPED[language].format(3), first.text)
    assert second.problem == ""
    found = [one.name for one in definitions(find_language(language), second.text.encode())]
    assert {"two", "two_2", "one"} <= set(found)
    assert len(found) == len(set(found))
    assert len(re.findall(r"\btwo_2\(\)", second.text)) == (3 if language == "python" else 2)


WRITTEN = {
    "function": ANSWERS["python"],
    "parametrized": "```python\nimport pytest\nfrom shop import total\n\n@pytest.mark.parametrize('a', [[1], []])\ndef test_it(a):\n    assert total(a) >= 0\n```",
    "bare": "assert total([1]) == 1\nassert total([]) == 0",
    "unittest": "import unittest\nfrom shop import total\n\nclass TotalTest(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(total([]), 0)\n\nif __name__ == '__main__':\n    unittest.main()",
    "helper": "Tests:\n\n```python\nhelper = [1, 2]\n\ndef test_helper():\n    assert total(helper) == 3\n```\n\nThese cover the basics.",
}


def test_pytest_collects_what_was_generated(tmp_path: Path) -> None:
    """Each answer in a project of its own, and one pytest for them all."""
    language = find_language("python")
    files = []
    for name, answer in WRITTEN.items():
        folder = tmp_path / name
        folder.mkdir()
        source = "def total(a):\n    return sum(a)\n"
        (folder / "shop.py").write_text(source)
        target = definitions(language, source.encode())[0]
        place = find_place(folder / "shop.py", language, target, [folder])
        found = read_tests(answer, "", place, language, target, source)
        assert found.problem == ""
        place.file.parent.mkdir()
        place.file.write_text(found.text)
        files.append(place.file.relative_to(tmp_path).as_posix())
    options = ["-rA", "-p", "no:cacheprovider", "-n", "0", "--rootdir", ".", "--import-mode", "importlib"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *files],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "function"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert [file for file in files if f"PASSED {file}::" not in done.stdout] == [], done.stdout


def test_the_framework_is_the_projects(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_other.py").write_text("import unittest\nclass A(unittest.TestCase): pass\n")
    assert made(tmp_path, "python", "")[0].framework == "unittest"
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    assert made(tmp_path, "python", "")[0].framework == "pytest"
    for package, framework in (
        ("{}", "node:test"),
        ('\ufeff{"devDependencies": {"vitest": "1"}}', "vitest"),
        ('{"scripts": {"test": "jest"}}', "jest"),
    ):
        (tmp_path / "package.json").write_text(package)
        assert made(tmp_path, "typescript", "")[0].framework == framework


def test_a_test_folder_that_leads_out_of_the_workspace_is_refused(tmp_path: Path) -> None:
    root, outside = tmp_path / "w", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "tests").symlink_to(outside)
    with pytest.raises(PlaceError, match="outside the workspace"):
        made(root, "python", ANSWERS["python"])


def test_a_module_that_no_file_can_be_named_after_is_not_imported(tmp_path: Path) -> None:
    found = made(tmp_path, "python", f"import {'a' * 300}\n{ANSWERS['python']}assert {'a' * 300}\n")[1]
    assert found.names == ("test_total",)
    assert "aaa" not in found.text


@pytest.mark.parametrize("answer", ["", "No.", "def test_total(:", "```python\nprint(total([1]))\n```"])
def test_an_answer_without_tests_is_none(tmp_path: Path, answer: str) -> None:
    assert made(tmp_path, "python", answer)[1].problem


@pytest.mark.parametrize(
    ("language", "answer"),
    [
        ("python", "def test_total():\n    total([1])\n"),
        ("python", "def test_total():\n    assert 1 + 1 == 2  # total\n"),
        ("typescript", 'test("total() adds", () => {\n  expect(1).toBe(1);\n});\n'),
        ("go", "func TestTotal(t *testing.T) {\n\tTotal(nil)\n}\n"),
        ("rust", "#[test]\nfn total() {\n    assert_eq!(1, 1);\n}\n"),
        (
            "java",
            "class ShopTest {\n    @Test\n    void total(int n) throws IOException {\n        // TODO\n    }\n}\n",
        ),
    ],
)
def test_a_test_that_checks_nothing_of_the_code_is_none(tmp_path: Path, language: str, answer: str) -> None:
    assert "checks `" in made(tmp_path, language, answer)[1].problem


@pytest.mark.parametrize("language", ["python", "typescript", "rust"])
def test_a_comment_with_an_apostrophe_and_backslashes_is_read(tmp_path: Path, language: str) -> None:
    """Where one text can be read in two ways at each backslash, reading it takes longer than anybody waits."""
    sign = "#" if language == "python" else "//"
    comment = f"{sign} It isn't {chr(92) + '/'}" + (chr(92) + "/") * 60
    line = next(line for line in ANSWERS[language].split("\n") if "assert" in line or "expect" in line)
    answer = ANSWERS[language].replace(line, f"{line}  {comment}")
    assert made(tmp_path, language, answer)[1].problem == ""


MARKED = {
    "python": "import os\r\nhere = os.getcwd()\n",
    "typescript": 'import a from "./a";\r\ntest("a", a);\n',
    "go": 'package shop\r\n\nimport "testing"\n\nfunc TestA(t *testing.T) {}\n',
    "rust": "pub fn total(a: &[i32]) -> usize {\r\n    a.len()\n}\n",
    "java": "package x;\r\n\nclass ShopTest {\n    int a;\n}\n",
}


@pytest.mark.parametrize("language", MARKED)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_mark_and_mixed_line_ends_stay(tmp_path: Path, language: str, mark: str) -> None:
    """What is there stays to the byte, and what is new has the line ends of most lines."""
    existing = mark + MARKED[language]
    found = made(tmp_path, language, ANSWERS[language], existing)[1]
    assert found.problem == ""
    assert found.text.count("\r\n") == 1
    assert found.text.count("\ufeff") == len(mark)
    left = iter(found.text)
    assert all(letter in left for letter in existing)  # in this order


RUST_IN = SOURCES["rust"][1]
WAYS = {
    "a string like the end": (
        "python",
        'S = """\nif __name__ == "__main__":\n    pass\n"""\n',
        'from pack.shop import total\n\nS = """\nif __name__ == "__main__":\n    pass\n"""\n\n\n$\n',
    ),
    "a comment above the end": (
        "python",
        'import os\n\n# Run.\nif __name__ == "__main__":\n    pass\n',
        'import os\nfrom pack.shop import total\n\n\n$\n\n\n# Run.\nif __name__ == "__main__":\n    pass\n',
    ),
    "a comment behind an import": (
        "python",
        "import os  # noqa: F401\n",
        "import os  # noqa: F401\nfrom pack.shop import total\n\n\n$\n",
    ),
    "a first line for the system": (
        "python",
        "#!/usr/bin/env python\n# coding: utf-8\n\na = 1\n",
        "#!/usr/bin/env python\n# coding: utf-8\n\nfrom pack.shop import total\n\na = 1\n\n\n$\n",
    ),
    "a comment above the docstring": (
        "python",
        '# ours\n"""Doc."""\n\na = 1\n',
        '# ours\n"""Doc."""\n\nfrom pack.shop import total\n\na = 1\n\n\n$\n',
    ),
    "a module in a file": ("rust", "#[cfg(test)]\nmod tests;\n", "#[cfg(test)]\nmod tests;\n\n#[cfg(test)]\nmod tests_2 {\n    use super::*;\n\n$\n}\n"),
    "a module in a comment": ("rust", "// #[cfg(test)] mod tests {\n// }\n", "// #[cfg(test)] mod tests {\n// }\n\n#[cfg(test)]\nmod tests {\n    use super::*;\n\n$\n}\n"),
    "a module of a module": ("rust", "mod a {\n    #[cfg(test)]\n    mod tests {}\n}\n", "mod a {\n    #[cfg(test)]\n    mod tests {}\n}\n\n#[cfg(test)]\nmod tests {\n    use super::*;\n\n$\n}\n"),
    "a module without what is outside": ("rust", "#[cfg(test)]\n#[rustfmt::skip]\nmod tests {\n    fn a() {}\n}\n", "#[cfg(test)]\n#[rustfmt::skip]\nmod tests {\n    use super::*;\n\n    fn a() {}\n\n$\n}\n"),
    "a class behind it": ("java", "class ShopTest {\n    int a;\n}\n\nclass More {}\n", "class ShopTest {\n    int a;\n\n$\n}\n\nclass More {}\n"),
    "no class": ("java", "package x;\n\n// class } of ours\n", "class } of ours\n\nclass ShopTest {\n$\n}\n"),
    "a brace behind it": ("java", "class ShopTest {\n    int a;\n} // {}\n", "class ShopTest {\n    int a;\n\n$\n} // {}\n"),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_the_place_in_a_file_written_in_another_way(tmp_path: Path, way: str) -> None:
    language, before, after = WAYS[way]
    test = {
        "python": "def test_total():\n    assert total([1]) == 1",
        "rust": "    #[test]\n    fn counts() {\n        assert_eq!(total(&[1]), 1);\n    }",
        "java": "    @Test\n    void adds() {\n        assertEquals(1, new Shop().total(1));\n    }",
    }[language]
    found = made(tmp_path, language, ANSWERS[language], (RUST_IN + "\n" if language == "rust" else "") + before)[1]
    assert found.problem == ""
    text = found.text.removeprefix(RUST_IN + "\n")
    assert text[text.index("class ") if language == "java" else 0 :] == after.replace("$", test)


@pytest.mark.parametrize(
    ("language", "answer", "renamed"),
    [
        ("typescript", 'test("test", () => {\n  expect(total([$])).toBe(1);\n});\n', 'test("test_2", () => {'),
        ("rust", "#[test]\nfn test() {\n    assert_eq!(total(&[$]), 1);\n}\n", "    #[test]\n    fn test_2() {"),
        ("java", "class A {\n    @Test\n    void total() {\n        assertEquals($, new Shop().total(1));\n    }\n}\n", "void total_2() {"),
    ],
)  # fmt: skip
def test_the_name_of_a_test_is_not_its_other_words(tmp_path: Path, language: str, answer: str, renamed: str) -> None:
    first = made(tmp_path, language, answer.replace("$", "1"))[1]
    second = made(tmp_path, language, answer.replace("$", "2"), first.text)[1]
    assert second.problem == ""
    assert renamed in second.text
    assert "test_2(" not in second.text.replace("fn test_2(", "")


@pytest.mark.parametrize(
    ("language", "value"),
    [
        ("typescript", "const values = [1];\n\n"),
        ("go", "var values = []int{1}\n\n"),
        ("go", "type values []int\n\n"),
    ],
)
def test_values_and_types_come_along_as_helpers_do(tmp_path: Path, language: str, value: str) -> None:
    test = {
        "typescript": 'test("it", () => {\n  expect(total(values)).toBe(1);\n});\n',
        "go": "func TestIt(t *testing.T) {\n\tif Total(values) != 1 {\n\t\tt.Fail()\n\t}\n}\n",
    }[language]
    first = made(tmp_path, language, value + test)[1]
    assert f"\n{value}" in first.text
    second = made(tmp_path, language, value.replace("1", "2").replace("[]int\n", "[]int8\n") + test, first.text)[1]
    assert "values_2" in second.text
    assert "total(values_2)" in second.text.replace("Total", "total")


@pytest.mark.parametrize("value", ["-" * 50_000 + "1", "1+" * 50_000 + "1", "'\ud800'", "(" * 5000 + "1" + ")" * 5000])
def test_what_python_cannot_read_is_no_test(tmp_path: Path, value: str) -> None:
    assert (
        "do not parse" in made(tmp_path, "python", f"def test_total():\n    assert total([1]) == {value}\n")[1].problem
    )


def test_the_command_runs_just_these_tests(tmp_path: Path) -> None:
    place, found = made(tmp_path, "python", ANSWERS["python"])
    assert place.run_command(found.names)[1:] == ["-m", "pytest", "-q", "tests/test_shop.py::test_total"]
    place, found = made(tmp_path, "go", ANSWERS["go"])
    assert place.run_command(found.names) == ["go", "test", "-run", "^(TestTotal)$", "./shop"]


RUNNERS = {
    "pytest": ("python", {"pytest.ini": ""}, ["-q", "tests/test_shop.py::a", "tests/test_shop.py::b"]),
    "unittest": (
        "python",
        {"tests/test_x.py": "from unittest import TestCase\nclass A(TestCase): pass\n"},
        ["-v", "tests.test_shop.a", "tests.test_shop.b"],
    ),
    "vitest": ("typescript", {"package.json": '{"scripts": {"test": "vitest"}}'}, ["src/shop.test.ts", "-t", "a|b"]),
    "jest": ("typescript", {"package.json": '{"scripts": {"test": "jest"}}'}, ["src/shop.test.ts", "-t", "a|b"]),
    "node": ("typescript", {"package.json": "{}"}, ["--test", "--test-name-pattern", "a|b", "src/shop.test.ts"]),
    "cargo": ("rust", {}, ["--offline", "--", "a", "b"]),
    "gradle": ("java", {"build.gradle": ""}, ["test", "--tests=ShopTest.a", "--tests=ShopTest.b"]),
    "maven": ("java", {"pom.xml": ""}, ["-Dtest=ShopTest#a+b", "test"]),
}


@pytest.mark.parametrize("runner", RUNNERS)
def test_every_runner_is_told_which_tests(tmp_path: Path, runner: str) -> None:
    language, files, end = RUNNERS[runner]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    place, _ = made(tmp_path, language, ANSWERS[language])
    assert place.run_command(["a", "b"])[-len(end) :] == end
    if "a|b" in end:
        assert r"adds\ \(1\)\." in place.run_command(["adds (1)."])


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
async def test_just_these_tests_run_and_none_is_no_pass(tmp_path: Path) -> None:
    (tmp_path / "shop.js").write_text("exports.total = (a) => a.length;\n")
    language = find_language("javascript")
    source = (tmp_path / "shop.js").read_text()
    (target,) = definitions(language, b"function total(a) {}\n")
    place = find_place(tmp_path / "shop.js", language, target, [tmp_path])
    text = 'const { test } = require("node:test");\ntest("old", () => { throw 1; });\ntest("new (1)", () => {});\n'
    place.file.write_text(text + source)
    found = await run_tests(place.run_command(["new (1)"]), tmp_path, 60)
    assert ": the tests passed" in found
    found = await run_tests(place.run_command(["missing"]), tmp_path, 60)
    assert ": no tests ran" in found
    assert ": ended with status" in await run_tests(place.run_command(["old"]), tmp_path, 60)


@pytest.mark.parametrize(
    ("output", "ran"),
    [
        ("running 0 tests\n\ntest result: ok. 0 passed; 0 failed", False),
        ("running 0 tests\nrunning 2 tests\ntest result: ok. 2 passed", True),
        ("ok  \tx/shop\t0.002s [no tests to run]", False),
        ("ok  \tx/shop\t0.002s", True),
        ("Ran 0 tests in 0.000s\n\nOK", False),
        ("# tests 2\n# pass 0\n# skipped 2", False),
        ("Tests:       3 skipped, 3 total", False),
        ("Tests:       2 skipped, 10 passed, 12 total", True),
        ("", True),
    ],
)
async def test_no_tests_is_no_pass(tmp_path: Path, output: str, ran: bool) -> None:
    found = await run_tests([sys.executable, "-c", f"print({output!r})"], tmp_path, 30)
    assert (": the tests passed" in found) == ran
    assert (": no tests ran" in found) != ran


IMPORTING = "import math\nfrom os import path as where\nfrom .rates import RATE\n\nLIMIT = 3\n\n\ndef total(a):\n    return sum(a)\n"


@pytest.mark.parametrize(
    ("test", "imports"),
    [
        ("assert total([math.inf]) == math.inf", ["import math"]),
        ("assert total([LIMIT, RATE]) == 3", ["from pack.shop import RATE", "from pack.shop import LIMIT"]),
        ("assert total([len(where.sep)]) == 1", ["from os import path as where"]),
        ("one = 1\n    assert total([one]) == 1", []),
    ],
)
def test_what_the_file_under_test_has_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, test: str, imports: list[str]
) -> None:
    monkeypatch.setitem(SOURCES, "python", ("pack/shop.py", IMPORTING))
    _, found = made(tmp_path, "python", f"def test_total():\n    {test}\n")
    assert found.names == ("test_total",)
    lines = [line for line in found.text.splitlines() if line.startswith(("import ", "from "))]
    assert sorted(lines) == sorted([*imports, "from pack.shop import total"])


def test_a_test_that_uses_what_is_defined_nowhere_is_left_out(tmp_path: Path) -> None:
    good = "def test_one():\n    assert total([1]) == 1\n"
    bad = "def test_two():\n    assert total([2]) == cls.limit\n"
    _, found = made(tmp_path, "python", f"{good}\n\n{bad}")
    assert found.names == ("test_one",)
    _, found = made(tmp_path, "python", bad)
    assert (found.text, found.problem) == ("", "the tests use `cls`, which is defined nowhere")


def test_what_an_existing_file_lacks_is_not_the_answers_fault(tmp_path: Path) -> None:
    _, found = made(tmp_path, "python", "def test_one():\n    assert total([1]) == 1\n", "print(unknown)\n")
    assert found.names == ("test_one",)


@pytest.mark.parametrize(
    "good",
    [
        "def test_a():\n    assert total([1]) == 1, 'missing value'\n",
        "def test_a():\n    missing = [1]\n    assert total(missing) == 1\n",
        "def test_a():\n    assert total(dict(missing=1).values()) == 1\n",
    ],
)
def test_a_good_test_stays_beside_one_with_the_same_word(tmp_path: Path, good: str) -> None:
    _, found = made(tmp_path, "python", f"{good}\n\ndef test_b():\n    assert total(missing) == 1\n")
    assert found.names == ("test_a",)


def test_of_a_class_the_good_methods_stay(tmp_path: Path) -> None:
    body = "    def test_a(self):\n        assert total([1]) == 1\n\n    def test_b(self):\n        assert total(missing)\n"
    _, found = made(tmp_path, "python", f"class TestTotal:\n{body}")
    assert found.names == ("TestTotal",)
    assert "def test_a" in found.text
    assert "test_b" not in found.text


def test_what_an_own_test_needs_goes_with_it(tmp_path: Path) -> None:
    answer = "def test_a():\n    assert total(missing)\n\n\ndef test_b():\n    test_a()\n    assert total([1]) == 1\n"
    _, found = made(tmp_path, "python", answer)
    assert found.problem == "the tests use `missing`, which is defined nowhere"


def test_the_users_own_tests_get_no_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "import decimal\nimport re\n\n\ndef total(a):\n    return sum(a)\n"
    monkeypatch.setitem(SOURCES, "python", ("pack/shop.py", source))
    answer = "def test_new():\n    assert total([len(re.findall('a', 'a'))]) == 1\n"
    _, found = made(tmp_path, "python", answer, "def test_old():\n    assert decimal\n")
    assert "import re" in found.text
    assert "import decimal" not in found.text


def test_what_stands_under_try_and_if_is_imported_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = "try:\n    import math\nexcept ImportError:\n    math = None\nLOW, HIGH = 1, 2\n\n\ndef total(a):\n    return 0\n"
    monkeypatch.setitem(SOURCES, "python", ("pack/shop.py", source))
    _, found = made(tmp_path, "python", "def test_new():\n    assert total([math.pi, HIGH]) == LOW\n")
    assert {"import math", "from pack.shop import HIGH", "from pack.shop import LOW"} <= set(found.text.split("\n"))
