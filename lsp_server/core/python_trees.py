"""Python's own trees of a file, as `ast` makes them: where every part has its place, or there is none."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator

_FILE_NAME = "<suggested>"


def parsed(source: str) -> ast.Module | None:
    """The tree of `source`; None if it does not parse, or is nested too deeply."""
    quiet = ("ignore", None, Warning, re.compile(re.escape(_FILE_NAME)), 0)
    if quiet not in warnings.filters:
        # For this name alone, and for good: a filter that comes and goes would be seen by other threads.
        warnings.filterwarnings("ignore", module=re.escape(_FILE_NAME))
    try:
        return ast.parse(source, _FILE_NAME)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """The lists of statements that stand right inside of a statement."""
    for field in ("body", "orelse", "finalbody"):
        if isinstance(block := getattr(node, field, None), list):
            yield block
    for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
        yield part.body


def nodes_in(node: ast.AST) -> list[ast.AST]:
    """A node and all in it, as by `ast.walk` but without `ctx`, in a third of its time."""
    found = [node]
    for each in found:  # which grows
        for name in each._fields:
            value = getattr(each, name, None)
            if value.__class__ is list:
                found += [part for part in value if isinstance(part, ast.AST)]
            elif isinstance(value, ast.AST) and name != "ctx":
                found.append(value)
    return found
