"""Test files: the tests in a model's answer, put into a new file or added to one without saying things twice."""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lsp_server.core.languages import Language
from lsp_server.core.outline import Definition, broken_at, definitions, top_level
from lsp_server.features.actions.answer import candidates
from lsp_server.features.actions.places import Place

_TEST_CALL = re.compile(r"^(describe|it|test|suite)(\.\w+)*\s*\(")
# What a test checks with, in any of the frameworks.
_CHECK = re.compile(
    r"(?i)assert|\bexpect|raises|throws?\(|\.(?:Error|Fatal|Fail)|should_panic|panic!|\bverify|\bfail\("
)
_COMMENT = re.compile(r"(?m)(?:^|\s)(?://|# ).*$")
_STRING = re.compile(r"""(['"`])(?:\\.|(?!\1).)*\1""")
_MOST_BYTES = 200_000


@dataclass(frozen=True, slots=True)
class NewTests:
    """text: the whole file afterwards. names: of the tests in it that are new. problem: why there is none."""

    text: str = ""
    names: tuple[str, ...] = ()
    problem: str = ""


@dataclass(slots=True)
class _Parts:
    """An answer's parts: import lines, helpers, tests by name in order."""

    imports: list[str]
    helpers: list[tuple[str, str]]
    tests: list[tuple[str, str]]


def read_tests(
    answer: str, existing: str, place: Place, language: Language, target: Definition, source: str
) -> NewTests:
    """The test file with the answer's tests. existing: its text now, empty for a new one. source: the file under
    test, which for Rust is the test file as well. What the answer says about other files is not used."""
    problem = "there are no tests in the answer"
    for candidate in candidates(answer)[:8]:
        if len(candidate) > _MOST_BYTES:
            return NewTests(problem=f"the answer has {len(candidate)} characters")
        try:
            parts = _parts(candidate, language, target, place)
        except SyntaxError as error:
            problem = f"the tests do not parse (line {error.lineno}: {error.msg})"
            continue
        if not parts.tests:
            continue
        parts.tests = [test for test in parts.tests if _tests(test, parts.helpers, target)]
        if not parts.tests:
            problem = f"no test in the answer checks `{target.name}`"
            continue
        newline = "\r\n" if "\r\n" in (existing or source) else "\n"
        old = existing.replace("\r\n", "\n")
        _rename_taken(parts, old)
        if not parts.tests:
            return NewTests(problem="the test file has these tests already")
        text = _joined(parts, old, place, language, source.replace("\r\n", "\n"))
        if len(broken_at(language, text.encode())) > len(broken_at(language, old.encode())):
            problem = "the test file would not parse"
            continue
        return NewTests(text.replace("\n", newline), tuple(name for name, _ in parts.tests))
    return NewTests(problem=problem)


def _tests(test: tuple[str, str], helpers: Iterable[tuple[str, str]], target: Definition) -> bool:
    """Whether a test checks something and uses what it is to test, by itself or through a helper."""
    name, code = test
    code = re.sub(rf"\b{re.escape(name)}\b", "", code, count=1)
    reached = "\n".join([code, *(body for helper, body in helpers if re.search(rf"\b{re.escape(helper)}\b", code))])
    reached = _COMMENT.sub("", _STRING.sub("", reached))
    words = set(re.findall(r"\w+", reached))
    wanted = {part for each in (target.name, *target.parents) for part in re.findall(r"\w+", each)[:1]}
    return bool(wanted & words) and bool(_CHECK.search(reached))


def _parts(text: str, language: Language, target: Definition, place: Place) -> _Parts:
    if language.name == "Python":
        return _python_parts(text, target, place)
    if language.name in {"JavaScript", "TypeScript", "TSX"}:
        return _script_parts(text, language, target)
    return _compiled_parts(text, language, target)


# Python ---------------------------------------------------------------------------------------------------


def _python_parts(text: str, target: Definition, place: Place) -> _Parts:
    """Raises SyntaxError."""
    tree = ast.parse(textwrap.dedent(text))
    lines = textwrap.dedent(text).split("\n")
    parts = _Parts([], [], [])
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
    if loose and not parts.tests:  # asserts without a function around them
        body = "\n".join(textwrap.indent(code, "    ") for code in loose)
        parts.tests.append((f"test_{target.name}", f"def test_{target.name.strip('_')}():\n{body}"))
        parts.tests = [(f"test_{target.name.strip('_')}", parts.tests[0][1])]
    if any("pytest." in code for _, code in [*parts.helpers, *parts.tests]):
        parts.imports.append("import pytest")
    if any("unittest." in code for _, code in parts.tests):
        parts.imports.append("import unittest")
    used = "\n".join(code for _, code in parts.tests)
    parts.helpers = [(name, code) for name, code in parts.helpers if re.search(rf"\b{re.escape(name)}\b", used)]
    used += "\n".join(code for _, code in parts.helpers)
    parts.imports = [line for line in dict.fromkeys(parts.imports) if _import_is_used(line, used)]
    return parts


def _holds_tests(node: ast.ClassDef) -> bool:
    return any(isinstance(each, ast.FunctionDef) and each.name.startswith("test") for each in node.body)


def _is_real_import(node: ast.Import | ast.ImportFrom, under_test: set[str], place: Place) -> bool:
    """Whether an import can be believed: of the standard library, of pytest, or of a module in the project. What
    is under test is imported by our own line."""
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
        (base / path).with_suffix(".py").is_file() or (base / path / "__init__.py").is_file()
        for base in (root, root / "src")
    )


def _import_is_used(line: str, text: str) -> bool:
    node = ast.parse(line).body[0]
    assert isinstance(node, ast.Import | ast.ImportFrom)
    names = [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    return any(re.search(rf"\b{re.escape(name)}\b", text) for name in names)


# Other languages ------------------------------------------------------------------------------------------


def _script_parts(text: str, language: Language, target: Definition) -> _Parts:
    source = text.encode("utf-8", "replace")
    if broken_at(language, source):
        raise SyntaxError("the code is broken", (None, 1, 1, ""))
    parts = _Parts([], [], [])
    named = {one.start: one.name for one in definitions(language, source)}
    for kind, start, end in top_level(language, source):
        code = source[start:end].decode("utf-8", "replace")
        if kind == "expression_statement":
            if _TEST_CALL.match(code):
                title = re.search(r"\(\s*(['\"`])(.*?)\1", code)
                parts.tests.append((title[2] if title else code[:40], code))
        elif start in named and named[start] not in {target.name, *target.parents}:
            parts.helpers.append((named[start], code))
    used = "\n".join(code for _, code in parts.tests)
    parts.helpers = [(name, code) for name, code in parts.helpers if re.search(rf"\b{re.escape(name)}\b", used)]
    return parts


def _compiled_parts(text: str, language: Language, target: Definition) -> _Parts:
    """Go, Rust and Java: test functions, known by their name or their attribute."""
    source = text.encode("utf-8", "replace")
    errors = broken_at(language, source)
    found = [
        one
        for one in definitions(language, source)
        if one.kind == "function" and not any(a < one.end and one.start <= b for a, b in errors)
    ]
    parts = _Parts([], [], [])
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
    used = "\n".join(code for _, code in parts.tests)
    parts.helpers = [(name, code) for name, code in parts.helpers if re.search(rf"\b{re.escape(name)}\s*\(", used)]
    used += "\n".join(code for _, code in parts.helpers)
    if language.name == "Go":
        paths = re.findall(r'^\s*(?:import\s+)?"([\w./-]+)"\s*$', text, re.MULTILINE)
        names = (path for path in paths if re.search(rf"\b{re.escape(path.rpartition('/')[2])}\.", used))
        parts.imports = [f'import "{path}"' for path in dict.fromkeys(names) if path != "testing"]
    elif language.name == "Java":
        listed = re.findall(r"^\s*(import (?:static )?java[\w.*]+;)", text, re.MULTILINE)
        parts.imports = list(dict.fromkeys(listed))
    else:
        listed = re.findall(r"^\s*(use (?:std|core|alloc)::[^;]+;)", text, re.MULTILINE)
        parts.imports = list(dict.fromkeys(listed))
    return parts


# Putting them together ------------------------------------------------------------------------------------


def _rename_taken(parts: _Parts, existing: str) -> None:
    """Leaves out what the file has already, and gives a new name to what shares one with something else."""
    squeezed = re.sub(r"\s+", "", existing)

    def is_there(code: str) -> bool:
        return re.sub(r"\s+", "", code) in squeezed

    parts.helpers = [(name, code) for name, code in parts.helpers if not is_there(code)]
    kept: list[tuple[str, str]] = []
    taken = set(re.findall(r"\w+", existing))
    for name, code in parts.tests:
        if is_there(code):
            continue
        fresh, number = name, 2
        while name.isidentifier() and fresh in taken:
            fresh, number = f"{name}_{number}", number + 1
        taken.add(fresh)
        kept.append((fresh, re.sub(rf"\b{re.escape(name)}\b", fresh, code, count=1) if fresh != name else code))
    parts.tests = kept


def _joined(parts: _Parts, existing: str, place: Place, language: Language, source: str) -> str:
    added = [code.strip("\n") for _, code in [*parts.helpers, *parts.tests]]
    if language.name == "Rust":
        return _rust_file(parts, existing, added, language)
    if language.name == "Java":
        return _java_file(parts, existing, added, place, source)
    gap = "\n\n\n" if language.name == "Python" else "\n\n"
    imports = _missing([*place.imports, *parts.imports], existing, place)
    if not existing.strip():
        head = ""
        if language.name == "Go":
            package = re.search(r"^package\s+(\w+)", source, re.MULTILINE)
            head = f"package {package[1] if package else 'main'}\n\n"
        ordered = _sorted_imports(imports) if language.name == "Python" else "\n".join(imports)
        return f"{head}{ordered}{gap}{gap.join(added)}\n"
    text = _with_imports(existing, imports, language)
    main = re.search(r"\n+if __name__ == ['\"]__main__['\"]:", text) if language.name == "Python" else None
    body, tail = (text[: main.start()], text[main.start() :].strip("\n")) if main else (text, "")
    return gap.join([body.rstrip("\n"), *added, *([tail] if tail else [])]) + "\n"


def _sorted_imports(imports: Iterable[str]) -> str:
    """Python's usual order: the standard library, others, the project's own (our line comes last)."""
    groups: list[list[str]] = [[], [], []]
    for line in imports:
        top = re.split(r"[\s.]+", line)[1]
        groups[0 if top in sys.stdlib_module_names else 1 if top == "pytest" else 2].append(line)
    return "\n\n".join("\n".join(sorted(group)) for group in groups if group)


def _missing(imports: Iterable[str], existing: str, place: Place) -> list[str]:
    """The import lines that a file does not have yet, in another wording neither."""
    squeezed = {re.sub(r"[\s;'\"]+", " ", line).strip() for line in existing.split("\n")}
    missing = []
    for line in dict.fromkeys(imports):
        match = re.match(r"from (\S+) import (\w+)$", line) or re.match(
            r"(?:import|const) (?:\{ )?(\w+)(?: \})? (?:from|=) ", line
        )
        name = match[match.lastindex or 1] if match else ""
        there = bool(name) and bool(re.search(rf"^\s*(?:from|import|const)\b.*\b{name}\b", existing, re.MULTILINE))
        framework = re.match(r'import "([\w/]+)"', line)
        there = there or bool(framework and f'"{framework[1]}"' in existing)
        there = (
            there
            or ("vitest" in line and "vitest" in existing)
            or ("node:" in line and line.split('"')[-2] in existing)
        )
        if not there and re.sub(r"[\s;'\"]+", " ", line).strip() not in squeezed:
            missing.append(line)
    return missing


def _with_imports(existing: str, imports: list[str], language: Language) -> str:
    if not imports:
        return existing
    source = existing.encode()
    kinds = language.imports | {"package_clause"}
    ends = [end for kind, _, end in top_level(language, source) if kind in kinds]
    ends += [
        end
        for kind, start, end in top_level(language, source)
        if kind == "lexical_declaration" and b"require(" in source[start:end]
    ]
    block = "\n".join(imports)
    if not ends:
        first = top_level(language, source)[:1]
        doc = first and language.name == "Python" and source[first[0][1] : first[0][1] + 3] in (b'"""', b"'''")
        if not doc:
            return f"{block}\n\n{existing}"
        ends = [first[0][2]]
        block = "\n" + block
    at = max(ends)
    return source[:at].decode() + "\n" + block + source[at:].decode()


def _rust_file(parts: _Parts, existing: str, added: list[str], language: Language) -> str:
    """Unit tests live in the file under test, in a module of their own at its end."""
    body = textwrap.indent("\n\n".join(added), "    ")
    found = re.search(r"#\[cfg\(test\)\]\s*mod\s+\w+\s*\{", existing)
    if found:
        source, inside = existing.encode(), len(existing[: found.end()].encode())
        ends = [end for _, start, end in top_level(language, source) if start < inside <= end]
        at = len(source[: ends[0]].decode()) if ends else len(existing.rstrip())
        more = [line for line in parts.imports if line not in existing]
        head = "".join(f"\n    {line}" for line in more)
        inner = existing[found.end() : at - 1].rstrip()
        return f"{existing[: found.end()]}{head}{inner}\n\n{body}\n{existing[at - 1 :]}"
    uses = "\n".join(f"    {line}" for line in ("use super::*;", *parts.imports))
    return f"{existing.rstrip()}\n\n#[cfg(test)]\nmod tests {{\n{uses}\n\n{body}\n}}\n"


def _java_file(parts: _Parts, existing: str, added: list[str], place: Place, source: str) -> str:
    body = textwrap.indent("\n\n".join(added), "    ")
    if existing.strip():
        at = existing.rstrip().rfind("}")
        text = f"{existing[:at].rstrip()}\n\n{body}\n{existing[at:]}"
        missing = [line for line in (*place.imports, *parts.imports) if line not in existing]
        found = re.search(r"^(package [^;]+;)", text, re.MULTILINE)
        if missing and found:
            block = "\n".join(missing)
            return f"{text[: found.end()]}\n\n{block}{text[found.end() :]}"
        return "\n".join([*missing, text]) if missing else text
    package = re.search(r"^package [^;]+;", source, re.MULTILINE)
    head = f"{package[0]}\n\n" if package else ""
    block = "\n".join(dict.fromkeys((*place.imports, *parts.imports)))
    return f"{head}{block}\n\nclass {place.file.stem} {{\n{body}\n}}\n"
