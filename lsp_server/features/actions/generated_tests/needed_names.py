"""Adds the imports that generated Python tests lack, and leaves out tests that use a name which is defined nowhere.

A small model often tests with what the file under test imports or defines, and forgets to import it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

from lsp_server.core.names.undefined import undefined_in
from lsp_server.features.actions.generated_tests.testparts import Parts, used_helpers

# The import of the code under test, which the place of the tests brings along.
_OF_TARGET = re.compile(r"from (\S+) import \w+$")


def complete(parts: Parts, imports: tuple[str, ...], source: str, join: Callable[[], str]) -> str:
    """Completes the parts of an answer. Returns the first name that is defined nowhere if no test is left without such
    a name; else an empty text.

    imports: the lines that import the code under test. source: the file under test. join: makes the test file of the
    parts as they are.
    """
    missing = undefined_in(join())
    if not missing:
        return ""
    offered = _offered(imports, source)
    parts.imports += [offered[name] for name in missing if name in offered]
    missing = [name for name in undefined_in(join()) if name not in offered]
    tests = [test for test in parts.tests if not _uses(test[1], parts, missing)]
    if not tests:
        return missing[0] if missing else ""
    parts.tests = tests
    parts.helpers = used_helpers(parts.helpers, "\n".join(code for _, code in tests))
    return ""


def _uses(code: str, parts: Parts, names: list[str]) -> bool:
    """Whether a test uses one of the names, directly or through a helper."""
    words = set(re.findall(r"\w+", "\n".join([code, *(body for _, body in used_helpers(parts.helpers, code))])))
    return not words.isdisjoint(names)


def _offered(imports: tuple[str, ...], source: str) -> dict[str, str]:
    """The names that the file under test imports or defines at its top level, each with the line that imports it."""
    module = next((match[1] for line in imports if (match := _OF_TARGET.match(line))), "")
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    found: dict[str, str] = {}
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                if line := _import_of(node, alias, module):
                    found[alias.asname or alias.name.partition(".")[0]] = line
        elif module:
            found |= {name: f"from {module} import {name}" for name in _defined(node)}
    return found


def _import_of(node: ast.Import | ast.ImportFrom, alias: ast.alias, module: str) -> str:
    """The line that imports one name as `node` does in the module under test; empty if there is none."""
    if alias.name == "*" or (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
        return ""
    if isinstance(node, ast.Import):
        return ast.unparse(ast.Import([alias]))
    package = module.split(".")[: -node.level] if node.level else []
    path = ".".join([*package, *([node.module] if node.module else [])])
    return ast.unparse(ast.ImportFrom(path, [alias], 0)) if path else ""


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [each.id for each in node.targets if isinstance(each, ast.Name)]
    return [node.target.id] if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else []
