"""Extracts the tests from a model's answer, and chooses the names under which they are added to a test file."""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from bisect import bisect_left
from dataclasses import replace
from pathlib import Path

from lsp_server.core.edits import Replacement, applied, minimal_edits
from lsp_server.core.languages import Language
from lsp_server.core.outline import Definition, broken_at, definitions, top_level
from lsp_server.features.actions.generated_tests.c_tests import add_c_tests
from lsp_server.features.actions.generated_tests.needed_names import complete
from lsp_server.features.actions.generated_tests.place import Place
from lsp_server.features.actions.generated_tests.testfile import joined
from lsp_server.features.actions.generated_tests.testparts import (
    ALREADY,
    NewTests,
    Parts,
    checks_target,
    fresh_name,
    leave_out_known,
    used_helpers,
    without_equal_tests,
    without_repeated_checks,
)
from lsp_server.features.actions.readings import candidates
from lsp_server.features.untrusted_files import is_file

_TEST_CALL = re.compile(r"^(describe|it|test|suite)(\.\w+)*\s*\(")
# The checks in a test, in all frameworks.
_CHECK = re.compile(
    r"(?i)assert|\bexpect|raises|throws?\(|\.(?:Error|Fatal|Fail)|should_panic|panic!|\bverify|\bfail\("
)
_MOST_BYTES = 200_000
_MARK = "\ufeff"  # the byte order mark of UTF-8 texts from Windows


def read_tests(
    answer: str, existing: str, place: Place, language: Language, target: Definition, source: str
) -> NewTests:
    """The test file with the answer's tests. existing: its current text; empty for a new file. source: the file under
    test, which for Rust is the test file as well. Text of the answer about other files is not used."""
    add = add_c_tests if language.name in {"C", "C++"} else _add
    old, code = (text.removeprefix(_MARK).replace("\r\n", "\n") for text in (existing, source))
    problem = ""
    for candidate in candidates(answer)[:8]:
        if len(candidate) > _MOST_BYTES:
            return NewTests(problem=f"the answer has {len(candidate)} characters")
        try:
            found = add(without_repeated_checks(candidate), old, place, language, target, code)
        except SyntaxError as error:
            problem = problem or f"the tests do not parse (line {error.lineno}: {error.msg})"
            continue
        if found.text or found.problem == ALREADY:
            return replace(found, text=_with_line_ends(found.text, old, existing, source) if found.text else "")
        problem = problem or found.problem
    return NewTests(problem=problem or "there are no tests in the answer")


def _with_line_ends(text: str, old: str, existing: str, source: str) -> str:
    """`text`, which was made from `old`, with the line endings and byte order mark of `existing`. A new file gets the
    line endings of `source`."""
    before = (existing if old.strip() else source).encode()
    newline = b"\r\n" if 2 * before.count(b"\r\n") > before.count(b"\n") else b"\n"
    if not old.strip():
        return text.replace("\n", newline.decode())
    plain = before.removeprefix(_MARK.encode())
    # The offsets in `old` of line endings that had two bytes in `existing`.
    ends = [found.start() - number for number, found in enumerate(re.finditer(b"\r\n", plain))]
    edits = [
        Replacement(
            edit.start + bisect_left(ends, edit.start),
            edit.end + bisect_left(ends, edit.end),
            edit.text.replace(b"\n", newline),
        )
        for edit in minimal_edits(old.encode(), text.encode())
    ]
    return before[: len(before) - len(plain)].decode() + applied(plain, edits).decode()


def _add(text: str, existing: str, place: Place, language: Language, target: Definition, source: str) -> NewTests:
    """The file with the tests from one reading of an answer. Raises SyntaxError."""
    parts = _parts(text, language, target, place)
    if not parts.tests:
        return NewTests()
    parts.tests = without_equal_tests(parts.tests)
    parts.tests = [test for test in parts.tests if checks_target(test, parts.helpers, target, _CHECK)]
    if not parts.tests:
        return NewTests(problem=f"no test in the answer checks `{target.name}`")
    _rename_taken(parts, existing, language)
    if not parts.tests:
        return NewTests(problem=ALREADY)
    if language.name == "Python":

        def join(some: Parts, whole: bool) -> str:
            return joined(some, existing if whole else "", place, language, source)

        if name := complete(parts, place.imports, source, join):
            return NewTests(problem=f"the tests use `{name}`, which is defined nowhere")
    text = joined(parts, existing, place, language, source)
    if len(broken_at(language, text.encode())) > len(broken_at(language, existing.encode())):
        return NewTests(problem="the test file would not parse")
    return NewTests(text, tuple(name for name, _ in parts.tests))


def _parts(text: str, language: Language, target: Definition, place: Place) -> Parts:
    if language.name == "Python":
        return _python_parts(text, target, place)
    if language.name in {"JavaScript", "TypeScript", "TSX"}:
        return _script_parts(text, language, target)
    return _compiled_parts(text, language, target)


# Python ---------------------------------------------------------------------------------------------------


def _python_parts(text: str, target: Definition, place: Place) -> Parts:
    """Raises SyntaxError."""
    try:
        tree = ast.parse(textwrap.dedent(text))
    except (ValueError, RecursionError, MemoryError):  # invalid characters, or nested too deeply
        raise SyntaxError("the code cannot be read", ("", 1, 1, "")) from None
    lines = textwrap.dedent(text).split("\n")
    parts = Parts()
    loose: list[str] = []
    under_test = {target.name, *target.parents}
    for node in tree.body:
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
        code = "\n".join(lines[first - 1 : node.end_lineno])
        if isinstance(node, ast.Import | ast.ImportFrom):
            if _is_real_import(node, under_test, place):
                parts.imports.append(ast.unparse(node))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            is_test = node.name.startswith("test") or (isinstance(node, ast.ClassDef) and _holds_tests(node))
            if is_test and (isinstance(node, ast.ClassDef) or node.name.startswith("test_") or node.name == "test"):
                parts.tests.append((node.name, code))
            elif node.name not in under_test:
                parts.helpers.append((node.name, code))
        elif isinstance(node, ast.Assign) and all(isinstance(each, ast.Name) for each in node.targets):
            parts.helpers.append((ast.unparse(node.targets[0]), code))
        elif isinstance(node, ast.Assert):
            loose.append(code)
    if loose and not parts.tests:  # asserts outside any function
        body = "\n".join(textwrap.indent(code, "    ") for code in loose)
        name = f"test_{target.name.strip('_')}"
        parts.tests.append((name, f"def {name}():\n{body}"))
    if any("pytest." in code for _, code in [*parts.helpers, *parts.tests]):
        parts.imports.append("import pytest")
    if any("unittest." in code for _, code in parts.tests):
        parts.imports.append("import unittest")
    used = "\n".join(code for _, code in parts.tests)
    parts.helpers = used_helpers(parts.helpers, used)
    used += "\n".join(code for _, code in parts.helpers)
    parts.imports = [line for line in dict.fromkeys(parts.imports) if _import_is_used(line, used)]
    return parts


def _holds_tests(node: ast.ClassDef) -> bool:
    return any(isinstance(each, ast.FunctionDef) and each.name.startswith("test") for each in node.body)


def _is_real_import(node: ast.Import | ast.ImportFrom, under_test: set[str], place: Place) -> bool:
    """Whether an import is safe to add: of the standard library, of pytest, or of a module in the project. The code
    under test is imported by our own line."""
    if isinstance(node, ast.ImportFrom):
        if node.level or any(alias.name in under_test or alias.name == "*" for alias in node.names):
            return False
        modules = [node.module or ""]
    else:
        modules = [alias.name for alias in node.names]
    return all(_exists(module, place.root) for module in modules)


def _exists(module: str, root: Path) -> bool:
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top == "pytest":
        return True
    path = Path(*module.split("."))
    return any(
        is_file((base / path).with_suffix(".py")) or is_file(base / path / "__init__.py")
        for base in (root, root / "src")
    )


def _import_is_used(line: str, text: str) -> bool:
    node = ast.parse(line).body[0]
    assert isinstance(node, ast.Import | ast.ImportFrom)
    names = [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    return any(re.search(rf"\b{re.escape(name)}\b", text) for name in names)


# Other languages ------------------------------------------------------------------------------------------


def _script_parts(text: str, language: Language, target: Definition) -> Parts:
    source = text.encode("utf-8", "replace")
    if broken_at(language, source):
        raise SyntaxError("the code is broken", (None, 1, 1, ""))
    parts = Parts()
    named = {one.start: one.name for one in definitions(language, source)}
    for kind, start, end in top_level(language, source):
        code = source[start:end].decode("utf-8", "replace")
        if kind == "expression_statement":
            if _TEST_CALL.match(code):
                title = re.search(r"\(\s*(['\"`])(.*?)\1", code)
                parts.tests.append((title[2] if title else code[:40], code))
        elif kind == "lexical_declaration" and start not in named and "require(" not in code:
            variable = re.match(r"\w+\s+(\w+)", code)
            if variable and variable[1] != target.name:
                parts.helpers.append((variable[1], code))
        elif start in named and named[start] not in {target.name, *target.parents}:
            parts.helpers.append((named[start], code))
    parts.helpers = used_helpers(parts.helpers, "\n".join(code for _, code in parts.tests))
    return parts


def _compiled_parts(text: str, language: Language, target: Definition) -> Parts:
    """Go, Rust and Java: test functions, recognised by their names or attributes."""
    source = text.encode("utf-8", "replace")
    errors = broken_at(language, source)
    found = [
        one
        for one in definitions(language, source)
        if one.kind == "function" and not any(a < one.end and one.start <= b for a, b in errors)
    ]
    parts = Parts()
    for one in found:
        first = source.rfind(b"\n", 0, one.start) + 1
        lead = source[first : one.start].decode("utf-8", "replace")
        lead = lead if not lead.strip() else ""
        code = textwrap.dedent(lead + source[one.start : one.end].decode("utf-8", "replace"))
        head = code[: one.header_end - one.start + len(lead)]
        if language.name == "Go":
            is_test = bool(re.match(r"func\s+Test\w*\(\s*\w+\s+\*testing\.T\s*\)", code))
        else:
            is_test = bool(re.search(r"#\[(\w+::)?test\]|@(Parameterized)?Test\b", head))
        if is_test:
            parts.tests.append((one.name, code))
        elif one.name not in {target.name, *target.parents, "main", "setUp"}:
            parts.helpers.append((one.name, code))
    if language.name == "Go":
        for _, start, end in top_level(language, source):
            code = source[start:end].decode("utf-8", "replace")
            value = re.match(r"(?:type|var|const)\s+(\w+)", code)
            if value and not any(a < end and start <= b for a, b in errors):
                parts.helpers.append((value[1], code))
    used = "\n".join(code for _, code in parts.tests)
    parts.helpers = used_helpers(parts.helpers, used)
    used += "\n".join(code for _, code in parts.helpers)
    if language.name == "Go":
        paths = re.findall(r'^[ \t]*(?:import[ \t]+)?"([\w./-]+)"[ \t]*$', text, re.MULTILINE)
        names = (path for path in paths if re.search(rf"\b{re.escape(path.rpartition('/')[2])}\.", used))
        parts.imports = [f'import "{path}"' for path in dict.fromkeys(names) if path != "testing"]
    elif language.name == "Java":
        listed = re.findall(r"^[ \t]*(import (?:static )?java[\w.*]+;)", text, re.MULTILINE)
        parts.imports = list(dict.fromkeys(listed))
    else:
        listed = re.findall(r"^[ \t]*(use (?:std|core|alloc)::[^;]+;)", text, re.MULTILINE)
        parts.imports = list(dict.fromkeys(listed))
    return parts


# Names ----------------------------------------------------------------------------------------------------


def _rename_taken(parts: Parts, existing: str, language: Language) -> None:
    """Drops parts that the file has already, and renames tests and helpers whose names are taken."""
    defined = {one.name for one in definitions(language, existing.encode("utf-8", "replace"))}
    values = re.findall(r"^(?:(?:const|let|var)\s+(\w+)|(\w+)\s*=)", existing, re.MULTILINE)
    leave_out_known(parts, existing, defined | {one or other for one, other in values})
    kept: list[tuple[str, str]] = []
    taken = set(re.findall(r"\w+", existing))
    for name, code in parts.tests:
        fresh = fresh_name(name, taken) if name.isidentifier() and name in taken else name
        taken.add(fresh)
        if fresh != name:  # renames the definition or the title, but not `#[test]` or `test(`
            code = re.sub(rf"(?<=['\"`\s]){name}(?=['\"`]|\s*[(<:])", fresh, code, count=1)  # noqa: PLW2901
        kept.append((fresh, code))
    parts.tests = kept
