"""Adds the imports that generated Python tests lack, and leaves out tests that use a name which is defined nowhere.

A small model often tests with what the file under test imports or defines, and forgets to import it.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace

from lsp_server.core.names.undefined import undefined_in
from lsp_server.features.actions.generated_tests.testparts import Parts, used_helpers

# The import of the code under test, which the place of the tests brings along.
_OF_TARGET = re.compile(r"from (\S+) import \w+$")

# Makes the test file of some parts, with or without what is in the file already.
Join = Callable[[Parts, bool], str]


def complete(parts: Parts, imports: tuple[str, ...], source: str, join: Join) -> str:
    """Completes the parts of an answer. Returns the first name that is defined nowhere if no test is left without such
    a name; else an empty text.

    imports: the lines that import the code under test. source: the file under test. join: makes the test file; its
    second argument says whether what is in the file already is part of it.
    """
    missing = _missing(parts, join)
    if not missing:
        return ""
    offered = _offered(imports, source)
    parts.imports += [line for name in missing for line in offered.get(name, ())]
    tests, first = parts.tests, ""
    while True:
        # A test may use another one that stays.
        names = {name for name, _ in tests}
        kept = []
        for name, code in tests:
            left, undefined = _without_undefined(parts, name, code, names, join)
            first = first or undefined
            if left:
                kept.append((name, left))
        if kept == tests:
            break
        tests = kept
    if not tests:
        return first
    parts.tests = tests
    parts.helpers = used_helpers(parts.helpers, "\n".join(code for _, code in tests))
    return ""


def _missing(parts: Parts, join: Join) -> list[str]:
    """The undefined names that these parts use, and not only what is in the file already."""
    own = set(undefined_in(join(parts, False)))
    return [name for name in undefined_in(join(parts, True)) if name in own]


def _without_undefined(parts: Parts, name: str, code: str, known: set[str], join: Join) -> tuple[str, str]:
    """The code of a test, of a class without those methods that use an undefined name; empty if nothing is left. And
    the first such name."""

    def undefined(part: str) -> str:
        alone = replace(parts, helpers=used_helpers(parts.helpers, part), tests=[(name, part)])
        return next((each for each in _missing(alone, join) if each not in known), "")

    first = undefined(code)
    if not first:
        return code, ""
    methods = _test_methods(code)
    bad = [method for method in methods if undefined(_without(code, [other for other in methods if other != method]))]
    if not methods or len(bad) == len(methods):
        return "", first
    left = _without(code, bad)
    return ("" if undefined(left) else left), first


def _test_methods(code: str) -> list[tuple[int, int]]:
    """The lines of the tests in a class, from 0: the first of each, and that behind its last."""
    node = ast.parse(textwrap.dedent(code)).body[0]
    found = [each for each in getattr(node, "body", ()) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    tests = [each for each in found if each.name.startswith("test")] if isinstance(node, ast.ClassDef) else []
    firsts = [min([each.lineno, *(one.lineno for one in each.decorator_list)]) for each in tests]
    return [(first - 1, each.end_lineno or first) for first, each in zip(firsts, tests, strict=True)]


def _without(code: str, ranges: list[tuple[int, int]]) -> str:
    lines = code.split("\n")
    kept = [line for number, line in enumerate(lines) if not any(first <= number < end for first, end in ranges)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).rstrip("\n")


def _offered(imports: tuple[str, ...], source: str) -> dict[str, list[str]]:
    """The names that the file under test imports or defines at its top level, each with the lines that import it."""
    module = next((match[1] for line in imports if (match := _OF_TARGET.match(line))), "")
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    found: dict[str, list[str]] = {}
    for node in _statements(tree.body):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                if line := _import_of(node, alias, module):
                    found[name] = [*found.get(name, []), line] if isinstance(node, ast.Import) else [line]
        elif module:
            found |= {name: [f"from {module} import {name}"] for name in _defined(node)}
    return found


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, with those under `if` and `try`."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from _statements([*node.body, *node.orelse])


def _import_of(node: ast.Import | ast.ImportFrom, alias: ast.alias, module: str) -> str:
    """The line that imports one name as `node` does in the module under test; empty if there is none."""
    if alias.name == "*" or (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
        return ""
    if isinstance(node, ast.Import):
        return ast.unparse(ast.Import([alias]))
    if node.level:  # what the module has imported is a name of its own as well
        return f"from {module} import {alias.asname or alias.name}" if module else ""
    return ast.unparse(ast.ImportFrom(node.module, [alias], 0))


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    each = [one for target in targets for one in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return [one.id for one in each if isinstance(one, ast.Name)]
